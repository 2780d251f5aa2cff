package host

import (
	"bytes"
	"context"
	"crypto/rand"
	"slices"
	"testing"

	"github.com/libp2p/go-libp2p"
	"github.com/libp2p/go-libp2p/core/crypto"
	"github.com/libp2p/go-libp2p/core/host"
	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/p2p/protocol/circuitv2/client"
	"github.com/libp2p/go-libp2p/p2p/protocol/circuitv2/relay"
	"github.com/multiformats/go-multiaddr"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/cobox-p2p/cobox-p2p/multifeed"
)

func TestEachTransport(t *testing.T) {
	for _, c := range []struct{ listen, transport, security string }{
		{"/ip4/127.0.0.1/tcp/0", "tcp", "/tls/1.0.0"},
		{"/ip4/127.0.0.1/udp/0/quic-v1", "quic", ""},
		{"/ip4/127.0.0.1/tcp/0/ws", "ws", "/tls/1.0.0"},
	} {
		t.Run(c.transport, func(t *testing.T) {
			checkLeaks(t)
			secret := multifeed.NewSecret()
			a := newNodeOn(t, newTestHost(t, nil, WithListen(c.listen)))
			b := newNodeOn(t, newTestHost(t, nil, WithListen(c.listen)))
			ma := a.join(secret)
			sb := b.open(secret, multifeed.WithAbout(multifeed.About{Name: "bob"}))
			if _, err := b.net.Join(sb); err != nil {
				t.Fatal(err)
			}
			if err := ma.Connect(within(t), b.info()); err != nil {
				t.Fatal(err)
			}
			expect(t, sb, write(t, ma.Space(), "0"), 0, "0")
			expect(t, ma.Space(), write(t, sb, "1"), 0, "1")
			p := ma.Peers()[0]
			if p.ID != b.host.ID() || p.Transport != c.transport || p.Security != c.security ||
				p.Direction != network.DirOutbound || p.Limited || p.Sent == 0 || p.Received == 0 ||
				p.About.Name != "bob" || p.Session == nil || p.Since.IsZero() {
				t.Errorf("peer %+v", p)
			}
			if got := a.net.Peers(); len(got) != 1 || !slices.Equal(got[0].Spaces, p.Spaces) {
				t.Errorf("the networker's peers: %+v", got)
			}
		})
	}
}

// A relayed connection carries the session without blocks, and a direct one
// takes its place.
func TestRelayedThenDirect(t *testing.T) {
	for _, smaller := range []string{"dials", "is dialled"} {
		t.Run("smaller ID "+smaller, func(t *testing.T) {
			checkLeaks(t)
			relayed := newTestHost(t, nil)
			service, err := relay.New(relayed)
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { service.Close() })
			keys := newKeys(t, 2)
			if smaller == "dials" {
				slices.Reverse(keys)
			}
			b, a := newNode(t, keys[0]), newNode(t, keys[1])
			for _, n := range []*node{a, b} {
				if err := n.host.Connect(within(t), peer.AddrInfo{ID: relayed.ID(), Addrs: relayed.Addrs()}); err != nil {
					t.Fatal(err)
				}
			}
			if _, err := client.Reserve(within(t), b.host, peer.AddrInfo{ID: relayed.ID(), Addrs: relayed.Addrs()}); err != nil {
				t.Fatal(err)
			}
			circuit := multiaddr.StringCast("/p2p/" + relayed.ID().String() + "/p2p-circuit")
			through := relayed.Addrs()[0].Encapsulate(circuit)
			secret := multifeed.NewSecret()
			ma, mb := a.join(secret), b.join(secret)
			feed := write(t, ma.Space(), "0")
			if err := ma.Connect(within(t), peer.AddrInfo{ID: b.host.ID(), Addrs: []multiaddr.Multiaddr{through}}); err != nil {
				t.Fatal(err)
			}
			waitSame(t, ma, mb)
			if p := ma.Peers()[0]; !p.Limited || p.Transport != "relay" {
				t.Fatalf("peer %+v, want one over a relay", p)
			}
			if err := mb.Space().WaitExchanged(within(t)); err != nil {
				t.Fatal(err)
			}
			f, err := mb.Space().Feed(feed)
			if err != nil || f.KnownLength() != 1 || f.Length() != 0 {
				t.Errorf("over the relay the feed is %v, %v", f, err)
			}
			// The direct connection, as hole punching makes it.
			events := watchEvents(t, a.net)
			a.host.Peerstore().AddAddrs(b.host.ID(), b.host.Addrs(), 1<<40)
			ctx := network.WithForceDirectDial(within(t), "test")
			if _, err := a.host.Network().DialPeer(ctx, b.host.ID()); err != nil {
				t.Fatal(err)
			}
			expect(t, mb.Space(), feed, 0, "0")
			ra, rb := waitSame(t, ma, mb)
			if ra.limited || rb.limited {
				t.Error("the relayed stream was kept")
			}
			if n := events.count(PeerRemoved) + events.count(PeerAdded); n != 0 {
				t.Errorf("changing over to the direct connection: %s", events.list())
			}
		})
	}
}

