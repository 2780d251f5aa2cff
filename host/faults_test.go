package host

import (
	"crypto/rand"
	"fmt"
	"testing"

	"github.com/libp2p/go-libp2p/core/crypto"
	"github.com/libp2p/go-libp2p/core/peer"

	"github.com/cobox-p2p/cobox-p2p/discovery"
	"github.com/cobox-p2p/cobox-p2p/multifeed"
)

// W3: a space that one side lacks disturbs neither the others nor the
// connection, and leaves nothing running that could.
func TestW3ForeignSpacesDisturbNothing(t *testing.T) {
	checkLeaks(t)
	shared := multifeed.NewSecret()
	keys := newKeys(t, 2) // the smaller ID offers: no other stream takes its place
	a, b := newNode(t, keys[0]), newNode(t, keys[1])
	ms := a.join(shared)
	var foreign []*Membership
	for range 20 {
		foreign = append(foreign, a.join(multifeed.NewSecret()))
	}
	mb := b.join(shared)
	if err := ms.Connect(within(t), b.info()); err != nil {
		t.Fatal(err)
	}
	events := watchEvents(t, a.net)
	conn := a.host.Network().ConnsToPeer(b.host.ID())[0]
	r, _ := waitSame(t, ms, mb)
	for _, m := range foreign {
		if err := m.Connect(within(t), b.info()); multifeed.CodeOf(err) != multifeed.CodeRefused {
			t.Fatalf("offering a foreign space: %v, want %v", err, multifeed.CodeRefused)
		}
	}
	if err := a.net.Connect(within(t), b.info()); err != nil {
		t.Fatal(err)
	}
	expect(t, ms.Space(), write(t, mb.Space(), "0"), 0, "0")
	if n := openStreams(a); n != 1 {
		t.Errorf("%d streams for one shared space", n)
	}
	if n := events.count(PeerRemoved) + events.count(ReplicationError); n != 0 {
		t.Errorf("foreign spaces disturbed the shared one: %s", events.list())
	}
	if conn.IsClosed() || current(ms, b.host.ID()) != r {
		t.Error("connection or stream were replaced")
	}
	for _, m := range foreign {
		if try := m.Status().Tries[0]; try.Next.Before(try.At.Add(paceRefused.base / 2)) {
			t.Errorf("a refused space is offered again after %v", try.Next.Sub(try.At))
		}
	}
}

