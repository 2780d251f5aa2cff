package multifeed

import (
	"encoding/binary"
	"slices"

	"github.com/cobox-p2p/cobox-p2p/hypercore"
)

// remoteSet is what the remote of a session said that it holds of our feeds, by
// their places in our set: a few bits each.
type remoteSet struct {
	has   hypercore.Bitfield // it is in the remote's set
	knows hypercore.Bitfield // the remote knows our durable head, or has a longer one
	even  hypercore.Bitfield // the remote's durable head is ours
	whole hypercore.Bitfield // every block of our durable head is durable there
	ahead map[uint32]ahead   // feeds whose head there is longer than our durable one
	part  map[uint32]uint64  // blocks that the remote said to lack of its own head, where it said so of the feed alone
	lacks lacks              // as it told of all
}

// ahead is a head of the remote that is longer than ours.
type ahead struct{ length, lacks uint64 }

func newRemoteSet() remoteSet {
	return remoteSet{ahead: map[uint32]ahead{}, part: map[uint32]uint64{}}
}

func put(b *hypercore.Bitfield, place uint32, on bool) {
	if on {
		b.Set(uint64(place))
		return
	}
	b.ClearRange(uint64(place), 1)
}

// grown notes that our durable head is another one, of that length, and returns
// whether the remote has a longer one.
func (r *remoteSet) grown(place uint32, length uint64) (behind bool) {
	a, ok := r.ahead[place]
	if !ok || a.length < length {
		delete(r.ahead, place)
		put(&r.knows, place, false)
		put(&r.even, place, false)
		put(&r.whole, place, false)
		return false
	}
	if a.length == length {
		delete(r.ahead, place)
	}
	put(&r.knows, place, true)
	put(&r.even, place, a.length == length)
	put(&r.whole, place, a.lacks == 0)
	return a.length > length
}

// told notes what the remote said of a feed whose durable head has ours blocks, and
// returns whether it is behind and wasn't told so before, or had no use for it then.
func (r *remoteSet) told(place uint32, length, lacks, ours uint64) (behind bool) {
	first := !r.has.Get(uint64(place))
	r.has.Set(uint64(place))
	if lacks > 0 {
		r.part[place] = lacks
	} else {
		delete(r.part, place)
	}
	delete(r.ahead, place)
	if length < ours {
		put(&r.even, place, false)
		put(&r.whole, place, false)
		return first || !r.knows.Get(uint64(place))
	}
	if length > ours {
		r.ahead[place] = ahead{length, lacks}
	}
	r.knows.Set(uint64(place))
	put(&r.even, place, length == ours)
	put(&r.whole, place, lacks == 0)
	return false
}

// agree notes that the remote's set has the same heads as ours at the places below
// size, but for those where they differed, and those that changed since.
func (r *remoteSet) agree(size uint32, differ, moved *hypercore.Bitfield) {
	var same hypercore.Bitfield
	same.SetRange(0, uint64(size))
	for s := range differ.Spans(0, uint64(size)) {
		same.ClearRange(s.Start, s.Count)
	}
	for s := range same.Spans(0, uint64(size)) {
		r.has.SetRange(s.Start, s.Count)
	}
	for s := range moved.Spans(0, uint64(size)) {
		same.ClearRange(s.Start, s.Count)
	}
	for s := range same.Spans(0, uint64(size)) {
		r.knows.SetRange(s.Start, s.Count)
		r.even.SetRange(s.Start, s.Count)
	}
}

// applyLacks takes in of which of the feeds with the same head the remote has every
// block, when it named the others.
func (r *remoteSet) applyLacks(s *Space) {
	if !r.lacks.named {
		return
	}
	for span := range r.even.Spans(0, r.even.End()) {
		r.whole.SetRange(span.Start, span.Count)
	}
	for place := range r.part {
		put(&r.whole, place, false)
	}
	for names := r.lacks.names; len(names) > 0; names = names[nameSize:] {
		for _, place := range s.placesNamed(binary.BigEndian.Uint64(names)) {
			put(&r.whole, place, false)
		}
	}
}

// placesNamed returns the members whose discovery keys begin with name: one, if
// nobody has looked for two.
func (s *Space) placesNamed(name uint64) []uint32 {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Collect(s.set.named(name))
}
