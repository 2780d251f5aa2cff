package storage

import (
	"errors"
	"fmt"
	"io/fs"
	"sync"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// segmentFile writes to one data file.
type segmentFile struct {
	tail *tail  // nil: none is open
	end  uint64 // bytes written so far, of those that count
	made bool   // the file is new, and its name not durable
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
// name.
func (f *segmentFile) create(s *Store, name fileName, header []byte) (err error) {
	*f = segmentFile{made: true}
	s.tails.retire(name)
	path := s.segmentPath(name.id, name.number)
	if err := s.fs.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	f.tail, err = s.tails.get(name, func() (vfs.File, error) {
		return s.fs.OpenReadWrite(path, vfs.WriteCategoryUnspecified)
	})
	if err != nil {
		return err
	}
	return f.writeAll(header)
}

// reopen makes ready to write behind the first end bytes of a file. It returns
// fs.ErrNotExist when the file is not there or is shorter.
func (f *segmentFile) reopen(s *Store, name fileName, end uint64) (err error) {
	*f = segmentFile{end: end}
	path := s.segmentPath(name.id, name.number)
	info, err := s.fs.Stat(path)
	if err != nil {
		return err
	}
	if uint64(info.Size()) < end {
		return fmt.Errorf("%s has %d of %d bytes: %w", path, info.Size(), end, fs.ErrNotExist)
	}
	f.tail, err = s.tails.get(name, func() (vfs.File, error) {
		return s.fs.OpenReadWrite(path, vfs.WriteCategoryUnspecified)
	})
	if err != nil {
		return err
	}
	if f.tail.begun == 0 || f.tail.begun > end {
		f.tail.begun = end
	}
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
	n, err := f.tail.file.WriteAt(b, int64(f.end))
	if err != nil {
		return err
	}
	f.end += uint64(n)
	if size := f.end - f.tail.begun; size >= writeBehind {
		beginWrite(f.tail.file, int64(f.tail.begun), int64(size))
		f.tail.begun = f.end
	}
	return nil
}
