package multifeed

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"testing"

	"github.com/cobox-p2p/cobox-p2p/hypercore"
	"github.com/cobox-p2p/cobox-p2p/hypercore/corestore"
	"github.com/cobox-p2p/cobox-p2p/hypercore/flattree"
	"github.com/cobox-p2p/cobox-p2p/hypercore/merkle"
	"github.com/cobox-p2p/cobox-p2p/hypercore/storage"
	"github.com/cobox-p2p/cobox-p2p/multifeed/wire"
)

// A block that doesn't verify is counted, and what doesn't rest on it goes in.
func TestBadBlocksOfABundle(t *testing.T) {
	const blocks = 13
	secret := NewSecret()
	w := newNode(t, "writer").open(secret.Address(), WithSecret(secret))
	log := fill(t, w, blocks)
	writeIn(t, w, "other", "x")
	bundle, _ := bundleOf(t, w)
	for bad := range uint64(blocks) {
		messages := messagesOf(t, secret.Address(), bundle)
		for _, m := range messages {
			if d, ok := m.(*hypercore.Data); ok && d.Index == bad && len(d.Value) > 41 {
				d.Value = append([]byte("no"), d.Value...)
			}
		}
		r := newNode(t, "reader").open(secret.Address(), WithSecret(secret))
		got := readAll(t, r, crafted(t, secret.Address(), bundleMagic, messages...))
		first := 2 * bad
		for bad > 0 && !flattree.Spans(flattree.Parent(first), 2*(bad-1)) && flattree.Within(flattree.Parent(first), blocks) {
			first = flattree.Parent(first)
		}
		lost := min(flattree.Blocks(first), blocks-bad)
		if bad == 0 {
			lost = blocks
		}
		if got.Bad != lost || got.Blocks != blocks+1-lost || got.Feeds != 2 || len(got.Faults) != 1 || got.Faults[0].Span != (hypercore.Span{Start: bad, Count: lost}) {
			t.Errorf("block %d is bad: %+v, want %d bad blocks from it on", bad, got, lost)
		}
		wantReport(t, "then the good bundle", readAll(t, r, bundle), 2, lost, blocks+1-lost)
		wantBlocks(t, r, log.Key(), blocks)
	}
}

// A guard that refuses a block costs that block alone.
func TestBundleAndGuard(t *testing.T) {
	const blocks = 13
	secret := NewSecret()
	w := newNode(t, "writer").open(secret.Address(), WithSecret(secret))
	log := fill(t, w, blocks)
	bundle, _ := bundleOf(t, w)
	for refused := range uint64(blocks) {
		r := newNode(t, "reader").open(secret.Address(), WithSecret(secret))
		f, err := r.Add(log.Key(), log.Admission())
		if err != nil {
			t.Fatal(err)
		}
		asked := 0
		f.SetGuard(func(seq uint64, _ []byte, _ *hypercore.Peer) error {
			if asked++; seq == refused {
				return errNotNow
			}
			return nil
		})
		got := readAll(t, r, bundle)
		if got.Blocks != blocks-1 || got.Left != 1 || got.Bad != 0 || asked != blocks || len(got.Faults) != 1 || !errors.Is(got.Faults[0].Err, hypercore.ErrRefused) {
			t.Errorf("block %d refused: %+v, asked %d times", refused, got, asked)
		}
		f.SetGuard(nil)
		wantReport(t, "without guard", readAll(t, r, bundle), 1, 1, blocks-1)
		wantBlocks(t, r, log.Key(), blocks)
	}
}

