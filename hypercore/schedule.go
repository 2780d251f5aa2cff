package hypercore

import (
	"time"

	"github.com/cobox-p2p/cobox-p2p/hypercore/flattree"
)

// SetSparse says whether only blocks that somebody asks for by Get or Download
// are requested, and what is needed to follow the feed's growth; else all are
// but those that were cleared.
func (c *core) SetSparse(sparse bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.sparse = sparse
	if sparse {
		c.takeBackLocked()
	}
	c.wakeLocked()
	if !sparse && c.lacksLocked() {
		c.tellWantedLocked(Span{0, c.head.Length})
	}
}

// askLocked returns the next request for this remote and notes it, or nil.
func (p *Peer) askLocked(now time.Time) Message {
	if !p.affordLocked(now) || !p.roomLocked() {
		return nil
	}
	if m := p.growLocked(now); m != nil {
		return m
	}
	if m := p.doubtLocked(now); m != nil {
		return m
	}
	if p.byRange {
		return p.askRangeLocked(now)
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
	return (r == nil || r.moved && r.retry.IsZero()) && p.shunnedLocked(seq) == seq
}

// shunnedLocked returns the first block from seq on that is in no range that this
// remote was asked for in vain.
func (p *Peer) shunnedLocked(seq uint64) uint64 {
	if !p.byRange {
		return seq
	}
	for _, r := range p.asked {
		if r.count > 0 && !r.retry.IsZero() && r.seq <= seq && seq < r.span().End() {
			return p.shunnedLocked(r.span().End())
		}
	}
	return seq
}

// chooseLocked returns a missing block that the remote holds and nobody was
// asked for: first those that a Get waits for, then by the priority of
// downloads. When there is none, it returns one that another peer owes for too
// long.
func (p *Peer) chooseLocked() (uint64, bool) {
	c := p.feed
	end := min(c.head.Length, p.parted)
	for seq := range c.waiters {
		if seq < end && p.couldSendLocked(seq) {
			return seq, true
		}
	}
	rest := c.downloads
	for ; len(rest) > 0 && rest[0].options.Priority >= 0; rest = rest[1:] {
		if seq, ok := p.chooseOfLocked(rest[0], end); ok {
			return seq, true
		}
	}
	if !c.sparse {
		if seq, ok := p.fromCursorLocked(0, end, &c.cleared); ok {
			return seq, true
		}
	}
	for _, d := range rest {
		if seq, ok := p.chooseOfLocked(d, end); ok {
			return seq, true
		}
	}
	for seq, r := range c.asked {
		if r.overdue && seq < end && p.couldSendLocked(seq) && c.wantedLocked(seq) {
			return seq, true
		}
	}
	for q := range c.peers {
		for _, r := range q.asked {
			if q != p && r.count > 0 && r.overdue && !r.moved {
				if w, ok := p.missesOfLocked(r); ok {
					return w.seq, true
				}
			}
		}
	}
	return 0, false
}

// chooseOfLocked returns a block of the download below end.
func (p *Peer) chooseOfLocked(d *Download, end uint64) (uint64, bool) {
	end = min(end, d.endLocked())
	if d.options.Linear {
		return p.missingLocked(d.at, end, &noBlocks)
	}
	return p.fromCursorLocked(d.at, end, &noBlocks)
}

// fromCursorLocked returns a block in [from, end), but none of skip, and looks
// first where this remote was asked last.
func (p *Peer) fromCursorLocked(from, end uint64, skip *Bitfield) (uint64, bool) {
	cursor := max(p.cursor, from)
	for _, part := range [2]Span{{cursor, end}, {from, min(cursor, end)}} {
		if seq, ok := p.missingLocked(part.Start, part.Count, skip); ok {
			p.cursor = seq + 1
			return seq, true
		}
	}
	return 0, false
}

// missingLocked returns the first missing block in [from, end), but none of
// skip, that the remote holds and nobody was asked for.
func (p *Peer) missingLocked(from, end uint64, skip *Bitfield) (uint64, bool) {
	c := p.feed
	for {
		seq, ok := p.remote.nextInNeither(&c.have, skip, from)
		if !ok || seq >= end {
			return 0, false
		}
		if from = p.shunnedLocked(c.assigned.NextClear(c.refused.next(seq))); from > seq {
			continue
		}
		if c.asked[seq] == nil && p.maySendLocked(seq) {
			return seq, true
		}
		from = seq + 1
	}
}

// couldSendLocked says whether this remote may be asked for a block: it is
// missing and not refused, the remote holds it, and nobody else was asked or that
// one has had its time.
func (p *Peer) couldSendLocked(seq uint64) bool {
	c := p.feed
	if c.have.Get(seq) || !p.remote.Get(seq) || c.refused.next(seq) != seq {
		return false
	}
	if c.assigned.Get(seq) {
		if r := c.holderLocked(seq); r == nil || !r.overdue || r.peer == p {
			return false
		}
	}
	r := c.asked[seq]
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
