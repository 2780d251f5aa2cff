package storage_test

import (
	"math/rand/v2"
	"strings"
	"sync"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// twoDisks is a file system with the data files of a store on a disk of their
// own, so that a power cut can take them and leave the index, as when the system
// has written back the one and not yet the other. Before operations that change
// something it calls cut, while no other such operation is under way.
type twoDisks struct {
	vfs.FS // the index
	data   *vfs.MemFS
	index  *vfs.MemFS

	mu  sync.RWMutex // held for reading by operations
	cut func()       // nil: none; guarded by mu and called with it
}

// newTwoDisks returns empty disks, on which the folder of data files is durable.
func newTwoDisks(t *testing.T) *twoDisks {
	t.Helper()
	d := &twoDisks{data: vfs.NewCrashableMem(), index: vfs.NewCrashableMem()}
	d.FS = d.index
	if err := d.data.MkdirAll("store/data", 0o700); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"", "store", "store/data"} {
		f, err := d.data.OpenDir(name)
		if err != nil {
			t.Fatal(err)
		}
		if err := f.Sync(); err != nil {
			t.Fatal(err)
		}
		f.Close()
	}
	return d
}

// crash returns what a power cut leaves of the disks, of which these parts, in
// percent, were written back although nobody had synced them.
func (d *twoDisks) crash(rng *rand.Rand, index, data int) *twoDisks {
	left := &twoDisks{
		index: d.index.CrashClone(vfs.CrashCloneCfg{UnsyncedDataPercent: index, RNG: rng}),
		data:  d.data.CrashClone(vfs.CrashCloneCfg{UnsyncedDataPercent: data, RNG: rng}),
	}
	left.FS = left.index
	return left
}

func (d *twoDisks) of(name string) vfs.FS {
	if strings.Contains(name, "store/data") {
		return d.data
	}
	return d.index
}

// setCut sets cut; nil ends the power cuts.
func (d *twoDisks) setCut(cut func()) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.cut = cut
}

// change does op after a chance for a power cut.
func (d *twoDisks) change(op func()) {
	d.mu.Lock()
	if d.cut != nil {
		d.cut()
	}
	d.mu.Unlock()
	d.mu.RLock()
	defer d.mu.RUnlock()
	op()
}

// open opens a file of which every change is one of the disk.
func (d *twoDisks) open(name string, open func(fs vfs.FS) (vfs.File, error)) (f vfs.File, err error) {
	d.change(func() { f, err = open(d.of(name)) })
	if err != nil {
		return nil, err
	}
	return &twoDisksFile{f, d}, nil
}

func (d *twoDisks) Create(name string, c vfs.DiskWriteCategory) (vfs.File, error) {
	return d.open(name, func(fs vfs.FS) (vfs.File, error) { return fs.Create(name, c) })
}

func (d *twoDisks) OpenReadWrite(name string, c vfs.DiskWriteCategory, opts ...vfs.OpenOption) (vfs.File, error) {
	return d.open(name, func(fs vfs.FS) (vfs.File, error) { return fs.OpenReadWrite(name, c, opts...) })
}

func (d *twoDisks) ReuseForWrite(oldname, newname string, c vfs.DiskWriteCategory) (vfs.File, error) {
	return d.open(newname, func(fs vfs.FS) (vfs.File, error) { return fs.ReuseForWrite(oldname, newname, c) })
}

func (d *twoDisks) OpenDir(name string) (vfs.File, error) {
	return d.open(name, func(fs vfs.FS) (vfs.File, error) { return fs.OpenDir(name) })
}

func (d *twoDisks) Open(name string, opts ...vfs.OpenOption) (vfs.File, error) {
	return d.of(name).Open(name, opts...)
}

func (d *twoDisks) Remove(name string) (err error) {
	d.change(func() { err = d.of(name).Remove(name) })
	return err
}

func (d *twoDisks) Rename(oldname, newname string) (err error) {
	d.change(func() { err = d.of(newname).Rename(oldname, newname) })
	return err
}

func (d *twoDisks) Stat(name string) (vfs.FileInfo, error) { return d.of(name).Stat(name) }
func (d *twoDisks) List(dir string) ([]string, error)      { return d.of(dir).List(dir) }
func (d *twoDisks) Unwrap() vfs.FS                         { return nil }

// twoDisksFile is a file that may be changed, or a folder.
type twoDisksFile struct {
	vfs.File
	d *twoDisks
}

func (f *twoDisksFile) Write(b []byte) (n int, err error) {
	f.d.change(func() { n, err = f.File.Write(b) })
	return n, err
}

func (f *twoDisksFile) WriteAt(b []byte, offset int64) (n int, err error) {
	f.d.change(func() { n, err = f.File.WriteAt(b, offset) })
	return n, err
}

func (f *twoDisksFile) Sync() (err error) {
	f.d.change(func() { err = f.File.Sync() })
	return err
}

func (f *twoDisksFile) SyncData() (err error) {
	f.d.change(func() { err = f.File.SyncData() })
	return err
}