// Only who knows the address can seal these, and gets nowhere with them.
func TestCraftedBundles(t *testing.T) {
	secret, stranger := NewSecret(), NewSecret()
	address := secret.Address()
	w := newNode(t, "writer").open(address, WithSecret(secret))
	log := fill(t, w, 1)
	good := log.Entry()
	entry := func(e Entry, pad int) *hypercore.Extension {
		b := appendEntry(nil, e)
		if pad > 0 {
			b = append(b, bytesField(100, make([]byte, pad-len(b)-4))...)
		}
		return &hypercore.Extension{ID: bundleEntry, Payload: b}
	}
	data := messagesOf(t, address, func() []byte { b, _ := bundleOf(t, w); return b }())[1]
	forged, unsigned, self := good, good, good
	forged.Admission = stranger.Admit(good.Feed)
	unsigned.Length++
	self.Feed = hypercore.Key(address.Key)
	for _, c := range []struct {
		name     string
		messages []wire.Message
		broken   bool
		faults   int
		blocks   uint64
	}{
		{"good", []wire.Message{entry(good, 0), data}, false, 0, 1},
		{"nothing", nil, false, 0, 0},
		{"what later versions may add", []wire.Message{&hypercore.Extension{ID: 99}, &hypercore.Have{Start: 1}, &hypercore.Options{}, entry(good, 0), data}, false, 0, 1},
		{"as long as can be", []wire.Message{entry(good, maxBundleEntry), data}, false, 0, 1},
		{"too long", []wire.Message{entry(good, maxBundleEntry+1), data}, true, 0, 0},
		{"a block without entry", []wire.Message{data}, true, 0, 0},
		{"an entry of nothing", []wire.Message{&hypercore.Extension{ID: bundleEntry}}, true, 0, 0},
		{"evidence of nothing", []wire.Message{entry(good, 0), &hypercore.Extension{ID: bundleEvidence, Payload: []byte{1}}}, true, 0, 0},
		{"evidence without entry", []wire.Message{&hypercore.Extension{ID: bundleEvidence, Payload: []byte{1}}}, false, 0, 0},
		{"not admitted", []wire.Message{entry(forged, 0), data}, false, 1, 0},
		{"the address as a feed", []wire.Message{entry(self, 0), data}, false, 1, 0},
		{"head not signed", []wire.Message{entry(unsigned, 0), data}, false, 1, 0},
		{"proof without an end", []wire.Message{entry(good, 0), &hypercore.Data{Index: merkle.MaxSize, Value: []byte("x")}}, false, 1, 0},
		{"hash of nothing", []wire.Message{entry(good, 0), &hypercore.Data{Index: 7}}, false, 1, 0},
		{"block over the limit", []wire.Message{entry(good, 0), &hypercore.Data{Value: make([]byte, hypercore.MaxBlock+1)}}, false, 1, 0},
	} {
		r := newNode(t, "reader").open(address, WithSecret(secret))
		report, err := r.ReadBundle(within(t), bytes.NewReader(crafted(t, address, bundleMagic, c.messages...)))
		if errors.Is(err, ErrBundleBroken) != c.broken || err != nil && !c.broken || len(report.Faults) != c.faults || report.Blocks != c.blocks {
			t.Errorf("%s: %+v, %v, want broken %v, %d faults and %d blocks", c.name, report, err, c.broken, c.faults, c.blocks)
		}
	}
}

func TestFaultsOfABundleAreBounded(t *testing.T) {
	for _, n := range []int{MaxBundleFaults, MaxBundleFaults + 1} {
		var r BundleReport
		for i := range n {
			r.fault(hypercore.Key{}, hypercore.Span{Start: uint64(2 * i), Count: 1}, io.EOF)
		}
		if len(r.Faults) != MaxBundleFaults {
			t.Errorf("%d faults: %d are named, want %d", n, len(r.Faults), MaxBundleFaults)
		}
	}
}

func TestNeedLimits(t *testing.T) {
	address := NewOpenAddress()
	need := func(f FeedNeed) *hypercore.Extension {
		return &hypercore.Extension{ID: needFeed, Payload: appendFeedNeed(nil, hypercore.Key{byte(f.From)}, f)}
	}
	padded := func(size int) *hypercore.Extension {
		e := need(FeedNeed{})
		e.Payload = append(e.Payload, bytesField(100, make([]byte, size-len(e.Payload)-4))...)
		return e
	}
	for _, c := range []struct {
		name     string
		messages []wire.Message
		ok       bool
	}{
		{"none", nil, true},
		{"the longest", []wire.Message{need(FeedNeed{merkle.MaxLength, merkle.MaxLength})}, true},
		{"longer", []wire.Message{need(FeedNeed{1, merkle.MaxLength + 1})}, false},
		{"from behind the end", []wire.Message{need(FeedNeed{2, 1})}, false},
		{"of no feed", []wire.Message{&hypercore.Extension{ID: needFeed}}, false},
		{"key of 31 bytes", []wire.Message{&hypercore.Extension{ID: needFeed, Payload: bytesField(needKey, make([]byte, 31))}}, false},
		{"as long as can be", []wire.Message{padded(maxBundleEntry)}, true},
		{"too long", []wire.Message{padded(maxBundleEntry + 1)}, false},
		{"three", []wire.Message{need(FeedNeed{1, 9}), need(FeedNeed{2, 9}), need(FeedNeed{3, 9})}, true},
		{"four", []wire.Message{need(FeedNeed{1, 9}), need(FeedNeed{2, 9}), need(FeedNeed{3, 9}), need(FeedNeed{4, 9})}, false},
		{"unknown", []wire.Message{&hypercore.Extension{ID: 77, Payload: []byte("x")}}, true},
	} {
		_, err := readNeed(bytes.NewReader(crafted(t, address, needMagic, c.messages...)), address, 3)
		if c.ok != (err == nil) || err != nil && !errors.Is(err, ErrBundleBroken) {
			t.Errorf("%s: %v", c.name, err)
		}
	}
}

