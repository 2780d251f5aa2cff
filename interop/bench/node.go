package main

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"time"

	libhost "github.com/libp2p/go-libp2p/core/host"
	"github.com/libp2p/go-libp2p/core/peer"
	tls "github.com/libp2p/go-libp2p/p2p/security/tls"
	"github.com/multiformats/go-multiaddr"

	"github.com/cobox-p2p/cobox-p2p/host"
	"github.com/cobox-p2p/cobox-p2p/hypercore/corestore"
	"github.com/cobox-p2p/cobox-p2p/hypercore/storage"
	"github.com/cobox-p2p/cobox-p2p/multifeed"
)

// node is a program that embeds the libraries: a host that speaks TCP with TLS on
// loopback, a networker and a store on disk.
type node struct {
	host  libhost.Host
	net   *host.Networker
	disk  *storage.Store
	store *corestore.Store
	parts []func() error // closed between the networker and the host
}

// newHost returns a host as an integrator gets it, but for where it listens.
func newHost() (libhost.Host, error) {
	return host.NewHost(host.WithListen("/ip4/127.0.0.1/tcp/0"), host.WithoutPortMapping())
}

// startNode starts a node on a folder.
func startNode(dir string, opts ...host.Option) (*node, error) {
	h, err := newHost()
	if err != nil {
		return nil, err
	}
	n, err := startNodeOn(h, dir, opts...)
	if err != nil {
		h.Close()
	}
	return n, err
}

// startNodeOn is startNode with a host, which the node closes.
func startNodeOn(h libhost.Host, dir string, opts ...host.Option) (*node, error) {
	net, err := host.New(h, opts...)
	if err != nil {
		return nil, err
	}
	disk, err := storage.Open(filepath.Join(dir, storeName))
	if err != nil {
		net.Close()
		return nil, err
	}
	return &node{host: h, net: net, disk: disk, store: corestore.New(disk, corestore.MasterKey{1})}, nil
}

// close ends the node; the spaces that it joined are closed with it.
func (n *node) close() error {
	var spaces []*multifeed.Space
	for _, m := range n.net.Spaces() {
		spaces = append(spaces, m.Space())
	}
	errs := []error{n.net.Close()}
	for _, end := range n.parts {
		errs = append(errs, end())
	}
	errs = append(errs, n.host.Close())
	for _, s := range spaces {
		errs = append(errs, s.Close())
	}
	return errors.Join(append(errs, n.store.Close(), n.disk.Close())...)
}

// seed joins the space as somebody who was given its address alone.
func (n *node) seed(secret multifeed.Secret, feeds int) (*host.Membership, error) {
	return n.join(secret, multifeed.WithMaxFeeds(max(feeds, multifeed.MaxFeeds)))
}

func (n *node) join(secret multifeed.Secret, opts ...multifeed.Option) (*host.Membership, error) {
	space, err := multifeed.Open(n.store, secret.Address(), opts...)
	if err != nil {
		return nil, err
	}
	m, err := n.net.Join(space)
	if err != nil {
		space.Close()
	}
	return m, err
}

// where returns what others need to connect to the host.
func where(h libhost.Host) (remote, error) {
	for _, a := range h.Addrs() {
		port, err := a.ValueForProtocol(multiaddr.P_TCP)
		if err != nil {
			continue
		}
		r := remote{ID: h.ID().String()}
		_, err = fmt.Sscan(port, &r.Port)
		return r, err
	}
	return remote{}, errors.New("the host does not listen")
}

// info returns what libp2p wants to know of a peer.
func (r remote) info() (peer.AddrInfo, error) {
	id, err := peer.Decode(r.ID)
	if err != nil {
		return peer.AddrInfo{}, err
	}
	addr, err := multiaddr.NewMultiaddr(fmt.Sprintf("/ip4/127.0.0.1/tcp/%d", r.Port))
	return peer.AddrInfo{ID: id, Addrs: []multiaddr.Multiaddr{addr}}, err
}

// connect opens sessions of the space with all that answer. It returns when they
// stand.
func connect(ctx context.Context, m *host.Membership, from []remote) error {
	for _, r := range from {
		info, err := r.info()
		if err != nil {
			return err
		}
		if err := m.Connect(ctx, info); err != nil {
			return err
		}
	}
	for _, p := range m.Peers() {
		if p.Transport != "tcp" || p.Security != tls.ID {
			return fmt.Errorf("the connection is %s with %s, want TCP with TLS", p.Transport, p.Security)
		}
	}
	return nil
}

// pause waits, or returns the error of ctx.
func pause(ctx context.Context, ms int) error {
	select {
	case <-time.After(time.Duration(ms) * time.Millisecond):
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
