package storage

import (
	"errors"
	"fmt"
	"io/fs"
	"sync"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// segmentFile is a data file that is being written.
type segmentFile struct {
	file    vfs.File // nil: none is open
	end     uint64   // bytes written so far, of those that count
	flushed uint64   // bytes that the system was asked to begin writing
}

// writeBehind is how many bytes are written before the system is asked to bring
// them to the disk, so that little is left when the file is synced.
const writeBehind = 2 << 20

// gatherBytes is the size of the buffer in which small blocks are put together;
// a block of gatherLeast bytes is written from where it lies.
const (
	gatherBytes = 256 << 10
	gatherLeast = 32 << 10
)

var gatherBuffers = sync.Pool{New: func() any { return new([gatherBytes]byte) }}

// create makes a new file, in place of what a failure may have left under that
// name, and makes its name durable.
func (f *segmentFile) create(fsys vfs.FS, dir, name string, header []byte) (err error) {
	*f = segmentFile{}
	if err := fsys.Remove(name); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if f.file, err = fsys.OpenReadWrite(name, vfs.WriteCategoryUnspecified); err != nil {
		f.file = nil
		return err
	}
	if err := syncFolder(fsys, dir); err != nil {
		return err
	}
	return f.writeAll(header)
}

// reopen opens a file to write behind its first end bytes. It returns
// fs.ErrNotExist when the file is not there or is shorter.
func (f *segmentFile) reopen(fsys vfs.FS, name string, end uint64) error {
	*f = segmentFile{}
	info, err := fsys.Stat(name)
	if err != nil {
		return err
	}
	if uint64(info.Size()) < end {
		return fmt.Errorf("%s has %d of %d bytes: %w", name, info.Size(), end, fs.ErrNotExist)
	}
	file, err := fsys.OpenReadWrite(name, vfs.WriteCategoryUnspecified)
	if err != nil {
		return err
	}
	f.file, f.end, f.flushed = file, end, end
	return nil
}

// write writes a header and the blocks behind it.
func (f *segmentFile) write(header []byte, blocks [][]byte) error {
	pooled := gatherBuffers.Get().(*[gatherBytes]byte)
	defer gatherBuffers.Put(pooled)
	buf := pooled[:0]
	flush := func() (err error) {
		if len(buf) > 0 {
			err = f.writeAll(buf)
			buf = buf[:0]
		}
		return err
	}
	put := func(b []byte) error {
		if len(b) < gatherLeast && len(buf)+len(b) <= gatherBytes {
			buf = append(buf, b...)
			return nil
		}
		if err := flush(); err != nil {
			return err
		}
		if len(b) < gatherLeast {
			buf = append(buf, b...)
			return nil
		}
		return f.writeAll(b)
	}
	if err := put(header); err != nil {
		return err
	}
	for _, b := range blocks {
		if err := put(b); err != nil {
			return err
		}
	}
	return flush()
}

// writeAll writes b at the end.
func (f *segmentFile) writeAll(b []byte) error {
	n, err := f.file.WriteAt(b, int64(f.end))
	if err != nil {
		return err
	}
	f.end += uint64(n)
	if f.end-f.flushed >= writeBehind {
		f.flushed = f.end
		_, err = f.file.SyncTo(int64(f.end))
	}
	return err
}

// finish syncs the file, unless err says that a write has failed, and closes it.
func (f *segmentFile) finish(err error) error {
	if err == nil {
		err = f.file.SyncData()
	}
	if closeErr := f.file.Close(); err == nil {
		err = closeErr
	}
	f.file = nil
	return err
}
