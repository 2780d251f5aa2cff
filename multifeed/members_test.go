package multifeed

import (
	"context"
	"encoding/binary"
	"runtime"
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
	// All in one chain, as if their discovery keys began with the same 8 bytes.
	for i := range m.list {
		m.list[i].next = uint32(i)
	}
	for i, key := range keys {
		m.index[indexOf(key.Discovery())] = uint32(len(keys))
		if place, ok := m.find(key.Discovery()); !ok || place != uint32(i) {
			t.Errorf("find of member %d = %d, %v", i, place, ok)
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
