package multifeed

import (
	"context"
	"errors"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/cobox-p2p/cobox-p2p/hypercore"
)

func lackOf(lacks []Lack, key hypercore.Key) uint64 {
	for _, l := range lacks {
		if l.Feed.Key() == key {
			return l.Blocks
		}
	}
	return 0
}

// Synced is when the other side's disk has it, not its memory.
func TestSyncedMeansDurableAtThePeer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		secret := NewSecret()
		na, nb := newNode(t, "alice"), newNode(t, "bob")
		a, b := na.open(secret.Address(), WithSecret(secret)), nb.open(secret.Address())
		f := fill(t, a, 3)
		nb.mem.HoldSync()
		connect(t, na, a, nb, b)
		wait := func(s *Space) (Progress, error) {
			ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
			defer cancel()
			return s.WaitSynced(ctx)
		}
		p, err := wait(a)
		if !errors.Is(err, context.DeadlineExceeded) || !p.Exchanged || p.Peers != 1 || lackOf(p.Unshared, f.Key()) != 3 || len(p.Missing) != 0 {
			t.Errorf("writer, with the peer's disk held: %+v, %v, want 3 blocks unshared", p, err)
		}
		p, err = wait(b)
		if !errors.Is(err, context.DeadlineExceeded) || lackOf(p.Missing, f.Key()) != 3 || p.Synced() {
			t.Errorf("seeder, with its disk held: %+v, %v, want 3 blocks missing", p, err)
		}
		if held, _ := b.Feeds()[0].Held(); held != 3 {
			t.Errorf("%d blocks held, want 3", held)
		}
		nb.mem.ReleaseSync()
		for _, s := range []*Space{a, b} {
			if p, err := wait(s); err != nil || !p.Synced() {
				t.Errorf("after the sync: %+v, %v", p, err)
			}
		}
	})
}

func TestProgressWithoutPeers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		secret := NewSecret()
		na, nb := newNode(t, "alice"), newNode(t, "bob")
		a, b := na.open(secret.Address(), WithSecret(secret)), nb.open(secret.Address())
		fill(t, a, 3)
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		if p, err := a.WaitSynced(ctx); !errors.Is(err, context.DeadlineExceeded) || p.Exchanged || p.Peers != 0 || p.Synced() {
			t.Errorf("alone: %+v, %v", p, err)
		}
		if err := a.WaitExchanged(ctx); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("WaitExchanged alone: %v", err)
		}
		l := connect(t, na, a, nb, b)
		wantSynced(t, a, b)
		l.cancel()
		l.wait()
		if p := a.Progress(); !p.Exchanged || p.Peers != 0 || p.Synced() {
			t.Errorf("after the peer has gone: %+v", p)
		}
	})
}

// One peer that has all is enough; another that lacks something doesn't count.
func TestSyncedWithTheBestOfTwoPeers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		secret := NewSecret()
		na, nb, nc := newNode(t, "alice"), newNode(t, "bob"), newNode(t, "carol")
		a, b := na.open(secret.Address(), WithSecret(secret)), nb.open(secret.Address())
		c := nc.open(secret.Address(), WithPolicy(func(Offer) error { return errNotNow }))
		f := fill(t, a, 5)
		connect(t, na, a, nc, c)
		if err := a.WaitExchanged(within(t)); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		if p := a.Progress(); p.Peers != 1 || lackOf(p.Unshared, f.Key()) != 5 || p.Synced() {
			t.Errorf("with a peer that refused: %+v, want 5 blocks unshared", p)
		}
		connect(t, na, a, nb, b)
		wantSynced(t, a)
		if p := a.Progress(); p.Peers != 2 || len(p.Unshared) != 0 {
			t.Errorf("with another peer: %+v, want 2 peers and nothing unshared", p)
		}
	})
}

func TestEvents(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		secret := NewSecret()
		na, nb := newNode(t, "alice"), newNode(t, "bob")
		a, b := na.open(secret.Address(), WithSecret(secret)), nb.open(secret.Address())
		var mu sync.Mutex
		seen := map[*Space][]Event{}
		var stops []func()
		for _, s := range []*Space{a, b} {
			stops = append(stops, s.Notify(func(e Event) {
				mu.Lock()
				defer mu.Unlock()
				seen[s] = append(seen[s], e)
			}))
		}
		f := fill(t, a, 3)
		l := connect(t, na, a, nb, b)
		wantSynced(t, a, b)
		l.cancel()
		l.wait()
		synctest.Wait()
		for _, stop := range stops {
			stop()
		}
		writeIn(t, a, "unseen", "block")
		count := func(s *Space, kind EventKind) (n int, blocks uint64) {
			for _, e := range seen[s] {
				if e.Kind == kind {
					n++
					blocks += e.Span.Count
					if (e.Feed != nil) == (e.Session != nil) || e.Feed != nil && e.Feed.Key() != f.Key() {
						t.Errorf("event %+v", e)
					}
				}
			}
			return n, blocks
		}
		for _, c := range []struct {
			s      *Space
			kind   EventKind
			n      int
			blocks uint64
		}{
			{a, FeedAdded, 1, 0}, {b, FeedAdded, 1, 0}, {a, BlocksStored, 3, 3}, {b, BlocksStored, 3, 3},
			{a, BlockUploaded, 3, 3}, {b, BlockUploaded, 0, 0}, {a, SessionStarted, 1, 0}, {b, SessionStarted, 1, 0},
			{a, SessionEnded, 1, 0}, {b, SessionEnded, 1, 0}, {a, Exchanged, 1, 0}, {b, Exchanged, 1, 0},
			{a, FeedRefused, 0, 0}, {b, FeedRefused, 0, 0}, {a, AboutReceived, 0, 0},
		} {
			if n, blocks := count(c.s, c.kind); n != c.n || blocks != c.blocks {
				t.Errorf("kind %d: %d events of %d blocks, want %d of %d", c.kind, n, blocks, c.n, c.blocks)
			}
		}
		last := seen[a][len(seen[a])-1]
		if last.Kind != SessionEnded || last.Err == nil {
			t.Errorf("last event = %+v, want the session's end and why", last)
		}
		order := func(kind EventKind) int {
			return slices.IndexFunc(seen[b], func(e Event) bool { return e.Kind == kind })
		}
		if order(SessionStarted) != 0 || order(FeedAdded) > order(BlocksStored) {
			t.Errorf("events of the reader out of order: %+v", seen[b])
		}
	})
}
