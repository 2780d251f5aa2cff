package discovery

import (
	"context"
	"errors"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/ipfs/go-cid"
	"github.com/libp2p/go-libp2p"
	dht "github.com/libp2p/go-libp2p-kad-dht"
	"github.com/libp2p/go-libp2p/core/host"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/core/protocol"
	"github.com/libp2p/go-libp2p/p2p/transport/tcp"
	"github.com/multiformats/go-multiaddr"
)

func TestParseDHT(t *testing.T) {
	longest := "/" + strings.Repeat("x", MaxPrefix-1)
	for text, want := range map[string]DHTConfig{
		"off":                {},
		"public":             {Kind: DHTPublic},
		"private:/cobox":     {Kind: DHTPrivate, Prefix: "/cobox"},
		"private:/a/b-1.0":   {Kind: DHTPrivate, Prefix: "/a/b-1.0"},
		"private:" + longest: {Kind: DHTPrivate, Prefix: protocol.ID(longest)},
		"private:/ipfsx":     {Kind: DHTPrivate, Prefix: "/ipfsx"},
	} {
		got, err := ParseDHT(text)
		if err != nil || got.Kind != want.Kind || got.Prefix != want.Prefix {
			t.Errorf("ParseDHT(%q) = %+v, %v", text, got, err)
		}
		if got.String() != text {
			t.Errorf("String = %q, want %q", got, text)
		}
	}
	for text, want := range map[string]string{
		"":                         "none of",
		"Public":                   "none of",
		"private":                  "needs a prefix",
		"private:":                 "is empty",
		"private:/":                "is empty",
		"private:cobox":            "doesn't begin",
		"private:/cobox/":          "empty part",
		"private:/a//b":            "empty part",
		"private:/a b":             "printable",
		"private:/\u00e9":          "printable",
		"private:/ipfs":            "public DHT",
		"private:/ipfs/lan":        "public DHT",
		"private:" + longest + "x": "at most 64",
	} {
		if _, err := ParseDHT(text); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("ParseDHT(%q) = %v, want an error with %q", text, err, want)
		}
	}
}

func FuzzParseDHT(f *testing.F) {
	for _, s := range []string{"off", "public", "private:/cobox", "private:", "private:/ipfs"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		c, err := ParseDHT(s)
		if err == nil && c.String() != s {
			t.Errorf("ParseDHT(%q) reads back as %q", s, c)
		}
		if err != nil && len(err.Error()) > 1000 {
			t.Errorf("error of %d bytes", len(err.Error()))
		}
	})
}

// newHost starts a host on loopback that is closed with the test.
func newHost(t *testing.T) host.Host {
	t.Helper()
	return newHostAt(t, "/ip4/127.0.0.1/tcp/0")
}

func newHostAt(t *testing.T, listen string, opts ...libp2p.Option) host.Host {
	t.Helper()
	h, err := libp2p.New(append(opts,
		libp2p.ListenAddrStrings(listen), libp2p.Transport(tcp.NewTCPTransport),
		libp2p.DisableMetrics(), libp2p.DisableRelay())...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := h.Close(); err != nil {
			t.Errorf("close host: %v", err)
		}
	})
	return h
}

// newDHT starts a node of a private DHT on h that is closed with the test.
func newDHT(t *testing.T, h host.Host, bootstrap ...peer.AddrInfo) *dht.IpfsDHT {
	t.Helper()
	d, err := NewDHT(h, DHTConfig{Kind: DHTPrivate, Prefix: "/cobox-test", Bootstrap: bootstrap})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := d.Close(); err != nil {
			t.Errorf("close DHT: %v", err)
		}
	})
	return d
}

func infoOf(h host.Host) peer.AddrInfo { return peer.AddrInfo{ID: h.ID(), Addrs: h.Addrs()} }

func newRendezvous(t *testing.T, h host.Host, opts ...Option) *Rendezvous {
	t.Helper()
	r, err := New(h, opts...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := r.Close(); err != nil {
			t.Errorf("close rendezvous: %v", err)
		}
	})
	return r
}

// patience bounds a test that would otherwise hang.
func patience(t *testing.T) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	t.Cleanup(cancel)
	return ctx
}

func flushed(t *testing.T, topic *Topic) {
	t.Helper()
	if err := topic.Flushed(patience(t)); err != nil {
		t.Fatal(err)
	}
}

