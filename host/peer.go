package host

import (
	"cmp"
	"slices"
	"time"

	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/multiformats/go-multiaddr"

	"github.com/cobox-p2p/cobox-p2p/hypercore"
	"github.com/cobox-p2p/cobox-p2p/multifeed"
)

// Peer is a remote that sessions run with, as it was when it was asked for.
type Peer struct {
	ID        peer.ID
	Addr      multiaddr.Multiaddr // in use; of the remote
	Transport string              // "tcp", "quic", "ws", "wss", "webtransport", "webrtc" or "relay"; "" for any other
	Security  string              // "/tls/1.0.0", "/noise"; "" when the transport is its own, as with QUIC
	Direction network.Direction   // who opened the connection
	Limited   bool                // over a relay that carries no blocks
	Since     time.Time           // the oldest session began
	About     multifeed.About     // what the peer told of itself, which nobody verified
	// Sent and Received are the bytes of frames of the sessions that run.
	Sent, Received uint64
	// Session is the oldest that runs; nil while it begins.
	Session *multifeed.Session
	// Spaces are those that sessions run of, in the order in which they began.
	Spaces []hypercore.DiscoveryKey
}

// linked is a session that runs.
type linked struct {
	m     *Membership
	run   *run
	since time.Time
}

// Peers returns the peers that sessions run with, the oldest first.
func (n *Networker) Peers() []Peer {
	n.mu.Lock()
	var links []linked
	for _, m := range n.spaces {
		for _, l := range m.links {
			if l.cur != nil {
				links = append(links, linked{m, l.cur, l.since})
			}
		}
	}
	n.mu.Unlock()
	return peersOf(links)
}

// peersOf makes one Peer of all sessions with the same remote.
func peersOf(links []linked) []Peer {
	slices.SortFunc(links, func(a, b linked) int { return a.since.Compare(b.since) })
	var peers []Peer
	at := map[peer.ID]int{}
	for _, l := range links {
		i, ok := at[l.run.id]
		if !ok {
			i = len(peers)
			at[l.run.id] = i
			peers = append(peers, newPeer(l))
		}
		peers[i].add(l)
	}
	return peers
}

func newPeer(l linked) Peer {
	c := l.run.stream.Conn()
	return Peer{
		ID:        l.run.id,
		Addr:      c.RemoteMultiaddr(),
		Transport: transportOf(c.RemoteMultiaddr()),
		Security:  string(c.ConnState().Security),
		Direction: c.Stat().Direction,
		Limited:   l.run.limited,
		Since:     l.since,
	}
}

func (p *Peer) add(l linked) {
	p.Spaces = append(p.Spaces, l.m.key)
	x := l.run.session.Load()
	if x == nil {
		return
	}
	sent, received := x.Traffic()
	p.Sent += sent
	p.Received += received
	p.Session = cmp.Or(p.Session, x)
	if a := x.About(); p.About.Name == "" && p.About.Fields == nil {
		p.About = a
	}
}

// transportOf names the outermost way that an address takes.
func transportOf(a multiaddr.Multiaddr) string {
	names := []struct {
		code int
		name string
	}{
		{multiaddr.P_CIRCUIT, "relay"},
		{multiaddr.P_WEBTRANSPORT, "webtransport"},
		{multiaddr.P_WEBRTC_DIRECT, "webrtc"},
		{multiaddr.P_WSS, "wss"},
		{multiaddr.P_WS, "ws"},
		{multiaddr.P_QUIC_V1, "quic"},
		{multiaddr.P_TCP, "tcp"},
	}
	for _, t := range names {
		if _, err := a.ValueForProtocol(t.code); err == nil {
			return t.name
		}
	}
	return ""
}
