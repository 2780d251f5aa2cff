// The tasks of the benchmarks that take two processes, on npm multifeed 6 over
// hypercore 9: one serves a folder of feeds over TCP on loopback, the other
// fetches all of them.
'use strict'
const crypto = require('crypto')
const net = require('net')
const multifeed = require('multifeed')

const spaceKey = crypto.createHash('sha256').update('bench').digest()

const call = (object, method, ...rest) => new Promise((resolve, reject) =>
  object[method](...rest, (err, value) => err ? reject(err) : resolve(value)))

async function open (task) {
  const feeds = multifeed(task.dir, { encryptionKey: spaceKey })
  await call(feeds, 'ready')
  return feeds
}

function connected (port) {
  const socket = net.connect(port, '127.0.0.1')
  socket.setNoDelay(true)
  return new Promise((resolve, reject) => socket.once('error', reject).once('connect', () => resolve(socket)))
}

// listen answers whoever connects, prints where, and holds still.
async function listen (feeds, came, hold) {
  const server = net.createServer(socket => {
    socket.setNoDelay(true)
    const stream = feeds.replicate(false, { live: true })
    stream.on('error', () => {})
    socket.on('error', () => {})
    stream.pipe(socket).pipe(stream)
    came()
  })
  await new Promise(resolve => server.listen(0, '127.0.0.1', resolve))
  console.log(JSON.stringify({ port: server.address().port }))
  await hold()
}

module.exports = {
  async 'make-space' (task, { measure }) {
    const feeds = await open(task)
    const pool = Array.from({ length: task.pool }, () => crypto.randomBytes(task.size))
    await measure(task.feeds * task.blocks, async () => {
      for (let i = 0; i < task.feeds; i++) {
        const writer = await call(feeds, 'writer', 'w' + i)
        for (let seq = 0; seq < task.blocks; seq += 1000) {
          const batch = []
          for (let n = seq; n < Math.min(seq + 1000, task.blocks); n++) batch.push(pool[n % pool.length])
          await call(writer, 'append', batch)
        }
      }
    })
  },

  async serve (task, { hold }) {
    await listen(await open(task), () => {}, hold)
  },

  async fetch (task, { measure }) {
    const feeds = await open(task)
    const total = task.feeds * task.blocks
    let stored = 0
    let socket
    await measure(total, async () => {
      socket = await connected(task.from[0].port)
      await new Promise((resolve, reject) => {
        const count = feed => feed.on('download', () => { if (++stored === total) resolve() })
        feeds.on('feed', count)
        const stream = feeds.replicate(true, { live: true })
        stream.on('error', reject)
        stream.pipe(socket).pipe(stream)
      })
      for (const feed of feeds.feeds()) {
        const n = feed.downloaded(0, task.blocks)
        if (n !== task.blocks) throw new Error(`${n} blocks are stored, want ${task.blocks}`)
      }
    }, () => ({ wire: { in: socket.bytesRead, out: socket.bytesWritten } }))
  },

  async 'serve-live' (task, { hold, now, sleep }) {
    const feeds = await open(task)
    const writer = await call(feeds, 'writer', 'live')
    let came
    const reader = new Promise(resolve => { came = resolve })
    listen(feeds, came, () => {})
    reader.then(async () => {
      await sleep(task.settleMs)
      for (let seq = 0; seq < task.blocks; seq++) {
        const block = Buffer.alloc(task.size)
        block.writeBigUInt64BE(now())
        await call(writer, 'append', block)
        await sleep(task.everyMs)
      }
    })
    await hold()
  },

  async 'fetch-live' (task, { measure, now, latency }) {
    const feeds = await open(task)
    const took = []
    await measure(task.blocks, async () => {
      const socket = await connected(task.from[0].port)
      const stream = feeds.replicate(true, { live: true })
      stream.on('error', () => {})
      const came = new Promise(resolve => feeds.on('feed', resolve))
      stream.pipe(socket).pipe(stream)
      const feed = await came
      for (let seq = 0; seq < task.blocks; seq++) {
        const block = await call(feed, 'get', seq)
        took.push(Number(now() - block.readBigUInt64BE()) / 1e6)
      }
    }, () => ({ latency: latency(took.slice(task.skip)) }))
  }
}
