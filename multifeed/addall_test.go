package multifeed

import (
	"context"
	"errors"
	"iter"
	"testing"

	"github.com/cobox-p2p/cobox-p2p/hypercore"
)

// joining yields keys, each with the admission that admit makes; nil: none.
func joining(keys []hypercore.Key, admit func(hypercore.Key) Admission) iter.Seq2[hypercore.Key, Admission] {
	return func(yield func(hypercore.Key, Admission) bool) {
		for _, key := range keys {
			var a Admission
			if admit != nil {
				a = admit(key)
			}
			if !yield(key, a) {
				return
			}
		}
	}
}

// wantAdded adds all and wants so many to be new, and the error.
func wantAdded(t *testing.T, s *Space, feeds iter.Seq2[hypercore.Key, Admission], added int, err error) {
	t.Helper()
	n, got := s.AddAll(context.Background(), feeds)
	if n != added || !errors.Is(got, err) {
		t.Errorf("AddAll = %d, %v, want %d, %v", n, got, added, err)
	}
}

func TestAddAllInPortions(t *testing.T) {
	for _, count := range []int{0, 1, addPortion, addPortion + 1} {
		nv := newNode(t, "node")
		address := NewOpenAddress()
		s := nv.open(address)
		keys := keysOf(count)
		wantAdded(t, s, joining(append(keys, keys[:count/2]...), nil), count, nil)
		more := keysOf(count + 1)[count:]
		wantAdded(t, s, joining(append(more, keys...), nil), 1, nil) // the others are there
		s.Close()
		s = nv.open(address)
		if n := s.Len(); n != count+1 || nv.loaded(keys) != 0 {
			t.Errorf("%d feeds after the space was opened again, want %d, none of them open", n, count+1)
		}
		for place, key := range append(keys, more...) {
			if m := s.set.list[place]; m.key != key || m.number != uint32(place) {
				t.Fatalf("member %d of %d is %s with number %d, want %s", place, count, m.key, m.number, key)
			}
		}
	}
}

func TestAddAllStopsAtWhatCantBeTaken(t *testing.T) {
	nv := newNode(t, "node")
	s := nv.open(NewOpenAddress(), WithMaxFeeds(addPortion+10))
	keys := keysOf(addPortion + 20)
	bad := append(keys[:addPortion+1:addPortion+1], hypercore.Key{})
	wantAdded(t, s, joining(bad, nil), addPortion, hypercore.ErrWeakKey)
	wantAdded(t, s, joining([]hypercore.Key{hypercore.Key(s.Address().Key)}, nil), 0, errAddressFeed)
	wantAdded(t, s, joining(keys, nil), 10, ErrTooMany)
	if n := s.Len(); n != addPortion+10 {
		t.Errorf("%d feeds, want %d", n, addPortion+10)
	}
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if n, err := s.AddAll(ctx, joining(keys, nil)); n != 0 || err != context.Canceled {
		t.Errorf("AddAll = %d, %v after ctx ended", n, err)
	}
	s.Close()
	wantAdded(t, s, joining(keys, nil), 0, ErrClosed)
}

func TestAddAllChecksAdmissions(t *testing.T) {
	secret := NewSecret()
	member := newNode(t, "member").open(secret.Address(), WithSecret(secret))
	seeder := newNode(t, "seeder").open(secret.Address())
	keys := keysOf(20)
	wantAdded(t, seeder, joining(keys, nil), 0, ErrNotAdmitted)
	wantAdded(t, seeder, joining(keys, NewSecret().Admit), 0, ErrNotAdmitted)
	wantAdded(t, member, joining(keys, NewSecret().Admit), 0, ErrNotAdmitted)
	wantAdded(t, member, joining(keys, nil), len(keys), nil)
	wantAdded(t, seeder, joining(keys, secret.Admit), len(keys), nil)
	wantAdded(t, member, joining([]hypercore.Key{{}}, nil), 0, hypercore.ErrWeakKey)
	for _, s := range []*Space{member, seeder} {
		for _, key := range keys {
			if f, err := s.Feed(key); err != nil || f.Admission() != secret.Admit(key) {
				t.Fatalf("feed %s: %v", key, err)
			}
		}
	}
}

// Sessions and watchers hear of what AddAll adds.
func TestAddAllIsTold(t *testing.T) {
	address := NewOpenAddress()
	na, nb := newNode(t, "alice"), newNode(t, "bob")
	a, b := na.open(address), nb.open(address)
	connect(t, na, a, nb, b)
	keys := keysOf(50)
	wantAdded(t, a, joining(keys, nil), len(keys), nil)
	for _, key := range keys {
		awaitFeed(t, b, key)
	}
}
