// A session: one space with one peer on one stream, after the handshake. The frames
// are those of hypercore-protocol 8, so its own Protocol carries everything: channel 0
// the feed list, as an extension by name, and each other channel one feed.
// Formats: ../spec/frames.md and ../spec/feedset.md.
import { once } from 'node:events'
import Protocol from 'hypercore-protocol'
import { MAX_PAGE, decodePage, encodePage, isSigned } from './entry.js'
import { join } from './join.js'

// SILENCE is how many milliseconds without a frame hypercore-protocol bears unless it is
// told otherwise. Our Hello names it, so that the other side sends keep-alives in time.
export const SILENCE = 20_000

const CLOSE_TIMEOUT = 5_000 // ms
const MAX_ENTRIES = 24_096 // that a peer may send in one session

// Session ends by close or by either side's stream; `ended` then resolves to the error
// or to null.
export class Session {
  constructor (space, opened, silence = SILENCE) {
    this.space = space
    this.stream = opened.stream
    this.told = new Set() // hex keys of feeds that the two sides need not tell each other
    this.entries = 0
    this.work = Promise.resolve() // pages are sent and taken in order
    this.protocol = new Protocol(opened.initiator, {
      live: true, noise: false, encrypted: false, timeout: silence
    })
    if (opened.remote.silence > 0) {
      this.protocol.setKeepAlive(Math.floor(Math.min(silence, opened.remote.silence) / 2))
    }
    this.list = this.protocol.registerExtension('cobox/list/1', {
      onmessage: page => this.run(() => this.take(page))
    })
    this.onfeed = feed => this.run(() => this.tell([feed], false))
    this.ended = join(opened.stream, this.protocol).finally(() => space.off('feed', this.onfeed))
    space.on('feed', this.onfeed)
    this.run(() => this.tell([...space.feeds.values()], true))
  }

  // close ends the session in order: what was sent arrives, and the other side has a
  // while to end as well.
  close () {
    this.protocol.finalize()
    const timer = setTimeout(() => this.abort(new Error('the other side does not close')), CLOSE_TIMEOUT)
    return this.ended.finally(() => clearTimeout(timer))
  }

  // abort resets the stream.
  abort (err) {
    this.protocol.destroy(err)
    return this.ended
  }

  // keepAlive resolves when the other side has sent a keep-alive, the byte 0 alone.
  async keepAlive () {
    for (;;) {
      const [{ data }] = await Promise.race([once(this.stream, 'message'), this.ended.then(overBefore)])
      if (data.byteLength === 1 && data.subarray()[0] === 0) return
    }
  }

  run (step) {
    this.work = this.work.then(step).catch(err => this.protocol.destroy(err))
  }

  // tell sends the entries of feeds in pages, without those that came from the other
  // side. `all` says that these are all feeds there were at the start.
  async tell (feeds, all) {
    const fresh = feeds.filter(feed => !this.told.has(feed.key.toString('hex')))
    do {
      const page = fresh.splice(0, MAX_PAGE)
      const entries = []
      for (const feed of page) {
        this.told.add(feed.key.toString('hex'))
        entries.push({ key: feed.key, head: await feed.head(), admission: feed.admission })
        feed.replicate(this.protocol)
      }
      const last = all && fresh.length === 0
      if (this.protocol.destroyed) return
      if (entries.length > 0 || last) this.list.send(encodePage(entries, last))
    } while (fresh.length > 0)
  }

  // take adds the feeds of a page to the space and opens their channels. What does not
  // verify ends the session; feeds over a limit are skipped.
  async take (message) {
    const page = decodePage(message)
    this.entries += page.entries.length
    if (this.entries > MAX_ENTRIES) throw new Error(`peer told over ${MAX_ENTRIES} entries`)
    for (const entry of page.entries) {
      if (!isSigned(entry)) throw new Error('head of an entry is not signed by its feed')
      this.told.add(entry.key.toString('hex'))
      const feed = await this.space.add(entry.key, entry.admission)
      if (this.protocol.destroyed) return
      if (feed !== null) feed.replicate(this.protocol)
    }
  }
}

function overBefore (err) {
  throw err ?? new Error('session is over')
}