// A feed that forked: what is here stays, the evidence travels with the bundle.
func TestBundleOfAForkedFeed(t *testing.T) {
	secret, instance := NewSecret(), NewInstance()
	one := newNode(t, "writer").open(secret.Address(), WithSecret(secret), WithInstance(instance))
	two := newNode(t, "writer").open(secret.Address(), WithSecret(secret), WithInstance(instance))
	f := fill(t, one, 3)
	writeIn(t, two, "log", "another", "history", "of", "this", "feed")
	first, _ := bundleOf(t, one)
	second, _ := bundleOf(t, two)
	r := newNode(t, "reader").open(secret.Address(), WithSecret(secret))
	readAll(t, r, first)
	got := readAll(t, r, second)
	if got.Blocks != 0 || got.Held != 3 || got.Left != 2 || got.Bad != 0 || len(got.Faults) == 0 || !errors.Is(got.Faults[0].Err, hypercore.ErrForked) {
		t.Errorf("the other branch: %+v", got)
	}
	mine, err := r.Feed(f.Key())
	if err != nil || !errors.Is(mine.Forked(), hypercore.ErrForked) {
		t.Fatalf("no evidence is here: %v, %v", err, mine.Forked())
	}
	wantBlocks(t, r, f.Key(), 3)

	third, wrote := bundleOf(t, r)
	wantReport(t, "written with evidence", wrote, 1, 3, 0)
	fresh := newNode(t, "fresh").open(secret.Address(), WithSecret(secret))
	wantReport(t, "read with evidence", readAll(t, fresh, third), 1, 3, 0)
	wantBlocks(t, fresh, f.Key(), 3)
	branch := newNode(t, "branch").open(secret.Address(), WithSecret(secret))
	readAll(t, branch, second)
	readAll(t, branch, third)
	knowing := newNode(t, "knowing").open(secret.Address(), WithSecret(secret))
	readAll(t, knowing, first)
	news, _ := bundleOf(t, r, BundleSince(knowing.Need()))
	readAll(t, knowing, news)
	for i, s := range []*Space{fresh, branch, knowing} {
		if f, err := s.Feed(f.Key()); err != nil || f.Forked() == nil {
			t.Errorf("reader %d knows of no fork: %v", i, err)
		}
	}
}

// A writer whose store went back to an older state learns of it from a bundle.
func TestBundleOfOwnLostBlocks(t *testing.T) {
	secret, instance := NewSecret(), NewInstance()
	now := newNode(t, "writer").open(secret.Address(), WithSecret(secret), WithInstance(instance))
	fill(t, now, 3)
	bundle, _ := bundleOf(t, now)
	old := newNode(t, "writer").open(secret.Address(), WithSecret(secret), WithInstance(instance))
	f := fill(t, old, 2)
	got := readAll(t, old, bundle)
	if len(got.Faults) == 0 || !errors.Is(got.Faults[0].Err, hypercore.ErrOldCopy) && !errors.Is(got.Faults[0].Err, hypercore.ErrForked) {
		t.Errorf("%+v", got)
	}
	if f.Writable() {
		t.Error("an old copy is writable")
	}
	if _, err := f.Append(within(t), []byte("x")); err == nil {
		t.Error("an old copy was appended to")
	}
}

