package discovery

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"sync"
	"testing"
	"time"

	"github.com/ipfs/go-cid"
	"github.com/libp2p/go-libp2p/core/crypto"
	"github.com/libp2p/go-libp2p/core/event"
	"github.com/libp2p/go-libp2p/core/host"
	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/core/peerstore"
	"github.com/libp2p/go-libp2p/core/protocol"
	"github.com/libp2p/go-libp2p/p2p/host/eventbus"
	"github.com/multiformats/go-multiaddr"
	"github.com/multiformats/go-multihash"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// fakeHost is a host without a network, so that time can be virtual.
type fakeHost struct {
	host.Host
	id  peer.ID
	bus event.Bus
	net *fakeNetwork

	mu    sync.Mutex
	addrs []multiaddr.Multiaddr
	known map[peer.ID][]multiaddr.Multiaddr
}

type fakeNetwork struct {
	network.Network
	mu        sync.Mutex
	connected map[peer.ID]bool
}

type fakePeerstore struct {
	peerstore.Peerstore
	h *fakeHost
}

func newFakeHost() *fakeHost {
	return &fakeHost{
		id: testID(0), bus: eventbus.NewBus(), net: &fakeNetwork{connected: map[peer.ID]bool{}},
		addrs: []multiaddr.Multiaddr{addr("/ip4/127.0.0.1/tcp/4001")},
		known: map[peer.ID][]multiaddr.Multiaddr{},
	}
}

func (h *fakeHost) ID() peer.ID                    { return h.id }
func (h *fakeHost) EventBus() event.Bus            { return h.bus }
func (h *fakeHost) Network() network.Network       { return h.net }
func (h *fakeHost) Peerstore() peerstore.Peerstore { return fakePeerstore{h: h} }
func (h *fakeHost) Addrs() []multiaddr.Multiaddr {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.addrs
}
func (n *fakeNetwork) Connectedness(id peer.ID) network.Connectedness {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.connected[id] {
		return network.Connected
	}
	return network.NotConnected
}
func (n *fakeNetwork) connect(id peer.ID, is bool) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.connected[id] = is
}
func (p fakePeerstore) Addrs(id peer.ID) []multiaddr.Multiaddr {
	p.h.mu.Lock()
	defer p.h.mu.Unlock()
	return p.h.known[id]
}

// move gives the host other addresses and tells so.
func (h *fakeHost) move(t *testing.T, addrs ...string) {
	t.Helper()
	var e event.EvtLocalAddressesUpdated
	h.mu.Lock()
	h.addrs = nil
	for _, a := range addrs {
		h.addrs = append(h.addrs, addr(a))
		e.Current = append(e.Current, event.UpdatedAddress{Address: addr(a)})
	}
	h.mu.Unlock()
	emit(t, h, e)
}

// meet tells of a DHT node that was identified.
func (h *fakeHost) meet(t *testing.T, protocols ...protocol.ID) {
	t.Helper()
	emit(t, h, event.EvtPeerIdentificationCompleted{Peer: testID(99), Protocols: protocols})
}

func emit[E any](t *testing.T, h *fakeHost, e E) {
	t.Helper()
	emitter, err := h.bus.Emitter(new(E))
	if err != nil {
		t.Fatal(err)
	}
	defer emitter.Close()
	if err := emitter.Emit(e); err != nil {
		t.Fatal(err)
	}
}

// fakeRouting is a DHT in memory that does as it is told.
type fakeRouting struct {
	took time.Duration // how long every call takes

	mu         sync.Mutex
	table      int
	failure    error // of Provide
	records    []peer.AddrInfo
	addrs      map[peer.ID][]multiaddr.Multiaddr
	provided   []time.Time
	lookups    []time.Time
	resolved   []peer.ID
	bootstraps int
	busy, most [2]int // calls of Provide and FindProvidersAsync under way
	sent       int    // records read in the last lookup
}

func (f *fakeRouting) tableSize() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.table
}

// option gives the routing to a rendezvous, with the size of its table.
func (f *fakeRouting) option(c *config) error {
	c.routing, c.tableSize = f, f.tableSize
	return nil
}

func (f *fakeRouting) enter(i, by int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.busy[i] += by
	f.most[i] = max(f.most[i], f.busy[i])
}

func (f *fakeRouting) wait(ctx context.Context) error {
	if f.took == 0 {
		return ctx.Err()
	}
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(f.took):
		return nil
	}
}

