package discovery

import (
	"context"
	"errors"
	"path/filepath"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/multiformats/go-multiaddr"
)

func gaps(times []time.Time) []time.Duration {
	var all []time.Duration
	for i := 1; i < len(times); i++ {
		all = append(all, times[i].Sub(times[i-1]))
	}
	return all
}

func TestLookupsGrowRare(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &fakeRouting{table: 50, records: testPeers(1, 2)}
		r := newFake(t, newFakeHost(), f.option)
		var b basket
		topic := join(t, r, testKey(1), Mode{Lookup: true}, b.put)
		time.Sleep(5 * time.Hour)
		synctest.Wait()
		provided, lookups := f.times()
		if len(provided) != 0 {
			t.Error("a key that is only looked up was announced")
		}
		want := MinLookupInterval
		for i, gap := range gaps(lookups) {
			if gap < want*9/10 || gap > want*11/10 {
				t.Errorf("gap %d = %v, want about %v", i, gap, want)
			}
			want = min(2*want, MaxLookupInterval)
		}
		if got := len(b.take()); got != 2*len(lookups) {
			t.Errorf("%d candidates in %d rounds", got, len(lookups))
		}
		f.set(func(f *fakeRouting) { f.records = testPeers(1, 3); f.lookups = nil })
		time.Sleep(MaxLookupInterval + 3*MinLookupInterval)
		synctest.Wait()
		if _, lookups = f.times(); len(lookups) < 3 {
			t.Errorf("%d lookups after a new peer came", len(lookups))
		}
		if s := topic.Status(); s.Lookup.Tries == 0 || s.Lookup.Err != nil || s.Offered == 0 {
			t.Errorf("status = %+v", s)
		}
	})
}

func TestRefreshIsRateLimited(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &fakeRouting{table: 50}
		r := newFake(t, newFakeHost(), f.option)
		topic := join(t, r, testKey(1), Mode{Lookup: true}, nil)
		time.Sleep(4 * time.Hour)
		synctest.Wait()
		f.set(func(f *fakeRouting) { f.lookups = nil })
		time.Sleep(MinRefresh)
		synctest.Wait()
		if _, lookups := f.times(); len(lookups) == 0 {
			began := time.Now()
			topic.Refresh()
			synctest.Wait()
			if _, lookups = f.times(); len(lookups) != 1 || !lookups[0].Equal(began) {
				t.Errorf("Refresh didn't look up at once: %v", lookups)
			}
		}
		for range 600 {
			topic.Refresh()
			time.Sleep(100 * time.Millisecond)
		}
		synctest.Wait()
		_, lookups := f.times()
		for i, gap := range gaps(lookups) {
			if gap < MinRefresh {
				t.Errorf("gap %d = %v, want at least %v", i, gap, MinRefresh)
			}
		}
		if len(lookups) > 6 || len(lookups) < 4 {
			t.Errorf("%d lookups in a minute of Refresh", len(lookups))
		}
	})
}

func TestProvidersOfARound(t *testing.T) {
	round := func(t *testing.T, f *fakeRouting, h *fakeHost) []Candidate {
		t.Helper()
		var found []Candidate
		synctest.Test(t, func(t *testing.T) {
			if h == nil {
				h = newFakeHost()
			}
			var b basket
			r := newFake(t, h, f.option)
			if err := join(t, r, testKey(1), Mode{Lookup: true}, b.put).Flushed(t.Context()); err != nil {
				t.Fatal(err)
			}
			r.Close()
			found = b.take()
		})
		return found
	}
	t.Run("self and doubles", func(t *testing.T) {
		self := peer.AddrInfo{ID: testID(0), Addrs: testPeer(1).Addrs}
		found := round(t, &fakeRouting{table: 1, records: []peer.AddrInfo{self, testPeer(1), testPeer(1), {}}}, nil)
		if len(found) != 1 || found[0].ID != testID(1) || found[0].Source != SourceDHT {
			t.Errorf("found %v", found)
		}
	})
	for _, n := range []int{MaxProviders, MaxProviders + 1} {
		f := &fakeRouting{table: 1, records: testPeers(1, n)}
		if found := round(t, f, nil); len(found) != MaxProviders {
			t.Errorf("%d of %d providers, want %d", len(found), n, MaxProviders)
		}
	}
	t.Run("scanned", func(t *testing.T) {
		f := &fakeRouting{table: 1, records: slices.Repeat([]peer.AddrInfo{testPeer(1)}, 2*MaxScanned)}
		round(t, f, nil)
		if f.sent > MaxScanned+1 {
			t.Errorf("%d records read, want at most %d", f.sent, MaxScanned)
		}
	})
	t.Run("without addresses", func(t *testing.T) {
		h := newFakeHost()
		h.known[testID(1)] = testPeer(1).Addrs
		h.net.connect(testID(2), true)
		f := &fakeRouting{table: 1, addrs: map[peer.ID][]multiaddr.Multiaddr{testID(3): testPeer(3).Addrs}}
		for n := 1; n <= 4; n++ {
			f.records = append(f.records, peer.AddrInfo{ID: testID(n)})
		}
		var ids []peer.ID
		for _, c := range round(t, f, h) {
			ids = append(ids, c.ID)
		}
		if want := []peer.ID{testID(1), testID(2), testID(3)}; !slices.Equal(ids, want) {
			t.Errorf("found %v, want %v", ids, want)
		}
		if want := []peer.ID{testID(3), testID(4)}; !slices.Equal(f.resolved, want) {
			t.Errorf("searched for %v, want %v", f.resolved, want)
		}
	})
	t.Run("many without addresses", func(t *testing.T) {
		f := &fakeRouting{table: 1}
		for n := 1; n <= MaxResolved+1; n++ {
			f.records = append(f.records, peer.AddrInfo{ID: testID(n)})
		}
		round(t, f, nil)
		if len(f.resolved) != MaxResolved {
			t.Errorf("searched for %d, want %d", len(f.resolved), MaxResolved)
		}
	})
}

