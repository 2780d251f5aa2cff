package multifeed

import (
	"bytes"
	"context"
	"net"
	"testing"
	"time"

	"github.com/cobox-p2p/cobox-p2p/hypercore/corestore"
	"github.com/cobox-p2p/cobox-p2p/hypercore/storage"
)

// node is one side of the tests: a store of its own and a peer ID.
type node struct {
	t     testing.TB
	id    string
	mem   *storage.Memory
	store *corestore.Store
}

func newNode(t testing.TB, id string) *node {
	t.Helper()
	mem := storage.NewMemory()
	n := &node{t, id, mem, corestore.New(mem, corestore.MasterKey{byte(len(id)), id[0]})}
	t.Cleanup(func() { n.store.Close(); mem.Close() })
	return n
}

func (n *node) open(address Address, opts ...Option) *Space {
	n.t.Helper()
	s, err := Open(n.store, address, opts...)
	if err != nil {
		n.t.Fatal(err)
	}
	n.t.Cleanup(func() { s.Close() })
	return s
}

func (n *node) party() Party { return Party{PeerID: []byte(n.id), Features: []string{featureFeeds}} }

// byList is the setup of two sides that tell their sets as plain lists.
var byList = setup{features: []string{}}

// link is a session between two spaces over net.Pipe.
type link struct {
	a, b   chan error
	cancel context.CancelFunc
	connA  net.Conn
	connB  net.Conn
}

// connect opens and runs a session between two nodes' spaces.
func connect(t *testing.T, na *node, a *Space, nb *node, b *Space) *link {
	t.Helper()
	return connectWith(t, na, a, nb, b, setup{})
}

// setup changes how a link runs. The zero setup changes nothing.
type setup struct {
	wrapA, wrapB       func(net.Conn) net.Conn
	silenceA, silenceB time.Duration
	optsA, optsB       []SessionOption
	features           []string // of both sides, instead of those of party
}

func connectWith(t *testing.T, na *node, a *Space, nb *node, b *Space, with setup) *link {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	ca, cb := net.Pipe()
	if with.wrapA != nil {
		ca = with.wrapA(ca)
	}
	if with.wrapB != nil {
		cb = with.wrapB(cb)
	}
	l := &link{a: make(chan error, 1), b: make(chan error, 1), cancel: cancel, connA: ca, connB: cb}
	go func() {
		self := na.party()
		self.Silence = with.silenceA
		if with.features != nil {
			self.Features = with.features
		}
		o, err := Initiate(ctx, ca, self, []byte(nb.id), a.Address())
		if err == nil {
			err = a.Replicate(ctx, o, with.optsA...)
		}
		ca.Close()
		l.a <- err
	}()
	go func() {
		self := nb.party()
		self.Silence = with.silenceB
		if with.features != nil {
			self.Features = with.features
		}
		o, err := Respond(ctx, cb, self, []byte(na.id), func(tag [32]byte) (Address, bool) {
			return b.Address(), tag == b.Address().Tag([]byte(na.id), []byte(nb.id))
		})
		if err == nil {
			err = b.Replicate(ctx, o, with.optsB...)
		}
		cb.Close()
		l.b <- err
	}()
	t.Cleanup(func() { cancel(); l.wait() })
	return l
}

func (l *link) wait() (errA, errB error) {
	errA, errB = <-l.a, <-l.b
	l.a <- errA
	l.b <- errB
	return errA, errB
}

func within(t testing.TB) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	t.Cleanup(cancel)
	return ctx
}

func TestBlocksCrossBothWaysLive(t *testing.T) {
	secret := NewSecret()
	na, nb := newNode(t, "alice"), newNode(t, "bob")
	a, b := na.open(secret.Address(), WithSecret(secret)), nb.open(secret.Address(), WithSecret(secret))
	ctx := within(t)
	wa, err := a.Writer("log")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := wa.Append(ctx, []byte("before")); err != nil {
		t.Fatal(err)
	}
	connect(t, na, a, nb, b)
	for f := range b.Watch(ctx) {
		got, err := f.Get(ctx, 0)
		if err != nil || string(got) != "before" {
			t.Fatalf("Get(0) = %q, %v", got, err)
		}
		break
	}
	if _, err := wa.Append(ctx, []byte("live")); err != nil {
		t.Fatal(err)
	}
	fb, err := b.Feed(wa.Key())
	if err != nil {
		t.Fatal(err)
	}
	if got, err := fb.Get(ctx, 1); err != nil || string(got) != "live" {
		t.Fatalf("Get(1) = %q, %v", got, err)
	}
	wb, err := b.Writer("log")
	if err != nil {
		t.Fatal(err)
	}
	big := bytes.Repeat([]byte("x"), 1<<20)
	if _, err := wb.Append(ctx, []byte("a"), []byte(""), big); err != nil {
		t.Fatal(err)
	}
	for f := range a.Watch(ctx) {
		if f.Key() != wb.Key() {
			continue
		}
		for i, want := range [][]byte{[]byte("a"), []byte(""), big} {
			if got, err := f.Get(ctx, uint64(i)); err != nil || !bytes.Equal(got, want) {
				t.Fatalf("Get(%d) = %d bytes, %v", i, len(got), err)
			}
		}
		break
	}
	for _, s := range []*Space{a, b} {
		if p, err := s.WaitSynced(ctx); err != nil {
			t.Fatalf("WaitSynced: %+v, %v", p, err)
		}
	}
}
