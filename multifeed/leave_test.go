package multifeed

import (
	"errors"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/cobox-p2p/cobox-p2p/hypercore"
	"github.com/cobox-p2p/cobox-p2p/hypercore/corestore"
)

func TestLeavingEndsItsSessionsAndNothingElse(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		left, stays := NewSecret(), NewSecret()
		na, nb := newNode(t, "alice"), newNode(t, "bob")
		a1, b1 := na.open(left.Address(), WithSecret(left)), nb.open(left.Address())
		a2, b2 := na.open(stays.Address(), WithSecret(stays)), nb.open(stays.Address())
		f := fill(t, a1, 2)
		l := connect(t, na, a1, nb, b1)
		connect(t, na, a2, nb, b2)
		wantSynced(t, a1, b1)

		a1.Close()
		a1.Close()
		errA, errB := l.wait()
		if !errors.Is(errA, ErrLeft) || CodeOf(errA) != CodeLeft {
			t.Errorf("session of the space that was left ended with %v, want %v", errA, ErrLeft)
		}
		if errB != nil {
			t.Errorf("the other side's session ended with %v, want nil", errB)
		}
		if n := len(a1.Sessions()) + len(b1.Sessions()); n != 0 {
			t.Errorf("%d sessions are left", n)
		}
		if _, err := f.Append(t.Context(), []byte("after")); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Hour)
		g, err := b1.Feed(f.Key())
		if err != nil {
			t.Fatal(err)
		}
		if g.Length() != 2 || g.KnownLength() != 2 {
			t.Errorf("after leaving, the other side has length %d, known %d, want 2", g.Length(), g.KnownLength())
		}
		again := connect(t, na, a1, nb, b1)
		if errA, _ := again.wait(); !errors.Is(errA, ErrClosed) {
			t.Errorf("Replicate of a closed space: %v, want %v", errA, ErrClosed)
		}
		w := fill(t, a2, 3)
		wantBlock2(t, b2, w.Key(), 2)
	})
}

func wantBlock2(t *testing.T, s *Space, key hypercore.Key, seq uint64) {
	t.Helper()
	if _, err := awaitFeed(t, s, key).Block(within(t), seq); err != nil {
		t.Errorf("block %d: %v", seq, err)
	}
}

func TestWaitsEndWithTheSpace(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newNode(t, "alice")
		s := n.open(NewOpenAddress())
		errs := make(chan error, 2)
		watched := make(chan struct{})
		go func() { _, err := s.WaitSynced(t.Context()); errs <- err }()
		go func() { errs <- s.WaitExchanged(t.Context()) }()
		go func() {
			defer close(watched)
			for range s.Watch(t.Context()) {
			}
		}()
		synctest.Wait()
		s.Close()
		for range 2 {
			if err := <-errs; !errors.Is(err, ErrClosed) {
				t.Errorf("wait ended with %v, want %v", err, ErrClosed)
			}
		}
		<-watched
	})
}

// hookedStore is a store that calls before each commit.
type hookedStore struct {
	hypercore.Storage
	before func()
}

func (h *hookedStore) Commit(b *hypercore.Batch) error {
	h.before()
	return h.Storage.Commit(b)
}

// A feed that is added while the space closes is forgotten with it.
func TestAddingWhileClosing(t *testing.T) {
	n := newNode(t, "alice")
	hooked := &hookedStore{Storage: n.mem, before: func() {}}
	n.store = corestore.New(hooked, corestore.MasterKey{1})
	s := n.open(NewOpenAddress())
	forgotten := make(chan error, 1)
	hooked.before = func() {
		hooked.before = func() {}
		go func() { s.Close(); forgotten <- s.Forget(nil) }()
		select {
		case err := <-forgotten:
			t.Error("Close did not wait for the feed that was being added")
			forgotten <- err
		case <-time.After(20 * time.Millisecond):
		}
	}
	if _, err := s.Add(keysOf(1)[0], Admission{}); err != nil {
		t.Fatal(err)
	}
	if err := <-forgotten; err != nil {
		t.Fatal(err)
	}
	if r := recordsOf(t, n); r != 0 {
		t.Errorf("%d records after Forget, want 0", r)
	}
}

