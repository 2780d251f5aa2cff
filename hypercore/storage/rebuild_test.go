package storage_test

import (
	"fmt"
	"io"
	"maps"
	"math/rand/v2"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/cobox-p2p/cobox-p2p/hypercore"
	"github.com/cobox-p2p/cobox-p2p/hypercore/storage"
)

// flipBits changes bits of a file at random places.
func flipBits(t *testing.T, rng *rand.Rand, fsys vfs.FS, name string, count int) {
	t.Helper()
	b := readAll(t, fsys, name)
	for range count {
		if len(b) > 0 {
			b[rng.IntN(len(b))] ^= 1 << rng.IntN(8)
		}
	}
	setFile(t, fsys, name, string(b))
}

func readAll(t *testing.T, fsys vfs.FS, name string) []byte {
	t.Helper()
	f, err := fsys.Open(name)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	b, err := io.ReadAll(f)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func remove(t *testing.T, fsys vfs.FS, name string) {
	t.Helper()
	if err := fsys.RemoveAll(name); err != nil {
		t.Fatal(err)
	}
}

// pick returns one of the names.
func pick(rng *rand.Rand, names []string) string { return names[rng.IntN(len(names))] }

const indexDir = "store/index"

// damages are what happens to a store, by name.
var damages = map[string]func(t *testing.T, rng *rand.Rand, fsys vfs.FS){
	"index": func(t *testing.T, _ *rand.Rand, fsys vfs.FS) { remove(t, fsys, indexDir) },
	"emptied": func(t *testing.T, _ *rand.Rand, fsys vfs.FS) {
		for _, n := range names(t, fsys, indexDir, "", "") {
			remove(t, fsys, n)
		}
	},
	"table": func(t *testing.T, rng *rand.Rand, fsys vfs.FS) {
		tables := names(t, fsys, indexDir, "", ".sst")
		if len(tables) == 0 {
			t.Fatal("no table to lose")
		}
		remove(t, fsys, pick(rng, tables))
	},
	"log": func(t *testing.T, rng *rand.Rand, fsys vfs.FS) {
		remove(t, fsys, pick(rng, names(t, fsys, indexDir, "", ".log")))
	},
	"manifest": func(t *testing.T, _ *rand.Rand, fsys vfs.FS) {
		for _, n := range names(t, fsys, indexDir, "MANIFEST-", "") {
			remove(t, fsys, n)
		}
	},
	"marker": func(t *testing.T, _ *rand.Rand, fsys vfs.FS) {
		for _, n := range names(t, fsys, indexDir, "marker.manifest", "") {
			remove(t, fsys, n)
		}
	},
	"version marker": func(t *testing.T, _ *rand.Rand, fsys vfs.FS) {
		for _, n := range names(t, fsys, indexDir, "marker.format-version", "") {
			remove(t, fsys, n)
		}
	},
	"cut manifest": func(t *testing.T, rng *rand.Rand, fsys vfs.FS) {
		for _, n := range names(t, fsys, indexDir, "MANIFEST-", "") {
			b := readAll(t, fsys, n)
			setFile(t, fsys, n, string(b[:rng.IntN(len(b))]))
		}
	},
	"flipped manifest": func(t *testing.T, rng *rand.Rand, fsys vfs.FS) {
		for _, n := range names(t, fsys, indexDir, "MANIFEST-", "") {
			flipBits(t, rng, fsys, n, 1)
		}
	},
	"flipped log": func(t *testing.T, rng *rand.Rand, fsys vfs.FS) {
		for _, n := range names(t, fsys, indexDir, "", ".log") {
			flipBits(t, rng, fsys, n, 3)
		}
		for _, n := range names(t, fsys, indexDir, "MANIFEST-", "") {
			remove(t, fsys, n)
		}
	},
	"flipped tables": func(t *testing.T, rng *rand.Rand, fsys vfs.FS) {
		for _, n := range names(t, fsys, indexDir, "", ".sst") {
			flipBits(t, rng, fsys, n, rng.IntN(6))
		}
		for _, n := range names(t, fsys, indexDir, "MANIFEST-", "") {
			remove(t, fsys, n)
		}
	},
	"data file": func(t *testing.T, rng *rand.Rand, fsys vfs.FS) {
		if files := names(t, fsys, "store/data", "", ".blocks"); len(files) > 0 {
			remove(t, fsys, pick(rng, files))
		}
		remove(t, fsys, indexDir)
	},
	"flipped data": func(t *testing.T, rng *rand.Rand, fsys vfs.FS) {
		for _, n := range names(t, fsys, "store/data", "", ".blocks") {
			flipBits(t, rng, fsys, n, 4)
		}
		remove(t, fsys, indexDir)
	},
}

// TestRebuild damages random stores in every way. A store must open then, hold
// nothing but what was written, and all that can still be found and proved.
func TestRebuild(t *testing.T) {
	rounds, batches := 1, 14
	switch {
	case soak:
		rounds, batches = 20, 120
	case raceEnabled: // with it, Pebble notes a stack for each table that it reads
		batches = 5
	}
	for name, damage := range damages {
		for i := range rounds {
			t.Run(fmt.Sprintf("%s/%d", name, i), func(t *testing.T) {
				t.Parallel()
				rng := seededRand(t)
				fsys := vfs.NewMem()
				w := writeTablesAndLog(t, rng, fsys, 256<<10, batches)
				damage(t, rng, fsys)
				again := openStore(t, "store", fsys, storage.WithMemTable(256<<10))
				held := w.check(t, again)
				whole := name != "data file" && name != "flipped data"
				if r := again.Rebuilt(); r != nil && whole {
					w.checkKept(t, again, held, r)
				}
				if again.Rebuilt() == nil {
					w.checkAll(t, again, held)
				}
				if name == "index" {
					w.checkFiles(t, again, held)
				}
				w.useAgain(t, rng, fsys, again)
			})
		}
	}
}

// checkKept checks the first feed, of which everything lies in data files.
func (w *written) checkKept(t *testing.T, s *storage.Store, held []map[uint64]bool, r *storage.Rebuild) {
	t.Helper()
	f := w.feeds[0]
	if f.head.Length == 0 {
		return
	}
	stored, err := s.Feed(f.keys.Public)
	if err != nil || stored.Head != f.head {
		t.Errorf("head of length %d, %v, want %d; %v", stored.Head.Length, err, f.head.Length, r)
	}
	for seq := range f.held {
		if !held[0][seq] {
			t.Fatalf("block %d of %d in an intact data file is not held; %v %v", seq, f.head.Length, r, r.Losses)
		}
	}
}

// checkFiles checks that all that can be proved from data files alone is held.
func (w *written) checkFiles(t *testing.T, s *storage.Store, held []map[uint64]bool) {
	t.Helper()
	for i, f := range w.feeds {
		if f.lastIn == 0 {
			continue
		}
		stored, err := s.Feed(f.keys.Public)
		if err != nil || stored.Head.Length != f.lastIn {
			t.Errorf("feed %d has length %d, %v, want %d", i, stored.Head.Length, err, f.lastIn)
			continue
		}
		for seq, led := range f.reachable(f.inFile) {
			if led && f.held[seq] && !held[i][seq] {
				t.Errorf("feed %d: block %d can be proved from data files and is not held", i, seq)
			}
		}
	}
}

// useAgain writes on in the rebuilt store and opens it once more.
func (w *written) useAgain(t *testing.T, rng *rand.Rand, fsys vfs.FS, s *storage.Store) {
	t.Helper()
	f := newWrittenFeed(rng)
	w.feeds = append(w.feeds, f)
	before := map[int]int{}
	for i, g := range w.feeds {
		before[i] = len(g.blocks)
	}
	for range 2 {
		fw := f.grow(rng, 60, 20000, false)
		if err := s.Commit(&hypercore.Batch{Feeds: []hypercore.FeedWrite{fw}}); err != nil {
			t.Fatal(err)
		}
	}
	rebuilt := s.Rebuilt()
	held := w.check(t, s)
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	again := openStore(t, "store", fsys, storage.WithMemTable(256<<10))
	if r := again.Rebuilt(); (r == nil) != (rebuilt == nil) || r != nil && !r.When.Equal(rebuilt.When) {
		t.Errorf("opened once more: %v, before %v", r, rebuilt)
	}
	for i, now := range w.check(t, again) {
		if !maps.Equal(now, held[i]) {
			t.Errorf("feed %d holds %d blocks when opened once more, %d before", i, len(now), len(held[i]))
		}
	}
	if len(held[len(held)-1]) != len(f.blocks) {
		t.Errorf("of %d new blocks %d are held", len(f.blocks), len(held[len(held)-1]))
	}
}

// checkAll checks that everything is as it was written.
func (w *written) checkAll(t *testing.T, s *storage.Store, held []map[uint64]bool) {
	t.Helper()
	for i, f := range w.feeds {
		stored, err := s.Feed(f.keys.Public)
		if f.head.Length > 0 && (err != nil || stored.Head != f.head) {
			t.Errorf("feed %d has length %d, %v, want %d", i, stored.Head.Length, err, f.head.Length)
		}
		if !maps.Equal(held[i], f.held) {
			t.Errorf("feed %d holds %d blocks, want %d", i, len(held[i]), len(f.held))
		}
	}
	for key, value := range w.records {
		if v, err := s.Record([]byte(key)); err != nil || string(v) != value {
			t.Errorf("record %s = %q, %v, want %q", key, v, err, value)
		}
	}
}
