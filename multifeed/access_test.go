package multifeed

import (
	"bytes"
	"context"
	"errors"
	"net"
	"sync"
	"testing"

	"github.com/cobox-p2p/cobox-p2p/hypercore"
)

// Who held the address could add feeds, seeders included.
func TestW9OnlyMembersAddFeedsToASignedSpace(t *testing.T) {
	secret := NewSecret()
	ns, nm := newNode(t, "seeder"), newNode(t, "member")
	s := ns.open(secret.Address())
	m := nm.open(secret.Address(), WithSecret(secret))
	foreign := keysOf(3)

	// A seeder can't add to its own copy, with or without the key.
	if _, err := s.Add(foreign[0], Admission{}); !errors.Is(err, ErrNotAdmitted) {
		t.Errorf("seeder's Add: %v, want %v", err, ErrNotAdmitted)
	}
	// A seeder gone bad tells of a feed and is cut.
	for name, admission := range map[string]Admission{
		"none": {}, "random": {1, 2, 3}, "of another feed": secret.Admit(foreign[1]), "of another space": NewSecret().Admit(foreign[0]),
	} {
		t.Run(name, func(t *testing.T) {
			r := rawPeer(t, "seeder", nm, m)
			r.page(true, Entry{Feed: foreign[0], Admission: admission})
			if err := r.end(); CodeOf(err) != CodeProof || !errors.Is(err, ErrNotAdmitted) {
				t.Errorf("session ended with %v, want %v", err, ErrNotAdmitted)
			}
		})
	}
	if n := len(m.Feeds()); n != 0 {
		t.Fatalf("%d feeds, want 0", n)
	}
	// A member adds its own and those of others, which reach the seeder.
	own := writeIn(t, m, "log", "block")
	if _, err := m.Add(foreign[2], Admission{}); err != nil {
		t.Fatal(err)
	}
	connect(t, nm, m, ns, s)
	for _, key := range []hypercore.Key{own.Key(), foreign[2]} {
		if f := awaitFeed(t, s, key); f.Admission() != secret.Admit(key) {
			t.Errorf("feed %.8s has admission %x", key, f.Admission())
		}
	}
}

func TestW9AnOpenSpaceTakesAnyonesFeeds(t *testing.T) {
	nv, v, _ := openSpace(t, 0)
	r := rawPeer(t, "anyone", nv, v)
	keys := keysOf(3)
	r.page(true, entriesOf(keys)...)
	r.wantAlive()
	for _, k := range keys {
		if f, err := v.Feed(k); err != nil || f.Admission() != (Admission{}) {
			t.Errorf("Feed: %v", err)
		}
	}
}

func TestSeederServesAndReadsNothing(t *testing.T) {
	for _, a := range []Access{accessOpen(), accessSigned()} {
		nm, ns := newNode(t, "member"), newNode(t, "seeder")
		m, s := nm.open(a.Address, WithAccess(a)), ns.open(a.Address)
		f := writeIn(t, m, "log", "content")
		connect(t, nm, m, ns, s)
		g := awaitFeed(t, s, f.Key())
		if _, err := g.Get(within(t), 0); !errors.Is(err, hypercore.ErrSealed) {
			t.Errorf("%v: seeder's Get: %v, want %v", a.Address.Kind, err, hypercore.ErrSealed)
		}
		if _, err := g.Append(within(t), []byte("x")); !errors.Is(err, hypercore.ErrSealed) {
			t.Errorf("%v: seeder's Append: %v, want %v", a.Address.Kind, err, hypercore.ErrSealed)
		}
		want, err := f.Block(within(t), 0)
		if err != nil {
			t.Fatal(err)
		}
		got, err := g.Block(within(t), 0)
		if err != nil || !bytes.Equal(got, want) || bytes.Contains(got, []byte("content")) {
			t.Errorf("%v: seeder's Block = %x, %v, want %x", a.Address.Kind, got, err, want)
		}
	}
}

func accessOpen() Access {
	key := NewEncryptionKey()
	return Access{Address: NewOpenAddress(), EncryptionKey: &key}
}

func accessSigned() Access {
	secret := NewSecret()
	return Access{Address: secret.Address(), Secret: &secret}
}

