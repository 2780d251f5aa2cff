// The tasks of the benchmarks that take two processes, on npm hypercore 11 in a
// corestore 7: one serves feeds over TCP on loopback, the other fetches all of
// them. Their keys are in a file beside the store that is served.
'use strict'
const crypto = require('crypto')
const fs = require('fs')
const net = require('net')
const path = require('path')
const Corestore = require('corestore')

async function open (task) {
  const store = new Corestore(path.join(task.dir, 'store'))
  await store.ready()
  return store
}

const keysOf = dir => path.join(dir, 'keys.json')
const writeKeys = (task, keys) => fs.writeFileSync(keysOf(task.dir), JSON.stringify(keys))
const readKeys = dir => JSON.parse(fs.readFileSync(keysOf(dir), 'utf8'))

function connected (port) {
  const socket = net.connect(port, '127.0.0.1')
  socket.setNoDelay(true)
  return new Promise((resolve, reject) => socket.once('error', reject).once('connect', () => resolve(socket)))
}

// listen answers whoever connects, prints where, and holds still.
async function listen (store, came, hold) {
  const server = net.createServer(socket => {
    socket.setNoDelay(true)
    const stream = store.replicate(false)
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
    const store = await open(task)
    const pool = Array.from({ length: task.pool }, () => crypto.randomBytes(task.size))
    const keys = []
    await measure(task.feeds * task.blocks, async () => {
      for (let i = 0; i < task.feeds; i++) {
        const core = store.get({ name: 'w' + i })
        await core.ready()
        for (let seq = 0; seq < task.blocks; seq += 1000) {
          const batch = []
          for (let n = seq; n < Math.min(seq + 1000, task.blocks); n++) batch.push(pool[n % pool.length])
          await core.append(batch)
        }
        keys.push(core.id)
      }
      writeKeys(task, keys)
      await store.close()
    })
  },

  async serve (task, { hold }) {
    const store = await open(task)
    for (const key of readKeys(task.dir)) await store.get(key).ready()
    await listen(store, () => {}, hold)
  },

  async fetch (task, { measure }) {
    const store = await open(task)
    const keys = readKeys(task.from[0].dir)
    let socket
    await measure(task.feeds * task.blocks, async () => {
      socket = await connected(task.from[0].port)
      const stream = store.replicate(true)
      stream.on('error', () => {})
      stream.pipe(socket).pipe(stream)
      await Promise.all(keys.map(async key => {
        const core = store.get(key)
        await core.ready()
        await core.download({ start: 0, end: task.blocks }).done()
        if (core.contiguousLength !== task.blocks) throw new Error(`${core.contiguousLength} blocks are stored, want ${task.blocks}`)
      }))
    }, () => ({ wire: { in: socket.bytesRead, out: socket.bytesWritten } }))
  },

  async 'serve-live' (task, { hold, now, sleep }) {
    const store = await open(task)
    const core = store.get({ name: 'live' })
    await core.ready()
    writeKeys(task, [core.id])
    let came
    const reader = new Promise(resolve => { came = resolve })
    listen(store, came, () => {})
    reader.then(async () => {
      await sleep(task.settleMs)
      for (let seq = 0; seq < task.blocks; seq++) {
        const block = Buffer.alloc(task.size)
        block.writeBigUInt64BE(now())
        await core.append(block)
        await sleep(task.everyMs)
      }
    })
    await hold()
  },

  async 'fetch-live' (task, { measure, now, latency }) {
    const store = await open(task)
    const core = store.get(readKeys(task.from[0].dir)[0])
    await core.ready()
    const took = []
    await measure(task.blocks, async () => {
      const socket = await connected(task.from[0].port)
      const stream = store.replicate(true)
      stream.on('error', () => {})
      stream.pipe(socket).pipe(stream)
      for (let seq = 0; seq < task.blocks; seq++) {
        const block = await core.get(seq)
        took.push(Number(now() - block.readBigUInt64BE()) / 1e6)
      }
    }, () => ({ latency: latency(took.slice(task.skip)) }))
  }
}
