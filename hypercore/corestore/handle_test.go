package corestore_test

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"math/rand/v2"
	"sync"
	"testing"
	"testing/synctest"

	"github.com/cobox-p2p/cobox-p2p/hypercore"
	"github.com/cobox-p2p/cobox-p2p/hypercore/corestore"
	"github.com/cobox-p2p/cobox-p2p/hypercore/storage"
)

func mustAcquire(t testing.TB, s *corestore.Store, name string) *corestore.Handle {
	t.Helper()
	h, err := s.AcquireNamed(name)
	if err != nil {
		t.Fatalf("AcquireNamed %q: %v", name, err)
	}
	return h
}

func wantOpen(t testing.TB, s *corestore.Store, open, idle int) {
	t.Helper()
	if o, i := s.Open(); o != open || i != idle {
		t.Errorf("%d feeds open and %d idle, want %d and %d", o, i, open, idle)
	}
}

func TestIdleFeedsAreClosedBeyondTheBound(t *testing.T) {
	s := corestore.New(storage.NewMemory(), corestore.MasterKey{1}, corestore.WithMaxIdle(2))
	a, b, c := mustAcquire(t, s, "a"), mustAcquire(t, s, "b"), mustAcquire(t, s, "c")
	second := mustAcquire(t, s, "a")
	if second.Feed() != a.Feed() {
		t.Error("two handles have two feeds")
	}
	a.Release()
	a.Release()
	b.Release()
	wantOpen(t, s, 3, 1)
	second.Release()
	wantOpen(t, s, 3, 2)
	c.Release() // three idle: b is the longest unused
	wantOpen(t, s, 2, 2)
	if _, ok := s.Loaded(b.Feed().Key()); ok {
		t.Error("the longest unused feed is still open")
	}
	if _, err := b.Feed().Get(context.Background(), 0); !errors.Is(err, hypercore.ErrClosed) {
		t.Errorf("Get of a feed closed when idle: %v, want ErrClosed", err)
	}
	again := mustAcquire(t, s, "c")
	if again.Feed() != c.Feed() {
		t.Error("an idle feed was opened again")
	}
	wantOpen(t, s, 2, 1)
	again.Release()
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := s.AcquireNamed("a"); !errors.Is(err, hypercore.ErrClosed) {
		t.Errorf("Acquire after Close: %v, want ErrClosed", err)
	}
	again.Release()
}

func TestNoIdleFeeds(t *testing.T) {
	s := corestore.New(storage.NewMemory(), corestore.MasterKey{1}, corestore.WithMaxIdle(-1))
	h := mustAcquire(t, s, "a")
	wantOpen(t, s, 1, 0)
	h.Release()
	wantOpen(t, s, 0, 0)
}

// What was opened for good, or is held by a handle, is never closed by the
// bound; Release of the key closes it under everybody.
func TestPinnedFeedsStayOpen(t *testing.T) {
	s := corestore.New(storage.NewMemory(), corestore.MasterKey{1}, corestore.WithMaxIdle(0))
	pinned, err := s.Named("a")
	if err != nil {
		t.Fatal(err)
	}
	for range 2 {
		h := mustAcquire(t, s, "a")
		if h.Feed() != pinned {
			t.Error("Acquire opened a second feed")
		}
		h.Release()
	}
	if again, err := s.Named("a"); err != nil || again != pinned {
		t.Errorf("Named again: another feed, %v", err)
	}
	wantOpen(t, s, 1, 0)
	h := mustAcquire(t, s, "a")
	if err := s.Release(pinned.Key()); err != nil {
		t.Fatal(err)
	}
	if _, err := h.Feed().Append(context.Background(), []byte("x")); !errors.Is(err, hypercore.ErrClosed) {
		t.Errorf("Append after Release of the key: %v, want ErrClosed", err)
	}
	fresh := mustAcquire(t, s, "a")
	h.Release() // of the feed that is gone: must not count for the new one
	wantOpen(t, s, 1, 0)
	fresh.Release()
	wantOpen(t, s, 0, 0)
}

