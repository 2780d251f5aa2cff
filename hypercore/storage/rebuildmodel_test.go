package storage_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"strconv"
	"strings"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/cobox-p2p/cobox-p2p/hypercore"
	"github.com/cobox-p2p/cobox-p2p/hypercore/flattree"
	"github.com/cobox-p2p/cobox-p2p/hypercore/merkle"
	"github.com/cobox-p2p/cobox-p2p/hypercore/storage"
)

// writtenFeed is what a test wrote to one feed.
type writtenFeed struct {
	keys   hypercore.KeyPair
	blocks [][]byte
	roots  merkle.Roots
	nodes  map[uint64]merkle.Node
	head   hypercore.Head
	held   map[uint64]bool
	inFile map[uint64]bool // blocks that went to data files
	// beside are the nodes that lie in data files, as the batches had them.
	beside map[uint64]bool
	lastIn uint64 // length of the last head in a data file
	least  int    // bytes of a run that goes to a data file
}

func newWrittenFeed(rng *rand.Rand) *writtenFeed {
	var seed [hypercore.SeedSize]byte
	for i := range seed {
		seed[i] = byte(rng.Uint32())
	}
	return &writtenFeed{keys: hypercore.NewKeyPair(seed), nodes: map[uint64]merkle.Node{}, held: map[uint64]bool{},
		inFile: map[uint64]bool{}, beside: map[uint64]bool{}, least: storage.LooseRunBytes}
}

// grow makes a write of count new blocks of up to max bytes, of which a part is
// not stored when the feed is sparse.
func (f *writtenFeed) grow(rng *rand.Rand, count, max int, sparse bool) hypercore.FeedWrite {
	w := hypercore.FeedWrite{Key: f.keys.Public, Anchor: f.roots.Nodes()}
	start := uint64(len(f.blocks))
	for range count {
		block := randomBlock(rng, rng.IntN(max+1))
		f.blocks = append(f.blocks, block)
		w.Nodes = f.roots.Append(merkle.Leaf(uint64(len(f.blocks)-1), block), w.Nodes)
	}
	for _, n := range w.Nodes {
		f.nodes[n.Index] = n
	}
	w.Head = f.sign()
	for at := start; at < f.head.Length; {
		end := f.head.Length
		if sparse {
			end = min(end, at+1+rng.Uint64N(40))
		}
		if !sparse || rng.IntN(2) == 0 {
			w.Runs = append(w.Runs, hypercore.Run{Start: at, Blocks: f.blocks[at:end]})
		}
		at = end
	}
	f.note(&w)
	return w
}

// sign makes the head of the roots.
func (f *writtenFeed) sign() *hypercore.Head {
	root, length := f.roots.Hash(), f.roots.Length()
	f.head = hypercore.Head{Length: length, Size: f.roots.Size(), RootHash: root,
		Signature: f.keys.Sign(hypercore.Signable(root, length))}
	head := f.head
	return &head
}

// note notes which of the blocks are held, and which of them are in data files.
func (f *writtenFeed) note(w *hypercore.FeedWrite) {
	long := map[uint64]bool{}
	for at := 0; at < len(w.Runs); {
		end, size := at, 0
		for ; end < len(w.Runs) && (end == at || w.Runs[end].Start == w.Runs[end-1].Span().End()); end++ {
			for _, b := range w.Runs[end].Blocks {
				size += len(b)
			}
		}
		for _, run := range w.Runs[at:end] {
			for i := range run.Blocks {
				seq := run.Start + uint64(i)
				f.held[seq] = true
				if size >= f.least {
					f.inFile[seq], long[seq] = true, true
				}
			}
		}
		at = end
	}
	if len(long) == 0 {
		return
	}
	f.lastIn = w.Head.Length
	for _, n := range append(w.Anchor[:len(w.Anchor):len(w.Anchor)], w.Nodes...) {
		f.beside[n.Index] = true // those that can be hashed are there in any case
	}
}

