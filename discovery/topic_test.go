package discovery

import (
	"context"
	"errors"
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/libp2p/go-libp2p/core/peer"
)

var both = Mode{Announce: true, Lookup: true}

func TestAnnounceIsRetriedUntilItHolds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var log strings.Builder
		f := &fakeRouting{failure: errors.New("failed to find any peer in table")}
		r := newFake(t, newFakeHost(), f.option, WithLogger(slog.New(slog.NewTextHandler(&log, nil))))
		topic := join(t, r, testKey(1), Mode{Announce: true}, nil)
		ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
		defer cancel()
		err := topic.Flushed(ctx)
		if !errors.Is(err, context.DeadlineExceeded) || !errors.Is(err, ErrNoRouters) {
			t.Fatalf("Flushed = %v, want the deadline and ErrNoRouters", err)
		}
		provided, _ := f.times()
		if gap := provided[1].Sub(provided[0]); gap > time.Second {
			t.Errorf("first retry after %v", gap)
		}
		if gap := provided[len(provided)-1].Sub(provided[len(provided)-2]); gap > MaxAnnounceBackoff*11/10 || gap < MaxAnnounceBackoff*9/10 {
			t.Errorf("last retry after %v, want about %v", gap, MaxAnnounceBackoff)
		}
		s := topic.Status()
		if s.Announce.Failures != len(provided) || !s.Announce.Done.IsZero() || !errors.Is(s.Announce.Err, ErrNoRouters) {
			t.Errorf("status = %+v after %d tries", s.Announce, len(provided))
		}
		synctest.Wait()
		if f.bootstraps != len(provided) {
			t.Errorf("%d bootstraps in %d tries", f.bootstraps, len(provided))
		}
		if n := strings.Count(log.String(), "level=WARN"); n != 1 {
			t.Errorf("%d warnings, want 1:\n%s", n, log.String())
		}
		f.set(func(f *fakeRouting) { f.failure, f.table = nil, 1 })
		if err := topic.Flushed(t.Context()); err != nil {
			t.Fatal(err)
		}
		if s := topic.Status().Announce; s.Failures != 0 || s.Err != nil || s.Done.IsZero() {
			t.Errorf("status after success = %+v", s)
		}
	})
}

func TestAnnounceAsSoonAsARouterComes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newFakeHost()
		f := &fakeRouting{failure: errors.New("empty")}
		r := newFake(t, h, f.option)
		topic := join(t, r, testKey(1), Mode{Announce: true}, nil)
		time.Sleep(time.Hour) // the backoff is long by now
		synctest.Wait()
		time.Sleep(time.Until(topic.Status().Announce.Next) + time.Second) // and begins afresh
		synctest.Wait()
		f.set(func(f *fakeRouting) { f.failure, f.table = nil, 1 })
		h.meet(t, "/ipfs/id/1.0.0")
		synctest.Wait()
		time.Sleep(2 * routerSettle)
		if !topic.Status().Announce.Done.IsZero() {
			t.Error("a peer that isn't a DHT node caused an announcement")
		}
		began := time.Now()
		h.meet(t, "/cobox/kad/1.0.0")
		if err := topic.Flushed(t.Context()); err != nil {
			t.Fatal(err)
		}
		if took := time.Since(began); took != routerSettle {
			t.Errorf("announced %v after a DHT node came, want %v", took, routerSettle)
		}
	})
}

func TestReprovide(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &fakeRouting{table: 50}
		r := newFake(t, newFakeHost(), f.option)
		topic := join(t, r, testKey(1), Mode{Announce: true}, nil)
		time.Sleep(49 * time.Hour)
		synctest.Wait()
		provided, lookups := f.times()
		if len(provided) < 5 || len(provided) > 6 {
			t.Errorf("provided %d times in 49 h", len(provided))
		}
		for i := 1; i < len(provided); i++ {
			if gap := provided[i].Sub(provided[i-1]); gap < 9*time.Hour || gap > 11*time.Hour {
				t.Errorf("gap %d = %v", i, gap)
			}
		}
		if len(lookups) != 0 {
			t.Errorf("an announced key was looked up %d times", len(lookups))
		}
		if next := time.Until(topic.Status().Announce.Next); next <= 0 || next > 11*time.Hour {
			t.Errorf("next in %v", next)
		}
	})
}