// W16: who has the same key is the same peer after a restart, on the loopback
// interface too.
func TestW16IdentityLasts(t *testing.T) {
	checkLeaks(t)
	key, _, err := crypto.GenerateEd25519Key(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	first := newTestHost(t, key)
	id := first.ID()
	first.Close()
	second := newTestHost(t, key)
	if second.ID() != id {
		t.Errorf("peer ID %v became %v", id, second.ID())
	}
	if other := newTestHost(t, nil); other.ID() == id {
		t.Error("two hosts without a given key are the same peer")
	}
}

// W17: a peer over two connections is added once, and removed once when its last
// session ends.
func TestW17DuplicateConnections(t *testing.T) {
	checkLeaks(t)
	secret := multifeed.NewSecret()
	meeting := WithGater(newMeeting(t))
	// Two hosts that dial each other from the ports that they listen on may meet in
	// one TCP connection, with two clients. Of TCP and WebSocket that can't come.
	a := newNodeOn(t, newTestHost(t, nil, meeting))
	b := newNodeOn(t, newTestHost(t, nil, meeting, WithListen("/ip4/127.0.0.1/tcp/0/ws")))
	connectTwice(t, a, b)
	events := watchEvents(t, a.net)
	ma, mb := a.join(secret), b.join(secret)
	for from, to := range map[*Membership]*node{ma: b, mb: a} {
		if err := from.Connect(within(t), to.info()); err != nil {
			t.Fatal(err)
		}
	}
	r, _ := waitSame(t, ma, mb)
	feed := write(t, ma.Space(), "0")
	expect(t, mb.Space(), feed, 0, "0")
	for _, c := range a.host.Network().ConnsToPeer(b.host.ID()) {
		if c.ID() != r.stream.Conn().ID() {
			c.Close() // the one that carries nothing
		}
	}
	write(t, ma.Space(), "1")
	expect(t, mb.Space(), feed, 1, "1")
	if n := events.count(PeerAdded); n != 1 || events.count(PeerRemoved) != 0 {
		t.Errorf("over two connections: %s", events.list())
	}
	if got := ma.Peers(); len(got) != 1 {
		t.Errorf("%d peers", len(got))
	}
	b.net.Close()
	events.until(within(t), PeerRemoved, ma, b.host.ID())
	if n := events.count(PeerRemoved); n != 1 {
		t.Errorf("removed %d times", n)
	}
}

// W19: a limit of peers is one of a space, and only proved peers count.
func TestW19MaxPeers(t *testing.T) {
	checkLeaks(t)
	full, other := multifeed.NewSecret(), multifeed.NewSecret()
	server := newNode(t, nil)
	m := server.join(full, WithSpaceMaxPeers(2))
	mo := server.join(other)
	stranger := newNode(t, nil)
	connect(t, stranger, server)
	knock(t, stranger, server, [32]byte{})
	var peers []*node
	for i := range 3 {
		p := newNode(t, nil)
		peers = append(peers, p)
		pm := p.join(full)
		err := pm.Connect(within(t), server.info())
		if i < 2 {
			if err != nil {
				t.Fatalf("peer %d: %v", i+1, err)
			}
			continue
		}
		// The refusal may come after our proof, when the session seems to run.
		events := watchEvents(t, p.net)
		if len(pm.Peers()) > 0 {
			events.until(within(t), PeerRemoved, pm, server.host.ID())
		}
		po := p.join(other)
		if err := po.Connect(within(t), server.info()); err != nil {
			t.Errorf("the other space: %v", err)
		}
		expect(t, mo.Space(), write(t, po.Space(), "0"), 0, "0")
	}
	if got := m.Status(); got.Peers != 2 || got.MaxPeers != 2 {
		t.Errorf("%d peers of %d", got.Peers, got.MaxPeers)
	}
	// Whom the owner names comes in beyond the limit.
	if err := m.Connect(within(t), peers[2].info()); err != nil {
		t.Errorf("by hand: %v", err)
	}
	if got := m.Status().Peers; got != 3 {
		t.Errorf("%d peers after one was named", got)
	}
}

// A peer that sends what does not verify is backed off for that space alone, and
// its own streams of that space are refused for the while.
func TestPeerAtFault(t *testing.T) {
	checkLeaks(t)
	bad, good := multifeed.NewSecret(), multifeed.NewSecret()
	keys := newKeys(t, 2)
	a, b := newNode(t, keys[0]), newNode(t, keys[1])
	ab, ag := a.join(bad), a.join(good)
	bb, bg := b.join(bad), b.join(good)
	for _, m := range []*Membership{ab, ag} {
		if err := m.Connect(within(t), b.info()); err != nil {
			t.Fatal(err)
		}
	}
	waitSame(t, ab, bb)
	events := watchEvents(t, a.net)
	r := current(ab, b.host.ID())
	fault := &multifeed.ProtocolError{Code: multifeed.CodeProof, Reason: "made up by the test"}
	r.end(fault)
	if got := events.until(within(t), ReplicationError, ab, b.host.ID()); got.Err != fault {
		t.Errorf("event with %v, want %v", got.Err, fault)
	}
	theirs := watchEvents(t, b.net)
	_ = bb.Connect(within(t), a.info())
	for len(bb.Peers()) > 0 {
		theirs.until(within(t), PeerRemoved, bb, a.host.ID())
	}
	if got := ab.Status(); got.Peers != 0 || got.Tries[0].Barred.IsZero() || got.Tries[0].Why == "" {
		t.Errorf("status after a fault: %+v", got)
	}
	expect(t, bg.Space(), write(t, ag.Space(), "0"), 0, "0")
}

func TestStatusTellsWhy(t *testing.T) {
	checkLeaks(t)
	a, b := newNode(t, nil), newNode(t, nil)
	m := a.join(multifeed.NewSecret())
	m.found(discovery.Candidate{AddrInfo: b.info(), Source: discovery.SourceDHT})
	if err := m.Flushed(within(t)); err != nil {
		t.Fatal(err)
	}
	got := m.Status()
	if len(got.Tries) != 1 {
		t.Fatalf("tries %+v", got.Tries)
	}
	try := got.Tries[0]
	if try.Peer.ID != b.host.ID() || try.Source != "dht" || try.Why != words[multifeed.CodeRefused] || try.Failures != 1 || try.Next.IsZero() {
		t.Errorf("try %+v", try)
	}
	for i := range 2 * maxStatusTries {
		m.found(discovery.Candidate{AddrInfo: peer.AddrInfo{ID: peer.ID(fmt.Sprint("nobody ", i))}})
	}
	if got := m.Status(); len(got.Tries) != maxStatusTries || got.Candidates != 1+2*maxStatusTries {
		t.Errorf("%d tries of %d candidates", len(got.Tries), got.Candidates)
	}
}