// TestKnownProvidersGiveWay shows that peers found before don't hide others
// behind the limit of a round.
func TestKnownProvidersGiveWay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &fakeRouting{table: 50, records: testPeers(1, 2*MaxProviders)}
		r := newFake(t, newFakeHost(), f.option)
		var b basket
		topic := join(t, r, testKey(1), Mode{Lookup: true}, b.put)
		if err := topic.Flushed(t.Context()); err != nil {
			t.Fatal(err)
		}
		time.Sleep(2 * MinLookupInterval)
		synctest.Wait()
		distinct := map[peer.ID]bool{}
		for _, c := range b.take() {
			distinct[c.ID] = true
		}
		if len(distinct) != 2*MaxProviders {
			t.Errorf("two rounds found %d peers, want %d", len(distinct), 2*MaxProviders)
		}
	})
}

func TestFloodOfProvidersIsNotNew(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &fakeRouting{table: 50}
		r := newFake(t, newFakeHost(), f.option)
		join(t, r, testKey(1), Mode{Lookup: true}, nil)
		for i := range 400 { // other made-up peers in every minute
			f.set(func(f *fakeRouting) { f.records = testPeers(1+10*i, 10+10*i) })
			time.Sleep(time.Minute)
		}
		synctest.Wait()
		_, lookups := f.times()
		if len(lookups) > 60 {
			t.Errorf("%d lookups in 400 min", len(lookups))
		}
	})
}

func TestLookupWithoutRouters(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newFakeHost()
		f := &fakeRouting{records: testPeers(1, 1)} // found in the node's own store
		r := newFake(t, h, f.option)
		var b basket
		topic := join(t, r, testKey(1), Mode{Lookup: true}, b.put)
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		if err := topic.Flushed(ctx); !errors.Is(err, ErrNoRouters) {
			t.Errorf("Flushed = %v, want ErrNoRouters", err)
		}
		synctest.Wait()
		if len(b.take()) == 0 || f.bootstraps == 0 {
			t.Errorf("candidates not handed out, or %d bootstraps", f.bootstraps)
		}
		f.set(func(f *fakeRouting) { f.table = 1 })
		h.meet(t, "/cobox/kad/1.0.0")
		if err := topic.Flushed(t.Context()); err != nil {
			t.Error(err)
		}
	})
}

func TestLookupTimeout(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &fakeRouting{table: 50, took: time.Hour, records: testPeers(1, 1)}
		r := newFake(t, newFakeHost(), f.option)
		var b basket
		topic := join(t, r, testKey(1), Mode{Lookup: true}, b.put)
		time.Sleep(LookupTimeout + 100*time.Millisecond)
		synctest.Wait()
		if err := topic.Status().Lookup.Err; !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("err = %v", err)
		}
		if len(b.take()) != 1 {
			t.Error("what was found before the timeout wasn't handed out")
		}
	})
}

func TestRememberedAndStaticPeers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		book, err := OpenBook(filepath.Join(t.TempDir(), "peers.json"), nil)
		if err != nil {
			t.Fatal(err)
		}
		for n := range MaxRecalled + 2 {
			book.Seen(testKey(1), testPeer(n), time.Now().Add(time.Duration(n)*time.Second)) // peer 0 is the host itself
		}
		book.Seen(testKey(2), testPeer(50), time.Now())
		h := newFakeHost()
		h.net.connect(testID(60), true)
		var b, node basket
		r := newFake(t, h, WithBook(book), WithStatic(testPeer(60), testPeer(61), testPeer(0)), WithFound(node.put))
		topic := join(t, r, testKey(1), both, b.put)
		if err := topic.Flushed(t.Context()); err != nil { // no routing: nothing to announce to
			t.Fatal(err)
		}
		found := b.take()
		if len(found) != MaxRecalled || found[0].ID != testID(MaxRecalled+1) || found[0].Source != SourceBook {
			t.Errorf("%d remembered peers, first %v", len(found), found[0])
		}
		synctest.Wait()
		if got := node.take(); len(got) != 1 || got[0].ID != testID(61) || got[0].Source != SourceStatic {
			t.Errorf("static peers %v", got)
		}
		h.net.connect(testID(60), false)
		time.Sleep(2 * StaticInterval)
		if got := node.take(); len(got) < 2 {
			t.Errorf("static peers after two intervals: %v", got)
		}
		if s := r.Status(); s.Routing || s.Routers != -1 {
			t.Errorf("status = %+v", s)
		}
	})
}