func (f *fakeRouting) Provide(ctx context.Context, _ cid.Cid, _ bool) error {
	f.enter(0, 1)
	defer f.enter(0, -1)
	f.mu.Lock()
	f.provided = append(f.provided, time.Now())
	f.mu.Unlock()
	if err := f.wait(ctx); err != nil {
		return err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.failure
}

func (f *fakeRouting) FindProvidersAsync(ctx context.Context, _ cid.Cid, _ int) <-chan peer.AddrInfo {
	out := make(chan peer.AddrInfo)
	f.mu.Lock()
	f.lookups = append(f.lookups, time.Now())
	records := f.records
	f.sent = 0
	f.mu.Unlock()
	go func() {
		f.enter(1, 1)
		defer close(out)
		defer f.enter(1, -1)
		for _, p := range records {
			select {
			case out <- p:
				f.mu.Lock()
				f.sent++
				f.mu.Unlock()
			case <-ctx.Done():
				return
			}
		}
		f.wait(ctx)
	}()
	return out
}

func (f *fakeRouting) FindPeer(ctx context.Context, id peer.ID) (peer.AddrInfo, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.resolved = append(f.resolved, id)
	if addrs, ok := f.addrs[id]; ok {
		return peer.AddrInfo{ID: id, Addrs: addrs}, nil
	}
	return peer.AddrInfo{}, errors.New("no such peer")
}

func (f *fakeRouting) Bootstrap(context.Context) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.bootstraps++
	return nil
}

func (f *fakeRouting) set(change func(*fakeRouting)) {
	f.mu.Lock()
	defer f.mu.Unlock()
	change(f)
}

// times returns when keys were provided and looked up.
func (f *fakeRouting) times() (provided, lookups []time.Time) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return append([]time.Time(nil), f.provided...), append([]time.Time(nil), f.lookups...)
}

// basket gathers candidates.
type basket struct {
	mu  sync.Mutex
	all []Candidate
}

func (b *basket) put(c Candidate) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.all = append(b.all, c)
}

// take returns what was gathered since the last call.
func (b *basket) take() []Candidate {
	b.mu.Lock()
	defer b.mu.Unlock()
	all := b.all
	b.all = nil
	return all
}

func addr(s string) multiaddr.Multiaddr {
	a, err := multiaddr.NewMultiaddr(s)
	if err != nil {
		panic(err)
	}
	return a
}

// testID returns the n-th test peer's ID. Nobody has its key.
func testID(n int) peer.ID {
	hash, err := multihash.Sum(fmt.Append(nil, "peer ", n), multihash.SHA2_256, -1)
	if err != nil {
		panic(err)
	}
	return peer.ID(hash)
}

// keyedID returns the ID of a peer that has testPrivateKey(n).
func keyedID(n int) peer.ID {
	id, err := peer.IDFromPrivateKey(testPrivateKey(n))
	if err != nil {
		panic(err)
	}
	return id
}

func testPrivateKey(n int) crypto.PrivKey {
	key, _, err := crypto.GenerateEd25519Key(&seededReader{n: n})
	if err != nil {
		panic(err)
	}
	return key
}

type seededReader struct{ n int }

func (r *seededReader) Read(b []byte) (int, error) {
	sum := sha256.Sum256(fmt.Append(nil, "peer ", r.n))
	if len(b) > len(sum) {
		return 0, io.ErrShortBuffer
	}
	return copy(b, sum[:]), nil
}

// testPeer returns the n-th test peer with an address of its own.
func testPeer(n int) peer.AddrInfo {
	return peer.AddrInfo{ID: testID(n), Addrs: []multiaddr.Multiaddr{addr(fmt.Sprintf("/ip4/10.0.%d.%d/tcp/4001", n/256, n%256))}}
}

func testPeers(from, to int) []peer.AddrInfo {
	var all []peer.AddrInfo
	for n := from; n <= to; n++ {
		all = append(all, testPeer(n))
	}
	return all
}

func testKey(n int) [32]byte { return sha256.Sum256(fmt.Append(nil, "key ", n)) }

// newFake starts a rendezvous on a fake host that is closed with the test.
func newFake(t *testing.T, h *fakeHost, opts ...Option) *Rendezvous {
	t.Helper()
	r, err := New(h, opts...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := r.Close(); err != nil {
			t.Errorf("Close: %v", err)
		}
	})
	return r
}

func join(t *testing.T, r *Rendezvous, key [32]byte, mode Mode, found func(Candidate)) *Topic {
	t.Helper()
	topic, err := r.Join(key, mode, found)
	if err != nil {
		t.Fatal(err)
	}
	return topic
}