// A block that only an older head than ours vouches for can't be tied to the tree
// here when nothing near it is held. Nobody is at fault.
func TestBundleOlderThanASparseFeed(t *testing.T) {
	secret := NewSecret()
	w := newNode(t, "writer").open(secret.Address(), WithSecret(secret))
	log := fill(t, w, 5)
	older, _ := bundleOf(t, w, BundleFeed(log.Key(), hypercore.Span{Start: 4, Count: 1}))
	for n := 5; n < 8; n++ {
		writeIn(t, w, "log", fmt.Sprintf("block %d", n))
	}
	newer, _ := bundleOf(t, w, BundleFeed(log.Key(), hypercore.Span{Start: 0, Count: 1}))
	r := newNode(t, "reader").open(secret.Address(), WithSecret(secret))
	readAll(t, r, newer)
	if got := readAll(t, r, older); got.Left != 1 || got.Bad != 0 || got.Blocks != 0 || len(got.Faults) != 1 {
		t.Errorf("%+v, want one block left", got)
	}
	whole, _ := bundleOf(t, w)
	readAll(t, r, whole)
	wantBlocks(t, r, log.Key(), 8)
}

// A longer bundle without the block at our length can't be tied to it either.
func TestBundleBeyondAGap(t *testing.T) {
	secret := NewSecret()
	w := newNode(t, "writer").open(secret.Address(), WithSecret(secret))
	log := fill(t, w, 3)
	first, _ := bundleOf(t, w)
	for n := 3; n < 20; n++ {
		writeIn(t, w, "log", fmt.Sprintf("block %d", n))
	}
	span := hypercore.Span{Start: 9, Count: 11}
	r := newNode(t, "reader").open(secret.Address(), WithSecret(secret))
	readAll(t, r, first)
	beyond, _ := bundleOf(t, w, BundleFeed(log.Key(), span))
	if got := readAll(t, r, beyond); got.Left != span.Count || got.Bad != 0 || len(got.Faults) != 1 || got.Faults[0].Span != span {
		t.Errorf("%+v, want %d blocks left", got, span.Count)
	}
	beyond, _ = bundleOf(t, w, BundleFeed(log.Key(), span), BundleSince(r.Need()))
	wantReport(t, "with the proof of our length", readAll(t, r, beyond), 1, span.Count, 0)
}

// rottenStore can't read one block any more, or fails.
type rottenStore struct {
	hypercore.Storage
	seq uint64
	err error // nil: all is well
}

func (s *rottenStore) Blocks(key hypercore.Key, span hypercore.Span) ([][]byte, error) {
	if s.err != nil && span.Start <= s.seq && s.seq < span.End() {
		return nil, fmt.Errorf("read %v: %w", span, s.err)
	}
	return s.Storage.Blocks(key, span)
}

// A block that the disk doesn't give back is left out and named; the bundle is
// good without it. A store that is closed ends the bundle.
func TestBundleFromARottenStore(t *testing.T) {
	const blocks = 9
	for seq := range uint64(blocks) {
		secret := NewSecret()
		mem := storage.NewMemory()
		rotten := &rottenStore{Storage: mem, seq: seq}
		store := corestore.New(rotten, corestore.MasterKey{3})
		t.Cleanup(func() { store.Close(); mem.Close() })
		w, err := Open(store, secret.Address(), WithSecret(secret))
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { w.Close() })
		log := fill(t, w, blocks)
		rotten.err = hypercore.ErrClosed
		if _, err := w.WriteBundle(within(t), io.Discard); !errors.Is(err, hypercore.ErrClosed) {
			t.Errorf("a closed store: %v", err)
		}
		rotten.err = hypercore.ErrDamaged
		if _, wrote := bundleOf(t, w); wrote.Bad != 1 {
			t.Errorf("block %d can't be read: %+v", seq, wrote)
		}
		bundle, wrote := bundleOf(t, w) // now that it is known
		want := hypercore.Span{Start: seq, Count: 1}
		if wrote.Blocks != blocks-1 || wrote.Bad != 1 || len(wrote.Faults) != 1 || wrote.Faults[0].Feed != log.Key() || wrote.Faults[0].Span != want {
			t.Errorf("block %d can't be read: %+v", seq, wrote)
		}
		r := newNode(t, "reader").open(secret.Address(), WithSecret(secret))
		wantReport(t, "without it", readAll(t, r, bundle), 1, blocks-1, 0)
	}
}
