package multifeed

import (
	"cmp"
	"encoding/binary"
	"fmt"
	"iter"
	"slices"
	"weak"

	"github.com/cobox-p2p/cobox-p2p/hypercore"
)

// members is the feed set of a space, small enough for a million of them: 48
// bytes each and an index of 4 to 8. A Feed exists only while somebody holds it.
type members struct {
	list  []member // by arrival
	index index
	live  map[uint32]weak.Pointer[Feed] // by place
	known map[uint32]uint64             // longest signed head that a peer showed, where it is longer than ours
}

// member is one feed of the set.
type member struct {
	key    hypercore.Key
	name   uint64 // first 8 bytes of its discovery key
	number uint32 // members that were there before it, for the name of its Feed
	next   uint32 // of the index
}

func newMembers() members {
	return members{
		index: newIndex(),
		live:  map[uint32]weak.Pointer[Feed]{},
		known: map[uint32]uint64{},
	}
}

func indexOf(dk hypercore.DiscoveryKey) uint64 { return binary.BigEndian.Uint64(dk[:]) }

// add appends a member and returns its place.
func (m *members) add(key hypercore.Key, number uint32) uint32 {
	place := uint32(len(m.list))
	m.list = append(m.list, member{key: key, number: number, name: indexOf(key.Discovery())})
	m.index.add(m.list)
	return place
}

// find returns the place of the feed with that discovery key.
func (m *members) find(dk hypercore.DiscoveryKey) (place uint32, ok bool) {
	for place := range m.named(indexOf(dk)) {
		if m.list[place].key.Discovery() == dk {
			return place, true
		}
	}
	return 0, false
}

// named yields the places of the members whose discovery keys begin with that name,
// the newest first: one, if nobody has looked for two.
func (m *members) named(name uint64) iter.Seq[uint32] { return m.index.find(m.list, name) }

// maxNumber is the largest number of a member.
const maxNumber = 1<<32 - 2

// loadSet reads which feeds the store knows of the space, and opens none.
func (s *Space) loadSet() error {
	prefix := s.recordPrefix()
	var found []member
	largest := 0
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
		largest = max(largest, int(r.number))
		found = append(roomFor(found, largest), member{key: r.key, number: uint32(r.number)})
	}
	sortMembers(found)
	if cap(found)/2 > len(found)+1024 {
		found = slices.Clone(found)
	}
	s.set.list = found
	s.set.indexAll()
	return nil
}

// roomFor returns the list with room for one more. Records come by their keys, which
// say nothing of their numbers, and numbers are mostly places: so the largest number
// of a thousand members tells how many there will be, and the list needn't be copied
// again and again.
func roomFor(list []member, largest int) []member {
	n := len(list)
	if n < cap(list) {
		return list
	}
	const most = 64 // times as many as were seen, whatever a record says
	return append(make([]member, 0, max(min(largest+largest/64, most*n), n+n/4)+1024), list...)
}

// sortMembers sorts by number. Numbers are places as long as no feed was ever taken
// out, so that each member is put into its place at once.
func sortMembers(list []member) {
	for i := range list {
		for {
			at := list[i].number
			if int64(at) >= int64(len(list)) || list[at].number == at {
				break
			}
			list[i], list[at] = list[at], list[i]
		}
	}
	byNumber := func(a, b member) int { return cmp.Compare(a.number, b.number) }
	if !slices.IsSortedFunc(list, byNumber) {
		slices.SortFunc(list, byNumber)
	}
}

// indexPortion is how many discovery keys one core makes at a time, each in some
// tenths of a microsecond.
const indexPortion = 1024

// indexAll makes the index of the list.
func (m *members) indexAll() {
	parts := (len(m.list) + indexPortion - 1) / indexPortion
	onAllCores(parts, func(part int) {
		list := m.list[part*indexPortion : min((part+1)*indexPortion, len(m.list))]
		d := hypercore.NewDiscoverer()
		for i := range list {
			list[i].name = indexOf(d.Discovery(&list[i].key))
		}
	})
	m.index.rebuild(m.list)
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
