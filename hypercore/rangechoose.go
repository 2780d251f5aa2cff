package hypercore

import (
	"slices"
	"time"
)

const (
	// rangePatience is how long a range waits before a remote with nothing else to
	// do may take it over: twice as long each time that this happens to its blocks,
	// up to maxSteps times.
	rangePatience = time.Second
	maxSteps      = 4
	// rangeAlign is what ranges end at multiples of where they can: the pages of a
	// store. Short ones end at multiples of a lower power of two.
	rangeAlign = 64
)

// want is a block that may be asked for, and what may be asked for with it: blocks
// below end, but none of skip.
type want struct {
	seq, end uint64
	skip     *Bitfield
}

// spanLocked returns the blocks from w.seq on, most at the most, that this remote
// can be asked for in one range.
func (p *Peer) spanLocked(w want, most uint64) Span {
	c := p.feed
	end := min(w.end, w.seq+most, p.remote.NextClear(w.seq))
	for _, not := range [...]*Bitfield{&c.have, &c.assigned, w.skip, &c.refused.young, &c.refused.old} {
		if next, ok := not.NextSet(w.seq); ok {
			end = min(end, next)
		}
	}
	for seq := range c.asked {
		if seq > w.seq {
			end = min(end, seq)
		}
	}
	for _, r := range p.asked {
		if r.seq > w.seq && !r.retry.IsZero() {
			end = min(end, r.seq)
		}
	}
	s := Span{w.seq, max(end, w.seq+1) - w.seq}
	if s.Count == most {
		s.Count = alignedCount(s)
	}
	return s
}

// alignedCount returns how many blocks of the span to ask for so that the rest
// begins well.
func alignedCount(s Span) uint64 {
	grain := uint64(rangeAlign)
	for grain > s.Count {
		grain /= 2
	}
	if end := s.End() &^ (grain - 1); end > s.Start {
		return end - s.Start
	}
	return s.Count
}

// chooseRangeLocked returns a missing block that the remote holds and nobody was
// asked for, by the priority of downloads.
func (p *Peer) chooseRangeLocked() (want, bool) {
	c := p.feed
	end := min(c.head.Length, p.parted)
	rest := c.downloads
	for ; len(rest) > 0 && rest[0].options.Priority >= 0; rest = rest[1:] {
		if seq, ok := p.chooseOfLocked(rest[0], end); ok {
			return want{seq, min(end, rest[0].endLocked()), &noBlocks}, true
		}
	}
	if !c.sparse {
		if seq, ok := p.fromCursorLocked(0, end, &c.cleared); ok {
			return want{seq, end, &c.cleared}, true
		}
	}
	for _, d := range rest {
		if seq, ok := p.chooseOfLocked(d, end); ok {
			return want{seq, min(end, d.endLocked()), &noBlocks}, true
		}
	}
	return want{}, false
}

// chooseUrgentLocked returns blocks that somebody waits for now: one, with those
// behind it that are wanted and small enough. They go out even when the window is
// full.
func (p *Peer) chooseUrgentLocked(now time.Time) (Span, bool) {
	c := p.feed
	reads := len(c.downloads) > 0 && c.downloads[0].options.Priority == readPriority
	if len(c.waiters) == 0 && !reads || p.urgentLocked() >= maxUrgent || p.stalled && p.ranged > 0 {
		return Span{}, false
	}
	most := max(urgentBytes/c.averageLocked(), 1)
	end := min(c.head.Length, p.parted)
	for seq := range c.waiters {
		if seq < end && p.couldAskLocked(seq, now) {
			return p.withNextLocked(seq, min(end, seq+most)), true
		}
	}
	for _, d := range c.downloads {
		if d.options.Priority != readPriority {
			break
		}
		if seq, ok := p.chooseOfLocked(d, end); ok {
			return p.spanLocked(want{seq, min(end, d.endLocked()), &noBlocks}, min(most, rangeAlign)), true
		}
	}
	return Span{}, false
}

// withNextLocked returns the block that somebody waits for with those behind it
// that somebody wants too, up to the end of its page.
func (p *Peer) withNextLocked(seq, end uint64) Span {
	c := p.feed
	s := p.spanLocked(want{seq, min(end, (seq|(rangeAlign-1))+1), &noBlocks}, rangeAlign)
	for n := uint64(1); n < s.Count; n++ {
		if !c.wantedLocked(seq + n) {
			return Span{seq, n}
		}
	}
	return s
}

// urgentLocked returns how many urgent ranges wait for an answer.
func (p *Peer) urgentLocked() (n int) {
	for _, r := range p.asked {
		if r.urgent && !r.moved {
			n++
		}
	}
	return n
}

