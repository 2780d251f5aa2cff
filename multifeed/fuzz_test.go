package multifeed

import (
	"bytes"
	"context"
	"errors"
	"testing"
	"time"

	"github.com/cobox-p2p/cobox-p2p/hypercore"
	"github.com/cobox-p2p/cobox-p2p/hypercore/corestore"
	"github.com/cobox-p2p/cobox-p2p/hypercore/storage"
	"github.com/cobox-p2p/cobox-p2p/multifeed/wire"
)

func FuzzEntry(f *testing.F) {
	key := keysOf(1)[0]
	f.Add(appendEntry(nil, Entry{Feed: key}))
	f.Add(appendEntry(nil, Entry{Feed: key, Length: 7, Admission: Admission{1}}))
	for _, page := range malformedPages() {
		f.Add(page)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		e, err := decodeEntry(b)
		if err != nil {
			if !errors.Is(err, errMalformed) {
				t.Errorf("decodeEntry: %v, want %v", err, errMalformed)
			}
			return
		}
		if again, err := decodeEntry(appendEntry(nil, e)); err != nil || again != e {
			t.Errorf("decoded again = %+v, %v, want %+v", again, err, e)
		}
	})
}

func FuzzAbout(f *testing.F) {
	f.Add(About{Name: "name", Fields: []byte("fields")}.encode())
	for _, a := range badAbouts() {
		f.Add(a.encode())
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		a, err := decodeAbout(b)
		if err != nil {
			return
		}
		if err := a.check(); err != nil {
			t.Errorf("decodeAbout took %+v: %v", a, err)
		}
		if again, err := decodeAbout(a.encode()); err != nil || again.Name != a.Name || !bytes.Equal(again.Fields, a.Fields) {
			t.Errorf("decoded again = %+v, %v, want %+v", again, err, a)
		}
	})
}

// fuzzSide is a session without goroutines, of a space with one feed of three
// blocks that are not here.
func fuzzSide(t *testing.T, address Address) (*storage.Memory, *handSide) {
	mem := storage.NewMemory()
	store := corestore.New(mem, corestore.MasterKey{1})
	t.Cleanup(func() { store.Close(); mem.Close() })
	s, err := Open(store, address, WithMaxFeeds(8))
	if err != nil {
		t.Fatal(err)
	}
	return mem, newHandSide(t, s)
}

func FuzzPage(f *testing.F) {
	for _, page := range malformedPages() {
		f.Add(page)
	}
	f.Add(pageOf(true, entriesOf(keysOf(12))...))
	address := Address{Kind: KindOpen, Key: [32]byte{3}}
	f.Fuzz(func(t *testing.T, page []byte) {
		_, h := fuzzSide(t, address)
		err := h.x.exchange.Handle(listName, page, time.Unix(1e9, 0))
		if _, theirs := errors.AsType[*ProtocolError](err); err != nil && !theirs {
			t.Errorf("Handle: %v, want a fault of the peer's", err)
		}
		for _, feed := range h.space.Feeds() {
			if feed.Key().Check() != nil {
				t.Errorf("weak key %s in the set", feed.Key())
			}
		}
		if n := len(h.space.Feeds()); n > 8 {
			t.Errorf("%d feeds, want 8 at the most", n)
		}
	})
}

// honestBytes are the frames of a member with one feed to a seeder without any.
func honestBytes(f *testing.F, secret Secret) []byte {
	mem := storage.NewMemory()
	store := corestore.New(mem, corestore.MasterKey{2})
	f.Cleanup(func() { store.Close(); mem.Close() })
	s, err := Open(store, secret.Address(), WithSecret(secret), WithInstance(Instance{1}))
	if err != nil {
		f.Fatal(err)
	}
	w, err := s.Writer("log")
	if err != nil {
		f.Fatal(err)
	}
	if _, err := w.Append(f.Context(), []byte("one"), []byte("two"), []byte("three")); err != nil {
		f.Fatal(err)
	}
	b := []byte{}
	add := func(channel uint64, m wire.Message) {
		if b, err = wire.AppendFrame(b, channel, m); err != nil {
			f.Fatal(err)
		}
	}
	add(0, &hypercore.Options{Extensions: []string{aboutName, listName}})
	add(0, &hypercore.Extension{ID: 0, Payload: About{Name: "member"}.encode()})
	add(0, &hypercore.Extension{ID: 1, Payload: pageOf(true, w.entry())})
	add(1, &wire.Open{DiscoveryKey: w.Discovery()})
	add(1, &hypercore.Have{Start: 0, Length: 3})
	add(1, &hypercore.Want{Start: 0, Length: hypercore.MaxWant})
	for seq := range uint64(3) {
		d, err := w.Prove(seq, 0, false)
		if err != nil {
			f.Fatal(err)
		}
		add(1, d)
	}
	add(1, &hypercore.Request{Index: 0})
	add(1, &wire.Close{})
	return b
}

// Whatever comes after the handshake, nothing panics and nothing is stored that
// does not verify.
func FuzzSession(f *testing.F) {
	secret := Secret{9}
	honest := honestBytes(f, secret)
	f.Add(honest)
	for _, at := range []int{5, 80, 300, len(honest) - 100} {
		flipped := bytes.Clone(honest)
		flipped[at] ^= 4
		f.Add(flipped)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		_, h := fuzzSide(t, secret.Address())
		now := time.Unix(1e9, 0)
		r := wire.NewReader(bytes.NewReader(b), wire.MaxFrame)
		for {
			if more, err := h.write(now); err != nil {
				t.Fatalf("writer: %v", err)
			} else if more {
				continue
			}
			fr, err := r.ReadFrame()
			if err != nil {
				break
			}
			if fr.KeepAlive {
				continue
			}
			if err := h.x.handle(fr, now); err != nil {
				if CodeOf(err) == CodeInternal {
					t.Errorf("the peer's bytes became our failure: %v", err)
				}
				break
			}
			now = now.Add(time.Millisecond)
		}
		h.x.leave(nil)
		if bytes.Equal(b, honest) {
			if feeds := h.space.Feeds(); len(feeds) != 1 || feeds[0].Durable() == 0 {
				t.Errorf("%d feeds of honest bytes, or no block", len(feeds))
			}
		}
		for _, feed := range h.space.Feeds() {
			if err := VerifyAdmission(secret.Address(), feed.Key(), feed.Admission()); err != nil {
				t.Errorf("feed in the set: %v", err)
			}
			if a, err := feed.Audit(context.Background()); err != nil || !a.Valid() {
				t.Errorf("stored what does not verify: %+v, %v", a, err)
			}
		}
	})
}
