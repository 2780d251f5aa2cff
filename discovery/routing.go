package discovery

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/ipfs/go-cid"
	kbucket "github.com/libp2p/go-libp2p-kbucket"
	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/core/routing"
	"github.com/multiformats/go-multiaddr"
)

// Errors of a round, in words for whoever runs the node.
var (
	ErrNoRouters = errors.New("discovery: no DHT node is reachable: check the network and the bootstrap peers")
	ErrNoAddrs   = errors.New("discovery: this node has no address that may be announced: let it listen, or wait for a relay or port mapping")
)

// Limits of one round.
const (
	ProvideTimeout = 2 * time.Minute  // one announcement of one key
	LookupTimeout  = time.Minute      // one lookup of one key
	ResolveTimeout = 15 * time.Second // one search for a provider's addresses
)

// tableSizeOf returns a function that counts the routing table's entries, nil
// if r doesn't show its table.
func tableSizeOf(r routing.ContentRouting) func() int {
	d, ok := r.(interface {
		RoutingTable() *kbucket.RoutingTable
	})
	if !ok {
		return nil
	}
	return func() int { return d.RoutingTable().Size() }
}

// announcedAddrs returns the addresses that an announcement would carry.
func (r *Rendezvous) announcedAddrs() []multiaddr.Multiaddr {
	d, ok := r.routing.(interface{ FilteredAddrs() []multiaddr.Multiaddr })
	if ok {
		return d.FilteredAddrs()
	}
	return r.host.Addrs()
}

// alone says whether the routing table is known to be empty.
func (r *Rendezvous) alone() bool { return r.tableSize != nil && r.tableSize() == 0 }

// bootstrap asks the routing to reconnect to its bootstrap peers. It doesn't
// wait for them.
func (r *Rendezvous) bootstrap(ctx context.Context) {
	b, ok := r.routing.(interface{ Bootstrap(context.Context) error })
	if !ok {
		return
	}
	if err := b.Bootstrap(ctx); err != nil {
		r.log.Debug("bootstrap failed", "err", err)
	}
}

// provide announces key once. A DHT stores nothing, and reports success, when
// there is no address to announce, so that is refused here.
func (r *Rendezvous) provide(ctx context.Context, key cid.Cid) error {
	if len(r.announcedAddrs()) == 0 {
		return ErrNoAddrs
	}
	ctx, cancel := context.WithTimeout(ctx, ProvideTimeout)
	defer cancel()
	err := r.routing.Provide(ctx, key, true)
	switch {
	case err == nil:
		return nil
	case errors.Is(err, kbucket.ErrLookupFailure) || r.alone():
		r.bootstrap(ctx)
		return ErrNoRouters
	case errors.Is(err, context.DeadlineExceeded):
		return fmt.Errorf("announce: not done within %v: %w", ProvideTimeout, err)
	}
	return fmt.Errorf("announce: %w", err)
}

// findProviders calls each for the providers of key as they are found, until
// it returns false. Peers are as the routing tells them, this node included.
func (r *Rendezvous) findProviders(ctx context.Context, key cid.Cid, each func(peer.AddrInfo) bool) error {
	alone := r.alone()
	if alone {
		r.bootstrap(ctx)
	}
	ctx, cancel := context.WithTimeout(ctx, LookupTimeout)
	defer cancel()
	found := r.routing.FindProvidersAsync(ctx, key, 0)
	enough := false
	for provider := range found {
		if !enough && !each(provider) {
			enough = true
			cancel() // and drain, so that the search isn't left blocked
		}
	}
	switch {
	case enough:
		return nil
	case ctx.Err() != nil:
		return fmt.Errorf("look up: not done within %v: %w", LookupTimeout, ctx.Err())
	case alone && r.alone():
		return ErrNoRouters
	}
	return nil
}

// resolve returns addresses of a provider whose record held none, and whether
// it can be reached at all.
func (r *Rendezvous) resolve(ctx context.Context, id peer.ID) ([]multiaddr.Multiaddr, bool) {
	if known := trimAddrs(id, r.host.Peerstore().Addrs(id)); len(known) > 0 {
		return known, true
	}
	if r.connected(id) {
		return nil, true
	}
	peers, ok := r.routing.(routing.PeerRouting)
	if !ok {
		return nil, false
	}
	ctx, cancel := context.WithTimeout(ctx, ResolveTimeout)
	defer cancel()
	info, err := peers.FindPeer(ctx, id)
	if err != nil {
		r.log.Debug("provider not resolved", "peer", id, "err", err)
		return nil, false
	}
	addrs := trimAddrs(id, info.Addrs)
	return addrs, len(addrs) > 0
}

func (r *Rendezvous) connected(id peer.ID) bool {
	return r.host.Network().Connectedness(id) == network.Connected
}
