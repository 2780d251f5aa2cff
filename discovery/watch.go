package discovery

import (
	"context"
	"slices"
	"strings"
	"time"

	"github.com/libp2p/go-libp2p/core/event"
	"github.com/libp2p/go-libp2p/core/protocol"
	"github.com/libp2p/go-libp2p/p2p/host/eventbus"
	"github.com/multiformats/go-multiaddr"
	"github.com/multiformats/go-multihash"
)

// How the rendezvous answers changes of the network.
const (
	addrSettle   = 2 * time.Second        // addresses change in bursts
	routerSettle = 250 * time.Millisecond // until a DHT node just met is in the routing table
	renewSettle  = 5 * time.Second
	// smallTable is the size of a routing table, one bucket, up to which all of a
	// DHT's nodes know each other. In so small a DHT a record may lie on one node
	// that forgets it when it restarts, so keys are announced anew when a DHT
	// node comes.
	smallTable = 20
	// Keys are announced out of turn at most renewBurst times and then once in
	// each renewInterval.
	renewBurst    = 3
	renewInterval = 10 * time.Minute
	// What failed is repeated out of turn as peers come, at most retryBurst times
	// and then once in each retryInterval.
	retryBurst    = 8
	retryInterval = 5 * time.Second
	eventQueue    = 64 // events
)

// kadSuffix ends the protocol of every Kad-DHT, whatever its prefix.
const kadSuffix = "/kad/1.0.0"

// watch is what the rendezvous remembers of the host's events.
type watch struct {
	renewing *job // announces all keys anew
	retrying *job // repeats what failed
	settling *job // announces anew if the DHT is small

	settle   time.Duration // addrSettle
	renewals bucket        // used by renewing alone
	retries  bucket        // used by retrying alone
	addrs    []string      // this node's, sorted; used by the goroutine that reads events alone
}

// startWatch subscribes to the host's events and reads them until ctx is done.
func (r *Rendezvous) startWatch(ctx context.Context, settle time.Duration) error {
	events, err := r.host.EventBus().Subscribe([]any{
		new(event.EvtLocalAddressesUpdated),
		new(event.EvtPeerIdentificationCompleted),
		new(event.EvtPeerProtocolsUpdated),
	}, eventbus.BufSize(eventQueue), eventbus.Name("discovery"))
	if err != nil {
		return err
	}
	r.watch = &watch{
		renewals: bucket{burst: renewBurst, interval: renewInterval},
		retries:  bucket{burst: retryBurst, interval: retryInterval},
		addrs:    sortedAddrs(r.host.Addrs()),
		settle:   settle,
	}
	r.watch.renewing = newJob(laneNode, r.renewAll)
	r.watch.retrying = newJob(laneNode, r.retryFailed)
	r.watch.settling = newJob(laneNode, r.renewIfSmall)
	r.done.Go(func() {
		defer events.Close()
		for {
			select {
			case <-ctx.Done():
				return
			case e, ok := <-events.Out():
				if !ok {
					return
				}
				r.handle(e, time.Now())
			}
		}
	})
	return nil
}

func (r *Rendezvous) handle(e any, now time.Time) {
	switch e := e.(type) {
	case event.EvtLocalAddressesUpdated:
		addrs := make([]multiaddr.Multiaddr, 0, len(e.Current))
		for _, a := range e.Current {
			addrs = append(addrs, a.Address)
		}
		if r.watch.moved(addrs) {
			r.jobs.ask(r.watch.renewing, now.Add(r.watch.settle))
			if r.lan != nil {
				r.jobs.ask(r.lan.job, now.Add(r.watch.settle))
			}
		}
	case event.EvtPeerIdentificationCompleted:
		r.met(e.Protocols, now)
	case event.EvtPeerProtocolsUpdated:
		r.met(e.Added, now)
	}
}

// met notes that a peer with these protocols came.
func (r *Rendezvous) met(protocols []protocol.ID, now time.Time) {
	isRouter := func(p protocol.ID) bool { return strings.HasSuffix(string(p), kadSuffix) }
	if r.routing == nil || !slices.ContainsFunc(protocols, isRouter) {
		return
	}
	r.jobs.ask(r.watch.retrying, now.Add(routerSettle))
	r.jobs.ask(r.watch.settling, now.Add(renewSettle))
}

// moved says whether addrs differ from those told last.
func (w *watch) moved(addrs []multiaddr.Multiaddr) bool {
	sorted := sortedAddrs(addrs)
	if slices.Equal(sorted, w.addrs) {
		return false
	}
	w.addrs = sorted
	return true
}

func sortedAddrs(addrs []multiaddr.Multiaddr) []string {
	sorted := make([]string, 0, len(addrs))
	for _, a := range addrs {
		sorted = append(sorted, a.String())
	}
	slices.Sort(sorted)
	return slices.Compact(sorted)
}

// retryFailed repeats what failed because the DHT wasn't there, or returns when
// that is next allowed.
func (r *Rendezvous) retryFailed(context.Context) time.Time {
	now := time.Now()
	if at := r.watch.retries.take(now); at.After(now) {
		return at
	}
	for _, t := range r.Topics() {
		t.retry(now)
	}
	return time.Time{}
}

// renewIfSmall announces all keys anew when all of the DHT's nodes are known.
func (r *Rendezvous) renewIfSmall(context.Context) time.Time {
	if r.tableSize == nil || r.tableSize() > smallTable {
		return time.Time{}
	}
	r.jobs.ask(r.watch.renewing, time.Now())
	return time.Time{}
}

// renewAll announces all keys anew, or returns when that is next allowed.
func (r *Rendezvous) renewAll(context.Context) time.Time {
	now := time.Now()
	if at := r.watch.renewals.take(now); at.After(now) {
		return at
	}
	var swept []multihash.Multihash
	for _, t := range r.Topics() {
		if t.isSwept() {
			swept = append(swept, t.cid.Hash())
		}
		t.renew(now)
		t.stir()
	}
	if err := r.sweep.again(swept); err != nil {
		r.log.Debug("announcing by sweeps failed", "err", err)
	}
	return time.Time{}
}
