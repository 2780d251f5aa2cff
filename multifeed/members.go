package multifeed

import (
	"cmp"
	"encoding/binary"
	"fmt"
	"slices"
	"weak"

	"github.com/cobox-p2p/cobox-p2p/hypercore"
)

// members is the feed set of a space, small enough for a million of them: 40
// bytes each and an index. A Feed exists only while somebody holds it.
type members struct {
	list  []member                      // by arrival
	index map[uint64]uint32             // first 8 bytes of a discovery key -> 1 + place of the newest such member
	live  map[uint32]weak.Pointer[Feed] // by place
	known map[uint32]uint64             // longest signed head that a peer showed, where it is longer than ours
}

// member is one feed of the set.
type member struct {
	key    hypercore.Key
	number uint32 // members that were there before it, for its name
	next   uint32 // 1 + place of the one before with the same first 8 bytes; 0 for none
}

func newMembers() members {
	return members{
		index: map[uint64]uint32{},
		live:  map[uint32]weak.Pointer[Feed]{},
		known: map[uint32]uint64{},
	}
}

func indexOf(dk hypercore.DiscoveryKey) uint64 { return binary.BigEndian.Uint64(dk[:]) }

// add appends a member and returns its place.
func (m *members) add(key hypercore.Key, number uint32) uint32 {
	place := uint32(len(m.list))
	at := indexOf(key.Discovery())
	m.list = append(m.list, member{key: key, number: number, next: m.index[at]})
	m.index[at] = place + 1
	return place
}

// find returns the place of the feed with that discovery key.
func (m *members) find(dk hypercore.DiscoveryKey) (place uint32, ok bool) {
	for next := m.index[indexOf(dk)]; next > 0; next = m.list[next-1].next {
		if m.list[next-1].key.Discovery() == dk {
			return next - 1, true
		}
	}
	return 0, false
}

// maxNumber is the largest number of a member.
const maxNumber = 1<<32 - 2

// loadSet reads which feeds the store knows of the space, and opens none.
func (s *Space) loadSet() error {
	prefix := s.recordPrefix()
	var found []member
	for rec, err := range s.store.Storage().Records(prefix) {
		if err != nil {
			return err
		}
		r, err := decodeFeedRecord(rec.Key[len(prefix):], rec.Value)
		if err != nil {
			return err
		}
		if r.number > maxNumber {
			return fmt.Errorf("%w: number %d", errRecord, r.number)
		}
		found = append(found, member{key: r.key, number: uint32(r.number)})
	}
	slices.SortFunc(found, func(a, b member) int { return cmp.Compare(a.number, b.number) })
	s.set.list = make([]member, 0, len(found))
	s.set.index = make(map[uint64]uint32, len(found))
	for _, m := range found {
		s.set.add(m.key, m.number)
	}
	return nil
}

// Len returns how many feeds the space has.
func (s *Space) Len() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.set.list)
}

// has says whether the feed is in the set, without opening it.
func (s *Space) has(dk hypercore.DiscoveryKey) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	_, ok := s.set.find(dk)
	return ok
}

// keyAt returns the key of the member at a place.
func (s *Space) keyAt(place uint32) hypercore.Key {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.set.list[place].key
}
