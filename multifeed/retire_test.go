package multifeed

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"runtime"
	"testing"

	"github.com/cobox-p2p/cobox-p2p/hypercore"
)

// restored is a writer whose store was put back from a back-up, and a hub that has
// what it wrote since.
type restored struct {
	secret   Secret
	opts     []Option
	old      *copied // with the store of the back-up
	space    *Space
	hubNode  *node
	hub      *Space
	key      hypercore.Key // of the writer's feed
	contents []string
}

// restore writes before blocks, makes a back-up, and writes after more that reach
// the hub. shown says whether the back-up knows what the hub had.
func restore(t *testing.T, before, after int, shown bool) *restored {
	t.Helper()
	r := &restored{secret: NewSecret(), hubNode: newNode(t, "hub")}
	r.opts = []Option{WithSecret(r.secret), WithInstance(Instance{1})}
	r.hub = r.hubNode.open(r.secret.Address(), WithSecret(r.secret))
	n := newCopied(t, nil, 0)
	s := n.open(r.secret.Address(), r.opts...)
	r.contents = append(names("before", 0, before), names("after", 0, after)...)
	r.key = writeIn(t, s, "log", r.contents[:before]...).Key()
	backup := n.st.len()
	l := connect(t, n.node, s, r.hubNode, r.hub)
	awaitContents(t, "hub", r.hub, r.contents[:before])
	if shown {
		l.cancel()
		l.wait()
		backup = n.st.len()
		l = connect(t, n.node, s, r.hubNode, r.hub)
	}
	writeIn(t, s, "log", r.contents[before:]...)
	awaitContents(t, "hub", r.hub, r.contents)
	l.cancel()
	l.wait()
	s.Close()
	r.old = newCopied(t, n, backup)
	r.space = r.old.open(r.secret.Address(), r.opts...)
	return r
}

// A back-up without anything appended to it loses nothing, doubles nothing and
// forks nothing.
func TestRestoredCopyGoesOnWithANewFeed(t *testing.T) {
	r := restore(t, 5, 4, true)
	held, err := r.space.Writer("log")
	if err != nil || held.Key() != r.key {
		t.Fatalf("Writer = %.8s, %v, want that of the back-up", held.Key(), err)
	}
	retired := events(r.space, FeedRetired)
	connect(t, r.old.node, r.space, r.hubNode, r.hub)
	for content, n := range awaitContents(t, "restored", r.space, r.contents) {
		if n != 1 {
			t.Errorf("%q is there %d times", content, n)
		}
	}
	next := writeIn(t, r.space, "log", "new")
	if next.Key() == r.key || !next.Own() || next.Name() != "log" {
		t.Errorf("Writer = %.8s %q, own %v, want a new feed", next.Key(), next.Name(), next.Own())
	}
	for content, n := range awaitContents(t, "hub", r.hub, append(r.contents, "new")) {
		if n != 1 {
			t.Errorf("hub: %q is there %d times", content, n)
		}
	}
	_, err = held.Append(within(t), []byte("x"))
	if !errors.Is(err, ErrRetired) || held.Own() || !held.Retired() || held.Writable() {
		t.Errorf("Append to the feed held from before: %v; own %v, retired %v", err, held.Own(), held.Retired())
	}
	if retired() != 1 {
		t.Errorf("%d events, want 1", retired())
	}
	wantUnforked(t, "restored", r.space)
	wantUnforked(t, "hub", r.hub)

	r.space.Close() // the instance of before stands for the new one
	again := r.old.open(r.secret.Address(), r.opts...)
	if f := writeIn(t, again, "log", "newer"); f.Key() != next.Key() {
		t.Errorf("opened again, Writer = %.8s, want %.8s", f.Key(), next.Key())
	}
	if f, err := again.Feed(r.key); err != nil || !f.Retired() || f.Own() {
		t.Errorf("opened again: %v", err)
	}
}

