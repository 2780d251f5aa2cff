package hypercore

import (
	"math"
	"time"

	"github.com/cobox-p2p/cobox-p2p/hypercore/merkle"
)

const (
	// firstBlocks is how many blocks of a feed of which nothing is known are asked
	// for at first, and firstBytes what each counts for.
	firstBlocks = 8
	firstBytes  = 4 << 10
	// urgentBytes is about how many bytes a range has that is answered before
	// others, and maxUrgent how many of them may be asked beyond the window.
	urgentBytes = 64 << 10
	maxUrgent   = 16
)

// span returns the blocks that r asks for.
func (r *request) span() Span { return Span{r.seq, max(r.count, 1)} }

// pending says whether the answer to r has not come, or was not looked at.
func (r *request) pending() bool { return !r.moved || r.arriving }

// askRangeLocked returns the next request for missing blocks and notes it, or nil.
func (p *Peer) askRangeLocked(now time.Time) Message {
	if s, ok := p.chooseUrgentLocked(now); ok {
		return p.noteRangeLocked(s, true, 0, now)
	}
	if p.ranged >= MaxRanges || p.stalled && p.ranged > 0 {
		return nil
	}
	if w, ok := p.chooseRangeLocked(); ok {
		most := p.budgetLocked(now)
		if most == 0 {
			return nil
		}
		s := p.spanLocked(w, most)
		p.cursor = s.End()
		return p.noteRangeLocked(s, false, 0, now)
	}
	return p.takeOverLocked(now)
}

// budgetLocked returns how many blocks the next range may have, 0 for none now.
func (p *Peer) budgetLocked(now time.Time) uint64 {
	c := p.feed
	most := uint64(math.MaxUint64)
	if p.room != nil {
		most, _ = p.room(now)
	}
	average := c.averageLocked()
	bytes := p.window.budget(p, min(average, MaxRangeBytes), most)
	if bytes == 0 {
		return 0
	}
	if p.stalled {
		bytes = 0
	}
	return min(max(min(bytes, c.roomLeftLocked())/average, 1), MaxRangeBlocks)
}

// noteRangeLocked notes a new request for a range and returns the message. Steps is
// how often its blocks were taken over before.
func (p *Peer) noteRangeLocked(s Span, urgent bool, steps int, now time.Time) *RangeRequest {
	c := p.feed
	p.serial++
	r := &request{
		peer: p, seq: s.Start, at: now, serial: p.serial, length: c.head.Length,
		count: s.Count, most: s.Count, urgent: urgent, steps: steps,
	}
	if old := p.asked[s.Start]; old != nil {
		r.partial, r.owesHash = old.partial, old.hash || old.owesHash
		if old.owed {
			p.excused++
			r.most = max(r.most, old.most)
		}
		p.dropLocked(old)
	}
	p.asked[s.Start] = r
	p.ranged++
	c.assigned.SetRange(s.Start, s.Count)
	r.window = p.window.take(p, c.expectLocked(s.Count))
	edges := merkle.RangeEdges(c.holdsLocked, s.Start, s.Count, c.head.Length)
	if edges != (merkle.Edges{}) {
		r.partial++
	}
	return &RangeRequest{Start: s.Start, Count: s.Count, Length: c.head.Length, Left: edges.Left, Right: edges.Right, Urgent: urgent}
}

// expectLocked returns how many bytes so many blocks may have.
func (c *core) expectLocked(blocks uint64) uint64 {
	if c.head.Length == 0 {
		return blocks * firstBytes
	}
	return min(blocks*c.averageLocked(), max(MaxRangeBytes, c.averageLocked()))
}

// growRangeLocked returns the request for the proof of a longer head that begins
// with block seq, which the remote holds, and brings those behind it.
func (p *Peer) growRangeLocked(seq uint64, now time.Time) *RangeRequest {
	c := p.feed
	most := uint64(firstBlocks)
	if c.head.Length > 0 {
		most = max(p.budgetLocked(now), urgentBytes/c.averageLocked(), 1)
	}
	if c.sparse {
		most = 1
	}
	s := p.spanLocked(want{seq, p.remoteEnd, &c.cleared}, min(most, p.roomBlocksLocked(now)))
	return p.noteRangeLocked(s, c.expectLocked(s.Count) <= urgentBytes, 0, now)
}

// unassignLocked lets others be asked for blocks that r asked for, but for those
// that somebody else was asked for.
func (c *core) unassignLocked(r *request, s Span) {
	c.assigned.ClearRange(s.Start, s.Count)
	keep := func(other *request) {
		if from, to := max(other.seq, s.Start), min(other.span().End(), s.End()); other != r && from < to {
			c.assigned.SetRange(from, to-from)
		}
	}
	for p := range c.peers {
		for _, other := range p.asked {
			if other.count > 0 && !other.moved {
				keep(other)
			}
		}
		for _, other := range p.arriving {
			keep(other)
		}
	}
}
