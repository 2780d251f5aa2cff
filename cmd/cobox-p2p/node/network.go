package node

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"

	dht "github.com/libp2p/go-libp2p-kad-dht"
	p2phost "github.com/libp2p/go-libp2p/core/host"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/multiformats/go-multiaddr"

	"github.com/cobox-p2p/cobox-p2p/discovery"
	"github.com/cobox-p2p/cobox-p2p/host"
	"github.com/cobox-p2p/cobox-p2p/hypercore"
)

// network is everything of a node that talks to others.
type network struct {
	config     Config
	allow      func(peer.ID) error // decides on peers
	log        *slog.Logger
	book       *discovery.Book
	host       p2phost.Host
	dht        *dht.IpfsDHT      // nil when off
	gossip     *discovery.Gossip // nil when off
	rendezvous *discovery.Rendezvous
	networker  *host.Networker

	table atomic.Pointer[dht.IpfsDHT]    // dht, for the host that is older than it
	found atomic.Pointer[host.Networker] // networker, for the rendezvous that is older than it
}

// openNetwork starts the network of a folder's identity, with the peers that allow
// returns nil for. It joins nothing.
func openNetwork(f *Folder, c Config, allow func(peer.ID) error) (*network, error) {
	n := &network{config: c, log: c.logger(), allow: allow}
	if err := n.open(f); err != nil {
		return nil, errors.Join(err, n.stopSessions(), n.close())
	}
	return n, nil
}

func (n *network) open(f *Folder) (err error) {
	if n.book, err = discovery.OpenBook(filepath.Join(f.Dir, bookFile), n.log); err != nil {
		return err
	}
	if n.host, err = host.NewHost(n.hostOptions(f)...); err != nil {
		return err
	}
	if err := n.openRendezvous(); err != nil {
		return err
	}
	opts := []host.Option{
		host.WithRendezvous(n.rendezvous), host.WithBook(n.book), host.WithLogger(n.log), host.WithAuthenticate(n.allow),
	}
	if n.gossip != nil {
		opts = append(opts, host.WithGossip(n.gossip))
	}
	if n.networker, err = host.New(n.host, opts...); err != nil {
		return err
	}
	n.found.Store(n.networker)
	return nil
}

func (n *network) hostOptions(f *Folder) []host.HostOption {
	opts := []host.HostOption{host.WithIdentity(f.Identity())}
	if len(n.config.Listen) > 0 {
		opts = append(opts, host.WithListen(n.config.Listen...))
		if onlyLoopback(n.config.Listen) {
			opts = append(opts, host.WithoutPortMapping())
		}
	}
	if len(n.config.Relay) > 0 {
		opts = append(opts, host.WithRelays(n.config.Relay...))
	}
	if n.config.RelayAuto {
		opts = append(opts, host.WithRelaySource(n.relays))
	}
	if n.config.RelayService {
		opts = append(opts, host.WithRelayService())
	}
	return opts
}

// onlyLoopback says whether no router could forward a port to the addresses.
func onlyLoopback(listen []string) bool {
	return !slices.ContainsFunc(listen, func(a string) bool {
		return !strings.HasPrefix(a, "/ip4/127.") && !strings.HasPrefix(a, "/ip6/::1/")
	})
}

func (n *network) openRendezvous() (err error) {
	opts := []discovery.Option{
		discovery.WithLogger(n.log),
		discovery.WithBook(n.book),
		discovery.WithStatic(n.config.Connect...),
		discovery.WithFound(func(c discovery.Candidate) {
			if w := n.found.Load(); w != nil {
				w.Found(c)
			}
		}),
	}
	if n.config.MDNS {
		opts = append(opts, discovery.WithMDNS())
	}
	if n.config.DHT.Kind != discovery.DHTOff {
		if n.dht, err = discovery.NewDHT(n.host, n.config.DHT); err != nil {
			return err
		}
		n.table.Store(n.dht)
		if err := n.dht.Bootstrap(context.Background()); err != nil {
			return fmt.Errorf("start the DHT: %w", err)
		}
		opts = append(opts, discovery.WithRouting(n.dht))
	}
	if n.config.Gossip {
		if n.gossip, err = discovery.NewGossip(n.host, n.log); err != nil {
			return err
		}
	}
	n.rendezvous, err = discovery.New(n.host, opts...)
	return err
}

// relays yields nodes of the DHT that may relay for this one.
func (n *network) relays(ctx context.Context, num int) <-chan peer.AddrInfo {
	out := make(chan peer.AddrInfo)
	go func() {
		defer close(out)
		d := n.table.Load()
		if d == nil {
			return
		}
		for _, id := range d.RoutingTable().ListPeers() {
			if num--; num < 0 {
				return
			}
			select {
			case out <- n.host.Peerstore().PeerInfo(id):
			case <-ctx.Done():
				return
			}
		}
	}()
	return out
}

// stopSessions ends all sessions and serves no more.
func (n *network) stopSessions() error {
	if n.networker == nil {
		return nil
	}
	return n.networker.Close()
}

// close ends discovery and then the host. The sessions are stopped already.
func (n *network) close() error {
	var errs []error
	if n.rendezvous != nil {
		errs = append(errs, n.rendezvous.Close())
	}
	if n.gossip != nil {
		errs = append(errs, n.gossip.Close())
	}
	if n.dht != nil {
		errs = append(errs, n.dht.Close())
	}
	if n.host != nil {
		errs = append(errs, n.host.Close())
	}
	if n.book != nil {
		errs = append(errs, n.book.Close())
	}
	return errors.Join(errs...)
}

// addresses returns where the node can be reached, each with its peer ID.
func (n *network) addresses() []string {
	all := []string{}
	self := multiaddr.StringCast("/p2p/" + n.host.ID().String())
	for _, a := range n.host.Addrs() {
		all = append(all, a.Encapsulate(self).String())
	}
	return all
}

func (n *network) status() (DHTStatus, MDNSStatus) {
	s := n.rendezvous.Status()
	d := DHTStatus{Mode: n.config.DHT.String(), State: "off"}
	if n.dht != nil {
		d.Nodes = max(s.Routers, 0)
		d.State = "connected to " + Count(d.Nodes, "node", "nodes")
		switch {
		case d.Nodes == 0 && n.config.DHT.Kind == discovery.DHTPrivate && len(n.config.DHT.Bootstrap) == 0:
			d.State = "no other node yet"
		case d.Nodes == 0:
			d.State = "no node is reachable: check the network and --bootstrap"
		}
	}
	m := MDNSStatus{On: n.config.MDNS, State: "off", Seen: s.LAN}
	if m.On {
		m.State = "running, " + Count(s.LAN, "peer", "peers") + " seen in the last hour"
		if s.MDNS.Err != nil {
			m.State = oneLine(Message(s.MDNS.Err))
		}
	}
	return d, m
}

// peer returns a peer with the names that the spaces have here.
func (n *network) peer(p host.Peer, names map[hypercore.DiscoveryKey]string) Peer {
	o := Peer{
		PeerID: p.ID.String(), Name: p.About.Name, Address: p.Addr.String(), Transport: p.Transport,
		Direction: strings.ToLower(p.Direction.String()), Relayed: p.Limited, Since: p.Since.UTC(),
		Sent: p.Sent, Received: p.Received, Spaces: []string{},
	}
	for _, dk := range p.Spaces {
		o.Spaces = append(o.Spaces, names[dk])
	}
	return o
}
