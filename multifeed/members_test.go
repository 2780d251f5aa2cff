package multifeed

import (
	"context"
	"encoding/binary"
	"runtime"
	"slices"
	"testing"

	"github.com/cobox-p2p/cobox-p2p/hypercore"
)

// Discovery keys that begin alike are told apart.
func TestMembersWithTheSameBeginning(t *testing.T) {
	m := newMembers()
	keys := make([]hypercore.Key, 50)
	for i := range keys {
		binary.BigEndian.PutUint64(keys[i][:], uint64(i)+1)
		m.add(keys[i], uint32(i))
	}
	for i, key := range keys {
		name := indexOf(key.Discovery())
		for n := range m.list { // as if all began with the same 8 bytes
			m.list[n].name = name
		}
		m.index.rebuild(m.list)
		if place, ok := m.find(key.Discovery()); !ok || place != uint32(i) {
			t.Errorf("find of member %d = %d, %v", i, place, ok)
		}
		if n := len(slices.Collect(m.named(name))); n != len(keys) {
			t.Errorf("%d members of one name, want %d", n, len(keys))
		}
	}
	if _, ok := m.find(hypercore.Key{99}.Discovery()); ok {
		t.Error("found a feed that isn't in the set")
	}
}

// A space opens none of its feeds by itself, and no more than are held.
func TestFeedsAreOpenedWhenAskedFor(t *testing.T) {
	const n = 20
	nv := newNode(t, "node")
	address := NewOpenAddress()
	s := nv.open(address, WithEncryptionKey(EncryptionKey{1}))
	keys := make([]hypercore.Key, n)
	for i := range keys {
		keys[i] = writeIn(t, s, string(rune('a'+i)), "block").Key()
	}
	s.Close()
	for _, key := range keys {
		if err := nv.store.Release(key); err != nil {
			t.Fatal(err)
		}
	}
	s = nv.open(address, WithEncryptionKey(EncryptionKey{1}))
	if s.Len() != n || nv.loaded(keys) != 0 || s.live() != 0 {
		t.Fatalf("%d feeds, %d of them open, want %d and 0", s.Len(), nv.loaded(keys), n)
	}
	if p := s.Progress(); len(p.Missing) > 0 || s.live() != 0 {
		t.Errorf("%d feeds lack blocks, %d are open, want none", len(p.Missing), s.live())
	}
	f, err := s.Feed(keys[7])
	if err != nil {
		t.Fatal(err)
	}
	if again, err := s.Feed(keys[7]); again != f || err != nil {
		t.Errorf("the same feed again = %p, %v, want %p", again, err, f)
	}
	if b, err := f.Get(context.Background(), 0); err != nil || string(b) != "block" {
		t.Errorf("Get = %q, %v", b, err)
	}
	for range s.All() {
	}
	for s.live() > 1 {
		runtime.GC() // collects what All has yielded
	}
	if again, err := s.Feed(keys[7]); again != f || err != nil {
		t.Errorf("a feed that is held was opened anew: %v", err)
	}
	runtime.KeepAlive(f)
}

// live returns how many Feeds somebody holds.
func (s *Space) live() int {
	s.giveBack()
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.set.live)
}

// loaded returns how many of the feeds are open in the node's store.
func (n *node) loaded(keys []hypercore.Key) int {
	open := 0
	for _, key := range keys {
		if _, ok := n.store.Loaded(key); ok {
			open++
		}
	}
	return open
}

func TestMembersAreFound(t *testing.T) {
	const count = 3000
	for _, load := range []bool{false, true} {
		m := newMembers()
		for i := range count {
			key := hypercore.Key{byte(i), byte(i >> 8), 1}
			if load {
				m.list = append(m.list, member{key: key, number: uint32(i)})
				continue
			}
			m.add(key, uint32(i))
		}
		if load {
			m.indexAll()
		}
		for i := range 2 * count {
			key := hypercore.Key{byte(i), byte(i >> 8), 1}
			if place, ok := m.find(key.Discovery()); ok != (i < count) || ok && place != uint32(i) {
				t.Fatalf("find of member %d = %d, %v", i, place, ok)
			}
		}
	}
}

// Numbers are places unless something took feeds away; all others are sorted as
// well.
func TestSortMembers(t *testing.T) {
	for _, numbers := range [][]uint32{
		{}, {0}, {7}, {1, 0}, {2, 0, 1}, {3, 1, 2, 0}, {5, 1, 9, 0}, {1, 1, 0, 1}, {maxNumber, 0, maxNumber, 1},
	} {
		var list []member
		for i, n := range numbers {
			list = append(list, member{key: hypercore.Key{byte(i)}, number: n})
		}
		sortMembers(list)
		slices.Sort(numbers)
		seen := map[hypercore.Key]bool{}
		for i, m := range list {
			if seen[m.key] = true; m.number != numbers[i] {
				t.Errorf("%v: member %d has number %d", numbers, i, m.number)
			}
		}
		if len(seen) != len(numbers) {
			t.Errorf("%v: %d members left", numbers, len(seen))
		}
	}
}

// Whatever numbers the records have, the room taken is bounded by how many there
// are, and a list of places is copied twice at most.
func TestRoomForMembers(t *testing.T) {
	for _, largest := range []int{0, 5000, 100_000, maxNumber} {
		var list []member
		copies := 0
		for n := range 100_000 {
			before := cap(list)
			list = append(roomFor(list, largest), member{})
			if cap(list) == before {
				continue
			}
			if copies++; cap(list) > 64*n+2*1024 {
				t.Fatalf("largest number %d: room for %d after %d members", largest, cap(list), n)
			}
		}
		if largest == 100_000 && copies > 3 {
			t.Errorf("the list was copied %d times", copies)
		}
	}
}