// couldAskLocked is couldSendLocked that lets what another remote has had its time
// for be asked of this one, and takes it from that one.
func (p *Peer) couldAskLocked(seq uint64, now time.Time) bool {
	if r := p.feed.holderLocked(seq); r != nil && r.peer != p && !now.Before(r.patience()) {
		r.overdue = true
	}
	if !p.couldSendLocked(seq) {
		return false
	}
	p.feed.takeFromLocked(seq)
	return true
}

// takeFromLocked takes a block that was asked for from whoever was asked for it.
func (c *core) takeFromLocked(seq uint64) {
	for _, r := range [...]*request{c.holderLocked(seq), c.asked[seq]} {
		if r != nil {
			r.peer.moveLocked(r)
			r.peer.wake()
		}
	}
}

// holderLocked returns the range in which somebody was asked for the block, nil
// when there is none or its answer has come.
func (c *core) holderLocked(seq uint64) *request {
	if !c.assigned.Get(seq) {
		return nil
	}
	for p := range c.peers {
		for _, r := range p.asked {
			if r.count > 0 && !r.moved && seq >= r.seq && seq < r.span().End() {
				return r
			}
		}
	}
	return nil
}

// patience returns when a remote with nothing else to do may take r over.
func (r *request) patience() time.Time {
	if r.count == 0 {
		return r.at.Add(RequestTimeout)
	}
	return r.at.Add(rangePatience << min(r.steps, maxSteps))
}

// takeOverLocked asks this remote, which has nothing else to do, for what another
// one owes for too long, or returns nil.
func (p *Peer) takeOverLocked(now time.Time) Message {
	var from *request
	var first want
	for q := range p.feed.peers {
		for _, r := range q.asked {
			if q == p || r.moved || r.hash || now.Before(r.patience()) || from != nil && r.at.After(from.at) {
				continue
			}
			if w, ok := p.missesOfLocked(r); ok {
				from, first = r, w
			}
		}
	}
	if from == nil {
		return nil
	}
	most := p.budgetLocked(now)
	if most == 0 {
		return nil
	}
	from.peer.moveLocked(from)
	from.peer.wake()
	return p.noteRangeLocked(p.spanLocked(first, most), false, from.steps+1, now)
}

// missesOfLocked returns the first block that was asked for with r and that this
// remote could be asked for instead.
func (p *Peer) missesOfLocked(r *request) (want, bool) {
	c := p.feed
	end := min(r.span().End(), c.head.Length, p.parted)
	for seq := r.seq; seq < end; seq++ {
		next, ok := p.remote.nextInNeither(&c.have, &noBlocks, seq)
		if !ok || next >= end {
			break
		}
		if seq = next; c.refused.next(seq) == seq && p.maySendLocked(seq) && c.wantedLocked(seq) {
			return want{seq, end, &noBlocks}, true
		}
	}
	return want{}, false
}

// takeOverDueLocked returns when this remote could take over something of another
// one; ok is false when time alone changes nothing.
func (p *Peer) takeOverDueLocked() (at time.Time, ok bool) {
	if !p.download || !p.paused.IsZero() || p.stalled {
		return at, false
	}
	for q := range p.feed.peers {
		for _, r := range q.asked {
			due := r.patience()
			if q == p || r.moved || r.hash || !due.After(p.looked) || ok && !due.Before(at) {
				continue
			}
			if _, misses := p.missesOfLocked(r); misses {
				at, ok = due, true
			}
		}
	}
	return at, ok
}

// takeBackRangesLocked cancels the ranges of which nobody wants a block any more.
// Those that the feed's growth needs stay.
func (c *core) takeBackRangesLocked() {
	for p := range c.peers {
		for _, r := range p.asked {
			if r.count > 0 && !r.moved && !r.grows && !c.wantsAnyLocked(r.span()) {
				p.moveLocked(r)
				p.wake()
			}
		}
	}
}

// wantsAnyLocked says whether somebody asks for a block of the span that isn't
// stored here.
func (c *core) wantsAnyLocked(s Span) bool {
	for seq := c.have.NextClear(s.Start); seq < s.End(); seq = c.have.NextClear(seq + 1) {
		if c.wantedLocked(seq) {
			return true
		}
		if len(c.waiters) == 0 && !slices.ContainsFunc(c.downloads, func(d *Download) bool {
			return d.span.Start < s.End() && (d.span.endless() || d.span.End() > s.Start)
		}) && c.sparse {
			return false
		}
	}
	return false
}