// await waits until the state of a topic is as wanted.
func await(t *testing.T, topic *Topic, what string, ok func(Status) bool) {
	t.Helper()
	ctx := patience(t)
	for {
		topic.mu.Lock()
		changed := topic.changed
		topic.mu.Unlock()
		if ok(topic.Status()) {
			return
		}
		select {
		case <-changed:
		case <-ctx.Done():
			t.Fatalf("%s: not within the test's patience; status %+v", what, topic.Status())
		}
	}
}

// ask returns what d finds for key, as any foreign node would.
func ask(t *testing.T, d *dht.IpfsDHT, key [32]byte) map[peer.ID][]multiaddr.Multiaddr {
	t.Helper()
	found := map[peer.ID][]multiaddr.Multiaddr{}
	for p := range d.FindProvidersAsync(patience(t), CID(key), 0) {
		found[p.ID] = p.Addrs
	}
	return found
}

func expect(t *testing.T, found <-chan Candidate, id peer.ID) Candidate {
	t.Helper()
	ctx := patience(t)
	for {
		select {
		case c := <-found:
			if c.ID == id {
				return c
			}
		case <-ctx.Done():
			t.Fatalf("peer %s not found", id)
		}
	}
}

// catcher returns a function for Join and the channel it fills, without ever
// blocking.
func catcher() (func(Candidate), <-chan Candidate) {
	caught := make(chan Candidate, 1024)
	return func(c Candidate) {
		select {
		case caught <- c:
		default:
		}
	}, caught
}

func TestFoundThroughThirdNode(t *testing.T) {
	hub := newHost(t)
	newDHT(t, hub)
	owner, seeker, stranger := newHost(t), newHost(t), newHost(t)
	ownerRV := newRendezvous(t, owner, WithRouting(newDHT(t, owner, infoOf(hub))))
	seekerRV := newRendezvous(t, seeker, WithRouting(newDHT(t, seeker, infoOf(hub))))
	other := newDHT(t, stranger, infoOf(hub))

	announced := join(t, ownerRV, testKey(1), Mode{Announce: true}, nil)
	flushed(t, announced)
	found, caught := catcher()
	looked := join(t, seekerRV, testKey(1), Mode{Lookup: true}, found)
	c := expect(t, caught, owner.ID())
	if c.Source != SourceDHT || len(c.Addrs) == 0 || !c.Addrs[0].Equal(owner.Addrs()[0]) {
		t.Errorf("candidate = %+v, want %s at %v", c, owner.ID(), owner.Addrs())
	}
	flushed(t, looked)
	if s := announced.Status(); s.Lookup.Tries != 0 || s.Offered != 0 {
		t.Errorf("announce-only topic looked up: %+v", s)
	}
	awaitRouters(t, stranger, other)
	all := ask(t, other, testKey(1))
	if _, ok := all[owner.ID()]; !ok || len(all) != 1 {
		t.Errorf("a third node finds %v, want the owner alone", all)
	}
}

// awaitRouters returns when d knows another node.
func awaitRouters(t *testing.T, h host.Host, d *dht.IpfsDHT) {
	t.Helper()
	r := newRendezvous(t, h, WithRouting(d))
	topic := join(t, r, testKey(999), Mode{Lookup: true}, nil)
	flushed(t, topic)
	topic.Leave()
}

func TestProvideTooEarlyIsRetried(t *testing.T) {
	hub, late := newHost(t), newHost(t)
	hubDHT := newDHT(t, hub)
	r := newRendezvous(t, late, WithRouting(newDHT(t, late)))
	topic := join(t, r, testKey(1), both, nil)
	await(t, topic, "failed announcement", func(s Status) bool { return s.Announce.Failures > 0 && s.Lookup.Failures > 0 })
	if err := topic.Status().Announce.Err; !errors.Is(err, ErrNoRouters) {
		t.Errorf("err = %v, want ErrNoRouters", err)
	}
	if err := late.Connect(patience(t), infoOf(hub)); err != nil {
		t.Fatal(err)
	}
	flushed(t, topic)
	if all := ask(t, hubDHT, testKey(1)); len(all[late.ID()]) == 0 {
		t.Errorf("the hub finds %v", all)
	}
}

