package storage_test

import (
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cockroachdb/pebble/v2/vfs/errorfs"

	"github.com/cobox-p2p/cobox-p2p/hypercore"
	"github.com/cobox-p2p/cobox-p2p/hypercore/storage"
)

// faultyFS fails the n-th operation that match picks, and with it every later
// one while sticky is set.
type faultyFS struct {
	match  func(op errorfs.Op) bool
	sticky bool
	left   atomic.Int64 // operations until the failure; negative: none
	failed atomic.Bool
}

func (f *faultyFS) String() string { return "faulty" }

func (f *faultyFS) MaybeError(op errorfs.Op) error {
	if !f.match(op) {
		return nil
	}
	n := f.left.Add(-1)
	if n == 0 || f.sticky && n < 0 && f.failed.Load() {
		f.failed.Store(true)
		return errorfs.ErrInjected
	}
	return nil
}

func isWrite(op errorfs.Op) bool {
	return op.Kind == errorfs.OpFileWrite || op.Kind == errorfs.OpFileWriteAt
}

func isSync(op errorfs.Op) bool {
	return op.Kind == errorfs.OpFileSync || op.Kind == errorfs.OpFileSyncData || op.Kind == errorfs.OpFileSyncTo
}

func isCreate(op errorfs.Op) bool {
	return op.Kind == errorfs.OpCreate || op.Kind == errorfs.OpReuseForWrite || op.Kind == errorfs.OpRename
}

func isLog(op errorfs.Op) bool   { return strings.HasSuffix(op.Path, ".log") }
func isTable(op errorfs.Op) bool { return strings.HasSuffix(op.Path, ".sst") }
func isData(op errorfs.Op) bool  { return strings.Contains(op.Path, "store/data") }
func isManifest(op errorfs.Op) bool {
	return strings.Contains(op.Path, "MANIFEST")
}

// TestFaults lets every kind of operation on every kind of file fail, early and
// late. Whatever fails, the store tells it, stays failed, closes, and a restart
// finds every batch that was called durable, and all batches in order.
func TestFaults(t *testing.T) {
	files := map[string]func(errorfs.Op) bool{"log": isLog, "table": isTable, "manifest": isManifest,
		"any": func(errorfs.Op) bool { return true }}
	kinds := map[string]func(errorfs.Op) bool{"write": isWrite, "sync": isSync, "create": isCreate}
	last := int64(4)
	if soak {
		last = 40
	}
	for file, ofFile := range files {
		for kind, ofKind := range kinds {
			for n := int64(1); n <= last; n = n*3/2 + 1 {
				t.Run(fmt.Sprintf("%s/%s/%d", file, kind, n), func(t *testing.T) {
					t.Parallel()
					f := &faultyFS{sticky: n%2 == 0, match: func(op errorfs.Op) bool { return ofFile(op) && ofKind(op) }}
					testFault(t, f, n)
				})
			}
		}
	}
}

func testFault(t *testing.T, f *faultyFS, n int64) {
	disk := vfs.NewMem()
	openStore(t, "store", disk).Close()
	// Small tables in memory, so that flushes and new logs come to pass.
	s := openStore(t, "store", errorfs.Wrap(disk, f), storage.WithMemTable(128<<10))
	f.left.Store(n)
	l := newLedger()
	for i := 0; i < 60 && l.commit(s, 16<<10, i%4 == 0) == nil; i++ {
	}
	failed := f.failed.Load()
	err := s.Commit(&hypercore.Batch{})
	if failed && !errors.Is(err, hypercore.ErrStorageFailed) {
		t.Errorf("Commit after the failure = %v, want ErrStorageFailed", err)
	}
	if _, err := s.Feed(ledgerKey); err != nil && !errors.Is(err, hypercore.ErrNoFeed) {
		t.Errorf("read after the failure: %v", err)
	}
	closeErr := s.Close()
	if err != nil && !errors.Is(closeErr, hypercore.ErrStorageFailed) {
		t.Errorf("Close after the failure = %v, want ErrStorageFailed", closeErr)
	}
	durable := l.wait(t)
	if err == nil && closeErr == nil && durable != l.committed {
		t.Errorf("%d of %d batches became durable without a failure", durable, l.committed)
	}
	f.left.Store(-1 << 60)
	f.failed.Store(false)
	again := openStore(t, "store", disk)
	l.check(t, again, durable)
	if err := again.Close(); err != nil {
		t.Error(err)
	}
}