func TestAnnounceAnewWhenAddressesChange(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newFakeHost()
		f := &fakeRouting{table: 50}
		r := newFake(t, h, f.option)
		join(t, r, testKey(1), Mode{Announce: true}, nil)
		count := func() int { synctest.Wait(); p, _ := f.times(); return len(p) }
		if count() != 1 {
			t.Fatalf("provided %d times", count())
		}
		h.move(t, "/ip4/127.0.0.1/tcp/4001") // the same as before
		time.Sleep(time.Minute)
		if count() != 1 {
			t.Errorf("announced for addresses that didn't change")
		}
		h.move(t, "/ip4/127.0.0.1/tcp/4002")
		h.move(t, "/ip4/127.0.0.1/tcp/4003") // a burst is one change
		time.Sleep(2 * addrSettle)
		if got := count(); got != 2 {
			t.Errorf("provided %d times after one change, want 2", got)
		}
		for range 20 { // flapping
			h.move(t, "/ip4/127.0.0.1/tcp/5000")
			time.Sleep(30 * time.Second)
			h.move(t, "/ip4/127.0.0.1/tcp/6000")
			time.Sleep(30 * time.Second)
		}
		if got := count(); got < 4 || got > 1+renewBurst+2 {
			t.Errorf("provided %d times while flapping for 20 min, want at most %d", got, 1+renewBurst+2)
		}
	})
}

func TestAnnounceNeedsAnAddress(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newFakeHost()
		h.addrs = nil
		f := &fakeRouting{table: 1}
		r := newFake(t, h, f.option)
		topic := join(t, r, testKey(1), Mode{Announce: true}, nil)
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		if err := topic.Flushed(ctx); !errors.Is(err, ErrNoAddrs) {
			t.Errorf("Flushed = %v, want ErrNoAddrs", err)
		}
		if p, _ := f.times(); len(p) != 0 {
			t.Errorf("provided without an address")
		}
		h.move(t, "/ip4/127.0.0.1/tcp/4001")
		if err := topic.Flushed(t.Context()); err != nil {
			t.Error(err)
		}
	})
}

func TestSmallDHTIsToldAgain(t *testing.T) {
	for _, test := range []struct{ table, want int }{{smallTable, 2}, {smallTable + 1, 1}} {
		synctest.Test(t, func(t *testing.T) {
			h := newFakeHost()
			f := &fakeRouting{table: test.table}
			r := newFake(t, h, f.option)
			topic := join(t, r, testKey(1), Mode{Announce: true}, nil)
			if err := topic.Flushed(t.Context()); err != nil {
				t.Fatal(err)
			}
			h.meet(t, "/cobox/kad/1.0.0")
			synctest.Wait()
			time.Sleep(time.Minute)
			synctest.Wait()
			if p, _ := f.times(); len(p) != test.want {
				t.Errorf("table of %d: provided %d times, want %d", test.table, len(p), test.want)
			}
		})
	}
}

func TestManyTopicsShareSlots(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const n = 1000
		f := &fakeRouting{table: 50, took: time.Second}
		r := newFake(t, newFakeHost(), f.option)
		for i := range n {
			join(t, r, testKey(i), both, nil)
		}
		for _, topic := range r.Topics() {
			if err := topic.Flushed(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
		synctest.Wait()
		if f.most != [2]int{MaxAnnouncing, MaxLookingUp} {
			t.Errorf("%v calls at once, want %v", f.most, [2]int{MaxAnnouncing, MaxLookingUp})
		}
		if got := r.Status(); got.Topics != n || got.Routers != 50 || !got.Routing {
			t.Errorf("status = %+v", got)
		}
	})
}

func TestUpdate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &fakeRouting{table: 50}
		r := newFake(t, newFakeHost(), f.option)
		topic := join(t, r, testKey(1), Mode{}, nil)
		counts := func(provided, lookups int) {
			t.Helper()
			synctest.Wait()
			p, l := f.times()
			if len(p) != provided || len(l) != lookups {
				t.Errorf("provided %d times and looked up %d times, want %d and %d", len(p), len(l), provided, lookups)
			}
		}
		time.Sleep(time.Hour)
		counts(0, 0)
		if err := topic.Flushed(t.Context()); err != nil {
			t.Errorf("a resting topic isn't flushed: %v", err)
		}
		topic.Update(Mode{Lookup: true})
		counts(0, 1)
		topic.Update(both)
		counts(1, 1)
		topic.Update(both)
		counts(1, 1)
		topic.Update(Mode{})
		topic.Refresh()
		time.Sleep(100 * time.Hour)
		counts(1, 1)
		if s := topic.Status(); !s.Announce.Next.IsZero() || !s.Lookup.Next.IsZero() || s.Mode != (Mode{}) || topic.Mode() != s.Mode {
			t.Errorf("resting status = %+v", s)
		}
		topic.Update(both)
		counts(2, 2)
	})
}