// TestBootstrapThatServesLate has a bootstrap peer that begins to serve the DHT
// only when the others wait for it.
func TestBootstrapThatServesLate(t *testing.T) {
	hub, owner, seeker := newHost(t), newHost(t), newHost(t)
	ownerRV := newRendezvous(t, owner, WithRouting(newDHT(t, owner, infoOf(hub))))
	seekerRV := newRendezvous(t, seeker, WithRouting(newDHT(t, seeker, infoOf(hub))))
	found, caught := catcher()
	announced := join(t, ownerRV, testKey(1), Mode{Announce: true}, nil)
	looked := join(t, seekerRV, testKey(1), Mode{Lookup: true}, found)
	await(t, announced, "failed announcement", func(s Status) bool { return s.Announce.Failures > 0 })
	await(t, looked, "failed lookup", func(s Status) bool { return s.Lookup.Failures > 0 })
	newDHT(t, hub)
	flushed(t, announced)
	flushed(t, looked)
	looked.Refresh()
	expect(t, caught, owner.ID())
}

// recorder notes which addresses each announcement carries.
type recorder struct {
	*dht.IpfsDHT
	mu   sync.Mutex
	told [][]multiaddr.Multiaddr
}

func (r *recorder) Provide(ctx context.Context, key cid.Cid, announce bool) error {
	r.mu.Lock()
	r.told = append(r.told, r.FilteredAddrs())
	r.mu.Unlock()
	return r.IpfsDHT.Provide(ctx, key, announce)
}

func TestAnnouncedAnewAtANewAddress(t *testing.T) {
	hub, owner := newHost(t), newHost(t)
	hubDHT := newDHT(t, hub)
	routing := &recorder{IpfsDHT: newDHT(t, owner, infoOf(hub))}
	r := newRendezvous(t, owner, WithRouting(routing),
		func(c *config) error { c.settle = time.Millisecond; return nil })
	topic := join(t, r, testKey(1), Mode{Announce: true}, nil)
	flushed(t, topic)
	if err := owner.Network().Listen(addr("/ip4/127.0.0.1/tcp/0")); err != nil {
		t.Fatal(err)
	}
	await(t, topic, "announcement at both addresses", func(s Status) bool {
		routing.mu.Lock()
		defer routing.mu.Unlock()
		return s.Announce.Err == nil && len(routing.told[len(routing.told)-1]) == 2
	})
	if all := ask(t, hubDHT, testKey(1)); len(all[owner.ID()]) == 0 {
		t.Errorf("the hub finds %v", all)
	}
}

func TestNewDHTChecks(t *testing.T) {
	h := newHost(t)
	if _, err := NewDHT(h, DHTConfig{}); !errors.Is(err, ErrDHTOff) {
		t.Errorf("off: %v", err)
	}
	for _, c := range []DHTConfig{
		{Kind: DHTPrivate}, {Kind: DHTPrivate, Prefix: "/ipfs"}, {Kind: 7},
	} {
		if d, err := NewDHT(h, c); err == nil {
			d.Close()
			t.Errorf("%+v: no error", c)
		}
	}
}

// TestPublicDHTKeepsToPublicPeers shows that neither peers nor addresses of
// loopback reach the public DHT, and that this is said instead of nothing.
func TestPublicDHTKeepsToPublicPeers(t *testing.T) {
	hub, h := newHost(t), newHost(t)
	hubDHT, err := NewDHT(hub, DHTConfig{Kind: DHTPublic, Bootstrap: []peer.AddrInfo{infoOf(h)}})
	if err != nil {
		t.Fatal(err)
	}
	defer hubDHT.Close()
	d, err := NewDHT(h, DHTConfig{Kind: DHTPublic, Bootstrap: []peer.AddrInfo{infoOf(hub)}})
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	r := newRendezvous(t, h, WithRouting(d))
	topic := join(t, r, testKey(1), Mode{Announce: true}, nil)
	await(t, topic, "failed announcement", func(s Status) bool { return s.Announce.Failures > 0 })
	if err := topic.Status().Announce.Err; !errors.Is(err, ErrNoAddrs) {
		t.Errorf("err = %v, want ErrNoAddrs", err)
	}
	if n := r.Status().Routers; n != 0 {
		t.Errorf("%d routers on loopback", n)
	}
	if err := r.Close(); err != nil {
		t.Error(err)
	}
}

// TestDiverseTable shows that the limit of one IP group works where it is on.
func TestDiverseTable(t *testing.T) {
	center := newHost(t)
	d, err := NewDHT(center, DHTConfig{Kind: DHTPrivate, Prefix: "/cobox-test", Diverse: true})
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	for range diverseInTable + 2 {
		h := newHost(t)
		awaitRouters(t, h, newDHT(t, h, infoOf(center)))
	}
	if n := d.RoutingTable().Size(); n > diverseInTable {
		t.Errorf("%d peers of one IP group in the table, want at most %d", n, diverseInTable)
	}
}
