package multifeed

import (
	"errors"
	"slices"
	"testing"

	"github.com/cobox-p2p/cobox-p2p/hypercore"
)

// A writer that came with its keys is read until its owner says that nobody else
// writes it, stays writable over a restart, and never again once its keys were
// given away.
func TestWriterWithItsKeys(t *testing.T) {
	nv := newNode(t, "node")
	address, key := NewOpenAddress(), WithEncryptionKey(EncryptionKey{1})
	s := nv.open(address, key)
	pair := hypercore.GenerateKeyPair()
	f, err := s.AddWriter(pair, "log")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.Append(t.Context(), []byte("early")); !errors.Is(err, hypercore.ErrNotWritable) || f.Own() {
		t.Errorf("Append before Confirm = %v, own %v, want ErrNotWritable", err, f.Own())
	}
	confirmed, err := s.Confirm(pair.Public)
	if err != nil || confirmed != f || !f.Own() {
		t.Fatalf("Confirm = %v, own %v", err, f.Own())
	}
	if _, err := f.Append(t.Context(), []byte("one")); err != nil {
		t.Fatal(err)
	}
	s.Close()
	s = nv.open(address, key)
	if f, err = s.Feed(pair.Public); err != nil || !f.Own() || f.Name() != "log" {
		t.Fatalf("after a restart: %v, own %v, name %q", err, f.Own(), f.Name())
	}
	if _, err := f.Append(t.Context(), []byte("two")); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		got, err := s.Surrender(pair.Public)
		if err != nil || !slices.Equal(got.SecretKey(), pair.SecretKey()) {
			t.Fatalf("Surrender = %v, %v", got, err)
		}
	}
	wantSurrendered(t, f)
	if _, err := s.Confirm(pair.Public); !errors.Is(err, hypercore.ErrOldCopy) || f.Own() {
		t.Errorf("Confirm after Surrender = %v, own %v, want ErrOldCopy", err, f.Own())
	}
	s.Close()
	s = nv.open(address, key)
	if f, err = s.Feed(pair.Public); err != nil {
		t.Fatal(err)
	}
	wantSurrendered(t, f)
}

func wantSurrendered(t *testing.T, f *Feed) {
	t.Helper()
	if _, err := f.Append(t.Context(), []byte("more")); err == nil || f.Length() != 2 {
		t.Errorf("Append after Surrender = %v, length %d", err, f.Length())
	}
}

// The keys of a writer may come after its feed did.
func TestKeysOfAKnownFeed(t *testing.T) {
	s := newNode(t, "node").open(NewOpenAddress(), WithEncryptionKey(EncryptionKey{1}))
	pair := hypercore.GenerateKeyPair()
	if _, err := s.Add(pair.Public, Admission{}); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Confirm(pair.Public); !errors.Is(err, ErrNoPair) {
		t.Errorf("Confirm without keys = %v, want ErrNoPair", err)
	}
	if _, err := s.Surrender(pair.Public); !errors.Is(err, ErrNoPair) {
		t.Errorf("Surrender without keys = %v, want ErrNoPair", err)
	}
	if _, err := s.AddWriter(pair, "late"); err != nil {
		t.Fatal(err)
	}
	f, err := s.Confirm(pair.Public)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.Append(t.Context(), []byte("one")); err != nil {
		t.Fatal(err)
	}
	if s.Len() != 1 {
		t.Errorf("%d feeds, want 1", s.Len())
	}
}

// A writer of this node's own can be given away, too.
func TestSurrenderOwnWriter(t *testing.T) {
	s := newNode(t, "node").open(NewOpenAddress(), WithEncryptionKey(EncryptionKey{1}))
	f := writeIn(t, s, "log", "one", "two")
	pair, err := s.Surrender(f.Key())
	if err != nil || pair.Public != f.Key() {
		t.Fatalf("Surrender = %v, %v", pair, err)
	}
	wantSurrendered(t, f)
}

// A seeder takes a writer with its keys, and can't write it.
func TestKeysAtASeeder(t *testing.T) {
	s := newNode(t, "node").open(NewOpenAddress())
	pair := hypercore.GenerateKeyPair()
	if _, err := s.AddWriter(pair, "log"); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Confirm(pair.Public); !errors.Is(err, ErrNoKey) {
		t.Errorf("Confirm = %v, want ErrNoKey", err)
	}
}

func FuzzFeedRecord(f *testing.F) {
	key := hypercore.NewKeyPair([32]byte{1}).Public
	for _, r := range []feedRecord{
		{key: key, number: 3},
		{key: key, name: "log", instance: Instance{1}, admission: Admission{2}},
		{key: key, name: "log", seed: make([]byte, hypercore.SeedSize), ours: true},
	} {
		f.Add(r.encode())
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		r, err := decodeFeedRecord(key[:], b)
		if err != nil {
			return
		}
		again, err := decodeFeedRecord(key[:], r.encode())
		if err != nil || !slices.Equal(again.encode(), r.encode()) {
			t.Errorf("%+v is not what it was written as: %+v, %v", again, r, err)
		}
	})
}
