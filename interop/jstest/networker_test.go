package jstest

import (
	"context"
	"testing"

	"github.com/libp2p/go-libp2p/core/peer"

	"github.com/cobox-p2p/cobox-p2p/discovery"
	"github.com/cobox-p2p/cobox-p2p/host"
	"github.com/cobox-p2p/cobox-p2p/multifeed"
)

// newNetworker returns a networker on a default host in the DHT that boot is
// part of.
func newNetworker(t *testing.T, boot dhtNode) *host.Networker {
	t.Helper()
	h, err := host.NewHost(host.WithListen("/ip4/127.0.0.1/tcp/0"), host.WithoutPortMapping())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { h.Close() })
	d, err := discovery.NewDHT(h, discovery.DHTConfig{
		Kind: discovery.DHTPrivate, Prefix: prefix, Bootstrap: []peer.AddrInfo{boot.addrInfo()},
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { d.Close() })
	rv, err := discovery.New(h, discovery.WithRouting(d))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { rv.Close() })
	n, err := host.New(h, host.WithRendezvous(rv))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { n.Close() })
	return n
}

func join(t *testing.T, n *host.Networker, space *multifeed.Space, announce, lookup bool) *host.Membership {
	t.Helper()
	m, err := n.Join(space, host.WithMode(announce, lookup))
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// TestNetworkerIsFound has the JavaScript peer find a networker that only
// announces the space.
func TestNetworkerIsFound(t *testing.T) {
	ctx := within(t)
	access, text := member()
	boot := newDHTNode(t)
	there := newJS(ctx, t, text, boot, quietFor)
	space, here := newSpace(t, access), newNetworker(t, boot)
	exchange(ctx, t, space, there, func() {
		if err := join(t, here, space, true, false).Flushed(ctx); err != nil {
			t.Fatal(err)
		}
		there.call(ctx, "find", nil, nil)
	})
	there.stop(ctx)
}

// TestNetworkerFinds has a networker that only looks up the space find the
// JavaScript peer, and leave the space in the end.
func TestNetworkerFinds(t *testing.T) {
	ctx := within(t)
	access, text := member()
	boot := newDHTNode(t)
	there := newJS(ctx, t, text, boot, quietFor)
	space, here := newSpace(t, access), newNetworker(t, boot)
	var m *host.Membership
	exchange(ctx, t, space, there, func() {
		there.call(ctx, "announce", nil, nil)
		m = join(t, here, space, false, true)
	})
	if err := m.Leave(); err != nil {
		t.Fatal(err)
	}
	there.waitEvent(ctx, "ended")
	there.stop(ctx)
}

// TestBothDialAtOnce opens two streams of one space in the same moment, again
// and again. Both sides must keep the same one of them.
func TestBothDialAtOnce(t *testing.T) {
	ctx := within(t)
	access, text := member()
	boot := newDHTNode(t)
	there := newJS(ctx, t, text, boot, quietFor)
	space, here := newSpace(t, access), newNetworker(t, boot)
	address := dhtNode{host: here.Host()}.address(t)
	own, err := space.Writer("log")
	if err != nil {
		t.Fatal(err)
	}
	var blocks [][]byte
	for round := range 10 {
		m := join(t, here, space, false, false)
		dialed := make(chan error, 1)
		go func() {
			_, err := there.ask(ctx, "connect", map[string]any{"address": address})
			dialed <- err
		}()
		if err := m.Connect(ctx, there.addrInfo(t)); err != nil {
			t.Fatalf("round %d: Connect: %v", round, err)
		}
		if err := <-dialed; err != nil {
			t.Fatalf("round %d: %v", round, err)
		}
		blocks = append(blocks, small("round", round+1)[round])
		appendHere(ctx, t, own, blocks[round:])
		there.check(ctx, own, blocks)
		waitSessions(ctx, t, there, 1)
		if n := len(m.Peers()); n != 1 {
			t.Fatalf("round %d: %d peers, want 1", round, n)
		}
		if err := m.Leave(); err != nil {
			t.Fatal(err)
		}
		waitSessions(ctx, t, there, 0)
	}
	there.stop(ctx)
}

// waitSessions returns when the JavaScript peer has n sessions.
func waitSessions(ctx context.Context, t *testing.T, there *js, n int) {
	t.Helper()
	there.waitUntil(ctx, func(count func(string) int) bool { return count("session")-count("ended") == n })
}
