package host

import (
	"context"
	"errors"
	"path/filepath"
	"sync"
	"testing"

	"github.com/ipfs/go-cid"
	"github.com/libp2p/go-libp2p/core/host"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/cobox-p2p/cobox-p2p/discovery"
	"github.com/cobox-p2p/cobox-p2p/multifeed"
)

// board is a content routing that all nodes of a test share.
type board struct {
	mu        sync.Mutex
	providers map[cid.Cid][]peer.AddrInfo
}

// boardOf is the board as one host uses it.
type boardOf struct {
	*board
	host host.Host
}

func (b boardOf) Provide(_ context.Context, c cid.Cid, _ bool) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.providers[c] = append(b.providers[c], peer.AddrInfo{ID: b.host.ID(), Addrs: b.host.Addrs()})
	return nil
}

func (b boardOf) FindProvidersAsync(_ context.Context, c cid.Cid, _ int) <-chan peer.AddrInfo {
	b.mu.Lock()
	defer b.mu.Unlock()
	found := make(chan peer.AddrInfo, len(b.providers[c]))
	for _, p := range b.providers[c] {
		found <- p
	}
	close(found)
	return found
}

func (b *board) node(t *testing.T, book *discovery.Book, opts ...Option) *node {
	t.Helper()
	h := newTestHost(t, nil)
	r, err := discovery.New(h, discovery.WithRouting(boardOf{b, h}), discovery.WithBook(book))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { r.Close() })
	return newNodeOn(t, h, append(opts, WithRendezvous(r), WithBook(book))...)
}

func newBook(t *testing.T) *discovery.Book {
	t.Helper()
	b, err := discovery.OpenBook(filepath.Join(t.TempDir(), "book"), nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { b.Close() })
	return b
}

func TestRendezvous(t *testing.T) {
	checkLeaks(t)
	b := &board{providers: map[cid.Cid][]peer.AddrInfo{}}
	secret := multifeed.NewSecret()
	key := secret.Address().Discovery()
	book := newBook(t)
	announcer := b.node(t, newBook(t))
	ma := announcer.join(secret, WithMode(true, false))
	if err := ma.Flushed(within(t)); err != nil {
		t.Fatal(err)
	}
	seeker := b.node(t, book)
	ms := seeker.join(secret, WithMode(false, true))
	if err := ms.Flushed(within(t)); err != nil {
		t.Fatal(err)
	}
	waitSame(t, ma, ms)
	expect(t, ms.Space(), write(t, ma.Space(), "found"), 0, "found")
	if got := book.Peers(key); len(got) != 1 || got[0].ID != announcer.host.ID() {
		t.Errorf("the book has %v", got)
	}
	if n := len(b.providers); n != 1 {
		t.Errorf("%d keys were announced, want that of the space alone", n)
	}
	if n := len(b.providers[discovery.CID(key)]); n != 1 {
		t.Errorf("%d announcements, want the announcer's", n)
	}
	if got := ms.Status(); got.Rendezvous == nil || got.Rendezvous.Lookup.Done.IsZero() || got.Mode != (discovery.Mode{Lookup: true}) {
		t.Errorf("status %+v", got)
	}
	if err := ms.Configure(discovery.Mode{Announce: true}); err != nil {
		t.Fatal(err)
	}
	if err := ms.Flushed(within(t)); err != nil {
		t.Fatal(err)
	}
	if n := len(b.providers[discovery.CID(key)]); n != 2 {
		t.Errorf("%d announcements after the mode changed, want 2", n)
	}
	ms.Leave()
	if seeker.net.options.rendezvous.Topic(key) != nil {
		t.Error("the key is still looked up after Leave")
	}
}

// A key that something else on the node has joined is an error, and leaves
// nothing behind.
func TestJoinWithoutRendezvous(t *testing.T) {
	checkLeaks(t)
	b := &board{providers: map[cid.Cid][]peer.AddrInfo{}}
	n := b.node(t, newBook(t))
	secret := multifeed.NewSecret()
	topic, err := n.net.options.rendezvous.Join(secret.Address().Discovery(), discovery.Mode{}, nil)
	if err != nil {
		t.Fatal(err)
	}
	s := n.open(secret)
	if _, err := n.net.Join(s); !errors.Is(err, discovery.ErrJoined) {
		t.Errorf("Join = %v, want %v", err, discovery.ErrJoined)
	}
	if got := n.net.Spaces(); len(got) != 0 {
		t.Errorf("spaces %v after a failed Join", got)
	}
	topic.Leave()
	if _, err := n.net.Join(s); err != nil {
		t.Errorf("Join afterwards: %v", err)
	}
}

