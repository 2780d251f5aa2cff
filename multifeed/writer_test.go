package multifeed

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/cobox-p2p/cobox-p2p/hypercore"
)

func TestWriterIsTheSameForTheSameName(t *testing.T) {
	n := newNode(t, "alice")
	s := n.open(NewOpenAddress(), WithEncryptionKey(EncryptionKey{1}))
	one, two, again := writeIn(t, s, "one", "x"), writeIn(t, s, "two"), writeIn(t, s, "one", "y")
	if one != again || one.Key() == two.Key() {
		t.Errorf("writers one %.8s, two %.8s, one again %.8s", one.Key(), two.Key(), again.Key())
	}
	if one.Length() != 2 || one.Name() != "one" || !one.Own() || !one.Writable() {
		t.Errorf("length %d, name %q, own %v, writable %v", one.Length(), one.Name(), one.Own(), one.Writable())
	}
	if got, err := s.Feed(two.Key()); got != two || err != nil {
		t.Errorf("Feed = %v, %v", got, err)
	}
	if _, err := s.Feed(hypercore.Key{1}); !errors.Is(err, ErrUnknownFeed) {
		t.Errorf("Feed of an unknown key: %v, want %v", err, ErrUnknownFeed)
	}
}

func TestWriterNames(t *testing.T) {
	n := newNode(t, "alice")
	s := n.open(NewOpenAddress(), WithEncryptionKey(EncryptionKey{1}))
	for _, name := range []string{"a", "ä ö", strings.Repeat("x", MaxName), "0", "/"} {
		if _, err := s.Writer(name); err != nil {
			t.Errorf("Writer(%q): %v", name, err)
		}
	}
	for _, name := range []string{"", strings.Repeat("x", MaxName+1), "a\nb", "a\x00", "\x7f", "\u0085", "\xff", "a\tb"} {
		if _, err := s.Writer(name); !errors.Is(err, ErrName) {
			t.Errorf("Writer(%q): %v, want %v", name, err, ErrName)
		}
	}
}

func TestWriterNeedsKeyAndSecret(t *testing.T) {
	secret := NewSecret()
	n := newNode(t, "alice")
	seeder := n.open(secret.Address())
	if _, err := seeder.Writer("log"); !errors.Is(err, ErrNoKey) || seeder.Writable() || seeder.Readable() {
		t.Errorf("seeder's Writer: %v, want %v; writable %v, readable %v", err, ErrNoKey, seeder.Writable(), seeder.Readable())
	}
	reader := n.open(secret.Address(), WithEncryptionKey(secret.EncryptionKey()))
	if _, err := reader.Writer("log"); !errors.Is(err, ErrNoSecret) || reader.Writable() || !reader.Readable() {
		t.Errorf("reader's Writer: %v, want %v; writable %v, readable %v", err, ErrNoSecret, reader.Writable(), reader.Readable())
	}
	if n := recordsOf(t, n); n != 0 {
		t.Errorf("%d records, want 0", n)
	}
	if _, err := Open(n.store, secret.Address(), WithSecret(NewSecret())); err == nil {
		t.Error("Open took the secret of another space")
	}
	if _, err := Open(n.store, Address{}); err == nil {
		t.Error("Open took an address of no kind")
	}
	if _, err := Open(n.store, secret.Address(), WithMaxFeeds(0)); err == nil {
		t.Error("Open took a limit of 0 feeds")
	}
	for _, a := range []Access{{Address: secret.Address(), Secret: &secret}, {Address: secret.Address()}} {
		s := n.open(a.Address, WithAccess(a))
		if s.Writable() != (a.Secret != nil) || s.Readable() != (a.Secret != nil) {
			t.Errorf("WithAccess: writable %v, readable %v, secret %v", s.Writable(), s.Readable(), a.Secret != nil)
		}
	}
}

func TestReopenedSpaceHasItsFeeds(t *testing.T) {
	secret, instance := NewSecret(), NewInstance()
	n := newNode(t, "alice")
	opts := []Option{WithSecret(secret), WithInstance(instance)}
	s := n.open(secret.Address(), opts...)
	var want []*Feed
	for i, key := range keysOf(12) {
		f, err := s.Add(key, secret.Admit(key))
		if err != nil {
			t.Fatal(err)
		}
		want = append(want, f, writeIn(t, s, fmt.Sprint("writer ", i), "block"))
	}
	s.Close()

	again := n.open(secret.Address(), opts...)
	got := again.Feeds()
	if len(got) != len(want) {
		t.Fatalf("%d feeds, want %d", len(got), len(want))
	}
	for i, f := range got {
		w := want[i]
		if f.Key() != w.Key() || f.Name() != w.Name() || f.Own() != w.Own() || f.Admission() != w.Admission() || f.Length() != w.Length() {
			t.Errorf("feed %d = %.8s %q own %v length %d, want %.8s %q own %v length %d", i, f.Key(), f.Name(), f.Own(), f.Length(),
				w.Key(), w.Name(), w.Own(), w.Length())
		}
	}
	if f := writeIn(t, again, "writer 3", "more"); f.Length() != 2 || f != got[7] {
		t.Errorf("writer 3 after reopening: %.8s of length %d", f.Key(), f.Length())
	}
	if got[0].Name() != "0" || got[4].Name() != "4" {
		t.Errorf("names of others' feeds are %q and %q, want their numbers 0 and 4", got[0].Name(), got[4].Name())
	}
}

