package storage_test

import (
	"errors"
	"io/fs"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cockroachdb/pebble/v2/vfs/errorfs"

	"github.com/cobox-p2p/cobox-p2p/hypercore"
	"github.com/cobox-p2p/cobox-p2p/hypercore/storage"
)

// damagedStore returns a disk with a store that has lost what damage says.
func damagedStore(t *testing.T, damage string) (*vfs.MemFS, *written) {
	t.Helper()
	rng := seededRand(t)
	disk := vfs.NewMem()
	s := openStore(t, "store", disk, storage.WithMemTable(256<<10))
	w := write(t, rng, s, 8)
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	openStore(t, "store", disk, storage.WithMemTable(256<<10)).Close() // what is in the log goes to tables
	damages[damage](t, rng, disk)
	return disk, w
}

// TestNotRebuilt checks that what is no damage stays an error, and that nothing
// is changed.
func TestNotRebuilt(t *testing.T) {
	disk, w := damagedStore(t, "table")
	before := names(t, disk, "store", "", "")
	for _, cause := range []error{fs.ErrPermission, syscall.EMFILE, syscall.EACCES, syscall.EIO, syscall.ENOSPC, errorfs.ErrInjected} {
		faulty := errorfs.Wrap(disk, errorfs.InjectorFunc(func(op errorfs.Op) error {
			if op.Kind == errorfs.OpOpen && strings.Contains(op.Path, "MANIFEST") {
				return cause
			}
			return nil
		}))
		if _, err := storage.Open("store", storage.WithFS(faulty)); !errors.Is(err, cause) {
			t.Errorf("Open with %v = %v", cause, err)
		}
	}
	if _, err := storage.Open("store", storage.WithFS(disk), storage.WithoutRebuild()); !errors.Is(err, storage.ErrDamaged) {
		t.Errorf("Open without a rebuild = %v, want ErrDamaged", err)
	}
	if after := names(t, disk, "store", "", ""); len(after) != len(before) {
		t.Errorf("folder has %v, had %v", after, before)
	}
	s := openStore(t, "store", disk, storage.WithMemTable(256<<10))
	if s.Rebuilt() == nil {
		t.Fatal("not rebuilt")
	}
	w.checkKept(t, s, w.check(t, s), s.Rebuilt())
}

// TestRebuildNeedsMarker checks that data files without a marker are left alone.
func TestRebuildNeedsMarker(t *testing.T) {
	disk, _ := damagedStore(t, "index")
	remove(t, disk, "store/COBOX-STORE")
	if len(names(t, disk, "store/data", "", ".blocks")) == 0 {
		t.Fatal("no data files")
	}
	if _, err := storage.Open("store", storage.WithFS(disk)); !errors.Is(err, storage.ErrNotStore) {
		t.Errorf("Open of data files without a marker = %v, want ErrNotStore", err)
	}
}

// TestRebuildEmpty checks that an index that is gone is told even where nothing
// else is left.
func TestRebuildEmpty(t *testing.T) {
	disk := vfs.NewMem()
	s := openStore(t, "store", disk, storage.WithMemTable(256<<10))
	if s.Rebuilt() != nil {
		t.Errorf("new store is rebuilt: %v", s.Rebuilt())
	}
	s.Close()
	remove(t, disk, indexDir)
	s = openStore(t, "store", disk, storage.WithMemTable(256<<10))
	if r := s.Rebuilt(); r == nil || r.Complete || r.Feeds != 0 || r.Old != "" {
		t.Errorf("rebuilt = %+v, want one of nothing", r)
	}
}

// TestRebuildDropped checks that a feed that was dropped stays so when the index
// still says it, that its id isn't given again, and that files of nobody stay.
func TestRebuildDropped(t *testing.T) {
	rng := seededRand(t)
	disk := vfs.NewMem()
	s := openStore(t, "store", disk, storage.WithMemTable(256<<10))
	kept, gone := newWrittenFeed(rng), newWrittenFeed(rng)
	for _, f := range []*writtenFeed{gone, kept} {
		if err := s.Commit(&hypercore.Batch{Feeds: []hypercore.FeedWrite{f.grow(rng, 80, 20000, false)}}); err != nil {
			t.Fatal(err)
		}
	}
	file := names(t, disk, "store/data", "0000000000000000-", "")
	if len(file) != 1 {
		t.Fatalf("files of the first feed: %v", file)
	}
	old := readAll(t, disk, file[0])
	if err := s.Commit(&hypercore.Batch{Feeds: []hypercore.FeedWrite{{Key: gone.keys.Public, Drop: true}}}); err != nil {
		t.Fatal(err)
	}
	s.Close()
	setFile(t, disk, file[0], string(old)) // as if it had not been removed yet
	damages["manifest"](t, rng, disk)
	s = openStore(t, "store", disk, storage.WithMemTable(256<<10))
	r := s.Rebuilt()
	if r == nil || r.Feeds != 1 || r.Stray != 1 || r.StrayBytes != uint64(len(old)) {
		t.Fatalf("rebuilt = %+v, want one feed and one stray file", r)
	}
	if _, err := s.Feed(gone.keys.Public); !errors.Is(err, hypercore.ErrNoFeed) {
		t.Errorf("dropped feed = %v, want ErrNoFeed", err)
	}
	if err := s.Commit(&hypercore.Batch{Feeds: []hypercore.FeedWrite{newWrittenFeed(rng).grow(rng, 80, 20000, false)}}); err != nil {
		t.Fatal(err)
	}
	s.Close()
	s = openStore(t, "store", disk, storage.WithMemTable(256<<10))
	if got := readAll(t, disk, file[0]); string(got) != string(old) {
		t.Error("a file of nobody has changed")
	}
	w := written{feeds: []*writtenFeed{kept}}
	w.checkKept(t, s, w.check(t, s), r)
}

// TestManifestCutShort cuts a manifest of two edits, of which the second one names
// all tables, at every length.
func TestManifestCutShort(t *testing.T) {
	rng := seededRand(t)
	disk := vfs.NewMem()
	w := writeTablesAndLog(t, rng, disk, 4<<20, 4)
	list := names(t, disk, indexDir, "MANIFEST-", "")
	slices.Sort(list)
	name := list[len(list)-1]
	whole := string(readAll(t, disk, name))
	for length := range len(whole) {
		setFile(t, disk, name, whole[:length])
		s, err := storage.Open("store", storage.WithFS(disk), storage.WithoutRebuild())
		if !errors.Is(err, storage.ErrDamaged) {
			t.Fatalf("Open with %d of %d bytes of %s = %v, %v, want ErrDamaged", length, len(whole), name, s, err)
		}
	}
	setFile(t, disk, name, whole)
	s := openStore(t, "store", disk)
	if s.Rebuilt() != nil {
		t.Errorf("whole again, rebuilt: %v", s.Rebuilt())
	}
	w.checkAll(t, s, w.check(t, s))
}
