package host

import (
	"fmt"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/cobox-p2p/cobox-p2p/discovery"
	"github.com/cobox-p2p/cobox-p2p/hypercore"
	"github.com/cobox-p2p/cobox-p2p/multifeed"
)

// seed joins a space with its address alone.
func (n *node) seed(secret multifeed.Secret) *Membership {
	n.t.Helper()
	s, err := multifeed.Open(n.store, secret.Address())
	if err != nil {
		n.t.Fatal(err)
	}
	n.t.Cleanup(func() { s.Close() })
	m, err := n.net.Join(s)
	if err != nil {
		n.t.Fatal(err)
	}
	return m
}

// link connects a member of a space with another node of it.
func linkUp(t *testing.T, m *Membership, to *node) {
	t.Helper()
	if err := m.Connect(within(t), to.info()); err != nil {
		t.Fatal(err)
	}
}

// synced waits until all that is known is here, and ours with one peer.
func synced(t *testing.T, ms ...*Membership) {
	t.Helper()
	for i, m := range ms {
		if p, err := m.space.WaitSynced(within(t)); err != nil {
			t.Fatalf("node %d is not synced: %+v, %v", i, p, err)
		}
	}
}

// gone ends a node as when its machine is switched off.
func (n *node) gone() {
	n.net.Close()
	n.host.Close()
}

// Thirty nodes that join a space at once, each told of some others, all get what
// one of them wrote.
func TestThirtyJoinAtOnce(t *testing.T) {
	checkLeaks(t)
	secret := multifeed.NewSecret()
	nodes := make([]*node, 30)
	for i := range nodes {
		nodes[i] = newNode(t, nil)
	}
	members := make([]*Membership, len(nodes))
	for i, n := range nodes {
		members[i] = n.join(secret)
	}
	feed := write(t, members[0].Space(), "to all")
	for i, m := range members {
		for _, other := range []int{0, i / 2, (i + 1) % len(nodes), (i + 7) % len(nodes)} {
			m.found(discovery.Candidate{AddrInfo: nodes[other].info(), Source: discovery.SourceDHT})
		}
	}
	var all sync.WaitGroup
	for _, m := range members[1:] {
		all.Go(func() { expect(t, m.Space(), feed, 0, "to all") })
	}
	all.Wait()
}

// A peer that shares one of a hundred spaces has one session, and nothing of the
// others is offered to it.
func TestOneOfAHundredSpaces(t *testing.T) {
	checkLeaks(t)
	a, b := newNode(t, nil), newNode(t, nil)
	for range 99 {
		a.join(multifeed.NewSecret())
	}
	secret := multifeed.NewSecret()
	ma, mb := a.join(secret), b.join(secret)
	here, there := watchEvents(t, a.net), watchEvents(t, b.net)
	if err := b.net.Connect(within(t), a.info()); err != nil {
		t.Fatal(err)
	}
	expect(t, mb.Space(), write(t, ma.Space(), "0"), 0, "0")
	if n := openStreams(a); n != 1 {
		t.Errorf("%d streams", n)
	}
	for _, e := range []*events{here, there} {
		if n := e.count(Refused) + e.count(ReplicationError) + e.count(PeerRemoved); n != 0 {
			t.Errorf("the other spaces disturbed: %s", e.list())
		}
	}
	for _, m := range a.net.Spaces() {
		if got := m.Status(); m != ma && (got.Candidates != 0 || got.Peers != 0) {
			t.Errorf("a space that the peer lacks has status %+v", got)
		}
	}
}

// Joining and leaving again and again leaves no stream and no goroutine.
func TestJoinAndLeaveInALoop(t *testing.T) {
	checkLeaks(t)
	keys := newKeys(t, 2)
	a, b := newNode(t, keys[0]), newNode(t, keys[1])
	secret := multifeed.NewSecret()
	here, there := a.open(secret), b.open(secret)
	feed := write(t, there, "0")
	mb, err := b.net.Join(there)
	if err != nil {
		t.Fatal(err)
	}
	events := watchEvents(t, b.net)
	before := 0
	for i := range 100 {
		m, err := a.net.Join(here)
		if err != nil {
			t.Fatal(err)
		}
		linkUp(t, m, b)
		events.until(within(t), PeerAdded, mb, a.host.ID())
		expect(t, here, feed, 0, "0")
		if err := m.Leave(); err != nil {
			t.Fatal(err)
		}
		events.until(within(t), PeerRemoved, mb, a.host.ID())
		if n := openStreams(a); n != 0 {
			t.Fatalf("round %d: %d streams after leaving", i, n)
		}
		if i == 9 {
			before = runtime.NumGoroutine()
		}
	}
	if after := runtime.NumGoroutine(); after > before+20 {
		t.Errorf("%d goroutines after ten rounds, %d after a hundred", before, after)
	}
}

