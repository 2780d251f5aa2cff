package storage_test

import (
	"os"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
	"go.uber.org/goleak"

	"github.com/cobox-p2p/cobox-p2p/hypercore"
	"github.com/cobox-p2p/cobox-p2p/hypercore/storage"
	"github.com/cobox-p2p/cobox-p2p/hypercore/storage/storagetest"
)

// soak makes the random tests longer.
var soak = os.Getenv("COBOX_SOAK") == "1"

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// openStore opens the store in dir on fs, or on the disk when fs is nil.
func openStore(t testing.TB, dir string, fs vfs.FS, opts ...storage.Option) *storage.Store {
	t.Helper()
	if fs != nil {
		opts = append(opts, storage.WithFS(fs))
	}
	s, err := storage.Open(dir, opts...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}

func TestMemory(t *testing.T) {
	storagetest.Run(t, func(*testing.T) hypercore.Storage { return storage.NewMemory() })
}

func TestStore(t *testing.T) {
	storagetest.Run(t, func(t *testing.T) hypercore.Storage { return openStore(t, "store", vfs.NewMem()) })
}

// TestStoreFlushing is TestStore with many flushes and compactions.
func TestStoreFlushing(t *testing.T) {
	storagetest.Run(t, func(t *testing.T) hypercore.Storage {
		return openStore(t, "store", vfs.NewMem(), storage.WithMemTable(512<<10))
	})
}

func TestStoreOnDisk(t *testing.T) {
	storagetest.RunReopen(t, func(t *testing.T, dir string) hypercore.Storage { return openStore(t, dir, nil) })
}
