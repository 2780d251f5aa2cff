package storage_test

import (
	"errors"
	"math/rand/v2"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cockroachdb/pebble/v2/vfs/errorfs"

	"github.com/cobox-p2p/cobox-p2p/hypercore"
	"github.com/cobox-p2p/cobox-p2p/hypercore/storage"
)

// commitSwept commits the batch, and returns when it is durable and its space
// was given back.
func commitSwept(t *testing.T, s *storage.Store, w ...hypercore.FeedWrite) {
	t.Helper()
	done := make(chan error, 1)
	err := s.Commit(&hypercore.Batch{Feeds: w, Urgent: true, Durable: func(err error) { done <- err }})
	if err != nil {
		t.Fatal(err)
	}
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	// The next group is reported after the sweeper was told of this one.
	if err := s.Commit(&hypercore.Batch{Urgent: true, Durable: func(err error) { done <- err }}); err != nil {
		t.Fatal(err)
	}
	<-done
	s.WaitSwept()
}

// randomRun returns count blocks that don't compress.
func randomRun(start, count, size int) hypercore.Run {
	r := hypercore.Run{Start: uint64(start)}
	for i := range count {
		b := make([]byte, size)
		rand.NewChaCha8([32]byte{byte(i), byte(i >> 8), byte(start)}).Read(b)
		r.Blocks = append(r.Blocks, b)
	}
	return r
}

// TestGarbageAtOpen checks that what a stopped program had no time to give back
// is given back when the store is opened, and files that nothing names are
// removed.
func TestGarbageAtOpen(t *testing.T) {
	disk := vfs.NewMem()
	stuck := errors.New("stuck")
	s := openStore(t, "store", disk, storage.WithPunch(func(vfs.File, int64, int64) error { return stuck }))
	commitSwept(t, s, hypercore.FeedWrite{Key: ledgerKey, Runs: []hypercore.Run{randomRun(0, 40, 10<<10)}})
	commitSwept(t, s, hypercore.FeedWrite{Key: ledgerKey, Clear: []hypercore.Span{{Start: 3, Count: 5}, {Start: 20, Count: 2}}})
	s.Close()
	setFile(t, disk, "store/data/00000000000000ff-0000000000000000.blocks", "left")
	var freed atomic.Int64
	s = openStore(t, "store", disk, storage.WithPunch(func(_ vfs.File, _, size int64) error {
		freed.Add(size)
		return nil
	}))
	s.WaitSwept()
	if got := freed.Load(); got != 70<<10 {
		t.Errorf("%d bytes were given back at Open, want %d", got, 70<<10)
	}
	if names, err := disk.List("store/data"); err != nil || len(names) != 1 {
		t.Errorf("data files after Open: %v, %v", names, err)
	}
	if _, err := s.Blocks(ledgerKey, hypercore.Span{Start: 22, Count: 18}); err != nil {
		t.Error(err)
	}
	s.Close()
	freed.Store(0)
	s = openStore(t, "store", disk, storage.WithPunch(func(_ vfs.File, _, size int64) error {
		freed.Add(size)
		return nil
	}))
	defer s.Close()
	s.WaitSwept()
	if got := freed.Load(); got != 0 {
		t.Errorf("%d bytes were given back twice", got)
	}
}

// smallDisk is a file system with so many bytes left, which writes to data files
// take.
type smallDisk struct {
	vfs.FS
	free atomic.Uint64
	asks atomic.Int64
}

func (d *smallDisk) GetDiskUsage(string) (vfs.DiskUsage, error) {
	d.asks.Add(1)
	return vfs.DiskUsage{AvailBytes: d.free.Load()}, nil
}

// TestDiskFull checks that batches which add are refused while there is less
// free than the reserve, that deletions are taken, and that it ends by itself.
func TestDiskFull(t *testing.T) {
	const reserve = 1 << 20
	disk := &smallDisk{FS: vfs.NewMem()}
	disk.free.Store(1 << 30)
	s := openStore(t, "store", disk, storage.WithReserve(reserve))
	defer s.Close()
	write := func(seq, count int) error {
		return s.Commit(&hypercore.Batch{Feeds: []hypercore.FeedWrite{{Key: ledgerKey, Runs: []hypercore.Run{randomRun(seq, count, 100<<10)}}}})
	}
	seq := 0
	for i := range 200 {
		if i == 100 {
			disk.free.Store(reserve + 90<<10)
		}
		err := write(seq, 1)
		if err == nil {
			seq++
			continue
		}
		if !errors.Is(err, storage.ErrDiskFull) || errors.Is(err, hypercore.ErrStorageFailed) || i < 100 {
			t.Fatalf("write %d on a full disk = %v", i, err)
		}
	}
	if late := seq - 100; late > 45 { // some MiB may pass before the next look
		t.Errorf("%d blocks of 100 KiB were taken after the disk was full", late)
	}
	if err := write(seq, 10); !errors.Is(err, storage.ErrDiskFull) {
		t.Errorf("long run on a full disk = %v", err)
	}
	err := s.Commit(&hypercore.Batch{
		Feeds:   []hypercore.FeedWrite{{Key: ledgerKey, Clear: []hypercore.Span{{Start: 0, Count: 50}}}},
		Records: []hypercore.Record{{Key: []byte("cleared"), Value: []byte("yes")}},
	})
	if err != nil {
		t.Errorf("Clear on a full disk = %v", err)
	}
	if f, err := s.Feed(ledgerKey); err != nil || f.Blocks != uint64(seq-50) {
		t.Errorf("feed after Clear on a full disk = %+v, %v", f, err)
	}
	if err := s.Commit(&hypercore.Batch{Records: []hypercore.Record{{Key: []byte("cleared")}}}); err != nil {
		t.Errorf("deleting a record on a full disk = %v", err)
	}
	disk.free.Store(1 << 30)
	if err := write(seq, 10); err != nil {
		t.Errorf("write after the disk has space again = %v", err)
	}
}

// TestNoSpaceForRun lets a data file's write fail for want of space.
func TestNoSpaceForRun(t *testing.T) {
	full := atomic.Bool{}
	disk := vfs.NewMem()
	s := openStore(t, "store", errorfs.Wrap(disk, errorfs.InjectorFunc(func(op errorfs.Op) error {
		if full.Load() && isWrite(op) && isData(op) {
			return syscall.ENOSPC
		}
		return nil
	})))
	defer s.Close()
	full.Store(true)
	w := hypercore.FeedWrite{Key: ledgerKey, Runs: []hypercore.Run{randomRun(0, 40, 10<<10)}}
	err := s.Commit(&hypercore.Batch{Feeds: []hypercore.FeedWrite{w}, Durable: func(error) { t.Error("Durable of a failed Commit was called") }})
	if !errors.Is(err, storage.ErrDiskFull) || !errors.Is(err, syscall.ENOSPC) || !strings.Contains(err.Error(), ledgerKey.Discovery().String()) {
		t.Errorf("Commit without space = %v", err)
	}
	if _, err := s.Feed(ledgerKey); !errors.Is(err, hypercore.ErrNoFeed) {
		t.Errorf("Feed after a failed Commit = %v", err)
	}
	if names, err := disk.List("store/data"); err != nil || len(names) > 0 {
		t.Errorf("files of a failed Commit: %v, %v", names, err)
	}
	full.Store(false)
	commitSwept(t, s, w)
	if got, err := s.Blocks(ledgerKey, w.Runs[0].Span()); err != nil || len(got) != 40 {
		t.Errorf("blocks after there was space again: %d, %v", len(got), err)
	}
}
