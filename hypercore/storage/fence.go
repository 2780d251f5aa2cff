package storage

import (
	"errors"
	"io"
	"strings"
	"sync/atomic"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// errFenced is what Pebble gets for a write to a table after a failure.
var errFenced = errors.New("storage: no writes after a failure")

// fence is the file system that Pebble sees. The first write, sync, creation or
// renaming that fails is told to onFail, and from then on nothing changes on the
// disk any more, as if the process had ended there. So what a restart finds is
// never newer than what the store told about, and no failed sync is tried again.
//
// Pebble ends the process, or panics with its locks held, or goes on with a
// broken list of its tables, when it can't change its log or its manifest. Hence
// nothing but a table ever fails in Pebble's eyes: the bytes go nowhere, and the
// store, which asks failure and not Pebble, reports the truth. Pebble copes with
// a table that it can't write, but tries again at once and for ever: so the
// creation of a table waits until release.
//
// Before a table is synced, before is called: what the table names must not be
// less durable than the table. And limits is for a log whose end must not be seen.
type fence struct {
	vfs.FS
	onFail  func(error)
	before  func() error     // nil: nothing to do
	limits  map[string]int64 // by name without folder: bytes that can be read of a file
	failed  atomic.Bool
	opened  atomic.Bool   // Pebble is open, so that a creation may wait
	release chan struct{} // closed just before Pebble is closed
}

func newFence(fs vfs.FS, onFail func(error)) *fence {
	return &fence{FS: fs, onFail: onFail, release: make(chan struct{})}
}

// note notes the first failure and returns err.
func (f *fence) note(err error) error {
	if err != nil && f.failed.CompareAndSwap(false, true) {
		f.onFail(err)
	}
	return err
}

func isTable(name string) bool { return strings.HasSuffix(name, ".sst") }

// file makes the file that Pebble gets of one that is opened for writing.
func (f *fence) file(name string, open func() (vfs.File, error)) (vfs.File, error) {
	quiet := !isTable(name)
	err := errFenced
	if !f.failed.Load() {
		file, openErr := open()
		if openErr == nil {
			return &fencedFile{File: file, fence: f, quiet: quiet, table: isTable(name)}, nil
		}
		err = f.note(openErr)
	}
	if quiet {
		return &fencedFile{File: vfs.NewMemFile(nil), fence: f, quiet: true}, nil
	}
	if f.opened.Load() {
		<-f.release
	}
	return nil, err
}

func (f *fence) Create(name string, category vfs.DiskWriteCategory) (vfs.File, error) {
	return f.file(name, func() (vfs.File, error) { return f.FS.Create(name, category) })
}

func (f *fence) OpenReadWrite(name string, category vfs.DiskWriteCategory, opts ...vfs.OpenOption) (vfs.File, error) {
	return f.file(name, func() (vfs.File, error) { return f.FS.OpenReadWrite(name, category, opts...) })
}

func (f *fence) ReuseForWrite(oldname, newname string, category vfs.DiskWriteCategory) (vfs.File, error) {
	return f.file(newname, func() (vfs.File, error) { return f.FS.ReuseForWrite(oldname, newname, category) })
}

func (f *fence) Open(name string, opts ...vfs.OpenOption) (vfs.File, error) {
	file, err := f.FS.Open(name, opts...)
	limit, limited := f.limits[f.FS.PathBase(name)]
	if err != nil || !limited {
		return file, err
	}
	return &limitedFile{file, io.NewSectionReader(file, 0, limit)}, nil
}

// limitedFile is a file that is read as if it ended earlier.
type limitedFile struct {
	vfs.File
	part *io.SectionReader
}

func (f *limitedFile) Read(b []byte) (int, error)                 { return f.part.Read(b) }
func (f *limitedFile) ReadAt(b []byte, offset int64) (int, error) { return f.part.ReadAt(b, offset) }

// OpenDir returns a folder to sync.
func (f *fence) OpenDir(name string) (vfs.File, error) {
	return f.file(name, func() (vfs.File, error) { return f.FS.OpenDir(name) })
}

func (f *fence) Link(oldname, newname string) error {
	if !f.failed.Load() {
		f.note(f.FS.Link(oldname, newname))
	}
	return nil
}

func (f *fence) Rename(oldname, newname string) error {
	if !f.failed.Load() {
		f.note(f.FS.Rename(oldname, newname))
	}
	return nil
}

// Remove may fail without harm: what is left is removed at the next start.
func (f *fence) Remove(name string) error {
	if f.failed.Load() {
		return nil
	}
	return f.FS.Remove(name)
}

func (f *fence) RemoveAll(name string) error {
	if f.failed.Load() {
		return nil
	}
	return f.FS.RemoveAll(name)
}

// GetDiskUsage keeps its error to itself: Pebble would report it like a failed
// flush.
func (f *fence) GetDiskUsage(path string) (vfs.DiskUsage, error) {
	usage, err := f.FS.GetDiskUsage(path)
	if err != nil {
		return vfs.DiskUsage{}, vfs.ErrUnsupported
	}
	return usage, nil
}

func (f *fence) Unwrap() vfs.FS { return f.FS }

// fencedFile is a file open for writing, or a folder.
type fencedFile struct {
	vfs.File
	fence *fence
	quiet bool // never fails in Pebble's eyes
	table bool
}

// change runs op unless there was a failure, and says what Pebble gets.
func (f *fencedFile) change(op func() error) error {
	err := errFenced
	if !f.fence.failed.Load() {
		err = f.fence.note(op())
	}
	if f.quiet {
		return nil
	}
	return err
}

func (f *fencedFile) Write(p []byte) (n int, err error) {
	err = f.change(func() error { n, err = f.File.Write(p); return err })
	if f.quiet {
		n = len(p)
	}
	return n, err
}

func (f *fencedFile) WriteAt(p []byte, offset int64) (n int, err error) {
	err = f.change(func() error { n, err = f.File.WriteAt(p, offset); return err })
	if f.quiet {
		n = len(p)
	}
	return n, err
}

func (f *fencedFile) Sync() error     { return f.change(f.after(f.File.Sync)) }
func (f *fencedFile) SyncData() error { return f.change(f.after(f.File.SyncData)) }

// after returns op, preceded by the fence's before if the file is a table.
func (f *fencedFile) after(op func() error) func() error {
	if !f.table || f.fence.before == nil {
		return op
	}
	return func() error {
		if err := f.fence.before(); err != nil {
			return err
		}
		return op()
	}
}

func (f *fencedFile) SyncTo(length int64) (fullSync bool, err error) {
	err = f.change(func() error { fullSync, err = f.File.SyncTo(length); return err })
	return fullSync, err
}

// Close reports what the system noticed late, as some network disks do.
func (f *fencedFile) Close() error {
	err := f.fence.note(f.File.Close())
	if f.quiet {
		return nil
	}
	return err
}