// A writer, two seeders and a reader in a chain: each is gone before the next but
// one comes, so that the reader never meets the writer.
func TestChainOfSeeders(t *testing.T) {
	checkLeaks(t)
	secret := multifeed.NewSecret()
	a, b, c, d := newNode(t, nil), newNode(t, nil), newNode(t, nil), newNode(t, nil)
	ma, mb, mc, md := a.join(secret), b.seed(secret), c.seed(secret), d.join(secret)
	feed := write(t, ma.Space(), "0")
	for i := range 9 {
		write(t, ma.Space(), fmt.Sprint(i+1))
	}
	linkUp(t, ma, b)
	synced(t, ma, mb)
	a.gone()
	linkUp(t, mb, c)
	synced(t, mb, mc)
	b.gone()
	linkUp(t, mc, d)
	for i := range uint64(10) {
		expect(t, md.Space(), feed, i, fmt.Sprint(i))
	}
}

// A writer, two between and a reader: what comes over two ways is stored once, and
// hardly asked for twice.
func TestDiamond(t *testing.T) {
	checkLeaks(t)
	const blocks = 200
	secret := multifeed.NewSecret()
	a, b, c, d := newNode(t, nil), newNode(t, nil), newNode(t, nil), newNode(t, nil)
	ma, mb, mc, md := a.join(secret), b.join(secret), c.seed(secret), d.join(secret)
	members := []*Membership{mb, mc, md}
	stored := make([]atomic.Uint64, len(members))
	for i, m := range members {
		t.Cleanup(m.space.Notify(func(e multifeed.Event) {
			if e.Kind == multifeed.BlocksStored {
				stored[i].Add(e.Span.Count)
			}
		}))
	}
	linkUp(t, ma, b)
	linkUp(t, ma, c)
	linkUp(t, mb, d)
	linkUp(t, mc, d)
	feed := write(t, ma.Space(), "0")
	for i := range blocks - 1 {
		write(t, ma.Space(), fmt.Sprint(i+1))
	}
	for i := range uint64(blocks) {
		expect(t, md.Space(), feed, i, fmt.Sprint(i))
	}
	synced(t, mb, mc, md)
	for i, m := range members {
		if n := stored[i].Load(); n != blocks {
			t.Errorf("node %d stored %d blocks of %d", i, n, blocks)
		}
		f, err := m.space.Feed(feed)
		if err != nil {
			t.Fatal(err)
		}
		if got := f.Stats().GotBlocks; got > blocks*11/10 {
			t.Errorf("node %d received %d blocks of %d", i, got, blocks)
		}
	}
}

// Two seeders that can read nothing keep a space for who comes when its writer is
// gone.
func TestTwoSeedersWithoutTheSecret(t *testing.T) {
	checkLeaks(t)
	secret := multifeed.NewSecret()
	w, s1, s2 := newNode(t, nil), newNode(t, nil), newNode(t, nil)
	mw, m1, m2 := w.join(secret), s1.seed(secret), s2.seed(secret)
	linkUp(t, m1, s2)
	linkUp(t, mw, s1) // the second gets it from the first
	feed := write(t, mw.Space(), "0")
	for i := range 19 {
		write(t, mw.Space(), fmt.Sprint(i+1))
	}
	awaitDurable(t, m2.space, feed, 20)
	w.gone()
	r := newNode(t, nil)
	mr := r.join(secret)
	for _, s := range []*node{s1, s2} {
		linkUp(t, mr, s)
	}
	for i := range uint64(20) {
		expect(t, mr.Space(), feed, i, fmt.Sprint(i))
	}
	synced(t, m1, m2, mr)
}

// awaitDurable returns when the space holds that many blocks of the feed.
func awaitDurable(t *testing.T, s *multifeed.Space, feed hypercore.Key, blocks uint64) {
	t.Helper()
	ctx := within(t)
	for {
		changed := s.Changed()
		if f, err := s.Feed(feed); err == nil && f.Durable() >= blocks {
			return
		}
		select {
		case <-changed:
		case <-ctx.Done():
			t.Fatalf("not %d blocks of feed %.8s", blocks, feed.Discovery())
		}
	}
}