// TestDataFaults lets operations on data files fail. Such a commit fails, and
// says why; nothing of it is there; the store goes on. Batches that share their
// syncs are the subject of TestLateDataFaults.
func TestDataFaults(t *testing.T) {
	kinds := map[string]func(errorfs.Op) bool{"write": isWrite, "sync": isSync, "folder": func(op errorfs.Op) bool {
		return op.Kind == errorfs.OpOpenDir
	}}
	last := int64(4)
	if soak {
		last = 40
	}
	for kind, ofKind := range kinds {
		for n := int64(1); n <= last; n = n*3/2 + 1 {
			t.Run(fmt.Sprintf("%s/%d", kind, n), func(t *testing.T) {
				t.Parallel()
				disk := vfs.NewCrashableMem()
				f := &faultyFS{match: func(op errorfs.Op) bool { return isData(op) && ofKind(op) }}
				s := openStore(t, "store", errorfs.Wrap(disk, f), storage.WithSegment(1<<20))
				f.left.Store(n)
				l := newLedger()
				l.long = true
				failures := 0
				for range 24 {
					if err := l.commit(s, 500, kind != "write" || l.committed%4 == 0); err != nil {
						failures++
						if !errors.Is(err, errorfs.ErrInjected) || errors.Is(err, hypercore.ErrStorageFailed) {
							t.Fatalf("Commit that can't write = %v", err)
						}
						l.check(t, s, l.committed)
					}
				}
				if f.failed.Load() != (failures > 0) || failures > 1 {
					t.Errorf("%d commits failed, an operation: %v", failures, f.failed.Load())
				}
				l.check(t, s, l.committed)
				if err := s.Close(); err != nil {
					t.Fatal(err)
				}
				again := openStore(t, "store", disk.CrashClone(vfs.CrashCloneCfg{}))
				l.check(t, again, l.wait(t))
				if err := again.Close(); err != nil {
					t.Fatal(err)
				}
			})
		}
	}
}

// TestLateDataFaults lets the sync of data files fail that several batches share.
// They were readable and can't become durable: that poisons the store. What it
// called durable before is there after a restart.
func TestLateDataFaults(t *testing.T) {
	kinds := map[string]func(errorfs.Op) bool{"sync": isSync, "folder": func(op errorfs.Op) bool {
		return op.Kind == errorfs.OpOpenDir
	}}
	for kind, ofKind := range kinds {
		for n := int64(1); n <= 3; n++ {
			t.Run(fmt.Sprintf("%s/%d", kind, n), func(t *testing.T) {
				t.Parallel()
				disk := vfs.NewCrashableMem()
				f := &faultyFS{match: func(op errorfs.Op) bool { return isData(op) && ofKind(op) }}
				s := openStore(t, "store", errorfs.Wrap(disk, f), storage.WithSegment(1<<20))
				f.left.Store(n)
				l := newLedger()
				l.long = true
				var err error
				for i := 0; i < 40 && err == nil; i++ {
					err = l.commit(s, 500, false)
					if i%5 == 4 && err == nil { // the sync is due, and reported before the next commit
						done := make(chan error, 1)
						if err = s.Commit(&hypercore.Batch{Urgent: true, Durable: func(err error) { done <- err }}); err == nil {
							err = <-done
						}
					}
				}
				if !errors.Is(err, errorfs.ErrInjected) || !errors.Is(err, hypercore.ErrStorageFailed) {
					t.Errorf("Commit after a sync failed = %v", err)
				}
				if err := s.Close(); !errors.Is(err, hypercore.ErrStorageFailed) {
					t.Errorf("Close = %v, want ErrStorageFailed", err)
				}
				again := openStore(t, "store", disk.CrashClone(vfs.CrashCloneCfg{}))
				l.check(t, again, l.wait(t))
				if err := again.Close(); err != nil {
					t.Fatal(err)
				}
			})
		}
	}
}