// A refused feed is skipped and nothing of it is kept; the peer stays.
func TestPolicyRefusesFeedsNotPeers(t *testing.T) {
	secret := NewSecret()
	na, nb := newNode(t, "alice"), newNode(t, "bob")
	a := na.open(secret.Address(), WithSecret(secret))
	bad, good := writeIn(t, a, "bad", "block"), writeIn(t, a, "good", "block")
	var mu sync.Mutex
	allow := false
	var b *Space
	policy := func(o Offer) error {
		if _, err := nb.mem.Feed(o.Feed); !errors.Is(err, hypercore.ErrNoFeed) {
			t.Errorf("asked after the feed was stored: %v", err)
		}
		if o.Space != secret.Address() || string(o.Remote) != "alice" ||
			o.Length != 1 && (o.Feed == bad.Key() || o.Feed == good.Key()) {
			t.Errorf("Offer = %+v", o)
		}
		mu.Lock()
		defer mu.Unlock()
		if o.Feed == bad.Key() && !allow {
			return errNotNow
		}
		return nil
	}
	b = nb.open(secret.Address(), WithPolicy(policy))
	refused := make(chan Event, 10)
	b.Notify(func(e Event) {
		if e.Kind == FeedRefused {
			refused <- e
		}
	})
	l := connect(t, na, a, nb, b)
	wantBlock2(t, b, good.Key(), 0)
	if e := <-refused; e.Key != bad.Key() || !errors.Is(e.Err, errNotNow) || string(e.Session.Remote().PeerID) != "alice" {
		t.Errorf("FeedRefused = %+v", e)
	}
	if _, err := b.Feed(bad.Key()); !errors.Is(err, ErrUnknownFeed) {
		t.Errorf("refused feed is in the set: %v", err)
	}
	if _, open := nb.store.Loaded(bad.Key()); open {
		t.Error("refused feed is open")
	}
	if _, err := nb.mem.Feed(bad.Key()); !errors.Is(err, hypercore.ErrNoFeed) {
		t.Errorf("refused feed is stored: %v", err)
	}
	if n := recordsOf(t, nb); n != 1 {
		t.Errorf("%d records, want 1", n)
	}
	more := writeIn(t, a, "more", "block")
	wantBlock2(t, b, more.Key(), 0) // the session goes on
	l.cancel()
	l.wait()

	mu.Lock()
	allow = true
	mu.Unlock()
	connect(t, na, a, nb, b)
	wantBlock2(t, b, bad.Key(), 0)
	if n := len(refused); n != 0 {
		t.Errorf("%d more refusals", n)
	}
}

// A store that fails is our fault, not the peer's, and no refusal.
func TestFailureOfTheStoreIsOurs(t *testing.T) {
	nv, v, _ := openSpace(t, 0)
	v.Notify(func(e Event) {
		if e.Kind == FeedRefused {
			t.Errorf("FeedRefused: %v", e.Err)
		}
	})
	nv.mem.FailSync(errors.New("disk on fire"))
	r := rawPeer(t, "peer", nv, v)
	r.page(true, entriesOf(keysOf(1))...)
	if err := r.end(); CodeOf(err) != CodeInternal || !errors.Is(err, hypercore.ErrStorageFailed) {
		t.Errorf("session ended with %v, want %v", err, hypercore.ErrStorageFailed)
	}
	if len(v.Feeds()) != 0 {
		t.Error("a feed whose record was not stored is in the set")
	}
}

func TestClosedFeedIsNotThePeersFault(t *testing.T) {
	nv, v, keys := openSpace(t, 1)
	r := rawPeer(t, "peer", nv, v)
	nv.store.Release(keys[0])
	r.mustSend(1, &openMessage{DiscoveryKey: keys[0].Discovery()})
	r.page(true, Entry{Feed: keys[0]})
	if err := r.end(); CodeOf(err) != CodeInternal || !errors.Is(err, hypercore.ErrClosed) {
		t.Errorf("session ended with %v, want %v", err, hypercore.ErrClosed)
	}
}
