package main

import (
	"context"
	"fmt"
	"path/filepath"
	"time"

	dht "github.com/libp2p/go-libp2p-kad-dht"
	libhost "github.com/libp2p/go-libp2p/core/host"
	"github.com/libp2p/go-libp2p/core/peer"

	"github.com/cobox-p2p/cobox-p2p/discovery"
	"github.com/cobox-p2p/cobox-p2p/host"
	"github.com/cobox-p2p/cobox-p2p/multifeed"
)

// serveDHT runs a private DHT. Its last node is a member of spaces, each of which
// has a block; others are told of the first.
func serveDHT(ctx context.Context, t task, m *meter) error {
	first, err := newHost()
	if err != nil {
		return err
	}
	defer first.Close()
	d, err := startDHT(ctx, first)
	if err != nil {
		return err
	}
	defer d.Close()
	at, err := where(first)
	if err != nil {
		return err
	}
	known := peer.AddrInfo{ID: first.ID(), Addrs: first.Addrs()}
	for range t.Nodes - 2 {
		h, err := newHost()
		if err != nil {
			return err
		}
		defer h.Close()
		d, err := startDHT(ctx, h, known)
		if err != nil {
			return err
		}
		defer d.Close()
	}
	member, err := startFinder(ctx, t.Dir, known)
	if err != nil {
		return err
	}
	defer member.close()
	if err := member.fillSpaces(ctx, t); err != nil {
		return err
	}
	for _, joined := range member.net.Spaces() {
		if err := joined.Flushed(ctx); err != nil {
			return err
		}
	}
	return m.report(at)
}

func startDHT(ctx context.Context, h libhost.Host, known ...peer.AddrInfo) (*dht.IpfsDHT, error) {
	config := discovery.DHTConfig{Kind: discovery.DHTPrivate, Prefix: "/cobox-bench", Bootstrap: known}
	d, err := discovery.NewDHT(h, config)
	if err != nil {
		return nil, err
	}
	if err := enterDHT(ctx, h, d, known); err != nil {
		d.Close()
		return nil, err
	}
	return d, nil
}

// enterDHT returns when the node is part of the DHT, as one that has run for a
// while is.
func enterDHT(ctx context.Context, h libhost.Host, d *dht.IpfsDHT, known []peer.AddrInfo) error {
	if err := d.Bootstrap(ctx); err != nil {
		return err
	}
	for _, p := range known {
		if err := h.Connect(ctx, p); err != nil {
			return err
		}
	}
	for len(known) > 0 && d.RoutingTable().Size() == 0 {
		if err := pause(ctx, 5); err != nil {
			return err
		}
	}
	if len(known) == 0 {
		return nil
	}
	select {
	case err := <-d.RefreshRoutingTable():
		return err
	case <-ctx.Done():
		return ctx.Err()
	}
}

// startFinder starts a node that is part of the DHT.
func startFinder(ctx context.Context, dir string, known peer.AddrInfo) (*node, error) {
	h, err := newHost()
	if err != nil {
		return nil, err
	}
	d, err := startDHT(ctx, h, known)
	if err != nil {
		h.Close()
		return nil, err
	}
	rv, err := discovery.New(h, discovery.WithRouting(d))
	if err != nil {
		d.Close()
		h.Close()
		return nil, err
	}
	n, err := startNodeOn(h, dir, host.WithRendezvous(rv))
	if err != nil {
		rv.Close()
		d.Close()
		h.Close()
		return nil, err
	}
	n.parts = []func() error{rv.Close, d.Close}
	return n, nil
}

// joinSpaces measures how long a node that is part of the DHT takes from joining a
// space to the first peer, and to the first block. Each space gets a new node.
func joinSpaces(ctx context.Context, t task, m *meter) error {
	known, err := t.From[0].info()
	if err != nil {
		return err
	}
	toPeer, toBlock := make([]time.Duration, t.Spaces), make([]time.Duration, t.Spaces)
	m.start()
	for i := range t.Spaces {
		n, err := startFinder(ctx, filepath.Join(t.Dir, fmt.Sprint(i)), known)
		if err != nil {
			return err
		}
		toPeer[i], toBlock[i], err = n.joinOne(ctx, numberedSecret(i))
		if closeErr := n.close(); err == nil {
			err = closeErr
		}
		if err != nil {
			return err
		}
	}
	r := m.read(t.Spaces)
	r.Latency, r.Later = latencyOf(toPeer), latencyOf(toBlock)
	return m.report(r)
}

func (n *node) joinOne(ctx context.Context, secret multifeed.Secret) (toPeer, toBlock time.Duration, err error) {
	met := make(chan time.Time, 1)
	stop := n.net.Notify(func(e host.Event) {
		if e.Kind == host.PeerAdded {
			select {
			case met <- time.Now():
			default:
			}
		}
	})
	defer stop()
	begun := time.Now()
	joined, err := n.join(secret, multifeed.WithSecret(secret))
	if err != nil {
		return 0, 0, err
	}
	for f := range joined.Space().Watch(ctx) {
		if _, err := f.Get(ctx, 0); err != nil {
			return 0, 0, err
		}
		break
	}
	toBlock = time.Since(begun)
	select {
	case at := <-met:
		return at.Sub(begun), toBlock, nil
	case <-ctx.Done():
		return 0, 0, ctx.Err()
	}
}
