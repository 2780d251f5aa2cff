package hypercore

import (
	"cmp"
	"maps"
	"slices"
)

// tellLocked notes that the change became durable.
func (p *Peer) tellLocked(w *change) {
	if !p.upload || !p.heard || w.span.Count == 0 {
		return
	}
	if p.acks && w.from == p {
		p.outbox = append(p.outbox, &Have{Start: w.span.Start, Length: w.span.Count, Ack: true})
	}
	if n := len(p.haves); n > 0 && p.haves[n-1].End() == w.span.Start {
		p.haves[n-1].Count += w.span.Count
		return
	}
	if len(p.haves) < maxHaves {
		p.haves = append(p.haves, w.span)
		return
	}
	p.retellLocked()
}

// retellLocked answers the wants again: there was too much news in too little
// time for this peer.
func (p *Peer) retellLocked() {
	p.haves, p.heard = nil, false
	p.again = slices.SortedFunc(maps.Values(p.answered), func(a, b Want) int { return cmp.Compare(a.Start, b.Start) })
}

// untellLocked notes that blocks are gone.
func (p *Peer) untellLocked(s Span) {
	var kept []Span
	for _, x := range p.haves {
		if x.Start < s.Start {
			kept = append(kept, Span{x.Start, min(x.End(), s.Start) - x.Start})
		}
		if x.End() > s.End() {
			start := max(x.Start, s.End())
			kept = append(kept, Span{start, x.End() - start})
		}
	}
	p.haves = kept
	if !p.upload || !p.heard && len(p.answered) == 0 {
		return // it was told of nothing
	}
	if n := len(p.unhaves); n > 0 && p.unhaves[n-1].End() == s.Start {
		p.unhaves[n-1].Count += s.Count
		return
	}
	p.unhaves = append(p.unhaves, s)
	if len(p.unhaves) > maxHaves {
		p.unhaves = append(p.unhaves[:0], Span{0, p.feed.head.Length})
		p.retellLocked()
	}
}
