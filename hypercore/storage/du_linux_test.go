package storage_test

import (
	"errors"
	"io/fs"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/cobox-p2p/cobox-p2p/hypercore"
	"github.com/cobox-p2p/cobox-p2p/hypercore/storage"
)

// onDisk returns the bytes that the folder takes on the disk, as du counts them.
func onDisk(t *testing.T, dir string) (bytes int64) {
	t.Helper()
	err := filepath.WalkDir(dir, func(_ string, d fs.DirEntry, err error) error {
		if errors.Is(err, fs.ErrNotExist) { // Pebble removes files when it has time
			return nil
		}
		if err != nil {
			return err
		}
		info, err := d.Info()
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		if err != nil {
			return err
		}
		if s, ok := info.Sys().(*syscall.Stat_t); ok {
			bytes += s.Blocks * 512
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return bytes
}

// TestSpaceGivenBack checks that the folder shrinks after Clear, Truncate and
// Drop, for long runs and for blocks of the index.
func TestSpaceGivenBack(t *testing.T) {
	const size, mib = 64 << 10, 1 << 20
	dir := t.TempDir()
	s := openStore(t, dir, nil, storage.WithMemTable(1<<20), storage.WithSegment(4*mib))
	defer s.Close()
	long, small := hypercore.Key{1}, hypercore.Key{2}
	for i := range 4 { // 16 MiB in four data files
		commitSwept(t, s, hypercore.FeedWrite{Key: long, Runs: []hypercore.Run{randomRun(i*64, 63, size)}})
	}
	for i := range 80 { // 8 MiB in the index
		commitSwept(t, s, hypercore.FeedWrite{Key: small, Runs: []hypercore.Run{randomRun(i, 1, 100<<10)}})
	}
	shrinks := func(what, folder string, least int64, w hypercore.FeedWrite) {
		t.Helper()
		before := onDisk(t, filepath.Join(dir, folder))
		commitSwept(t, s, w)
		if now := onDisk(t, filepath.Join(dir, folder)); before-now < least {
			t.Errorf("after %s the folder %s takes %d KiB, before %d, want %d less", what, folder, now>>10, before>>10, least>>10)
		}
	}
	span := func(start, count uint64) []hypercore.Span { return []hypercore.Span{{Start: start, Count: count}} }
	if punches(t, dir) {
		shrinks("clearing a part of a file", "data", 3*mib/2, hypercore.FeedWrite{Key: long, Clear: span(10, 30)})
	}
	shrinks("clearing a whole file", "data", 3*mib, hypercore.FeedWrite{Key: long, Clear: span(64, 64)})
	shrinks("truncation", "data", 3*mib, hypercore.FeedWrite{Key: long, Truncate: true, Head: &hypercore.Head{Length: 190}})
	shrinks("dropping a feed of files", "data", 3*mib, hypercore.FeedWrite{Key: long, Drop: true})
	// Pebble removes its old files some time later, but before it is closed.
	before := onDisk(t, filepath.Join(dir, "index"))
	commitSwept(t, s, hypercore.FeedWrite{Key: small, Drop: true})
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if now := onDisk(t, filepath.Join(dir, "index")); before-now < 6*mib {
		t.Errorf("after dropping a feed of the index it takes %d KiB, before %d, want %d less", now>>10, before>>10, 6*mib>>10)
	}
	if names, err := filepath.Glob(filepath.Join(dir, "data", "*")); err != nil || len(names) > 0 {
		t.Errorf("data files after everything was dropped: %v, %v", names, err)
	}
}

// punches says whether holes can be punched into files of the folder.
func punches(t *testing.T, dir string) bool {
	name := filepath.Join(dir, "data", "probe")
	f, err := vfs.Default.Create(name, vfs.WriteCategoryUnspecified)
	if err != nil {
		t.Fatal(err)
	}
	defer vfs.Default.Remove(name)
	defer f.Close()
	if _, err := f.Write(make([]byte, 1<<20)); err != nil {
		t.Fatal(err)
	}
	before := onDisk(t, name)
	return storage.PunchHole(f, 0, 1<<20) == nil && onDisk(t, name) < before
}
