package multifeed

import (
	"testing"

	"google.golang.org/protobuf/encoding/protowire"

	"github.com/cobox-p2p/cobox-p2p/hypercore"
	"github.com/cobox-p2p/cobox-p2p/hypercore/storage"
	"github.com/cobox-p2p/cobox-p2p/multifeed/wire"
)

// told says whether a message is a page that names the feed with a head.
func told(key hypercore.Key) func(wire.Message) bool {
	return func(m wire.Message) bool {
		x, ok := m.(*hypercore.Extension)
		if !ok {
			return false
		}
		found := false
		eachField(x.Payload, func(num protowire.Number, v field) error {
			if e, err := decodeEntry(v.bytes); num == pageEntry && err == nil && e.Feed == key && e.Length > 0 {
				found = true
			}
			return nil
		})
		return found
	}
}

// A remote hears nothing of an own feed before it told what it has, and then all.
func TestOwnFeedsWaitForTheRemote(t *testing.T) {
	for name, tell := range map[string]func(*raw, *Feed) error{
		"its last page": func(r *raw, _ *Feed) error { return r.page(true) },
		"its entry":     func(r *raw, f *Feed) error { return r.page(false, Entry{Feed: f.Key(), Admission: f.Admission()}) },
	} {
		t.Run(name, func(t *testing.T) {
			n := newNode(t, "alice")
			s := n.open(NewOpenAddress(), WithEncryptionKey(EncryptionKey{1}))
			f := fill(t, s, 2)
			r := rawPeer(t, "peer", n, s)
			r.mustSend(1, &wire.Open{DiscoveryKey: f.Discovery()})
			r.wantAlive()
			if shown, _ := f.Shown(); r.count(told(f.Key())) != 0 || r.count(opened(f.Discovery())) != 0 || shown.Length != 0 {
				t.Fatalf("shown too early, %d blocks", shown.Length)
			}
			if err := tell(r, f); err != nil {
				t.Fatal(err)
			}
			r.await(told(f.Key()))
			r.await(opened(f.Discovery()))
			if shown, _ := f.Shown(); shown.Length != 2 {
				t.Errorf("shown = %d blocks, want 2", shown.Length)
			}
		})
	}
}

// forkedIn returns a space with a foreign feed of two blocks, and evidence that its
// writer signed another history.
func forkedIn(t *testing.T) (*node, *Space, *Feed, *hypercore.ForkEvidence) {
	t.Helper()
	pair := hypercore.NewKeyPair([hypercore.SeedSize]byte{3})
	n := newNode(t, "alice")
	s := n.open(NewOpenAddress())
	f, err := s.Add(pair.Public, Admission{})
	if err != nil {
		t.Fatal(err)
	}
	e := &hypercore.ForkEvidence{}
	for i, st := range []*hypercore.Statement{&e.Ours, &e.Theirs} {
		w, err := hypercore.Open(storage.NewMemory(), pair.Public, pair)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := w.Append(within(t), []byte{byte(i)}); err != nil {
			t.Fatal(err)
		}
		st.SignedHead = w.Head().Signed()
	}
	return n, s, f, e
}

func forkField(key hypercore.Key, evidence []byte) []byte {
	b := append(bytesField(forkFeed, key[:]), bytesField(forkEvidence, evidence)...)
	return bytesField(pageFork, b)
}

func sendPage(t *testing.T, r *raw, page []byte) {
	t.Helper()
	r.mustSend(0, &hypercore.Extension{ID: rawList, Payload: page})
}

// Evidence is believed when it proves something, and passed on.
func TestEvidenceTravels(t *testing.T) {
	n, s, f, e := forkedIn(t)
	forked := events(s, FeedForked)
	other := rawPeer(t, "other", n, s)
	r := rawPeer(t, "peer", n, s)
	page := forkField(f.Key(), e.Append(nil))
	sendPage(t, r, append(page, page...))
	hasFork := func(m wire.Message) bool {
		x, ok := m.(*hypercore.Extension)
		found := false
		if ok {
			eachField(x.Payload, func(num protowire.Number, v field) error {
				found = found || num == pageFork
				return nil
			})
		}
		return found
	}
	other.await(hasFork)
	r.wantAlive()
	if f.Evidence() == nil || f.Evidence().Verify(f.Key()) != nil || forked() != 1 {
		t.Errorf("evidence %v, %d events", f.Evidence(), forked())
	}
	later := rawPeer(t, "later", n, s)
	later.await(hasFork)
	// Of a feed that isn't here it means nothing.
	sendPage(t, later, forkField(keysOf(1)[0], []byte{1}))
	later.wantAlive()
}