// A feed that still has something to do stays open even if nobody has it.
func TestBusyFeedsAreNotClosed(t *testing.T) {
	s := corestore.New(storage.NewMemory(), corestore.MasterKey{1}, corestore.WithMaxIdle(0))
	h := mustAcquire(t, s, "a")
	p, err := h.Feed().Attach(hypercore.PeerOptions{Wake: func() {}})
	if err != nil {
		t.Fatal(err)
	}
	h.Release()
	wantOpen(t, s, 1, 1)
	p.Detach()
	mustAcquire(t, s, "b").Release()
	wantOpen(t, s, 0, 0)
}

// An idle feed whose blocks are not durable is not closed: opened again it would
// have to wait for the disk.
func TestUnsettledFeedIsNotClosed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		st := storage.NewMemory()
		s := corestore.New(st, corestore.MasterKey{1}, corestore.WithMaxIdle(0))
		h := mustAcquire(t, s, "a")
		st.HoldSync()
		go h.Feed().Append(context.Background(), []byte("one"))
		synctest.Wait()
		h.Release()
		wantOpen(t, s, 1, 1)
		if again := mustAcquire(t, s, "a"); again.Feed() != h.Feed() {
			t.Error("opened again")
		}
		st.ReleaseSync()
	})
}

func TestStoreEvents(t *testing.T) {
	var got []hypercore.EventKind
	var opened int
	s := corestore.New(storage.NewMemory(), corestore.MasterKey{1}, corestore.WithMaxIdle(0),
		corestore.WithOpened(func(f *hypercore.Feed) { opened++; f.SetSparse(true) }))
	key := s.NamedKey("a")
	stop := s.Notify(func(k hypercore.Key, e hypercore.Event) {
		if k != key {
			t.Errorf("event of feed %s", k)
		}
		got = append(got, e.Kind)
	})
	for range 2 {
		h := mustAcquire(t, s, "a")
		if _, err := h.Feed().Append(context.Background(), []byte("x")); err != nil {
			t.Fatal(err)
		}
		h.Release()
	}
	stop()
	mustAcquire(t, s, "a").Release()
	if opened != 3 {
		t.Errorf("opened %d times, want 3", opened)
	}
	if len(got) < 6 || got[0] != hypercore.Opened || got[len(got)-1] != hypercore.Closed {
		t.Errorf("events = %v, want Opened first and Closed last", got)
	}
}

func TestDelete(t *testing.T) {
	ctx := context.Background()
	st := storage.NewMemory()
	s := corestore.New(st, corestore.MasterKey{1})
	var keys []hypercore.Key
	for _, name := range []string{"a", "b", "kept"} {
		h := mustAcquire(t, s, name)
		if _, err := h.Feed().Append(ctx, []byte(name)); err != nil {
			t.Fatal(err)
		}
		keys = append(keys, h.Feed().Key())
	}
	gone, cancel := context.WithCancel(ctx)
	cancel()
	mark := hypercore.Record{Key: []byte("mark"), Value: []byte("v")}
	if err := s.Delete(gone, keys[:2], mark); !errors.Is(err, context.Canceled) {
		t.Errorf("Delete with an ended ctx: %v, want Canceled", err)
	}
	if _, err := st.Feed(keys[0]); err != nil {
		t.Errorf("feed after a Delete that was not done: %v", err)
	}
	held := mustAcquire(t, s, "a")
	if err := s.Delete(ctx, append(keys[:2:2], keys[0], hypercore.Key{9}), mark); err != nil {
		t.Fatal(err)
	}
	if _, err := held.Feed().Append(ctx, []byte("x")); !errors.Is(err, hypercore.ErrClosed) {
		t.Errorf("Append to a deleted feed: %v, want ErrClosed", err)
	}
	held.Release()
	for _, key := range keys[:2] {
		if _, err := st.Feed(key); !errors.Is(err, hypercore.ErrNoFeed) {
			t.Errorf("deleted feed: %v, want ErrNoFeed", err)
		}
	}
	if v, err := st.Record(mark.Key); err != nil || !bytes.Equal(v, mark.Value) {
		t.Errorf("record = %q, %v", v, err)
	}
	if f, err := st.Feed(keys[2]); err != nil || f.Head.Length != 1 {
		t.Errorf("feed beside: %+v, %v", f, err)
	}
	if h := mustAcquire(t, s, "b"); h.Feed().Length() != 0 {
		t.Errorf("a deleted feed came back with %d blocks", h.Feed().Length())
	}
	s.Close()
	if err := s.Delete(ctx, keys); !errors.Is(err, hypercore.ErrClosed) {
		t.Errorf("Delete after Close: %v, want ErrClosed", err)
	}
}

