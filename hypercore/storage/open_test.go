package storage_test

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/cobox-p2p/cobox-p2p/hypercore"
	"github.com/cobox-p2p/cobox-p2p/hypercore/storage"
)

func TestLocked(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "a", "b")
	s := openStore(t, dir, nil)
	if info, err := os.Stat(dir); err != nil || info.Mode().Perm() != 0o700 {
		t.Fatalf("folder has mode %v, %v, want 0700", info.Mode(), err)
	}
	_, err := storage.Open(dir)
	if !errors.Is(err, storage.ErrLocked) || !strings.Contains(err.Error(), dir) {
		t.Fatalf("second Open = %v, want ErrLocked and the folder", err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	openStore(t, dir, nil)
}

func TestOpenNoFolder(t *testing.T) {
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, dir := range []string{file, filepath.Join(file, "below")} {
		if _, err := storage.Open(dir); err == nil || errors.Is(err, storage.ErrLocked) {
			t.Errorf("Open(%q) = %v, want an error of the file system", dir, err)
		}
	}
}

// setFile replaces a file of the disk.
func setFile(t *testing.T, fs vfs.FS, name, text string) {
	t.Helper()
	f, err := fs.Create(name, vfs.WriteCategoryUnspecified)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.Write([]byte(text)); err != nil {
		t.Fatal(err)
	}
	f.Close()
}

func TestMarker(t *testing.T) {
	fs := vfs.NewMem()
	openStore(t, "store", fs).Close()
	name := fs.PathJoin("store", "COBOX-STORE")
	for _, text := range []string{"", "cobox", "cobox store ", "cobox store x\n", "other thing 1\n", "cobox store -1\n"} {
		setFile(t, fs, name, text)
		if _, err := storage.Open("store", storage.WithFS(fs)); !errors.Is(err, storage.ErrNotStore) {
			t.Errorf("Open with the marker %q = %v, want ErrNotStore", text, err)
		}
	}
	for _, text := range []string{"cobox store 1\n", "cobox store 3\n", "cobox store 0\n", "cobox store 18446744073709551615"} {
		setFile(t, fs, name, text)
		_, err := storage.Open("store", storage.WithFS(fs))
		var format *storage.FormatError
		if !errors.As(err, &format) || format.Known != 2 || format.Found == 2 {
			t.Errorf("Open with the marker %q = %v, want a FormatError", text, err)
		}
	}
	setFile(t, fs, name, "cobox store 2\n")
	openStore(t, "store", fs).Close()
	if err := fs.Remove(name); err != nil {
		t.Fatal(err)
	}
	if _, err := storage.Open("store", storage.WithFS(fs)); !errors.Is(err, storage.ErrNotStore) {
		t.Fatalf("Open of a database without marker = %v, want ErrNotStore", err)
	}
}

func TestNewerRecord(t *testing.T) {
	fs := vfs.NewMem()
	openStore(t, "store", fs).Close()
	db, err := pebble.Open("store/index", &pebble.Options{FS: fs, Logger: quiet{}})
	if err != nil {
		t.Fatal(err)
	}
	if err := db.Set([]byte("\x00format"), []byte{7}, pebble.Sync); err != nil {
		t.Fatal(err)
	}
	db.Close()
	_, err = storage.Open("store", storage.WithFS(fs))
	var format *storage.FormatError
	if !errors.As(err, &format) || *format != (storage.FormatError{Found: 7, Known: 2}) {
		t.Fatalf("Open of format 7 = %v, want a FormatError with 7 and 2", err)
	}
	if _, err = storage.Open("store", storage.WithFS(fs)); errors.Is(err, storage.ErrLocked) {
		t.Fatal("a refused Open left the folder locked")
	}
}

// quiet is a logger for databases that a test opens itself.
type quiet struct{}

func (quiet) Infof(string, ...any)  {}
func (quiet) Errorf(string, ...any) {}
func (quiet) Fatalf(string, ...any) {}

// TestDamage checks that a read of a record that can't be ours says so.
func TestDamage(t *testing.T) {
	fs := vfs.NewMem()
	s := openStore(t, "store", fs)
	if err := s.Commit(&hypercore.Batch{Feeds: []hypercore.FeedWrite{{Key: ledgerKey, Runs: []hypercore.Run{{Blocks: [][]byte{{1}}}}}}}); err != nil {
		t.Fatal(err)
	}
	s.Close()
	db, err := pebble.Open("store/index", &pebble.Options{FS: fs, Logger: quiet{}})
	if err != nil {
		t.Fatal(err)
	}
	it, err := db.NewIter(nil)
	if err != nil {
		t.Fatal(err)
	}
	var keys [][]byte
	for ok := it.First(); ok; ok = it.Next() {
		if it.Key()[0] != 0 {
			keys = append(keys, append([]byte(nil), it.Key()...))
		}
	}
	it.Close()
	for _, key := range keys {
		if err := db.Set(key, []byte{9}, nil); err != nil {
			t.Fatal(err)
		}
	}
	db.Close()
	s = openStore(t, "store", fs)
	defer s.Close()
	_, err = s.Feed(ledgerKey)
	if !errors.Is(err, storage.ErrDamaged) {
		t.Fatalf("Feed with a damaged head = %v, want ErrDamaged", err)
	}
	for _, err := range s.Feeds() {
		if !errors.Is(err, storage.ErrDamaged) {
			t.Fatalf("Feeds with a damaged head = %v, want ErrDamaged", err)
		}
	}
	if err := s.Commit(&hypercore.Batch{Feeds: []hypercore.FeedWrite{{Key: ledgerKey}}}); !errors.Is(err, storage.ErrDamaged) {
		t.Fatalf("Commit to a damaged feed = %v, want ErrDamaged", err)
	}
}
