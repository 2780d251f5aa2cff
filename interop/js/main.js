// A peer driven by lines of JSON: a command {id, command, ...} on standard input is
// answered by {id, result} or {id, error} on standard output, where lines without an id
// are events. README.md lists them.
import { createHash } from 'node:crypto'
import { createInterface } from 'node:readline'
import { multiaddr } from '@multiformats/multiaddr'
import { Peer } from './peer.js'

let peer = null

const commands = {
  async start (options) {
    if (peer !== null) throw new Error('started already')
    peer = await Peer.start(options)
    for (const event of ['session', 'ended', 'refused']) {
      peer.on(event, told => print({ event, ...told, error: told.error?.message }))
    }
    return {
      peerId: peer.node.peerId.toString(),
      addresses: peer.node.getMultiaddrs().map(String),
      feed: peer.writer?.key.toString('hex'),
      discoveryKey: peer.space.discoveryKey.toString('hex')
    }
  },

  announce: () => peer.announce(),

  async find () {
    return { peerId: String(await peer.find()) }
  },

  connect: ({ address }) => peer.connect(multiaddr(address)),

  async append ({ blocks, sealed }) {
    const bytes = blocks.map(block => Buffer.from(block, 'base64'))
    return { seq: await (sealed ? peer.writer.appendSealed(bytes) : peer.writer.append(bytes)) }
  },

  async read ({ feed: key, length }) {
    const feed = await peer.space.feed(Buffer.from(key, 'hex'))
    await feed.downloaded(length)
    const blocks = []
    for (let seq = 0; seq < length; seq++) {
      blocks.push({ sealed: sha256(await feed.getSealed(seq)), content: await feed.get(seq).then(sha256, () => null) })
    }
    return { blocks }
  },

  async audit ({ feed: key }) {
    const feed = await peer.space.feed(Buffer.from(key, 'hex'))
    return { length: feed.core.length, ...await feed.audit() }
  },

  async listen ({ keepAlives }) {
    const [session] = peer.running
    while (keepAlives-- > 0) await session.keepAlive()
  },

  stop: () => peer.stop()
}

function print (line, done) {
  process.stdout.write(JSON.stringify(line) + '\n', done)
}

function sha256 (bytes) {
  return createHash('sha256').update(bytes).digest('hex')
}

async function run ({ id, command, ...options }) {
  try {
    if (!Object.hasOwn(commands, command)) throw new Error(`unknown command ${command}`)
    if (peer === null && command !== 'start') throw new Error('the first command is start')
    const result = await commands[command](options) ?? {}
    print({ id, result }, command === 'stop' ? () => process.exit() : undefined)
  } catch (err) {
    process.stderr.write(`${command}: ${err.stack}\n`)
    print({ id, error: err.message })
  }
}

// Commands run side by side: one may wait for what another brings about.
for await (const line of createInterface({ input: process.stdin })) run(JSON.parse(line))
process.exit() // whoever drove us is gone
