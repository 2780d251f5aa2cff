// A peer of one space: a libp2p node, the space's feeds, and the sessions with others.
// README.md shows how to use it from a program.
import { randomBytes } from 'node:crypto'
import { EventEmitter } from 'node:events'
import { initiate, respond } from './handshake.js'
import { tag } from './keys.js'
import { createNode } from './node.js'
import { announce, find } from './rendezvous.js'
import { SILENCE, Session } from './session.js'
import { Sessions } from './sessions.js'
import { Space } from './space.js'
import { parseSpace } from './text.js'

const PROTOCOL = '/cobox/multifeed/1.0.0'
const MAX_STREAMS = 16 // that one connection may have open to us

// Peer emits 'session' {peer, initiator} when a session began, 'ended' {peer, error}
// when it is over, and 'refused' {peer, error} when somebody's handshake failed.
export class Peer extends EventEmitter {
  // start joins the DHT, takes part in the space that the text names, and answers who
  // knows its address. Who may write has a feed of his own in `writer`. `silence` is
  // the longest that a session may go without a frame, in milliseconds.
  static async start ({ space, dhtPrefix, bootstrap, silence = SILENCE }) {
    const peer = new Peer()
    peer.space = new Space(parseSpace(space))
    peer.writer = peer.space.writable ? await peer.space.writer() : null
    peer.node = await createNode({ dhtPrefix, bootstrap })
    peer.self = { peerId: binary(peer.node.peerId), process: randomBytes(16), silence, features: [] }
    peer.sessions = new Sessions()
    peer.running = new Set()
    await peer.node.handle(PROTOCOL, (stream, connection) => peer.answer(stream, connection.remotePeer), {
      maxInboundStreams: MAX_STREAMS
    })
    return peer
  }

  // announce tells the DHT of this peer.
  announce () {
    return announce(this.node, this.space.discoveryKey)
  }

  // find connects to one of the peers that the DHT knows for the space, and returns its
  // ID. One that doesn't answer or isn't in the space keeps nobody from the next.
  async find () {
    const errors = []
    for await (const { id } of find(this.node, this.space.discoveryKey)) {
      try {
        await this.connect(id)
        return id
      } catch (err) {
        errors.push(err)
      }
    }
    throw new AggregateError(errors, `none of ${errors.length} providers could be opened: ${errors.at(-1)?.message}`)
  }

  // connect opens the space with a peer, given by its ID or by an address.
  async connect (to) {
    const connection = await this.node.dial(to)
    const stream = await connection.newStream(PROTOCOL)
    // The first write must be ours: the other side's handler starts with it.
    await this.open(stream, connection.remotePeer, remote => initiate(stream, this.self, remote, this.space.keys))
  }

  // answer takes a stream that the other side opened.
  async answer (stream, peerId) {
    try {
      await this.open(stream, peerId, remote => respond(stream, this.self, remote, wanted => {
        const known = tag(this.space.keys, remote, this.self.peerId).equals(wanted)
        return known ? this.space.keys : null
      }))
    } catch (err) {
      this.emit('refused', { peer: peerId.toString(), error: err })
    }
  }

  async open (stream, peerId, handshake) {
    const remote = binary(peerId)
    try {
      this.begin(await handshake(remote), remote, peerId.toString())
    } catch (err) {
      stream.abort(err)
      throw err
    }
  }

  begin (opened, remote, peer) {
    let session = null
    const duplicate = new Error('another stream of this peer and space stays')
    const candidate = {
      peer: remote,
      space: this.space.discoveryKey,
      opener: opened.initiator ? this.self.peerId : remote,
      process: opened.remote.process,
      end: () => session.abort(duplicate)
    }
    if (!this.sessions.take(candidate)) throw duplicate
    session = new Session(this.space, opened, this.self.silence)
    this.running.add(session)
    this.emit('session', { peer, initiator: opened.initiator })
    session.ended.then(error => {
      this.sessions.drop(candidate)
      this.running.delete(session)
      this.emit('ended', { peer, error })
    })
  }

  // stop ends all sessions in order, and the node.
  async stop () {
    await Promise.all([...this.running].map(session => session.close()))
    await this.node.stop()
    await this.space.close()
  }
}

// binary returns a peer ID as tags and transcripts hold it.
function binary (peerId) {
  return Buffer.from(peerId.toMultihash().bytes)
}