func TestWrongEncryptionKeyIsAnError(t *testing.T) {
	for _, a := range []Access{accessOpen(), accessSigned()} {
		nm, nr := newNode(t, "member"), newNode(t, "reader")
		m := nm.open(a.Address, WithAccess(a))
		r := nr.open(a.Address, WithEncryptionKey(NewEncryptionKey()))
		f := writeIn(t, m, "log", "content")
		connect(t, nm, m, nr, r)
		got, err := awaitFeed(t, r, f.Key()).Get(within(t), 0)
		if !errors.Is(err, hypercore.ErrWrongKey) || got != nil {
			t.Errorf("%v: Get with another key = %q, %v, want %v", a.Address.Kind, got, err, hypercore.ErrWrongKey)
		}
	}
}

// In a signed space a member's block does not open in a feed of another.
func TestReplayedBlockDoesNotOpen(t *testing.T) {
	secret := NewSecret()
	n := newNode(t, "member")
	s := n.open(secret.Address(), WithSecret(secret))
	one, two := writeIn(t, s, "one", "content"), writeIn(t, s, "two")
	sealed, err := one.Block(within(t), 0)
	if err != nil {
		t.Fatal(err)
	}
	core, err := n.store.Feed(two.Key())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := core.Append(within(t), sealed); err != nil {
		t.Fatal(err)
	}
	if got, err := two.Get(within(t), 0); !errors.Is(err, hypercore.ErrWrongKey) {
		t.Errorf("Get of a replayed block = %q, %v, want %v", got, err, hypercore.ErrWrongKey)
	}
}

// recorder keeps what is written on a connection.
type recorder struct {
	net.Conn
	mu  sync.Mutex
	all []byte
}

func (r *recorder) Write(b []byte) (int, error) {
	r.mu.Lock()
	r.all = append(r.all, b...)
	r.mu.Unlock()
	return r.Conn.Write(b)
}

// A peer that knew no address learned every feed of every space.
func TestW7StrangersLearnNothing(t *testing.T) {
	nv := newNode(t, "victim")
	secret := NewSecret()
	full := nv.open(secret.Address(), WithSecret(secret), WithAbout(About{Name: "the victim's name"}))
	var secrets [][]byte
	for _, name := range []string{"one", "two"} {
		f := writeIn(t, full, name, "block")
		key, dk := f.Key(), f.Discovery()
		secrets = append(secrets, key[:], dk[:])
	}
	address, dk := full.Address().Key, full.Discovery()
	secrets = append(secrets, address[:], dk[:], []byte("victim's name"))
	empty := nv.open(NewOpenAddress())

	said := func(s *Space, guess Address, strangerFirst bool) int {
		ca, cb := net.Pipe()
		rec := &recorder{Conn: cb}
		var wg sync.WaitGroup
		run := func(o *Opened, err error, c net.Conn, replicate bool) {
			if err == nil && replicate {
				err = s.Replicate(context.Background(), o)
			}
			c.Close()
			if err == nil {
				t.Error("a stranger was let in")
			}
		}
		stranger := Party{PeerID: []byte("stranger")}
		whatever := func(a Address) func([32]byte) (Address, bool) {
			return func([32]byte) (Address, bool) { return a, true }
		}
		if strangerFirst {
			wg.Go(func() { o, err := Initiate(within(t), ca, stranger, []byte(nv.id), guess); run(o, err, ca, false) })
			wg.Go(func() {
				o, err := Respond(within(t), rec, nv.party(), stranger.PeerID, whatever(s.Address()))
				run(o, err, cb, true)
			})
		} else {
			wg.Go(func() {
				o, err := Respond(within(t), ca, stranger, []byte(nv.id), whatever(guess))
				run(o, err, ca, false)
			})
			wg.Go(func() {
				o, err := Initiate(within(t), rec, nv.party(), stranger.PeerID, s.Address())
				run(o, err, cb, true)
			})
		}
		wg.Wait()
		for _, b := range secrets {
			if bytes.Contains(rec.all, b) || bytes.Contains(rec.all, b[:8]) {
				t.Errorf("the stranger was told %x", b)
			}
		}
		return len(rec.all)
	}
	for _, first := range []bool{true, false} {
		// Neither does the number of bytes tell how much there is.
		if a, b := said(full, NewOpenAddress(), first), said(empty, NewOpenAddress(), first); a != b {
			t.Errorf("stranger first %v: %d bytes of a space with feeds, %d of an empty one", first, a, b)
		}
	}
}