func TestUpdateEndsWhatRuns(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &fakeRouting{table: 50, took: 20 * time.Second}
		r := newFake(t, newFakeHost(), f.option)
		topic := join(t, r, testKey(1), both, nil)
		synctest.Wait()
		topic.Update(Mode{})
		synctest.Wait()
		if f.busy != [2]int{} {
			t.Errorf("still running: %v", f.busy)
		}
		topic.Update(both)
		began := time.Now()
		if err := topic.Flushed(t.Context()); err != nil {
			t.Fatal(err)
		}
		if took := time.Since(began); took != 20*time.Second+announceHold {
			t.Errorf("flushed after %v", took)
		}
	})
}

func TestJoinAndLeave(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &fakeRouting{table: 50, records: testPeers(1, 3)}
		r := newFake(t, newFakeHost(), f.option)
		var b basket
		topic := join(t, r, testKey(1), both, b.put)
		if _, err := r.Join(testKey(1), both, nil); !errors.Is(err, ErrJoined) {
			t.Errorf("second Join = %v, want ErrJoined", err)
		}
		if r.Topic(testKey(1)) != topic || r.Topic(testKey(2)) != nil || topic.Key() != testKey(1) {
			t.Error("Topic finds the wrong one")
		}
		if err := topic.Flushed(t.Context()); err != nil {
			t.Fatal(err)
		}
		topic.Leave()
		topic.Leave()
		b.take()
		topic.Refresh()
		topic.Update(both)
		if err := topic.Flushed(t.Context()); !errors.Is(err, ErrClosed) {
			t.Errorf("Flushed after Leave = %v", err)
		}
		time.Sleep(24 * time.Hour)
		synctest.Wait()
		if got := b.take(); len(got) != 0 {
			t.Errorf("candidates after Leave: %v", got)
		}
		again := join(t, r, testKey(1), both, b.put)
		topic.Leave() // of the former topic
		if r.Topic(testKey(1)) != again {
			t.Error("leaving a former topic ended the present one")
		}
		waiting := make(chan error, 1)
		f.set(func(f *fakeRouting) { f.failure = errors.New("no") })
		other := join(t, r, testKey(2), both, nil)
		go func() { waiting <- other.Flushed(context.Background()) }()
		synctest.Wait()
		if err := r.Close(); err != nil {
			t.Error(err)
		}
		if err := <-waiting; !errors.Is(err, ErrClosed) {
			t.Errorf("Flushed at Close = %v", err)
		}
		if _, err := r.Join(testKey(3), both, nil); !errors.Is(err, ErrClosed) {
			t.Errorf("Join after Close = %v", err)
		}
		if err := r.Close(); err != nil {
			t.Errorf("second Close = %v", err)
		}
	})
}

func TestMaxTopics(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newFake(t, newFakeHost())
		for i := range MaxTopics {
			if _, err := r.Join(testKey(i), Mode{}, nil); err != nil {
				t.Fatalf("topic %d: %v", i, err)
			}
		}
		if _, err := r.Join(testKey(MaxTopics), Mode{}, nil); !errors.Is(err, ErrTooManyTopics) {
			t.Errorf("topic %d: %v, want ErrTooManyTopics", MaxTopics, err)
		}
		r.Topic(testKey(0)).Leave()
		if _, err := r.Join(testKey(MaxTopics), Mode{}, nil); err != nil {
			t.Errorf("after a Leave: %v", err)
		}
	})
}

func TestOptionsAreChecked(t *testing.T) {
	for name, opt := range map[string]Option{
		"no routing":       WithRouting(nil),
		"peer without ID":  WithStatic(testPeer(1), peer.AddrInfo{}),
		"too many statics": WithStatic(testPeers(1, MaxStatic+1)...),
	} {
		if r, err := New(newFakeHost(), opt); err == nil {
			r.Close()
			t.Errorf("%s: no error", name)
		}
	}
}