// A peer that comes back on another port is found again: a new process replaces
// what is left of the old one.
func TestRestartOnAnotherPort(t *testing.T) {
	checkLeaks(t)
	secret := multifeed.NewSecret()
	key, _, err := crypto.GenerateEd25519Key(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	a := newNode(t, nil)
	ma := a.join(secret)
	b := newNode(t, key)
	mb := b.join(secret)
	if err := mb.Connect(within(t), a.info()); err != nil {
		t.Fatal(err)
	}
	first, _ := waitSame(t, ma, mb)
	events := watchEvents(t, a.net)
	b.host.Close()
	events.until(within(t), PeerRemoved, ma, b.host.ID())
	// Nobody is there now: the old address goes into the swarm's backoff.
	if err := ma.Connect(within(t), b.info()); err == nil {
		t.Fatal("connected to a closed host")
	}
	c := newNode(t, key)
	mc := c.join(secret)
	if err := ma.Connect(within(t), c.info()); err != nil {
		t.Fatal(err)
	}
	again, _ := waitSame(t, ma, mc)
	if again.opened.Remote.Process == first.opened.Remote.Process {
		t.Error("the restarted peer has the process bytes of before")
	}
	expect(t, mc.Space(), write(t, ma.Space(), "0"), 0, "0")
}

// A host that is not ours: nothing of NewHost is needed.
func TestForeignHost(t *testing.T) {
	checkLeaks(t)
	secret := multifeed.NewSecret()
	var nodes []*node
	for range 2 {
		key, _, err := crypto.GenerateECDSAKeyPair(rand.Reader)
		if err != nil {
			t.Fatal(err)
		}
		h, err := libp2p.New(libp2p.ListenAddrStrings(localTCP), libp2p.Identity(key), libp2p.DisableMetrics())
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { h.Close() })
		nodes = append(nodes, newNodeOn(t, h))
	}
	ma, mb := nodes[0].join(secret), nodes[1].join(secret)
	if err := ma.Connect(within(t), nodes[1].info()); err != nil {
		t.Fatal(err)
	}
	expect(t, mb.Space(), write(t, ma.Space(), "0"), 0, "0")
}