// Whoever asks for a feed that is being deleted waits and gets an empty one.
func TestAcquireWaitsForDelete(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx := context.Background()
		st := storage.NewMemory()
		s := corestore.New(st, corestore.MasterKey{1})
		h := mustAcquire(t, s, "a")
		if _, err := h.Feed().Append(ctx, []byte("x")); err != nil {
			t.Fatal(err)
		}
		key := h.Feed().Key()
		st.HoldSync()
		var done sync.WaitGroup
		for range 2 { // two at once that share feeds
			done.Go(func() {
				if err := s.Delete(ctx, []hypercore.Key{s.NamedKey("b"), key}); err != nil {
					t.Error(err)
				}
			})
			done.Go(func() {
				if err := s.Delete(ctx, []hypercore.Key{key, s.NamedKey("b")}); err != nil {
					t.Error(err)
				}
			})
		}
		synctest.Wait()
		var again *corestore.Handle
		go func() { again = mustAcquire(t, s, "a") }()
		synctest.Wait()
		if again != nil {
			t.Fatal("opened while it is being deleted")
		}
		st.ReleaseSync()
		done.Wait()
		synctest.Wait()
		if again == nil || again.Feed().Length() != 0 {
			t.Fatal("not opened after it was deleted")
		}
	})
}

// Many goroutines acquire, write, read, release and delete few feeds with a
// small bound: no call on a held feed ever fails but for a deletion, and what
// was appended is there when the feed is opened again.
func TestHandlesInParallel(t *testing.T) {
	const seed, feeds, workers, rounds = 7, 6, 8, 60
	ctx := context.Background()
	s := corestore.New(storage.NewMemory(), corestore.MasterKey{1}, corestore.WithMaxIdle(2))
	var wg sync.WaitGroup
	var mu sync.Mutex
	appended := map[string]uint64{}
	for w := range uint64(workers) {
		wg.Go(func() {
			rng := rand.New(rand.NewPCG(seed, w))
			for range rounds {
				name := string(rune('a' + rng.IntN(feeds)))
				h, err := s.AcquireNamed(name)
				if err != nil {
					t.Errorf("seed %d: Acquire: %v", seed, err)
					return
				}
				before := h.Feed().Length()
				seq, err := h.Feed().Append(ctx, binary.BigEndian.AppendUint64(nil, w))
				if err != nil || seq < before {
					t.Errorf("seed %d: Append = %d, %v, want %d or more", seed, seq, err, before)
				}
				if b, err := h.Feed().Get(ctx, seq); err != nil || binary.BigEndian.Uint64(b) != w {
					t.Errorf("seed %d: Get %d = %x, %v", seed, seq, b, err)
				}
				h.Release()
				mu.Lock()
				appended[name]++
				mu.Unlock()
			}
		})
	}
	wg.Wait()
	for name, n := range appended {
		h := mustAcquire(t, s, name)
		if got := h.Feed().Length(); got != n {
			t.Errorf("seed %d: feed %q has %d blocks, want %d", seed, name, got, n)
		}
		h.Release()
	}
	if open, idle := s.Open(); open > 2 || idle != open {
		t.Errorf("%d feeds open, %d idle, want 2 at most", open, idle)
	}
}
