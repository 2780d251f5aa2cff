package multifeed

import (
	"errors"
	"fmt"
	"sync"

	"github.com/cobox-p2p/cobox-p2p/hypercore"
	"github.com/cobox-p2p/cobox-p2p/multifeed/reconcile"
)

// holdings is what a space holds of each of its feeds, small enough for a million
// of them and known without opening one. It is built when the first session needs
// it, and follows the feeds from then on.
type holdings struct {
	building sync.Mutex // held over I/O by whoever builds it

	mu      sync.Mutex          // guards all below; taken before Space.mu and the locks of feeds
	set     *reconcile.Set      // of all members; nil: not built
	read    hypercore.Bitfield  // places that are in set, while it is built
	lengths []uint64            // by place: blocks of the durable head
	partial hypercore.Bitfield  // places of feeds of which not every block of that head is durable here
	forked  []uint32            // places of feeds of which there is evidence of a fork
	tellers map[*Feeds]struct{} // exchanges that hear of every change
}

// minScan is from how many feeds on it is cheaper to read the heads of all that
// are stored than to look for each.
const minScan = 4096

// follow makes t hear of every change of the set and of what is held from now on,
// and returns the set as it is now, its size, and the places of the feeds that have
// forked. It reads the heads of all feeds when nobody did before.
func (s *Space) follow(t *Feeds) (set *reconcile.Snapshot, size uint32, forked []uint32, err error) {
	h := &s.holdings
	h.building.Lock()
	defer h.building.Unlock()
	h.mu.Lock()
	built := h.set != nil
	h.mu.Unlock()
	if !built {
		if err := s.buildHoldings(); err != nil {
			return nil, 0, nil, fmt.Errorf("read the heads of all feeds: %w", err)
		}
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	h.tellers[t] = struct{}{}
	return h.set.Snapshot(), uint32(len(h.lengths)), append([]uint32(nil), h.forked...), nil
}

// unfollow undoes follow.
func (s *Space) unfollow(t *Feeds) {
	s.holdings.mu.Lock()
	defer s.holdings.mu.Unlock()
	delete(s.holdings.tellers, t)
}

// buildHoldings reads how all feeds stand. Feeds that change meanwhile are noted
// by whoever changes them, and not read again.
func (s *Space) buildHoldings() error {
	h := &s.holdings
	h.mu.Lock()
	h.set = reconcile.New()
	h.read, h.partial, h.lengths, h.forked = hypercore.Bitfield{}, hypercore.Bitfield{}, nil, nil
	h.tellers = map[*Feeds]struct{}{}
	h.mu.Unlock()
	err := s.readHoldings()
	if err != nil {
		h.mu.Lock()
		h.set = nil
		h.mu.Unlock()
		return err
	}
	for key := range hypercore.ForkedFeeds(s.store.Storage()) {
		if place, ok := s.placeOf(key.Discovery()); ok {
			h.mu.Lock()
			h.forked = append(h.forked, place)
			h.mu.Unlock()
		}
	}
	return nil
}

func (s *Space) readHoldings() error {
	size := s.Len()
	if size >= minScan {
		for stored, err := range s.store.List() {
			if errors.Is(err, hypercore.ErrDamaged) {
				continue // told of as an empty feed below
			}
			if err != nil {
				return err
			}
			if place, ok := s.placeOf(stored.Key.Discovery()); ok {
				s.readHolding(place, stored.Key, &stored)
			}
		}
	}
	// Those that come later are noted as they come.
	for place := range uint32(s.Len()) {
		key := s.keyAt(place)
		var stored hypercore.StoredFeed
		if size < minScan {
			var err error
			stored, err = s.store.Storage().Feed(key)
			if err != nil && !errors.Is(err, hypercore.ErrNoFeed) && !errors.Is(err, hypercore.ErrDamaged) {
				return err
			}
		}
		s.readHolding(place, key, &stored)
	}
	return nil
}

// readHolding notes a feed as it is stored, unless it was noted since the building
// began, or is open.
func (s *Space) readHolding(place uint32, key hypercore.Key, stored *hypercore.StoredFeed) {
	standing := hypercore.Standing{Head: stored.Head, Blocks: stored.Blocks}
	h := &s.holdings
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.read.Get(uint64(place)) {
		return
	}
	if open, ok := s.store.Loaded(key); ok {
		standing = open.Standing()
	}
	h.noteLocked(place, key.Discovery(), standing)
}

// noteLocked notes how a feed stands, and says whether that is news: another head,
// or every block of it where that wasn't so.
func (h *holdings) noteLocked(place uint32, dk hypercore.DiscoveryKey, st hypercore.Standing) (grown, changed bool) {
	for uint32(len(h.lengths)) <= place {
		h.lengths = append(h.lengths, 0)
	}
	fresh := !h.read.Get(uint64(place))
	h.read.Set(uint64(place))
	was := h.partial.Get(uint64(place))
	if st.Blocks < st.Head.Length {
		h.partial.Set(uint64(place))
	} else {
		h.partial.ClearRange(uint64(place), 1)
	}
	grown = h.set.Set(dk, reconcile.HashEntry(dk, st.Head.Length, st.Head.RootHash)) || fresh
	h.lengths[place] = st.Head.Length
	return grown, grown || was != h.partial.Get(uint64(place))
}

// lengthLocked returns the blocks of a feed's durable head: 0 for one that has come
// into the set, and wasn't noted yet.
func (h *holdings) lengthLocked(place uint32) uint64 {
	if uint64(place) >= uint64(len(h.lengths)) {
		return 0
	}
	return h.lengths[place]
}

// noteHolding takes in what became of a feed: it came into the set, its durable
// head changed, or the blocks that are stored of it did.
func (s *Space) noteHolding(f *hypercore.Feed) {
	h := &s.holdings
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.set == nil {
		return
	}
	dk := f.Discovery()
	place, ok := s.placeOf(dk)
	if !ok {
		return
	}
	st := f.Standing()
	grown, changed := h.noteLocked(place, dk, st)
	s.reached(place, st.Head.Length)
	for t := range h.tellers {
		t.changed(place, st.Head.Length, grown, changed)
	}
}

// noteMember takes in a feed that came into the set, and isn't open.
func (s *Space) noteMember(place uint32, key hypercore.Key) {
	h := &s.holdings
	h.mu.Lock()
	built := h.set != nil && !h.read.Get(uint64(place))
	h.mu.Unlock()
	if !built {
		return
	}
	st, err := s.standingOf(key)
	if err != nil {
		s.logUnopened(place, err)
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.set == nil || h.read.Get(uint64(place)) {
		return
	}
	h.noteLocked(place, key.Discovery(), st)
	for t := range h.tellers {
		t.changed(place, st.Head.Length, true, true)
	}
}

// noteForked takes in that there is evidence that a feed has forked.
func (s *Space) noteForked(place uint32) {
	h := &s.holdings
	h.mu.Lock()
	defer h.mu.Unlock()
	h.forked = append(h.forked, place)
}

// reached forgets that a longer head of a feed is known, when there is none.
func (s *Space) reached(place uint32, length uint64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.set.known[place] <= length {
		delete(s.set.known, place)
	}
}

// placeOf returns the place of a member.
func (s *Space) placeOf(dk hypercore.DiscoveryKey) (place uint32, ok bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.set.find(dk)
}

// standingOf returns how a member stands, without opening it.
func (s *Space) standingOf(key hypercore.Key) (hypercore.Standing, error) {
	if open, ok := s.store.Loaded(key); ok {
		return open.Standing(), nil
	}
	stored, err := s.store.Storage().Feed(key)
	if errors.Is(err, hypercore.ErrNoFeed) || errors.Is(err, hypercore.ErrDamaged) {
		return hypercore.Standing{}, nil
	}
	return hypercore.Standing{Head: stored.Head, Blocks: stored.Blocks}, err
}

// namesOf returns the first 8 bytes of the discovery keys of the feeds of which
// something is missing here, unless they are more than limit, and how many they
// are.
func (s *Space) namesOf(limit uint64) (names []byte, count uint64) {
	h := &s.holdings
	h.mu.Lock()
	defer h.mu.Unlock()
	if count = h.partial.Count(); count > limit {
		return nil, count
	}
	for span := range h.partial.Spans(0, h.partial.End()) {
		for place := span.Start; place < span.End(); place++ {
			dk := s.keyAt(uint32(place)).Discovery()
			names = append(names, dk[:nameSize]...)
		}
	}
	return names, count
}

// partialPlaces returns the places of the feeds of which something is missing here.
func (s *Space) partialPlaces() (places []uint32) {
	h := &s.holdings
	h.mu.Lock()
	defer h.mu.Unlock()
	for span := range h.partial.Spans(0, h.partial.End()) {
		for place := span.Start; place < span.End(); place++ {
			places = append(places, uint32(place))
		}
	}
	return places
}
