package multifeed

import (
	"context"
	"encoding/binary"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/cobox-p2p/cobox-p2p/hypercore"
	"github.com/cobox-p2p/cobox-p2p/hypercore/merkle"
)

// signed are feeds of one block each, made outside of any space.
type signed struct {
	pair  hypercore.KeyPair
	block []byte
}

func signedFeed(seed uint64) signed {
	var b [hypercore.SeedSize]byte
	binary.BigEndian.PutUint64(b[:], seed)
	b[31] = 0x5e
	return signed{hypercore.NewKeyPair(b), fmt.Appendf(nil, "block of %d", seed)}
}

// write returns what stores the feed with length blocks, all alike.
func (f signed) write(length int) hypercore.FeedWrite {
	var roots merkle.Roots
	w := hypercore.FeedWrite{Key: f.pair.Public, Runs: []hypercore.Run{{}}}
	for seq := range length {
		w.Nodes = roots.Append(merkle.Leaf(uint64(seq), f.block), w.Nodes)
		w.Runs[0].Blocks = append(w.Runs[0].Blocks, f.block)
	}
	w.Head = &hypercore.Head{Length: roots.Length(), Size: roots.Size(), RootHash: roots.Hash()}
	w.Head.Signature = f.pair.Sign(hypercore.Signable(w.Head.RootHash, w.Head.Length))
	return w
}

// holding opens a space of a node with feeds of the given lengths, by number, as
// they were left by another process. A length below 0 is a feed that it hasn't.
func holding(t testing.TB, n *node, address Address, lengths func(i int) int, count int) *Space {
	t.Helper()
	s, err := Open(n.store, address, WithMaxFeeds(2*count+16))
	if err != nil {
		t.Fatal(err)
	}
	b := &hypercore.Batch{}
	for i, w := range writesOf(lengths, count) {
		r := feedRecord{key: w.Key, number: uint64(i)}
		b.Records = append(b.Records, hypercore.Record{Key: append(s.recordPrefix(), r.key[:]...), Value: r.encode()})
		if w.Head != nil {
			b.Feeds = append(b.Feeds, w)
		}
	}
	s.Close()
	if err := n.mem.Commit(b); err != nil {
		t.Fatal(err)
	}
	if s, err = Open(n.store, address, WithMaxFeeds(2*count+16)); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}

// writesOf returns what stores feeds of those lengths.
func writesOf(lengths func(i int) int, count int) []hypercore.FeedWrite {
	all := make([]hypercore.FeedWrite, count)
	onAllCores(count, func(i int) {
		f := signedFeed(uint64(i))
		all[i].Key = f.pair.Public
		if length := lengths(i); length > 0 {
			all[i] = f.write(length)
		}
	})
	kept := all[:0]
	for i, w := range all {
		if lengths(i) >= 0 {
			kept = append(kept, w)
		}
	}
	return kept
}

// setBytes returns how many bytes of frames of cobox/feeds/1 were written, and how
// many of them without entries, and in how many messages.
func (t *tap) setBytes(tt *testing.T) (all, bare, messages int) {
	tt.Helper()
	t.mu.Lock()
	defer t.mu.Unlock()
	id := uint64(1 << 20)
	for i, m := range t.decoded {
		switch m := m.(type) {
		case *hypercore.Options:
			for at, name := range m.Extensions {
				if name == feedsName {
					id = uint64(at)
				}
			}
		case *hypercore.Extension:
			if t.frames[i].Channel != 0 || m.ID != id {
				continue
			}
			p, err := decodeFeedsPage(m.Payload)
			if err != nil {
				tt.Fatal(err)
			}
			n := len(m.Payload) + 4
			all += n
			for _, e := range p.entries {
				n -= len(e) + 3
			}
			bare += n
			messages++
		}
	}
	return all, bare, messages
}

// equalBut are the lengths of count feeds, of which every count/changed-th differs.
func equalBut(changed, count, length int) func(int) int {
	return func(i int) int {
		if changed > 0 && i%(count/changed) == 7%(count/changed) {
			return length
		}
		return 1
	}
}

// What two sets cost that differ little follows the difference.
func TestSetBytesFollowTheDifference(t *testing.T) {
	for _, c := range []struct {
		name             string
		count, changed   int
		length           int // of those that changed, at one side; -1: it hasn't them
		all, bare, turns int // at most, each way
	}{
		{"equal", 10_000, 0, 0, 128, 128, 1},
		{"10 grown of 10,000", 10_000, 10, 2, 6 << 10, 4608, 6},
		{"10 more in 10,000", 10_000, 10, -1, 6 << 10, 4608, 6},
		{"100 grown of 100,000", 100_000, 100, 2, 40 << 10, 25 << 10, 10},
	} {
		if c.count > 10_000 && !soak {
			continue
		}
		if raceDetector {
			c.count /= 10
		}
		address := NewOpenAddress()
		na, nb := newNode(t, "alice"), newNode(t, "bob")
		a := holding(t, na, address, equalBut(0, c.count, 1), c.count)
		b := holding(t, nb, address, equalBut(c.changed, c.count, c.length), c.count)
		wrapA, tapA := tapping()
		wrapB, tapB := tapping()
		began := time.Now()
		l := connectWith(t, na, a, nb, b, setup{wrapA: wrapA, wrapB: wrapB})
		wantSynced(t, a, b)
		took := time.Since(began)
		openA, _ := na.store.Open()
		openB, _ := nb.store.Open()
		if most := 2*c.changed + 8; openA > most || openB > most {
			t.Errorf("%s: %d and %d feeds are open, want %d at the most", c.name, openA, openB, most)
		}
		l.cancel()
		l.wait()
		for side, tap := range []*tap{tapA, tapB} {
			all, bare, messages := tap.setBytes(t)
			t.Logf("%s: side %d sent %d bytes, %d without entries, in %d messages; synced after %v", c.name, side, all, bare, messages, took)
			if all > c.all || bare > c.bare || messages > c.turns+2*c.changed {
				t.Errorf("%s: side %d sent %d bytes, %d without entries, in %d messages, want %d, %d", c.name, side, all, bare, messages, c.all, c.bare)
			}
		}
	}
}