// clear makes a write that clears a span.
func (f *writtenFeed) clear(rng *rand.Rand) hypercore.FeedWrite {
	span := hypercore.Span{Start: rng.Uint64N(f.head.Length), Count: 1 + rng.Uint64N(30)}
	for seq := span.Start; seq < span.End(); seq++ {
		delete(f.held, seq)
	}
	return hypercore.FeedWrite{Key: f.keys.Public, Clear: []hypercore.Span{span}}
}

func randomBlock(rng *rand.Rand, size int) []byte {
	b := make([]byte, size)
	for i := 0; i+8 <= len(b); i += 8 {
		x := rng.Uint64()
		for j := range 8 {
			b[i+j] = byte(x >> (8 * j))
		}
	}
	return b
}

// written is what a test wrote to a store.
type written struct {
	feeds   []*writtenFeed
	records map[string]string
	batches int
}

// write fills a store at random.
func write(t *testing.T, rng *rand.Rand, s *storage.Store, batches int) *written {
	t.Helper()
	w := &written{records: map[string]string{}}
	for range 2 + rng.IntN(3) {
		w.feeds = append(w.feeds, newWrittenFeed(rng))
	}
	w.writeOn(t, rng, s, batches)
	return w
}

// writeTablesAndLog is write to a new store, of which it leaves part in tables of
// the index, however little that is, and part in the log: what the log holds when
// the store is opened goes to a table.
func writeTablesAndLog(t *testing.T, rng *rand.Rand, fsys vfs.FS, memTable uint64, batches int) *written {
	t.Helper()
	s := openStore(t, "store", fsys, storage.WithMemTable(memTable))
	w := write(t, rng, s, batches-batches/2)
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	s = openStore(t, "store", fsys, storage.WithMemTable(memTable))
	w.writeOn(t, rng, s, batches/2)
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	return w
}

// writeOn writes more batches at random.
func (w *written) writeOn(t *testing.T, rng *rand.Rand, s *storage.Store, batches int) {
	t.Helper()
	for range batches {
		f := rng.IntN(len(w.feeds))
		var fw hypercore.FeedWrite
		sparse, urgent := f == 1, rng.IntN(3) == 0
		w.feeds[f].least = storage.LooseRunBytes
		if urgent {
			w.feeds[f].least = storage.LongRunBytes
		}
		switch n := rng.IntN(10); {
		case f == 0 || n < 3: // the first feed lies in data files alone
			fw = w.feeds[f].grow(rng, 10+rng.IntN(sized(200)), 20000, sparse && f != 0)
			if f == 0 {
				for len(fw.Runs) > 0 && runBytes(fw.Runs) < w.feeds[f].least {
					more := w.feeds[f].grow(rng, 30, 20000, false)
					fw.Nodes, fw.Head = append(fw.Nodes, more.Nodes...), more.Head
					fw.Runs[0].Blocks = w.feeds[f].blocks[fw.Runs[0].Start:more.Head.Length]
					w.feeds[f].note(&fw)
				}
			}
		case n < 8 || w.feeds[f].head.Length == 0:
			fw = w.feeds[f].grow(rng, 1+rng.IntN(sized(150)), 300, sparse)
		default:
			fw = w.feeds[f].clear(rng)
		}
		key, value := fmt.Sprintf("k/%d", rng.IntN(20)), fmt.Sprintf("%d", w.batches)
		w.records[key] = value
		w.batches++
		b := &hypercore.Batch{Feeds: []hypercore.FeedWrite{fw}, Urgent: urgent,
			Records: []hypercore.Record{{Key: []byte(key), Value: []byte(value)}}}
		if err := s.Commit(b); err != nil {
			t.Fatal(err)
		}
	}
}

func runBytes(runs []hypercore.Run) (size int) {
	for _, r := range runs {
		for _, b := range r.Blocks {
			size += len(b)
		}
	}
	return size
}