// A peer found for no space is dialled, and what the two share is found out.
func TestFoundForNoSpace(t *testing.T) {
	checkLeaks(t)
	secret := multifeed.NewSecret()
	a, b := newNode(t, nil), newNode(t, nil)
	ma, mb := a.join(secret), b.join(secret)
	a.net.Found(discovery.Candidate{AddrInfo: b.info(), Source: discovery.SourceMDNS})
	a.net.Found(discovery.Candidate{AddrInfo: a.info(), Source: discovery.SourceMDNS}) // itself: nothing
	expect(t, mb.Space(), write(t, ma.Space(), "0"), 0, "0")
}

// A networker that starts on hosts that are connected already finds out, too.
func TestStartsOnConnectedHosts(t *testing.T) {
	checkLeaks(t)
	secret := multifeed.NewSecret()
	a, b := newNode(t, nil), newNode(t, nil)
	a.net.Close()
	b.net.Close()
	connect(t, a, b)
	a.start()
	ma := a.join(secret)
	b.start()
	mb := b.join(secret)
	expect(t, mb.Space(), write(t, ma.Space(), "0"), 0, "0")
}

// A space that is joined before the larger ID knows what the connected peer
// speaks is not forgotten.
func TestJoinBeforeIdentify(t *testing.T) {
	checkLeaks(t)
	secret := multifeed.NewSecret()
	keys := newKeys(t, 2)
	a, b := newNode(t, keys[0]), newNode(t, keys[1])
	ma := a.join(secret)
	if err := a.net.Connect(within(t), b.info()); err != nil {
		t.Fatal(err)
	}
	// As it is before identify has run on this side.
	if err := b.host.Peerstore().RemoveProtocols(a.host.ID(), ProtocolSpaces); err != nil {
		t.Fatal(err)
	}
	mb := b.join(secret)
	if err := b.host.Peerstore().AddProtocols(a.host.ID(), ProtocolSpaces); err != nil {
		t.Fatal(err)
	}
	b.net.met(a.host.ID())
	expect(t, mb.Space(), write(t, ma.Space(), "0"), 0, "0")
}

func TestConnectToWhoHasNoNetworker(t *testing.T) {
	checkLeaks(t)
	a, b := newNode(t, nil), newNode(t, nil)
	b.net.Close()
	if err := a.net.Connect(within(t), b.info()); !errors.Is(err, ErrNotSpoken) {
		t.Errorf("Connect = %v, want %v", err, ErrNotSpoken)
	}
	if err := a.net.Connect(within(t), a.info()); !errors.Is(err, ErrSelf) {
		t.Errorf("Connect to itself = %v, want %v", err, ErrSelf)
	}
	if err := a.net.Connect(within(t), peer.AddrInfo{}); err == nil {
		t.Error("Connect to nobody: no error")
	}
}

func TestMetrics(t *testing.T) {
	checkLeaks(t)
	registry := prometheus.NewRegistry()
	secret := multifeed.NewSecret()
	a, b := newNode(t, nil, WithMetrics(registry)), newNode(t, nil)
	ma := a.join(secret)
	b.join(secret)
	if err := ma.Connect(within(t), b.info()); err != nil {
		t.Fatal(err)
	}
	knock(t, b, a, [32]byte{})
	want := map[string]float64{
		"cobox_host_spaces": 1, "cobox_host_peers": 1, "cobox_host_sessions": 1, "cobox_host_refused_total": 1,
	}
	all, err := registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, family := range all {
		m := family.Metric[0]
		if w, ok := want[family.GetName()]; ok && m.GetGauge().GetValue()+m.GetCounter().GetValue() != w {
			t.Errorf("%s = %v, want %v", family.GetName(), m, w)
		}
		delete(want, family.GetName())
	}
	if len(want) != 0 {
		t.Errorf("missing: %v", want)
	}
	a.net.Close()
	if all, err := registry.Gather(); err != nil || len(all) != 0 {
		t.Errorf("%d metrics after Close, %v", len(all), err)
	}
}
