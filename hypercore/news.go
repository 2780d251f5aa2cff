package hypercore

import (
	"cmp"
	"maps"
	"slices"
)

// tellLocked notes that blocks became durable, none of the spans being empty. They
// came from that peer if it isn't nil.
func (p *Peer) tellLocked(from *Peer, spans ...Span) {
	if !p.upload {
		return
	}
	for _, s := range spans {
		if !p.heard {
			return
		}
		if p.acks && from == p {
			p.outbox = append(p.outbox, &Have{Start: s.Start, Length: s.Count, Ack: true})
		}
		switch n := len(p.haves); {
		case n > 0 && p.haves[n-1].End() == s.Start:
			p.haves[n-1].Count += s.Count
		case n < maxHaves:
			p.haves = append(p.haves, s)
		default:
			p.retellLocked()
		}
	}
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
