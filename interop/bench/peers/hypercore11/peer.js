// Runs one task of the benchmarks on npm hypercore 11. The task is JSON in the
// first argument. When it is done, the result is printed as one line of JSON,
// and the process stays as it is until its standard input ends, so that it can
// be looked at.
'use strict'
const crypto = require('crypto')
const fs = require('fs')
const path = require('path')
const Hypercore = require('hypercore')
const replicate = require('./replicate')

const task = JSON.parse(process.argv[2])

// hold keeps the process as it is until its standard input ends.
const hold = () => new Promise(resolve => process.stdin.on('end', resolve).resume())

// measure reports how long work took, what it cost, and what more returns, then
// holds still.
async function measure (count, work, more = () => ({})) {
  const cpu = process.cpuUsage()
  const begun = process.hrtime.bigint()
  await work()
  const seconds = Number(process.hrtime.bigint() - begun) / 1e9
  const used = process.cpuUsage(cpu)
  console.log(JSON.stringify({ seconds, cpuSeconds: (used.user + used.system) / 1e6, count, ...more() }))
  await hold()
}

// latency sorts milliseconds.
function latency (took) {
  took.sort((a, b) => a - b)
  const at = part => took[Math.floor(part * (took.length - 1))]
  return { p50: at(0.5), p99: at(0.99), max: at(1) }
}

// What the tasks in replicate.js need. The clock is that of the machine, the same
// for all processes.
const tools = {
  measure,
  hold,
  latency,
  now: () => process.hrtime.bigint(),
  sleep: ms => new Promise(resolve => setTimeout(resolve, ms))
}

const tasks = {
  async append (feed) {
    // A few MiB of random blocks, over and over: that they are made is not
    // measured.
    const pool = Array.from({ length: task.pool }, () => crypto.randomBytes(task.size))
    const size = Math.max(1, task.batch || 1)
    await measure(task.blocks, async () => {
      for (let seq = 0; seq < task.blocks; seq += size) {
        const batch = []
        for (let i = seq; i < Math.min(seq + size, task.blocks); i++) batch.push(pool[i % pool.length])
        await feed.append(size === 1 ? batch[0] : batch)
      }
    })
  },
  async read (feed) {
    const seqs = fs.readFileSync(path.join(task.dir, 'order'), 'utf8').trim().split('\n').map(Number)
    if (task.warm) for (let seq = 0; seq < feed.length; seq++) await feed.get(seq, { wait: false })
    await measure(task.reads, async () => {
      for (let i = 0; i < task.reads; i++) {
        const block = await feed.get(seqs[i % seqs.length], { wait: false })
        if (block.length !== task.size) throw new Error(`block of ${block.length} bytes`)
      }
    })
  }
}

async function main () {
  if (replicate[task.do]) return replicate[task.do](task, tools)
  const feed = new Hypercore(path.join(task.dir, 'feed'))
  await feed.ready()
  await tasks[task.do](feed)
}

main().then(() => process.exit(0), err => {
  console.error(err.stack)
  process.exit(1)
})