func TestHostOptions(t *testing.T) {
	checkLeaks(t)
	ecdsa, _, err := crypto.GenerateECDSAKeyPair(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	for name, o := range map[string]HostOption{
		"no key": WithIdentity(nil), "another kind of key": WithIdentity(ecdsa), "address": WithListen("here"),
		"connections": WithConnLimits(2, 1), "short key": WithPrivateNetwork(make([]byte, 31)),
		"long key": WithPrivateNetwork(make([]byte, 33)), "memory": WithHostMemory(64<<20 - 1),
	} {
		if h, err := NewHost(o); err == nil {
			h.Close()
			t.Errorf("%s: no error", name)
		}
	}
	registry := prometheus.NewRegistry()
	h := newTestHost(t, nil, WithListen(localTCP, "/ip4/127.0.0.1/udp/0/quic-v1", "/ip4/127.0.0.1/tcp/0/ws"),
		WithHostMetrics(registry), WithConnLimits(1, 2), WithHostMemory(256<<20), WithRelayService(),
		WithAnnounceAddrs("/dns4/example.com/tcp/4001"))
	if n := len(listening(h)); n != 3 {
		t.Errorf("%d addresses are listened on, want 3", n)
	}
	if !multiaddr.Contains(h.Addrs(), multiaddr.StringCast("/dns4/example.com/tcp/4001")) {
		t.Errorf("addresses %v", h.Addrs())
	}
	if got, err := registry.Gather(); err != nil || len(got) == 0 {
		t.Errorf("%d metrics, %v", len(got), err)
	}
	silent := newTestHost(t, nil, WithListen())
	if len(silent.Addrs()) != 0 {
		t.Errorf("a host without listeners has %v", silent.Addrs())
	}
	if err := silent.Connect(within(t), peer.AddrInfo{ID: h.ID(), Addrs: h.Addrs()[:1]}); err != nil {
		t.Errorf("it can't dial: %v", err)
	}
}

func TestPrivateNetwork(t *testing.T) {
	checkLeaks(t)
	with := func(key byte) host.Host {
		return newTestHost(t, nil, WithPrivateNetwork(bytes.Repeat([]byte{key}, 32)),
			WithListen(localTCP, "/ip4/127.0.0.1/udp/0/quic-v1"))
	}
	a, b, outside := with(1), with(1), with(2)
	if n := len(listening(a)); n != 1 {
		t.Errorf("%d addresses are listened on, want the one of TCP", n)
	}
	if err := a.Connect(within(t), peer.AddrInfo{ID: b.ID(), Addrs: b.Addrs()}); err != nil {
		t.Errorf("with the same key: %v", err)
	}
	if err := outside.Connect(within(t), peer.AddrInfo{ID: b.ID(), Addrs: b.Addrs()}); err == nil {
		t.Error("with another key: connected")
	}
}

// Room for one stream a space and peer, which the usual limits do not give.
func TestManySpacesWithOnePeer(t *testing.T) {
	checkLeaks(t)
	for _, listen := range []string{localTCP, "/ip4/127.0.0.1/udp/0/quic-v1"} {
		a := newTestHost(t, nil, WithListen(listen))
		b := newTestHost(t, nil, WithListen(listen))
		b.SetStreamHandler(ProtocolMultifeed, func(s network.Stream) { s.Write([]byte{1}) })
		if err := a.Connect(within(t), peer.AddrInfo{ID: b.ID(), Addrs: b.Addrs()}); err != nil {
			t.Fatal(err)
		}
		for i := range MaxPeerStreams {
			s, err := a.NewStream(within(t), b.ID(), ProtocolMultifeed)
			if err == nil {
				s.Write([]byte{0})
				_, err = s.Read(make([]byte, 1))
			}
			if err != nil {
				t.Fatalf("%s: stream %d: %v", listen, i+1, err)
			}
		}
		ctx, cancel := context.WithCancel(within(t))
		if s, err := a.NewStream(ctx, b.ID(), ProtocolMultifeed); err == nil {
			s.Write([]byte{0})
			if _, err = s.Read(make([]byte, 1)); err == nil {
				t.Errorf("%s: stream %d was let in", listen, MaxPeerStreams+1)
			}
		}
		cancel()
	}
}

// listening returns where a host listens itself.
func listening(h host.Host) []multiaddr.Multiaddr {
	return slices.DeleteFunc(h.Network().ListenAddresses(), func(a multiaddr.Multiaddr) bool {
		return transportOf(a) == "relay"
	})
}
