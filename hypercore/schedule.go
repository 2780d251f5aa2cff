package hypercore

import (
	"time"

	"github.com/cobox-p2p/cobox-p2p/hypercore/flattree"
)

// SetSparse says whether only blocks that a Get waits for are requested, and
// what is needed to follow the feed's growth; else all of it is.
func (c *core) SetSparse(sparse bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.sparse = sparse
	c.wakeLocked()
}

// askLocked returns the next request for this remote and notes it, or nil.
func (p *Peer) askLocked(now time.Time) *Request {
	c := p.feed
	limit := MaxRequests
	if p.stalled {
		limit = 1
	}
	if p.flying >= limit {
		return nil
	}
	if p.mayGrowLocked() && (c.growing == nil || now.Sub(c.growing.at) >= growPatience) {
		seq, hash := p.growthLocked()
		r := p.noteLocked(seq, hash, now)
		c.growing = p.asked[r.Index]
		return r
	}
	if seq, ok := p.chooseLocked(); ok {
		return p.noteLocked(seq, false, now)
	}
	return nil
}

// mayGrowLocked says whether this remote could be asked to prove a longer head.
func (p *Peer) mayGrowLocked() bool {
	c := p.feed
	return p.download && p.paused.IsZero() && p.remoteEnd > c.head.Length && !p.barren &&
		(c.growing == nil || c.growing.peer != p) && (p.wantsOut == 0 || p.remote.Get(c.head.Length))
}

// growthLocked returns what to ask the remote for so that the proof repeats or
// derives every root of our head, which shows that the longer head extends ours:
// the block at our own length, or another below the sibling of our last root,
// and only the hash when the remote holds none of these. Any block does when we
// hold nothing.
func (p *Peer) growthLocked() (seq uint64, hash bool) {
	length := p.feed.head.Length
	end := length + length&-length
	if length == 0 {
		end = p.remoteEnd
	}
	seq, ok := p.remote.NextSet(length)
	if ok && seq < end && p.maySendLocked(seq) {
		return seq, false
	}
	return length, true
}

// maySendLocked says whether this remote may be asked for the block: not when it
// was just asked in vain, and not while it owes the block's hash, since then an
// answer without the block would be taken for a fault.
func (p *Peer) maySendLocked(seq uint64) bool {
	r := p.asked[seq]
	return r == nil || r.moved && !r.hash && r.retry.IsZero()
}

func (p *Peer) noteLocked(seq uint64, hash bool, now time.Time) *Request {
	c := p.feed
	if old := p.asked[seq]; old != nil {
		p.freeLocked(old)
	}
	r := &request{peer: p, seq: seq, hash: hash, at: now}
	p.asked[seq] = r
	p.flying++
	if !hash {
		c.asked[seq] = r
	}
	return &Request{Index: seq, Hash: hash, Nodes: c.digestLocked(seq)}
}

// chooseLocked returns a missing block that the remote holds and nobody was
// asked for: first those that somebody waits for, then from the cursor on.
func (p *Peer) chooseLocked() (uint64, bool) {
	c := p.feed
	for seq := range c.waiters {
		if seq < c.head.Length && !c.have.Get(seq) && c.asked[seq] == nil && p.remote.Get(seq) && p.maySendLocked(seq) {
			return seq, true
		}
	}
	if c.sparse {
		return 0, false
	}
	for _, from := range [2]uint64{p.cursor, 0} {
		if seq, ok := p.missingLocked(from); ok {
			p.cursor = seq + 1
			return seq, true
		}
	}
	return 0, false
}

func (p *Peer) missingLocked(from uint64) (uint64, bool) {
	c := p.feed
	seq := c.have.NextClear(from)
	for seq < c.head.Length {
		there, ok := p.remote.NextSet(seq)
		if !ok || there >= c.head.Length {
			return 0, false
		}
		if there > seq {
			seq = c.have.NextClear(there)
			continue
		}
		if c.asked[seq] == nil && p.maySendLocked(seq) {
			return seq, true
		}
		seq = c.have.NextClear(seq + 1)
	}
	return 0, false
}

// expireLocked lets requests move on that were not answered in time.
func (p *Peer) expireLocked(now time.Time) {
	if now.Before(p.expiry) {
		return
	}
	p.expiry = now.Add(expireEvery)
	pausedLong := !p.paused.IsZero() && now.Sub(p.paused) >= maxPause
	moved := 0
	for seq, r := range p.asked {
		switch late := now.Sub(r.at) >= RequestTimeout; {
		case !r.moved && (late || pausedLong):
			p.freeLocked(r)
			p.stalled = true
			if late {
				r.retry = now.Add(RequestTimeout)
			}
			p.feed.wakeLocked()
		case r.moved && !r.retry.IsZero() && !now.Before(r.retry):
			r.retry = time.Time{}
		case r.moved:
			if moved++; moved > maxMoved {
				delete(p.asked, seq)
			}
		}
	}
}

// holdsLocked says whether the tree node at index is stored for certain.
func (c *core) holdsLocked(index uint64) bool {
	if c.head.Length == 0 || flattree.RightSpan(index) > 2*(c.head.Length-1) {
		return false
	}
	parent := flattree.Parent(index)
	if flattree.RightSpan(parent) > 2*(c.head.Length-1) {
		return true // no parent in the tree: a root
	}
	seq, ok := c.have.NextSet(flattree.LeftSpan(parent) / 2)
	return ok && seq <= flattree.RightSpan(parent)/2
}
