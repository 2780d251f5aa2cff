package multifeed

import (
	"context"
	"net"
	"os"
	"strconv"
	"testing"

	"github.com/cobox-p2p/cobox-p2p/hypercore"
	"github.com/cobox-p2p/cobox-p2p/hypercore/corestore"
	"github.com/cobox-p2p/cobox-p2p/hypercore/storage"
)

// BenchmarkFeeds moves feeds of one block each from one store on disk to another
// through a TCP connection on loopback, durable and acknowledged. COBOX_FEEDS says
// how many.
func BenchmarkFeeds(b *testing.B) {
	count := 10_000
	if n, err := strconv.Atoi(os.Getenv("COBOX_FEEDS")); err == nil {
		count = n
	}
	secret := NewSecret()
	for range b.N {
		b.StopTimer()
		from := storeBench(b)
		fillBench(b, from, secret, count)
		a := openBench(b, from, secret, count)
		z := openBench(b, storeBench(b), secret, count)
		b.StartTimer()
		meet(b, a, z, secret.Address())
		b.StopTimer()
	}
	b.ReportMetric(float64(count)*float64(b.N)/b.Elapsed().Seconds(), "feeds/s")
}

// BenchmarkEqualSets lets two nodes with the same feeds on disk meet.
func BenchmarkEqualSets(b *testing.B) {
	const count = 10_000
	secret := NewSecret()
	var stores [2]*storage.Store
	for i := range stores {
		stores[i] = storeBench(b)
		fillBench(b, stores[i], secret, count)
	}
	b.ResetTimer()
	for range b.N {
		b.StopTimer()
		a, z := openBench(b, stores[0], secret, count), openBench(b, stores[1], secret, count)
		b.StartTimer()
		meet(b, a, z, secret.Address())
	}
}

func storeBench(b *testing.B) *storage.Store {
	st, err := storage.Open(b.TempDir())
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { st.Close() })
	return st
}

func openBench(b *testing.B, st *storage.Store, secret Secret, count int) *Space {
	store := corestore.New(st, corestore.MasterKey{1})
	s, err := Open(store, secret.Address(), WithSecret(secret), WithMaxFeeds(count+1))
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { s.Close(); store.Close() })
	return s
}

// fillBench puts feeds of one block into a store, which nobody writes there.
func fillBench(b *testing.B, st *storage.Store, secret Secret, count int) {
	s := openBench(b, st, secret, count)
	feeds := make([]hypercore.FeedWrite, count)
	admissions := make([]Admission, count)
	onAllCores(count, func(i int) {
		feeds[i] = signedFeed(uint64(i)).write(1)
		admissions[i] = secret.Admit(feeds[i].Key)
	})
	_, err := s.AddAll(b.Context(), func(yield func(hypercore.Key, Admission) bool) {
		for i := range feeds {
			if !yield(feeds[i].Key, admissions[i]) {
				return
			}
		}
	})
	for n := 0; n < count && err == nil; n += 1000 {
		err = st.Commit(&hypercore.Batch{Feeds: feeds[n:min(n+1000, count)]})
	}
	if err != nil {
		b.Fatal(err)
	}
	s.Close()
}

// meet runs a session of two spaces until both are synced.
func meet(b *testing.B, a, z *Space, address Address) {
	ctx, cancel := context.WithCancel(b.Context())
	defer cancel()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	defer l.Close()
	done := make(chan struct{})
	go func() {
		defer close(done)
		c, err := l.Accept()
		if err != nil {
			return
		}
		defer c.Close()
		if o, err := Respond(ctx, c, Party{PeerID: []byte("a"), Features: Features()}, []byte("z"), func([32]byte) (Address, bool) { return address, true }); err == nil {
			a.Replicate(ctx, o)
		}
	}()
	c, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		b.Fatal(err)
	}
	defer c.Close()
	o, err := Initiate(ctx, c, Party{PeerID: []byte("z"), Features: Features()}, []byte("a"), address)
	if err != nil {
		b.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- z.Replicate(ctx, o) }()
	for _, s := range []*Space{z, a} {
		if p, err := s.WaitSynced(ctx); err != nil {
			b.Fatalf("%d feeds missing, %d not shared: %v", len(p.Missing), len(p.Unshared), err)
		}
	}
	b.StopTimer()
	cancel()
	<-ended
	<-done
	b.StartTimer()
}