func TestBadEvidenceEndsTheSession(t *testing.T) {
	_, _, _, e := forkedIn(t)
	same := *e
	same.Theirs = same.Ours
	key := hypercore.NewKeyPair([hypercore.SeedSize]byte{3}).Public
	var many []byte
	for range MaxPageForks + 1 {
		many = append(many, forkField(keysOf(1)[0], []byte{1})...)
	}
	for name, c := range map[string]struct {
		page []byte
		want Code
	}{
		"proves nothing": {forkField(key, same.Append(nil)), CodeProof},
		"cut off":        {forkField(key, e.Append(nil)[:90]), CodeProof},
		"empty":          {forkField(key, []byte{}), CodeProof},
		"too long":       {forkField(key, make([]byte, hypercore.MaxEvidence+1)), CodeProof},
		"no key":         {bytesField(pageFork, bytesField(forkEvidence, e.Append(nil))), CodeProtocol},
		"short key":      {bytesField(pageFork, append(bytesField(forkFeed, key[:31]), bytesField(forkEvidence, []byte{1})...)), CodeProtocol},
		"no evidence":    {bytesField(pageFork, bytesField(forkFeed, key[:])), CodeProtocol},
		"a number":       {varintField(pageFork, 1), CodeProtocol},
		"too many":       {many, CodeLimit},
	} {
		t.Run(name, func(t *testing.T) {
			n, s, f, _ := forkedIn(t)
			r := rawPeer(t, "peer", n, s)
			r.send(0, &hypercore.Extension{ID: rawList, Payload: c.page})
			r.wantCode(c.want)
			if f.Forked() != nil {
				t.Errorf("Forked = %v", f.Forked())
			}
		})
	}
	n, s, _, _ := forkedIn(t)
	r := rawPeer(t, "peer", n, s)
	sendPage(t, r, many[:len(many)/(MaxPageForks+1)*MaxPageForks])
	r.wantAlive()
}

// A feed that came with its keys is retired like others.
func TestKeyedWriterIsRetired(t *testing.T) {
	secret := NewSecret()
	pair := hypercore.NewKeyPair([hypercore.SeedSize]byte{5})
	opts := []Option{WithSecret(secret), WithInstance(Instance{1})}
	n := newCopied(t, nil, 0)
	s := n.open(secret.Address(), opts...)
	if _, err := s.AddWriter(pair, "old"); err != nil {
		t.Fatal(err)
	}
	f, err := s.Confirm(pair.Public)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.Append(within(t), []byte("common")); err != nil {
		t.Fatal(err)
	}
	s.Close()
	hubNode := newNode(t, "hub")
	hub := hubNode.open(secret.Address(), WithSecret(secret))
	var copies [2]*Space
	var nodes [2]*copied
	for i := range copies {
		nodes[i] = newCopied(t, n, n.st.len())
		copies[i] = nodes[i].open(secret.Address(), opts...)
		w, err := copies[i].Feed(pair.Public)
		if err != nil {
			t.Fatal(err)
		}
		for _, content := range names([]string{"first", "second"}[i], 0, 3-i) {
			if _, err := w.Append(within(t), []byte(content)); err != nil {
				t.Fatal(err)
			}
		}
	}
	persist(t, nodes[0].node, copies[0], hubNode, hub)
	all := append(names("first", 0, 3), "common")
	awaitContents(t, "hub", hub, all)
	persist(t, nodes[1].node, copies[1], hubNode, hub)
	awaitContents(t, "hub", hub, append(all, names("second", 0, 2)...))
	w, err := copies[1].Feed(pair.Public)
	if err != nil || w.Own() || !w.Retired() || w.Writable() {
		t.Errorf("own %v, retired %v, writable %v, %v", w.Own(), w.Retired(), w.Writable(), err)
	}
	wantUnforked(t, "hub", hub)
}
