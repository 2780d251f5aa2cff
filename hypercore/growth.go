package hypercore

import "time"

// couldGrowLocked says whether this remote could be asked now to prove a longer
// head.
func (p *Peer) couldGrowLocked() bool {
	c := p.feed
	if !p.download || !p.paused.IsZero() || c.full != nil || !p.resume.IsZero() || p.barren || c.forked != nil || p.remoteEnd <= c.head.Length ||
		p.parted <= c.head.Length || !p.roomLocked() {
		return false
	}
	if p.wantsOut > 0 && !p.remote.Get(c.head.Length) {
		return false // what it holds isn't known yet
	}
	if g := p.growth; g != nil && g.pending() && g.length == c.head.Length {
		return false
	}
	_, _, ok := p.growthLocked()
	return ok
}

// growthLocked returns what to ask the remote for so that the proof repeats or
// derives every root of our head, which shows that the longer head extends ours:
// the block at our own length, or another below the sibling of our last root,
// and only the hash when the remote holds none of these. Any block does when we
// hold nothing. It is false when nothing may be asked now.
func (p *Peer) growthLocked() (seq uint64, hash, ok bool) {
	length := p.feed.head.Length
	end := length + length&-length
	if length == 0 {
		end = p.remoteEnd
	}
	if seq, ok := p.remote.NextSet(length); ok && seq < end && p.maySendLocked(seq) {
		return seq, false, true
	}
	if seq := p.beyond.Start; p.beyond.Count > 0 && seq >= length && seq < end && p.maySendLocked(seq) {
		return seq, false, true
	}
	return length, true, !p.noHashes
}

// growLocked returns the request for a longer head if it is this remote's turn.
// Remotes that failed less often go first. One is asked alone for growPatience,
// then all others as well, for no more than a hash if that is allowed: however
// many of them are liars, they cost that time once.
func (p *Peer) growLocked(now time.Time) Message {
	if !p.couldGrowLocked() {
		p.yielded = time.Time{}
		return nil
	}
	if p.outrunLocked() {
		if p.yielded.IsZero() {
			p.yielded = now
		}
		if now.Sub(p.yielded) < growPatience {
			return nil
		}
	}
	c := p.feed
	g := c.growingLocked()
	patient := g != nil && now.Sub(g.at) < growPatience
	if patient && g.peer.failedGrowth <= p.failedGrowth {
		return nil
	}
	seq, hash, _ := p.growthLocked()
	if g != nil {
		g.failLocked()
		if !patient && !p.noHashes {
			seq, hash = c.head.Length, true
		}
	}
	var m Message
	if p.byRange && !hash {
		m = p.growRangeLocked(seq, now)
	} else {
		m = p.noteLocked(seq, hash, now)
	}
	p.growth, p.yielded = p.asked[seq], time.Time{}
	p.growth.grows = true
	if g == nil || patient {
		c.growing = p.growth
	}
	return m
}

// growDueLocked returns when growLocked may have something to ask; ok is false
// when time alone changes nothing.
func (p *Peer) growDueLocked() (at time.Time, ok bool) {
	if !p.couldGrowLocked() {
		return at, false
	}
	if g := p.feed.growingLocked(); g != nil && g.peer.failedGrowth <= p.failedGrowth {
		at = g.at.Add(growPatience)
	}
	if !p.yielded.IsZero() && p.outrunLocked() {
		if due := p.yielded.Add(growPatience); due.After(at) {
			at = due
		}
	}
	return at, !at.IsZero()
}

// outrunLocked says whether another remote that could be asked failed less
// often.
func (p *Peer) outrunLocked() bool {
	for q := range p.feed.peers {
		if q.failedGrowth < p.failedGrowth && q.couldGrowLocked() {
			return true
		}
	}
	return false
}

// growingLocked returns the request that was first in asking for a head longer
// than the present one, or nil.
func (c *core) growingLocked() *request {
	if c.growing == nil || c.growing.length != c.head.Length {
		return nil
	}
	return c.growing
}

// failLocked counts a request for growth that was of no use in time. The block
// that it asks for may be asked of others.
func (r *request) failLocked() {
	if r.grows && !r.failed {
		r.failed, r.overdue = true, true
		r.peer.failedGrowth++
		r.peer.feed.updatedLocked()
	}
}

// grownLocked notes how this remote answered r. Whoever still owes a proof of the
// head that was passed has been too slow.
func (p *Peer) grownLocked(r *request, grew bool, now time.Time) {
	if grew || r.grows && now.Sub(r.at) < growPatience {
		p.failedGrowth = 0
	}
	if !grew {
		return
	}
	for q := range p.feed.peers {
		if g := q.growth; g != nil && !g.moved && g.length < p.feed.head.Length {
			g.failLocked()
		}
	}
}
