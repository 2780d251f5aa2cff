package host

import (
	"slices"
	"testing"
	"time"

	"github.com/libp2p/go-libp2p/core/peer"

	"github.com/cobox-p2p/cobox-p2p/discovery"
	"github.com/cobox-p2p/cobox-p2p/multifeed"
)

// joinDHT is how many nodes the DHT of BenchmarkJoin has.
const joinDHT = 20

// newDHTNode returns a node that takes part in a private DHT and finds peers there.
func newDHTNode(t testing.TB, bootstrap ...peer.AddrInfo) *node {
	t.Helper()
	h := newTestHost(t, nil)
	d, err := discovery.NewDHT(h, discovery.DHTConfig{Kind: discovery.DHTPrivate, Prefix: "/cobox-bench", Bootstrap: bootstrap})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { d.Close() })
	for _, b := range bootstrap {
		if err := h.Connect(within(t), b); err != nil {
			t.Fatal(err)
		}
	}
	for ctx := within(t); len(bootstrap) > 0 && d.RoutingTable().Size() == 0; {
		select {
		case err := <-d.RefreshRoutingTable(): // takes in whom it is connected to
			if err != nil {
				t.Log(err)
			}
		case <-ctx.Done():
			t.Fatal("the routing table stays empty")
		}
	}
	r, err := discovery.New(h, discovery.WithRouting(d))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { r.Close() })
	return newNodeOn(t, h, WithRendezvous(r))
}

// BenchmarkJoin measures how long a node of a private DHT of 20 nodes that knows
// one of them takes, from Join on, to its first peer in a space and to the first
// block of it. The space's other node announced it before.
func BenchmarkJoin(b *testing.B) {
	first := newDHTNode(b)
	for range joinDHT - 2 {
		newDHTNode(b, first.info())
	}
	seeder := newDHTNode(b, first.info())
	var toPeer, toBlock []time.Duration
	for b.Loop() {
		b.StopTimer()
		secret := multifeed.NewSecret()
		ms := seeder.join(secret)
		feed := write(b, ms.Space(), "first")
		if err := ms.Flushed(within(b)); err != nil {
			b.Fatal(err)
		}
		joiner := newDHTNode(b, first.info())
		space := joiner.open(secret)
		met := make(chan time.Time, 16)
		stop := joiner.net.Notify(func(e Event) {
			if e.Kind == PeerAdded {
				met <- time.Now()
			}
		})
		b.StartTimer()
		began := time.Now()
		m, err := joiner.net.Join(space)
		if err != nil {
			b.Fatal(err)
		}
		expect(b, space, feed, 0, "first")
		toBlock = append(toBlock, time.Since(began))
		toPeer = append(toPeer, (<-met).Sub(began))
		b.StopTimer()
		stop()
		m.Leave()
		ms.Leave()
		joiner.net.Close()
		joiner.host.Close()
		b.StartTimer()
	}
	b.ReportMetric(median(toPeer).Seconds()*1000, "ms/peer")
	b.ReportMetric(median(toBlock).Seconds()*1000, "ms/block")
}

func median(all []time.Duration) time.Duration {
	slices.Sort(all)
	return all[len(all)/2]
}
