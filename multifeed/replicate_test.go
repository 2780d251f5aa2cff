package multifeed

import (
	"fmt"
	"testing"

	"github.com/cobox-p2p/cobox-p2p/hypercore"
)

// writeIn appends blocks to the writer of that name.
func writeIn(t *testing.T, s *Space, name string, blocks ...string) *Feed {
	t.Helper()
	w, err := s.Writer(name)
	if err != nil {
		t.Fatal(err)
	}
	for _, b := range blocks {
		if _, err := w.Append(within(t), []byte(b)); err != nil {
			t.Fatal(err)
		}
	}
	return w
}

// wantBlock fails unless the block arrives in the space.
func wantBlock(t *testing.T, s *Space, key hypercore.Key, seq uint64, want string) {
	t.Helper()
	got, err := awaitFeed(t, s, key).Get(within(t), seq)
	if err != nil || string(got) != want {
		t.Fatalf("block %d = %q, %v, want %q", seq, got, err, want)
	}
}

func wantSynced(t *testing.T, spaces ...*Space) {
	t.Helper()
	for i, s := range spaces {
		if p, err := s.WaitSynced(within(t)); err != nil {
			t.Fatalf("space %d is not synced: %+v, %v", i, p, err)
		}
	}
}

// The legacy loop over the feeds stopped at the first one that both sides knew.
func TestW1FeedsOfASpaceReplicateAlone(t *testing.T) {
	address, key := NewOpenAddress(), NewEncryptionKey()
	na, nb := newNode(t, "alice"), newNode(t, "bob")
	a := na.open(address, WithEncryptionKey(key))
	b := nb.open(address, WithEncryptionKey(key))
	var feeds []*Feed
	for i := range 12 {
		from, to := a, b
		if i%3 == 1 {
			from, to = b, a
		}
		f := writeIn(t, from, fmt.Sprint("feed ", i), "one", "two")
		feeds = append(feeds, f)
		if i%2 == 0 { // known on both sides already
			if _, err := to.Add(f.Key(), Admission{}); err != nil {
				t.Fatal(err)
			}
		}
	}
	wrapA, tapA := tapping()
	wrapB, tapB := tapping()
	connectWith(t, na, a, nb, b, setup{wrapA: wrapA, wrapB: wrapB})
	for _, f := range feeds {
		for _, s := range []*Space{a, b} {
			wantBlock(t, s, f.Key(), 0, "one")
			wantBlock(t, s, f.Key(), 1, "two")
		}
	}
	wantSynced(t, a, b)
	tapA.steady(t, len(feeds))
	tapB.steady(t, len(feeds))
}

func TestRelayThroughASeederWhenTheWriterIsGone(t *testing.T) {
	secret := NewSecret()
	nw, ns, nr := newNode(t, "writer"), newNode(t, "seeder"), newNode(t, "reader")
	w := nw.open(secret.Address(), WithSecret(secret))
	s := ns.open(secret.Address())
	f := writeIn(t, w, "log", "one", "two")
	l := connect(t, nw, w, ns, s)
	wantSynced(t, w, s)
	l.cancel()
	l.wait()
	w.Close()

	r := nr.open(secret.Address(), WithSecret(secret))
	connect(t, ns, s, nr, r)
	wantBlock(t, r, f.Key(), 0, "one")
	wantBlock(t, r, f.Key(), 1, "two")
	wantSynced(t, r)
}

func TestThreeInALineLive(t *testing.T) {
	secret := NewSecret()
	na, nb, nc := newNode(t, "a"), newNode(t, "b"), newNode(t, "c")
	a, b := na.open(secret.Address(), WithSecret(secret)), nb.open(secret.Address())
	c := nc.open(secret.Address(), WithSecret(secret))
	connect(t, na, a, nb, b)
	connect(t, nc, c, nb, b)
	for i := range 10 {
		fa := writeIn(t, a, fmt.Sprint("log", i%3), fmt.Sprint("from a ", i))
		fc := writeIn(t, c, fmt.Sprint("log", i%3), fmt.Sprint("from c ", i))
		wantBlock(t, c, fa.Key(), fa.Length()-1, fmt.Sprint("from a ", i))
		wantBlock(t, a, fc.Key(), fc.Length()-1, fmt.Sprint("from c ", i))
	}
	wantSynced(t, a, b, c)
}

// A feed that came while it was refused here is fetched when the owner takes it
// in after all, without a new session.
func TestFeedAddedLaterIsFetchedInTheSameSession(t *testing.T) {
	address, key := NewOpenAddress(), NewEncryptionKey()
	na, nb := newNode(t, "alice"), newNode(t, "bob")
	a := na.open(address, WithEncryptionKey(key))
	b := nb.open(address, WithEncryptionKey(key), WithPolicy(func(Offer) error { return errNotNow }))
	f := writeIn(t, a, "log", "one")
	refused := make(chan struct{}, 1)
	b.Notify(func(e Event) {
		if e.Kind == FeedRefused {
			refused <- struct{}{}
		}
	})
	connect(t, na, a, nb, b)
	<-refused
	if err := b.WaitExchanged(within(t)); err != nil {
		t.Fatal(err)
	}
	if _, err := b.Add(f.Key(), Admission{}); err != nil {
		t.Fatal(err)
	}
	wantBlock(t, b, f.Key(), 0, "one")
}

func TestWithoutBlocksCarriesTheSetAlone(t *testing.T) {
	secret := NewSecret()
	for _, both := range []bool{true, false} {
		na, nb := newNode(t, "alice"), newNode(t, "bob")
		a := na.open(secret.Address(), WithSecret(secret))
		b := nb.open(secret.Address(), WithSecret(secret))
		f := writeIn(t, a, "log", "one", "two", "three")
		wrapA, tapA := tapping()
		wrapB, tapB := tapping()
		with := setup{wrapA: wrapA, wrapB: wrapB, optsB: []SessionOption{WithoutBlocks()}}
		if both {
			with.optsA = with.optsB
		}
		connectWith(t, na, a, nb, b, with)
		g := awaitFeed(t, b, f.Key())
		if err := b.WaitExchanged(within(t)); err != nil {
			t.Fatal(err)
		}
		live := writeIn(t, a, "later", "one")
		awaitFeed(t, b, live.Key())
		if g.KnownLength() != 3 || g.Length() != 0 {
			t.Errorf("length = %d, known %d, want 0, 3", g.Length(), g.KnownLength())
		}
		p := b.Progress()
		if len(p.Missing) == 0 || p.Missing[0].Blocks != 3 {
			t.Errorf("Missing = %+v, want 3 blocks of the first feed", p.Missing)
		}
		wantOpens := 2
		if both {
			wantOpens = 0
		}
		if n := tapB.count(func(f2 frame, _ message) bool { return f2.Channel != 0 }); n != 0 {
			t.Errorf("both %v: %d frames outside channel 0", both, n)
		}
		if n := tapA.count(func(f2 frame, _ message) bool { return f2.Channel != 0 }); n > wantOpens {
			t.Errorf("both %v: the other side sent %d frames outside channel 0, want %d at the most", both, n, wantOpens)
		}
	}
}
