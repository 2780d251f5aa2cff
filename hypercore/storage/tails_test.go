package storage

import (
	"errors"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// syncedFile counts syncs and closings.
type syncedFile struct {
	vfs.File
	synced, closed int
	err            error
}

func (f *syncedFile) SyncData() error { f.synced++; return f.err }
func (f *syncedFile) Close() error    { f.closed++; return nil }

// tailsTest opens files by number.
type tailsTest struct {
	*testing.T
	tails tails
	files map[uint64]*syncedFile
}

func newTailsTest(t *testing.T) *tailsTest {
	return &tailsTest{T: t, tails: tails{syncFolder: func() error { return nil }}, files: map[uint64]*syncedFile{}}
}

func (t *tailsTest) get(number uint64) *tail {
	t.Helper()
	f, err := t.tails.get(fileName{1, number}, func() (vfs.File, error) {
		t.files[number] = new(syncedFile)
		return t.files[number], nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return f
}

// write plays a commit that is applied before the file is synced.
func (t *tailsTest) write(number uint64) {
	t.Helper()
	f := t.get(number)
	t.tails.mark([]*tail{f})
	t.tails.put(f)
}

// TestTailsOpen checks which files stay open: those in use, those to be synced,
// and of the others those that were used last.
func TestTailsOpen(t *testing.T) {
	x := newTailsTest(t)
	for n := range uint64(maxTails + 1) {
		x.write(n)
	}
	for n, f := range x.files {
		if f.closed > 0 {
			t.Errorf("file %d is closed and not synced", n)
		}
	}
	held := x.get(0)
	if err := x.tails.sync(); err != nil {
		t.Fatal(err)
	}
	for n, f := range x.files {
		if want := n == 1; (f.closed == 1) != want || f.synced != 1 {
			t.Errorf("file %d: closed %d times, synced %d times", n, f.closed, f.synced)
		}
	}
	x.tails.retire(held.name)
	if x.files[0].closed > 0 {
		t.Error("a file in use was closed")
	}
	old := x.files[0]
	if x.get(0); x.files[0] == old {
		t.Error("a file that takes no more was used again")
	}
	x.tails.put(held)
	if old.closed != 1 {
		t.Error("a retired file stays open")
	}
	if err := x.tails.sync(); err != nil || x.files[2].synced != 1 {
		t.Errorf("files that didn't change were synced: %d, %v", x.files[2].synced, err)
	}
}

// TestTailsRetireDirty checks that a file that takes no more is synced before it
// is closed.
func TestTailsRetireDirty(t *testing.T) {
	x := newTailsTest(t)
	x.write(1)
	x.tails.retire(fileName{1, 1})
	if f := x.files[1]; f.closed != 0 {
		t.Fatal("a file was closed before its sync")
	}
	if err := x.tails.sync(); err != nil || x.files[1].synced != 1 || x.files[1].closed != 1 {
		t.Errorf("file: synced %d times, closed %d times, %v", x.files[1].synced, x.files[1].closed, err)
	}
}

// TestTailsLimit checks how many files may wait for a sync.
func TestTailsLimit(t *testing.T) {
	x := newTailsTest(t)
	for n := range uint64(maxDirtyTails) {
		if f := x.get(n); !x.tails.mayWait(f) {
			t.Fatalf("file %d may not wait", n)
		}
		x.write(n)
	}
	if x.tails.mayWait(x.get(maxDirtyTails)) {
		t.Errorf("more than %d files may wait", maxDirtyTails)
	}
	if !x.tails.mayWait(x.get(3)) {
		t.Error("a file that waits may not wait any more")
	}
	if err := x.tails.sync(); err != nil || !x.tails.mayWait(x.get(maxDirtyTails)) {
		t.Errorf("after a sync none may wait, %v", err)
	}
}

// TestTailsFailure checks that nothing passes for synced after a failure.
func TestTailsFailure(t *testing.T) {
	x := newTailsTest(t)
	x.write(1)
	x.write(2)
	cause := errors.New("disk on fire")
	x.files[2].err = cause
	for range 2 {
		if err := x.tails.sync(); !errors.Is(err, cause) {
			t.Errorf("sync = %v, want the failure", err)
		}
	}
	y := newTailsTest(t)
	y.tails.syncFolder = func() error { return cause }
	if err := y.tails.sync(); err != nil {
		t.Errorf("the folder was synced although no file was made: %v", err)
	}
	y.tails.noteFolder()
	if err := y.tails.sync(); !errors.Is(err, cause) {
		t.Errorf("sync of the folder = %v", err)
	}
}