// Two nodes with one master key never write one feed.
func TestAnotherInstanceWritesAnotherFeed(t *testing.T) {
	secret := NewSecret()
	n := newNode(t, "alice")
	s := n.open(secret.Address(), WithSecret(secret), WithInstance(Instance{1}))
	old := writeIn(t, s, "log", "old")
	s.Close()
	n.store.Release(old.Key())

	s = n.open(secret.Address(), WithSecret(secret), WithInstance(Instance{2}))
	was, err := s.Feed(old.Key())
	if err != nil {
		t.Fatal(err)
	}
	if was.Own() || was.Writable() {
		t.Errorf("the old instance's feed: own %v, writable %v", was.Own(), was.Writable())
	}
	if _, err := was.Append(within(t), []byte("x")); !errors.Is(err, hypercore.ErrNotWritable) {
		t.Errorf("Append to the old instance's feed: %v, want %v", err, hypercore.ErrNotWritable)
	}
	if got, err := was.Get(within(t), 0); err != nil || string(got) != "old" {
		t.Errorf("Get(0) = %q, %v", got, err)
	}
	if f := writeIn(t, s, "log", "new"); f.Key() == old.Key() {
		t.Error("two instances write one feed")
	}
	s.Close()

	s = n.open(secret.Address(), WithSecret(secret)) // a random one
	if f := writeIn(t, s, "log"); f.Key() == old.Key() || f.Length() != 0 {
		t.Error("without an instance an old feed is written on")
	}
}

func TestFirstAdmissionIsKept(t *testing.T) {
	secret := NewSecret()
	key := keysOf(1)[0]
	n := newNode(t, "alice")
	s := n.open(secret.Address())
	first := secret.Admit(key)
	if _, err := s.Add(key, Admission{}); !errors.Is(err, ErrNotAdmitted) {
		t.Errorf("Add without an admission: %v, want %v", err, ErrNotAdmitted)
	}
	if _, err := s.Add(key, first); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Add(key, Admission{1}); !errors.Is(err, ErrNotAdmitted) {
		t.Errorf("Add with a bad admission: %v, want %v", err, ErrNotAdmitted)
	}
	r := rawPeer(t, "peer", n, s)
	r.page(true, Entry{Feed: key, Admission: Admission{1}}) // of a feed that is there it isn't looked at
	r.wantAlive()
	if f, err := s.Feed(key); err != nil || f.Admission() != first {
		t.Errorf("admission %x, %v, want the first", f.Admission(), err)
	}
}

func TestTooManyFeeds(t *testing.T) {
	n := newNode(t, "alice")
	s := n.open(NewOpenAddress(), WithEncryptionKey(EncryptionKey{1}), WithMaxFeeds(2))
	one := writeIn(t, s, "one")
	writeIn(t, s, "two")
	if _, err := s.Writer("three"); !errors.Is(err, ErrTooMany) {
		t.Errorf("Writer past the limit: %v, want %v", err, ErrTooMany)
	}
	if again, err := s.Writer("one"); again != one || err != nil {
		t.Errorf("Writer of a full space's own feed: %v", err)
	}
	s.Close()
	if _, err := s.Writer("four"); !errors.Is(err, ErrClosed) {
		t.Errorf("Writer of a closed space: %v, want %v", err, ErrClosed)
	}
}

func TestForget(t *testing.T) {
	n := newNode(t, "alice")
	s := n.open(NewOpenAddress(), WithEncryptionKey(EncryptionKey{1}))
	other := n.open(NewOpenAddress(), WithEncryptionKey(EncryptionKey{2}))
	gone, kept := writeIn(t, s, "gone", "block"), writeIn(t, s, "kept", "block")
	writeIn(t, other, "other", "block")
	if _, err := other.Add(kept.Key(), Admission{}); err != nil {
		t.Fatal(err)
	}
	if err := s.Forget(nil); err == nil {
		t.Error("Forget of an open space")
	}
	s.Close()
	keep := func(k hypercore.Key) bool { _, err := other.Feed(k); return err == nil }
	if err := s.Forget(keep); err != nil {
		t.Fatal(err)
	}
	if _, err := n.mem.Feed(gone.Key()); !errors.Is(err, hypercore.ErrNoFeed) {
		t.Errorf("the feed is still stored: %v", err)
	}
	if b, err := kept.Block(within(t), 0); err != nil || len(b) == 0 {
		t.Errorf("the feed of another space as well: %v", err)
	}
	if n := recordsOf(t, n); n != 2 {
		t.Errorf("%d records, want the 2 of the other space", n)
	}
	if err := s.Forget(keep); err != nil {
		t.Errorf("Forget again: %v", err)
	}
	again := n.open(s.Address(), WithEncryptionKey(EncryptionKey{1}))
	if n := len(again.Feeds()); n != 0 {
		t.Errorf("%d feeds after Forget, want 0", n)
	}
}

// A store that has lost a feed of its own never writes it again.
func TestWriterWhoseFeedCameBackIsAnother(t *testing.T) {
	secret, instance := NewSecret(), NewInstance()
	before, peer := newNode(t, "alice"), newNode(t, "peer")
	s := before.open(secret.Address(), WithSecret(secret), WithInstance(instance))
	w := fill(t, s, 2)
	kept := peer.open(secret.Address())
	connect(t, before, s, peer, kept)
	if _, err := awaitFeed(t, kept, w.Key()).Block(within(t), 1); err != nil {
		t.Fatal(err)
	}
	s.Close()

	after := newNode(t, "alice") // the same master key, nothing stored
	again := after.open(secret.Address(), WithSecret(secret), WithInstance(instance))
	connect(t, after, again, peer, kept)
	back := awaitFeed(t, again, w.Key())
	next := writeIn(t, again, "log", "on")
	if next.Key() == w.Key() || !next.Own() || next.Name() != "log" {
		t.Errorf("Writer = %.8s %q, own %v, want a new feed", next.Key(), next.Name(), next.Own())
	}
	if back.Writable() || back.Own() {
		t.Error("the feed that came back is writable")
	}
}
