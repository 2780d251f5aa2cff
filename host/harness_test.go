package host

import (
	"context"
	"crypto/rand"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/libp2p/go-libp2p/core/connmgr"
	"github.com/libp2p/go-libp2p/core/crypto"
	"github.com/libp2p/go-libp2p/core/host"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/p2p/net/conngater"
	"github.com/multiformats/go-multiaddr"
	"go.uber.org/goleak"

	"github.com/cobox-p2p/cobox-p2p/hypercore"
	"github.com/cobox-p2p/cobox-p2p/hypercore/corestore"
	"github.com/cobox-p2p/cobox-p2p/hypercore/storage"
	"github.com/cobox-p2p/cobox-p2p/multifeed"
)

const localTCP = "/ip4/127.0.0.1/tcp/0"

// node is one side of the tests: a host, a store and a networker.
type node struct {
	t     testing.TB
	host  host.Host
	store *corestore.Store
	net   *Networker
}

// checkLeaks fails the test when a goroutine that it started outlives it. It is
// called first, so that it looks last.
func checkLeaks(t testing.TB) {
	t.Helper()
	running := goleak.IgnoreCurrent()
	t.Cleanup(func() { goleak.VerifyNone(t, running) })
}

// newKeys returns n identities whose peer IDs are in rising order.
func newKeys(t testing.TB, n int) []crypto.PrivKey {
	t.Helper()
	var keys []crypto.PrivKey
	var last peer.ID
	for len(keys) < n {
		key, _, err := crypto.GenerateEd25519Key(rand.Reader)
		if err != nil {
			t.Fatal(err)
		}
		id, err := peer.IDFromPrivateKey(key)
		if err != nil {
			t.Fatal(err)
		}
		// Keep room above for those to come.
		if id > last && (len(keys) == n-1 || id[8] < byte(255*(len(keys)+1)/n)) {
			keys, last = append(keys, key), id
		}
	}
	return keys
}

func newTestHost(t testing.TB, key crypto.PrivKey, more ...HostOption) host.Host {
	t.Helper()
	opts := []HostOption{WithListen(localTCP), WithoutPortMapping()}
	if key != nil {
		opts = append(opts, WithIdentity(key))
	}
	h, err := NewHost(append(opts, more...)...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { h.Close() })
	return h
}

func newNode(t testing.TB, key crypto.PrivKey, opts ...Option) *node {
	t.Helper()
	return newNodeOn(t, newTestHost(t, key), opts...)
}

func newNodeOn(t testing.TB, h host.Host, opts ...Option) *node {
	t.Helper()
	mem := storage.NewMemory()
	var master corestore.MasterKey
	rand.Read(master[:])
	n := &node{t: t, host: h, store: corestore.New(mem, master)}
	t.Cleanup(func() { n.store.Close(); mem.Close() })
	n.start(opts...)
	return n
}

// start gives the node a new networker, as a new process would.
func (n *node) start(opts ...Option) {
	n.t.Helper()
	net, err := New(n.host, opts...)
	if err != nil {
		n.t.Fatal(err)
	}
	n.net = net
	n.t.Cleanup(func() { net.Close() })
}

func (n *node) info() peer.AddrInfo { return peer.AddrInfo{ID: n.host.ID(), Addrs: n.host.Addrs()} }

func (n *node) open(secret multifeed.Secret, opts ...multifeed.Option) *multifeed.Space {
	n.t.Helper()
	s, err := multifeed.Open(n.store, secret.Address(), append(opts, multifeed.WithSecret(secret))...)
	if err != nil {
		n.t.Fatal(err)
	}
	n.t.Cleanup(func() { s.Close() })
	return s
}

func (n *node) join(secret multifeed.Secret, opts ...JoinOption) *Membership {
	n.t.Helper()
	m, err := n.net.Join(n.open(secret), opts...)
	if err != nil {
		n.t.Fatal(err)
	}
	return m
}

// within returns a context that outlasts every step that works.
func within(t testing.TB) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	t.Cleanup(cancel)
	return ctx
}

// events records what a networker tells, in order.
type events struct {
	t     testing.TB
	queue chan Event
	seen  []Event
}

func watchEvents(t testing.TB, n *Networker) *events {
	t.Helper()
	e := &events{t: t, queue: make(chan Event, 10_000)}
	t.Cleanup(n.Notify(func(v Event) { e.queue <- v }))
	return e
}

// until returns the first event that fits among those to come.
func (e *events) until(ctx context.Context, kind EventKind, m *Membership, id peer.ID) Event {
	e.t.Helper()
	for {
		select {
		case v := <-e.queue:
			e.seen = append(e.seen, v)
			if v.Kind == kind && (m == nil || v.Membership == m) && (id == "" || v.Peer == id) {
				return v
			}
		case <-ctx.Done():
			e.t.Fatalf("no event %q; seen: %s", kind, e.list())
		}
	}
}

// all returns every event until now.
func (e *events) all() []Event {
	for {
		select {
		case v := <-e.queue:
			e.seen = append(e.seen, v)
		default:
			return e.seen
		}
	}
}

func (e *events) count(kind EventKind) (n int) {
	for _, v := range e.all() {
		if v.Kind == kind {
			n++
		}
	}
	return n
}

func (e *events) list() (s string) {
	for _, v := range e.seen {
		s += fmt.Sprintf("%v(%v) ", v.Kind, v.Err)
	}
	return s
}

// write appends a block to the space's feed "log" of this node.
func write(t testing.TB, s *multifeed.Space, block string) hypercore.Key {
	t.Helper()
	w, err := s.Writer("log")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := w.Append(within(t), []byte(block)); err != nil {
		t.Fatal(err)
	}
	return w.Key()
}

// expect waits for a block of another node's feed.
func expect(t testing.TB, s *multifeed.Space, feed hypercore.Key, seq uint64, want string) {
	t.Helper()
	ctx := within(t)
	for f := range s.Watch(ctx) {
		if f.Key() != feed {
			continue
		}
		if got, err := f.Get(ctx, seq); err != nil || string(got) != want {
			t.Fatalf("Get(%d) = %q, %v, want %q", seq, got, err, want)
		}
		return
	}
	t.Fatalf("feed %.8s did not come", feed.Discovery())
}

// meet lets two hosts that dial each other end up with both connections: neither
// dials before the other is about to.
type meet struct {
	connmgr.ConnectionGater
	came *atomic.Int32
	both chan struct{}
}

// newMeeting returns what two hosts are given.
func newMeeting(t testing.TB) meet {
	t.Helper()
	g, err := conngater.NewBasicConnectionGater(nil)
	if err != nil {
		t.Fatal(err)
	}
	return meet{g, new(atomic.Int32), make(chan struct{})}
}

func (m meet) InterceptAddrDial(peer.ID, multiaddr.Multiaddr) bool {
	if m.came.Add(1) == 2 {
		close(m.both)
	}
	<-m.both
	return true
}

// connectTwice connects two nodes of one meeting over two connections.
func connectTwice(t *testing.T, a, b *node) {
	t.Helper()
	var both sync.WaitGroup
	both.Go(func() { connect(t, a, b) })
	both.Go(func() { connect(t, b, a) })
	both.Wait()
	for _, n := range [][2]*node{{a, b}, {b, a}} {
		if got := len(n[0].host.Network().ConnsToPeer(n[1].host.ID())); got != 2 {
			t.Fatalf("%d connections, want 2", got)
		}
	}
}