// TestSpoiledSegment checks that nothing is written to a data file any more whose
// sync has failed.
func TestSpoiledSegment(t *testing.T) {
	f := &faultyFS{}
	var mu sync.Mutex // guards both
	var failed string
	late := 0
	f.match = func(op errorfs.Op) bool {
		mu.Lock()
		defer mu.Unlock()
		if isWrite(op) && op.Path == failed {
			late++
		}
		if isData(op) && op.Kind == errorfs.OpFileSyncData && f.left.Load() == 1 {
			failed = op.Path
		}
		return isData(op) && op.Kind == errorfs.OpFileSyncData
	}
	disk := vfs.NewMem()
	s := openStore(t, "store", errorfs.Wrap(disk, f))
	defer s.Close()
	l := newLedger()
	l.long = true
	for i := range 12 {
		if i == 3 {
			f.left.Store(1)
		}
		if err := l.commit(s, 100, true); (err != nil) != (i == 3) {
			t.Fatalf("Commit %d = %v", i, err)
		}
	}
	l.check(t, s, l.committed)
	mu.Lock()
	defer mu.Unlock()
	if failed == "" || late > 0 {
		t.Errorf("%d writes to %q after its sync failed", late, failed)
	}
}

// TestFaultReported checks what callers see of a failed sync: the error itself
// in every Durable that waits, and no second chance.
func TestFaultReported(t *testing.T) {
	disk := vfs.NewMem()
	f := &faultyFS{match: func(op errorfs.Op) bool { return isLog(op) && isSync(op) }}
	s := openStore(t, "store", errorfs.Wrap(disk, f))
	f.left.Store(1)
	errs := make(chan error, 2)
	for _, urgent := range []bool{false, true} {
		err := s.Commit(&hypercore.Batch{
			Records: []hypercore.Record{{Key: []byte("a"), Value: []byte("b")}},
			Urgent:  urgent, Durable: func(err error) { errs <- err },
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	for range 2 {
		if err := <-errs; !errors.Is(err, hypercore.ErrStorageFailed) || !errors.Is(err, errorfs.ErrInjected) {
			t.Fatalf("Durable = %v, want ErrStorageFailed and its cause", err)
		}
	}
	called := false
	err := s.Commit(&hypercore.Batch{Urgent: true, Durable: func(error) { called = true }})
	if !errors.Is(err, hypercore.ErrStorageFailed) || called {
		t.Fatalf("Commit after a failed sync = %v, Durable called: %v", err, called)
	}
	if v, err := s.Record([]byte("a")); err != nil || string(v) != "b" {
		t.Fatalf("Record after a failed sync = %q, %v", v, err)
	}
	<-s.Failed()
	if err := s.Err(); !errors.Is(err, hypercore.ErrStorageFailed) {
		t.Errorf("Err = %v, want ErrStorageFailed", err)
	}
	if err := s.Close(); !errors.Is(err, hypercore.ErrStorageFailed) {
		t.Fatalf("Close = %v, want ErrStorageFailed", err)
	}
}

// TestFaultAtOpen lets the n-th change of the disk fail while a store is made.
func TestFaultAtOpen(t *testing.T) {
	step := int64(3)
	if soak {
		step = 1
	}
	for n := int64(1); ; n += step {
		disk := vfs.NewMem()
		f := &faultyFS{sticky: n%2 == 0, match: func(op errorfs.Op) bool {
			return isWrite(op) || isSync(op) || isCreate(op) || op.Kind == errorfs.OpLock || op.Kind == errorfs.OpMkdirAll
		}}
		f.left.Store(n)
		s, err := storage.Open("store", storage.WithFS(errorfs.Wrap(disk, f)))
		if err == nil {
			if err := s.Close(); err == nil && n < 10 {
				t.Errorf("Open did only %d changes", n)
			}
		}
		if !f.failed.Load() {
			return
		}
		again := openStore(t, "store", disk)
		if err := again.Commit(&hypercore.Batch{Feeds: []hypercore.FeedWrite{{Key: ledgerKey}}}); err != nil {
			t.Fatalf("Commit after a failure at change %d of Open: %v", n, err)
		}
		if err := again.Close(); err != nil {
			t.Fatal(err)
		}
	}
}