// check fails the test for anything in the store that isn't what was written, or
// contradicts itself. It returns the blocks held of each feed.
func (w *written) check(t *testing.T, s *storage.Store) []map[uint64]bool {
	t.Helper()
	all := make([]map[uint64]bool, len(w.feeds))
	for i, f := range w.feeds {
		all[i] = map[uint64]bool{}
		stored, err := s.Feed(f.keys.Public)
		if errors.Is(err, hypercore.ErrNoFeed) {
			continue
		}
		if err != nil {
			t.Fatalf("feed %d: %v", i, err)
		}
		size := uint64(0)
		for span, err := range s.Held(f.keys.Public) {
			if err != nil || span.End() > stored.Head.Length || span.End() > uint64(len(f.blocks)) {
				t.Fatalf("feed %d of length %d holds %v, %v", i, stored.Head.Length, span, err)
			}
			blocks, err := s.Blocks(f.keys.Public, span)
			if err != nil {
				t.Fatalf("feed %d: %v", i, err)
			}
			for j, b := range blocks {
				all[i][span.Start+uint64(j)] = true
				size += uint64(len(b))
				if !bytes.Equal(b, f.blocks[span.Start+uint64(j)]) {
					t.Fatalf("feed %d: block %d is not what was written", i, span.Start+uint64(j))
				}
			}
		}
		if stored.Blocks != uint64(len(all[i])) || stored.Bytes != size {
			t.Errorf("feed %d counts %d blocks and %d bytes, holds %d and %d", i, stored.Blocks, stored.Bytes, len(all[i]), size)
		}
		audit(t, s, f.keys.Public)
	}
	return all
}

// audit opens the feed and checks all of it.
func audit(t *testing.T, s *storage.Store, key hypercore.Key) {
	t.Helper()
	f, err := hypercore.Open(s, key, hypercore.KeyPair{})
	if err != nil {
		t.Fatalf("open feed: %v", err)
	}
	a, err := f.Audit(context.Background())
	if err != nil || !a.Valid() {
		t.Fatalf("audit = %+v, %v", a, err)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
}

// reachable returns which of the blocks that are in data files alone can be led
// up to the roots of the last head that is there.
func (f *writtenFeed) reachable(inFile map[uint64]bool) map[uint64]bool {
	var known func(index uint64) bool
	memo := map[uint64]bool{}
	known = func(index uint64) bool {
		if k, ok := memo[index]; ok {
			return k
		}
		k := f.beside[index] && flattree.Blocks(index) > 0 && !f.hashable(index)
		if left, right, ok := flattree.Children(index); !ok {
			k = k || inFile[index/2]
		} else {
			k = known(left) && known(right) || k
		}
		memo[index] = k
		return k
	}
	led := map[uint64]bool{}
	var down func(index uint64)
	down = func(index uint64) {
		left, right, ok := flattree.Children(index)
		if !ok {
			led[index/2] = inFile[index/2]
			return
		}
		if known(left) && known(right) {
			down(left)
			down(right)
		}
	}
	for _, root := range flattree.FullRoots(nil, f.lastIn) {
		down(root)
	}
	return led
}

// hashable says whether all blocks below the node are in data files, so that the
// node need not be beside them.
func (f *writtenFeed) hashable(index uint64) bool {
	for leaf := flattree.LeftSpan(index); leaf <= flattree.RightSpan(index); leaf += 2 {
		if !f.inFile[leaf/2] {
			return false
		}
	}
	return true
}

// seededRand returns the random numbers of a test, which prints its seed when it
// fails. COBOX_SEED repeats one.
func seededRand(t *testing.T) *rand.Rand {
	t.Helper()
	seed := rand.Uint64()
	if n, err := strconv.ParseUint(os.Getenv("COBOX_SEED"), 10, 64); err == nil {
		seed = n
	}
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("COBOX_SEED=%d", seed)
		}
	})
	return rand.New(rand.NewPCG(seed, 1))
}

// names returns the files of a folder whose names have the suffix or prefix.
func names(t *testing.T, fsys vfs.FS, dir, prefix, suffix string) (found []string) {
	t.Helper()
	list, err := fsys.List(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, n := range list {
		if n = fsys.PathBase(n); strings.HasPrefix(n, prefix) && strings.HasSuffix(n, suffix) {
			found = append(found, fsys.PathJoin(dir, n))
		}
	}
	return found
}
