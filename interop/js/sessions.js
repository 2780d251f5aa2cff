// At most one session per peer and space. Both sides may open at once, and a peer may
// restart; both must come to the same answer which stream stays. Rules:
// ../spec/spaces.md.

// Sessions are keyed by peer ID, never by connection.
export class Sessions {
  constructor () {
    this.byPeer = new Map() // peer ID and discovery key -> candidate
  }

  // take says whether the candidate {peer, space, opener, process, end} may begin,
  // after both proofs held, and ends the one that it replaces. Peer and opener are peer
  // IDs in binary, `peer` being the other side.
  take (candidate) {
    const name = nameOf(candidate)
    const old = this.byPeer.get(name)
    if (old !== undefined) {
      if (!replaces(candidate, old)) return false
      old.end()
    }
    this.byPeer.set(name, candidate)
    return true
  }

  // drop forgets a session that has ended.
  drop (candidate) {
    const name = nameOf(candidate)
    if (this.byPeer.get(name) === candidate) this.byPeer.delete(name)
  }
}

function nameOf ({ peer, space }) {
  return `${Buffer.from(peer).toString('hex')} ${space.toString('hex')}`
}

function replaces (fresh, old) {
  if (!fresh.process.equals(old.process)) return true // the other side started anew
  // Of two openers the smaller peer ID wins; of two streams by one the newer.
  return Buffer.compare(fresh.opener, old.opener) <= 0
}
