package multifeed

import "github.com/cobox-p2p/cobox-p2p/hypercore"

// lacking returns the places of the feeds of which blocks may be missing here or at
// one of these peers, by what is known without opening them, but some more than
// limit at the most. It is false when that isn't known of all.
func (s *Space) lacking(sessions []*Session, limit uint64) (in hypercore.Bitfield, ok bool) {
	h := &s.holdings
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.set == nil {
		return in, false
	}
	for span := range h.partial.Spans(0, h.partial.End()) {
		if in.SetRange(span.Start, span.Count); in.Count() >= limit {
			return in, true
		}
	}
	for _, x := range sessions {
		l, ok := x.exchange.(*Feeds)
		if !ok {
			return in, false
		}
		l.addLacking(&in, h.lengths, limit)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for place := range s.set.known {
		if in.Count() >= limit {
			break
		}
		in.Set(uint64(place))
	}
	return in, true
}

// addLacking adds the places of the feeds with these lengths of which the remote
// may lack blocks, or we lack blocks of its.
func (l *Feeds) addLacking(in *hypercore.Bitfield, lengths []uint64, limit uint64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	whole := &l.remote.whole
	for place := whole.NextClear(0); place < uint64(len(lengths)) && in.Count() < limit; place = whole.NextClear(place + 1) {
		if lengths[place] > 0 {
			in.Set(place)
		}
	}
	for place := range l.remote.ahead { // it may be here, and not durable
		if in.Count() >= limit {
			return
		}
		in.Set(uint64(place))
	}
}

// lacksOf returns how many of the held blocks, those durable here, the remote did
// not tell that it holds of a feed whose channel isn't open.
func (l *Feeds) lacksOf(place uint32, held uint64) uint64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	r := &l.remote
	if r.whole.Get(uint64(place)) {
		return 0
	}
	if lacks, ok := r.part[place]; ok && r.even.Get(uint64(place)) {
		return min(lacks, held)
	}
	return held
}

// settled says whether the sets are exchanged and nothing waits to be told, or to
// be opened.
func (l *Feeds) settled() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.sentAll && l.gotAll && l.tell.len()+l.stand.len()+l.wishes.len()+len(l.forks) == 0
}

// Holders returns how many peers of now hold every block of the feed that is durable
// here, by their own word.
func (s *Space) Holders(f *Feed) (n int) {
	held := f.Durable()
	for _, x := range s.Sessions() {
		if held > 0 && x.Exchanged() && x.lacks(f, held) == 0 {
			n++
		}
	}
	return n
}