// Many feeds come through a window of channels, and all are acknowledged.
func TestMoreFeedsThanChannels(t *testing.T) {
	count := MaxWindow + 17
	if soak {
		count *= 4
	}
	address := NewOpenAddress()
	na, nb := newNode(t, "alice"), newNode(t, "bob")
	a := holding(t, na, address, equalBut(0, count, 1), count)
	b := nb.open(address, WithMaxFeeds(count))
	connect(t, na, a, nb, b)
	wantSynced(t, a, b)
	for i := range count {
		f, err := b.Feed(signedFeed(uint64(i)).pair.Public)
		if err != nil || f.Durable() != 1 {
			t.Fatalf("feed %d: %v", i, err)
		}
	}
}

// A channel that is quiet is closed, and the feed's growth is told without it.
func TestQuietChannelsCloseAndGrowthGoesOn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		secret := NewSecret()
		na, nb := newNode(t, "alice"), newNode(t, "bob")
		a, b := na.open(secret.Address(), WithSecret(secret)), nb.open(secret.Address(), WithSecret(secret))
		f := fill(t, a, 3)
		connect(t, na, a, nb, b)
		wantSynced(t, a, b)
		x := a.Sessions()[0]
		for round := range 3 {
			if x.PeerOf(f) == nil {
				t.Errorf("round %d: the channel is closed at once", round)
			}
			time.Sleep(2 * quietTime)
			synctest.Wait()
			if x.PeerOf(f) != nil {
				t.Errorf("round %d: the channel is open after %v", round, 2*quietTime)
			}
			if n := a.Holders(f); n != 1 {
				t.Errorf("round %d: %d peers hold the feed, want 1", round, n)
			}
			wantSynced(t, a, b)
			seq, err := f.Append(t.Context(), fmt.Append(nil, "live", round))
			if err != nil {
				t.Fatal(err)
			}
			wantBlock(t, b, f.Key(), seq, fmt.Sprint("live", round))
			wantSynced(t, a, b)
		}
	})
}

// A block of a sparse feed that somebody waits for opens the feed's channel.
func TestWantedBlockOpensAChannel(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		secret := NewSecret()
		na, nb := newNode(t, "alice"), newNode(t, "bob")
		a, b := na.open(secret.Address(), WithSecret(secret)), nb.open(secret.Address(), WithSecret(secret))
		f := fill(t, a, 3)
		g, err := b.Add(f.Key(), f.Admission())
		if err != nil {
			t.Fatal(err)
		}
		g.SetSparse(true)
		connect(t, na, a, nb, b)
		time.Sleep(4 * quietTime)
		synctest.Wait()
		if g.Length() != 3 || g.Durable() > 1 || b.Sessions()[0].PeerOf(g) != nil {
			t.Errorf("length %d, %d blocks, want 3 and 1 at the most, and no channel", g.Length(), g.Durable())
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		for seq := range uint64(3) {
			if _, err := g.Get(ctx, seq); err != nil {
				t.Errorf("Get(%d): %v", seq, err)
			}
			time.Sleep(4 * quietTime)
			ctx, cancel = context.WithTimeout(t.Context(), time.Minute)
			defer cancel()
		}
		if n := a.Holders(f); n != 1 {
			t.Errorf("%d peers hold the feed, want 1", n)
		}
	})
}

// Two sides with the same heads, each without some blocks, get them from each
// other, and from a third.
func TestBlocksMissingUnderEqualHeads(t *testing.T) {
	address := NewOpenAddress()
	na, nb := newNode(t, "alice"), newNode(t, "bob")
	const count = 40
	a := holding(t, na, address, func(int) int { return 4 }, count)
	b := holding(t, nb, address, func(int) int { return 4 }, count)
	for i := range count {
		n, spans := na, []hypercore.Span{{Start: uint64(i % 4), Count: 1}}
		if i%3 == 0 {
			continue
		}
		if i%3 == 1 {
			n = nb
		}
		err := n.mem.Commit(&hypercore.Batch{Feeds: []hypercore.FeedWrite{{Key: signedFeed(uint64(i)).pair.Public, Clear: spans}}})
		if err != nil {
			t.Fatal(err)
		}
	}
	if p := a.Progress(); len(p.Missing) != count/3 {
		t.Errorf("%d feeds miss blocks, want %d", len(p.Missing), count/3)
	}
	connect(t, na, a, nb, b)
	wantSynced(t, a, b)
	for _, s := range []*Space{a, b} {
		for f := range s.All() {
			if f.Durable() != 4 {
				t.Errorf("feed %.8s has %d blocks", f.Discovery(), f.Durable())
			}
		}
	}
}