// What was appended to a back-up before anybody was met reaches everybody.
func TestRestoredCopyKeepsWhatItAppended(t *testing.T) {
	for _, c := range []struct{ before, after, appended int }{
		{5, 4, 2}, {5, 4, 4}, {5, 4, 9}, {0, 3, 2}, {1, 1, 1}, {8, 1, 20},
	} {
		t.Run(fmt.Sprintf("%d+%d, %d", c.before, c.after, c.appended), func(t *testing.T) {
			r := restore(t, c.before, c.after, true)
			mine := names("restored", 0, c.appended)
			writeIn(t, r.space, "log", mine...)
			connect(t, r.old.node, r.space, r.hubNode, r.hub)
			all := append(mine, r.contents...)
			for content, n := range awaitContents(t, "hub", r.hub, all) {
				if n != 1 {
					t.Errorf("hub: %q is there %d times", content, n)
				}
			}
			awaitContents(t, "restored", r.space, all)
			if f, err := r.space.Feed(r.key); err != nil || f.Length() != uint64(c.before+c.after) {
				t.Errorf("the old feed has %d blocks, want %d", f.Length(), c.before+c.after)
			}
			wantUnforked(t, "hub", r.hub)
			wantUnforked(t, "restored", r.space)
		})
	}
}

// Stores that were copied at any moment, and appended to.
func TestStoreCopiedAtAnyMoment(t *testing.T) {
	for seed := range uint64(12) {
		t.Run(fmt.Sprint("seed ", seed), func(t *testing.T) {
			rng := rand.New(rand.NewPCG(seed, 0))
			secret := NewSecret()
			opts := []Option{WithSecret(secret), WithInstance(Instance{1})}
			hubNode := newNode(t, "hub")
			hub := hubNode.open(secret.Address(), WithSecret(secret))
			n := newCopied(t, nil, 0)
			s := n.open(secret.Address(), opts...)
			var all []string
			write := func(s *Space, who string, count int) {
				for range count {
					content := fmt.Sprintf("%s %d", who, len(all))
					all = append(all, content)
					writeAgain(t, s, []string{"log", "other"}[rng.IntN(2)], content)
				}
			}
			for range 1 + rng.IntN(3) {
				write(s, "first", rng.IntN(6))
				l := connect(t, n.node, s, hubNode, hub)
				write(s, "first", rng.IntN(6))
				awaitContents(t, "hub", hub, all)
				l.cancel()
				l.wait()
			}
			s.Close()
			old := newCopied(t, n, rng.IntN(n.st.len()+1))
			again := old.open(secret.Address(), opts...)
			write(again, "second", rng.IntN(6))
			persist(t, old.node, again, hubNode, hub)
			write(again, "second", rng.IntN(6))
			awaitContents(t, "hub", hub, all)
			awaitContents(t, "copy", again, all)
			wantUnforked(t, "hub", hub)
			wantUnforked(t, "copy", again)
		})
	}
}

// A cut at any moment while an old copy is retired loses nothing of it.
func TestRetirementCutAtAnyMoment(t *testing.T) {
	r := restore(t, 3, 4, true)
	mine := names("restored", 0, 6)
	writeIn(t, r.space, "log", mine...)
	start := r.old.st.len()
	connect(t, r.old.node, r.space, r.hubNode, r.hub)
	awaitContents(t, "hub", r.hub, append(mine, r.contents...))
	r.space.Close()
	for cut := start; cut <= r.old.st.len(); cut++ {
		n := newCopied(t, r.old, cut)
		s := n.open(r.secret.Address(), r.opts...)
		awaitContents(t, fmt.Sprintf("cut after %d batches", cut-start), s, mine)
		hubNode := newNode(t, "second")
		hub := hubNode.open(r.secret.Address(), WithSecret(r.secret))
		connect(t, hubNode, hub, r.hubNode, r.hub)
		awaitContents(t, "second hub", hub, r.contents)
		stop := persist(t, n.node, s, hubNode, hub)
		writeAgain(t, s, "log", "on")
		awaitContents(t, "second hub", hub, append(append(mine, "on"), r.contents...))
		wantUnforked(t, fmt.Sprintf("cut after %d batches", cut-start), s)
		stop()
		s.Close()
		hub.Close()
	}
}

