// Folders of feeds on disk, made and judged by the original packages: hypercore 9
// and corestore 5, as CoBox used them. One command comes as JSON on standard input,
// {"command": "feed", ...}; its result leaves as a line of JSON.

import { createHash } from 'node:crypto'
import { text } from 'node:stream/consumers'
import { promisify } from 'node:util'

import Corestore from 'corestore'
import hypercore from 'hypercore'
import hypercoreCrypto from 'hypercore-crypto'

// What a block holds follows from its number and size, so that both sides know it.
function blockOf (seq, size) {
  const block = Buffer.alloc(size)
  for (let i = 0; i < size; i++) block[i] = (seq * 31 + i * 7 + (i >> 8)) & 0xff
  return block
}

const MAX_BATCH = 4096 // blocks that are read at once

const call = (object, method, ...args) => promisify(object[method].bind(object))(...args)

function openFeed (dir, seed) {
  if (!seed) return hypercore(dir)
  const { publicKey, secretKey } = hypercoreCrypto.keyPair(Buffer.from(seed, 'hex'))
  return hypercore(dir, publicKey, { secretKey })
}

// Each step is one of {append: [sizes]}, which is one batch, {clear: [start, end]}
// and {fetch: {from: folder, blocks: [numbers]}}, which replicates these blocks.
async function take (feed, steps = []) {
  for (const step of steps) {
    if (step.append) {
      const first = feed.length
      await call(feed, 'append', step.append.map((size, i) => blockOf(first + i, size)))
    }
    if (step.clear) await call(feed, 'clear', ...step.clear)
    if (step.fetch) await fetch(feed, step.fetch)
  }
}

async function fetch (feed, { from, blocks }) {
  const source = hypercore(from)
  await call(source, 'ready')
  const plain = { live: true, noise: false, encrypted: false }
  const theirs = source.replicate(true, plain)
  const ours = feed.replicate(false, plain)
  theirs.on('error', () => {})
  ours.on('error', () => {})
  theirs.pipe(ours).pipe(theirs)
  for (const seq of blocks) await call(feed, 'get', seq)
  theirs.destroy()
  ours.destroy()
  await call(source, 'close')
}

// What the original finds in a feed: its own audit, which takes long for many
// blocks, and a digest of every block that it holds with the block's number.
async function judge (feed, audit = true) {
  const digest = createHash('sha256')
  let held = 0
  for (let seq = 0, end; seq < feed.length; seq = end) {
    end = seq + 1
    if (!feed.has(seq)) continue
    while (end < feed.length && end < seq + MAX_BATCH && feed.has(end)) end++
    const blocks = await call(feed, 'getBatch', seq, end, { wait: false, valueEncoding: 'binary' })
    for (const [i, block] of blocks.entries()) {
      const head = Buffer.alloc(16)
      head.writeBigUInt64BE(BigInt(seq + i))
      head.writeBigUInt64BE(BigInt(block.length), 8)
      digest.update(head).update(block)
    }
    held += blocks.length
  }
  const { length, byteLength, writable } = feed
  return {
    key: feed.key.toString('hex'),
    length,
    byteLength,
    writable,
    held,
    digest: digest.digest('hex'),
    audit: audit ? await call(feed, 'audit') : null
  }
}

const commands = {
  // A feed in a folder of its own: opens it, or makes it with the key pair of seed
  // or as a reader of key; does the steps, and judges what is there then, without
  // an audit if audit is false.
  async feed ({ dir, seed, key, steps, audit }) {
    const feed = key ? hypercore(dir, Buffer.from(key, 'hex'), { sparse: true }) : openFeed(dir, seed)
    await call(feed, 'ready')
    await take(feed, steps)
    const found = await judge(feed, audit)
    await call(feed, 'close')
    return found
  },

  // A space in a store, as CoBox's multifeed keeps it: its own writers, feeds of
  // others by their key, and the private feed that names them all. Feeds are
  // opened, made, extended by their steps and judged; what the list names is in
  // the result.
  async space ({ dir, address, writers = [], others = [], list = [], hold }) {
    const store = new Corestore(dir)
    await store.ready()
    const space = store.namespace('@multifeed:' + address)
    const names = space.namespace('@multifeed:persist').default({ valueEncoding: 'json' })
    await call(names, 'ready')
    const feeds = []
    for (const { name, steps } of writers) {
      const feed = space.namespace('@multifeed:feed:' + name).default()
      await call(feed, 'ready')
      await take(feed, steps)
      feeds.push({ name, feed })
    }
    for (const { key, name, steps } of others) {
      const feed = store.get({ key: Buffer.from(key, 'hex'), sparse: true })
      await call(feed, 'ready')
      await take(feed, steps)
      feeds.push({ name, feed })
    }
    for (const name of list) {
      const { feed } = feeds.find(f => f.name === name)
      await call(names, 'append', { key: feed.key.toString('hex'), name })
    }
    const listed = []
    for (let seq = 0; seq < names.length; seq++) listed.push(await call(names, 'get', seq))
    const judged = {}
    for (const { name, feed } of feeds) judged[name] = await judge(feed)
    const result = { listed, feeds: judged, list: await judge(names) }
    if (hold) {
      console.log(JSON.stringify(result))
      await new Promise(() => setInterval(() => {}, 1000)) // until it is killed
    }
    await call(store, 'close')
    return result
  }
}

const { command, ...options } = JSON.parse(await text(process.stdin))
console.log(JSON.stringify(await commands[command](options)))
process.exit()
