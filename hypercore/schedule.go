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
	if !p.roomLocked() {
		return nil
	}
	if m := p.growLocked(now); m != nil {
		return m
	}
	if seq, ok := p.chooseLocked(); ok {
		return p.noteLocked(seq, false, now)
	}
	return nil
}

// maySendLocked says whether this remote may be asked for the block: not while it
// was asked for it or its hash, and not when that was just in vain.
func (p *Peer) maySendLocked(seq uint64) bool {
	r := p.asked[seq]
	return r == nil || r.moved && r.retry.IsZero()
}

// chooseLocked returns a missing block that the remote holds and nobody was
// asked for: first those that somebody waits for, then from the cursor on. When
// there is none, it returns one that another peer owes for too long.
func (p *Peer) chooseLocked() (uint64, bool) {
	c := p.feed
	end := min(c.head.Length, p.parted)
	for seq := range c.waiters {
		if seq < end && !c.have.Get(seq) && p.remote.Get(seq) && p.mayAskLocked(seq) {
			return seq, true
		}
	}
	if c.sparse {
		return 0, false
	}
	for _, part := range [2]Span{{p.cursor, end}, {0, min(p.cursor, end)}} {
		if seq, ok := p.missingLocked(part.Start, part.Count); ok {
			p.cursor = seq + 1
			return seq, true
		}
	}
	for seq, r := range c.asked {
		if r.overdue && seq < end && p.remote.Get(seq) && p.mayAskLocked(seq) {
			return seq, true
		}
	}
	return 0, false
}

// missingLocked returns the first missing block in [from, end) that the remote
// holds and nobody was asked for.
func (p *Peer) missingLocked(from, end uint64) (uint64, bool) {
	c := p.feed
	for {
		seq, ok := p.remote.NextNotIn(&c.have, from)
		if !ok || seq >= end {
			return 0, false
		}
		if c.asked[seq] == nil && p.maySendLocked(seq) {
			return seq, true
		}
		from = seq + 1
	}
}

// mayAskLocked says whether this remote may be asked for a missing block that it
// holds: nobody else was, or that one has had its time.
func (p *Peer) mayAskLocked(seq uint64) bool {
	r := p.feed.asked[seq]
	return (r == nil || r.overdue && r.peer != p) && p.maySendLocked(seq)
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