// Two copies that run at once lose nothing, and each writes on in a feed of its
// own. The fork that they made is proved to everybody.
func TestTwoCopiesAtOnce(t *testing.T) {
	for seed := range uint64(6) {
		t.Run(fmt.Sprint("seed ", seed), func(t *testing.T) {
			rng := rand.New(rand.NewPCG(seed, 1))
			secret := NewSecret()
			opts := []Option{WithSecret(secret), WithInstance(Instance{1})}
			hubNode := newNode(t, "hub")
			hub := hubNode.open(secret.Address(), WithSecret(secret))
			first := newCopied(t, nil, 0)
			a := first.open(secret.Address(), opts...)
			all := names("common", 0, rng.IntN(10))
			key := writeIn(t, a, "log", all...).Key()
			l := connect(t, first.node, a, hubNode, hub)
			awaitContents(t, "hub", hub, all)
			l.cancel()
			l.wait()
			second := newCopied(t, first, first.st.len())
			b := second.open(secret.Address(), opts...)
			persist(t, first.node, a, hubNode, hub)
			persist(t, second.node, b, hubNode, hub)
			for i := range 12 {
				s, who := a, "a"
				if rng.IntN(2) == 0 {
					s, who = b, "b"
				}
				content := fmt.Sprint(who, " ", i)
				all = append(all, content)
				writeAgain(t, s, "log", content)
				if rng.IntN(3) == 0 {
					for range rng.IntN(2000) {
						runtime.Gosched()
					}
				}
			}
			// Two that are as long may not know of each other before one appends.
			all = append(all, "end a", "end b")
			writeAgain(t, a, "log", "end a")
			writeAgain(t, b, "log", "end b")
			for what, s := range map[string]*Space{"hub": hub, "a": a, "b": b} {
				awaitContents(t, what, s, all)
				f, err := s.Feed(key)
				if err != nil {
					t.Fatal(err)
				}
				if e := f.Evidence(); e != nil {
					parsed, err := hypercore.ParseForkEvidence(e.Append(nil))
					if err != nil || parsed.Verify(key) != nil {
						t.Errorf("%s: evidence that proves nothing: %v, %v", what, err, parsed.Verify(key))
					}
				}
			}
			fa, fb := writeAgain(t, a, "log", "last a"), writeAgain(t, b, "log", "last b")
			if fa.Key() == fb.Key() {
				t.Error("both copies still write one feed")
			}
			awaitContents(t, "hub", hub, append(all, "last a", "last b"))
		})
	}
}

// writeAgain writes one block as a program should that may be one of two copies.
func writeAgain(t *testing.T, s *Space, name, content string) *Feed {
	t.Helper()
	for {
		w, err := s.Writer(name)
		if err != nil {
			t.Fatal(err)
		}
		_, err = w.Append(within(t), []byte(content))
		if err == nil {
			return w
		}
		if !errors.Is(err, ErrRetired) {
			t.Fatal(err)
		}
	}
}

// A space that was forgotten and joined again never signs a second history of what
// others have seen.
func TestForgottenWriterIsAnother(t *testing.T) {
	secret := NewSecret()
	opts := []Option{WithSecret(secret), WithInstance(Instance{1})}
	n := newNode(t, "alice")
	s := n.open(secret.Address(), opts...)
	w := writeIn(t, s, "log", "shown")
	w.ShowHead()
	s.Close()
	if err := s.Forget(nil); err != nil {
		t.Fatal(err)
	}
	again := n.open(secret.Address(), opts...)
	next := writeIn(t, again, "log", "other")
	if next.Key() == w.Key() {
		t.Error("the forgotten feed is written again")
	}
}
