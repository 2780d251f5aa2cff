package storage_test

import (
	"errors"
	"math/rand/v2"
	"sync"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cockroachdb/pebble/v2/vfs/errorfs"

	"github.com/cobox-p2p/cobox-p2p/hypercore"
	"github.com/cobox-p2p/cobox-p2p/hypercore/storage"
)

// diskCopier copies the disk as a power cut would leave it, before operations that
// change it.
type diskCopier struct {
	disk *vfs.MemFS

	mu    sync.Mutex // guards all below
	rng   *rand.Rand
	every int
	ops   int
	left  []*vfs.MemFS
}

func (c *diskCopier) String() string { return "diskCopier" }

func (c *diskCopier) MaybeError(op errorfs.Op) error {
	if !isWrite(op) && !isSync(op) && !isCreate(op) && op.Kind != errorfs.OpRemove && op.Kind != errorfs.OpRemoveAll {
		return nil
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	// Every change of the folder's own names is cut, of the others some.
	if c.ops++; c.ops%c.every == 0 || op.Kind == errorfs.OpRename {
		c.left = append(c.left, c.disk.CrashClone(vfs.CrashCloneCfg{UnsyncedDataPercent: c.rng.IntN(3) * 50, RNG: c.rng}))
	}
	return nil
}

// syncDir makes durable what was done to the names in a folder.
func syncDir(t *testing.T, fsys vfs.FS, dir string) {
	t.Helper()
	f, err := fsys.OpenDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	if err := f.Sync(); err != nil {
		t.Fatal(err)
	}
	f.Close()
}

// TestRebuildPowerCut cuts the power all through a rebuild. The next Open must
// begin it anew or end it, and lose nothing.
func TestRebuildPowerCut(t *testing.T) {
	rng := seededRand(t)
	for _, name := range []string{"index", "table", "manifest"} {
		disk := vfs.NewCrashableMem()
		w := writeTablesAndLog(t, rng, disk, 128<<10, 2+sized(10))
		damages[name](t, rng, disk)
		syncDir(t, disk, "store")
		if name != "index" {
			syncDir(t, disk, indexDir)
		}
		c := &diskCopier{disk: disk, rng: rand.New(rand.NewPCG(rng.Uint64(), 2)), every: 40}
		switch {
		case soak:
			c.every = 3
		case raceEnabled:
			c.every = 200
		}
		openStore(t, "store", errorfs.Wrap(disk, c), storage.WithMemTable(256<<10)).Close()
		whole := openStore(t, "store", disk, storage.WithMemTable(256<<10))
		want := w.check(t, whole)
		if whole.Rebuilt() == nil {
			t.Fatalf("%s: not rebuilt", name)
		}
		if len(c.left) < 4 {
			t.Fatalf("%s: only %d power cuts", name, len(c.left))
		}
		for i, left := range c.left {
			again := openStore(t, "store", left, storage.WithMemTable(256<<10))
			held := w.check(t, again)
			r := again.Rebuilt()
			if r == nil {
				t.Fatalf("%s: not rebuilt after power cut %d of %d", name, i, len(c.left))
			}
			w.checkKept(t, again, held, r)
			for j := range held {
				if len(held[j]) != len(want[j]) {
					t.Errorf("%s: feed %d holds %d blocks after power cut %d, want %d", name, j, len(held[j]), i, len(want[j]))
				}
			}
			// This disk may keep both names of what was renamed and not synced.
			if got := names(t, left, "store", "index", ""); len(got) > 3 {
				t.Errorf("%s: power cut %d leaves %v", name, i, got)
			}
			again.Close()
		}
	}
}

// TestNoRebuild cuts the power while a sound store is written: that is no damage.
func TestNoRebuild(t *testing.T) {
	rng := seededRand(t)
	rounds := 2
	if soak {
		rounds = 40
	}
	for range rounds {
		disk := vfs.NewCrashableMem()
		c := &diskCopier{disk: disk, rng: rand.New(rand.NewPCG(rng.Uint64(), 2)), every: 60}
		if soak {
			c.every = 7
		}
		for range 3 {
			s := openStore(t, "store", errorfs.Wrap(disk, c), storage.WithMemTable(uint64(64<<10+rng.IntN(128<<10))))
			write(t, rng, s, 2+rng.IntN(10))
			s.Close()
		}
		for i, left := range c.left {
			for range 2 {
				s := openStore(t, "store", left, storage.WithMemTable(256<<10))
				if r := s.Rebuilt(); r != nil {
					t.Fatalf("rebuilt after power cut %d: %v %v", i, r, r.Losses)
				}
				s.Close()
			}
		}
	}
}

// TestRebuildFault lets the n-th change of the disk fail in a rebuild, as when
// the disk is full. Open must return the error, and work when it is gone.
func TestRebuildFault(t *testing.T) {
	rng := seededRand(t)
	disk := vfs.NewMem()
	s := openStore(t, "store", disk, storage.WithMemTable(256<<10))
	w := write(t, rng, s, 8)
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	damages["index"](t, rng, disk)
	failures := 0
	for n := int64(1); n < 1000; n = n*5/4 + 1 {
		f := &faultyFS{sticky: n%2 == 0, match: func(op errorfs.Op) bool { return isWrite(op) || isSync(op) || isCreate(op) }}
		f.left.Store(n)
		s, err := storage.Open("store", storage.WithFS(errorfs.Wrap(disk, f)))
		if err == nil {
			s.Close()
			break
		}
		failures++
		if !errors.Is(err, errorfs.ErrInjected) {
			t.Errorf("Open with a failure at change %d = %v, want the failure", n, err)
		}
	}
	if failures < 5 {
		t.Errorf("only %d failures", failures)
	}
	again := openStore(t, "store", disk, storage.WithMemTable(256<<10))
	if again.Rebuilt() == nil {
		t.Fatal("not rebuilt")
	}
	w.checkFiles(t, again, w.check(t, again))
}

// TestRebuildOwnFeed checks that a feed whose end may be lost is not written on.
func TestRebuildOwnFeed(t *testing.T) {
	rng := seededRand(t)
	fsys := vfs.NewMem()
	s := openStore(t, "store", fsys, storage.WithMemTable(256<<10))
	w := write(t, rng, s, 6)
	f := w.feeds[0]
	if err := s.Commit(&hypercore.Batch{Feeds: []hypercore.FeedWrite{f.grow(rng, 60, 20000, false)}}); err != nil {
		t.Fatal(err)
	}
	s.Close()
	damages["index"](t, rng, fsys)
	s = openStore(t, "store", fsys, storage.WithMemTable(256<<10))
	feed, err := hypercore.Open(s, f.keys.Public, f.keys)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := feed.Append(t.Context(), []byte("x")); !errors.Is(err, hypercore.ErrOldCopy) {
		t.Errorf("Append to a feed that may have lost its end = %v, want ErrOldCopy", err)
	}
	if err := feed.Close(); err != nil {
		t.Fatal(err)
	}
}
