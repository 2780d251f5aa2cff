package storage

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"io/fs"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// extentCheck says whether extents are on the disk as they were written.
type extentCheck struct {
	s     *Store
	files map[fileName]vfs.File // open ones; nil for one that is not there or not ours
	buf   []byte
}

// extentPiece is read from a data file at once, but for larger blocks.
const extentPiece = 1 << 20

func (c *extentCheck) close() {
	for _, f := range c.files {
		if f != nil {
			f.Close()
		}
	}
}

// errNotWritten is why an extent is wrong.
var errNotWritten = errors.New("storage: not on the disk as it was written")

// note returns what is wrong with the extents of the note, nil if nothing is. err
// is for a system that is short of something.
func (c *extentCheck) note(n *unsyncedNote) (wrong, err error) {
	for i := range n.extents {
		e := &n.extents[i]
		err := c.extent(e)
		if isOurs(err) {
			return nil, err
		}
		if err != nil {
			return fmt.Errorf("%s at %d: %w", segmentName(e.id, e.segment), e.offset, err), nil
		}
	}
	return nil, nil
}

// file returns the open data file, after everything that the system holds of it
// is on the disk, and will be read from there: after a failed sync, memory may
// differ from it.
func (c *extentCheck) file(id, number uint64) (vfs.File, error) {
	name := fileName{id, number}
	f, known := c.files[name]
	if f != nil {
		return f, nil
	}
	if known {
		return nil, errNotWritten
	}
	f, err := c.s.openToChange(c.s.segmentPath(id, number))
	if errors.Is(err, fs.ErrNotExist) {
		c.files[name] = nil
		return nil, errNotWritten
	}
	if err != nil {
		return nil, err
	}
	c.files[name] = f
	if err := f.SyncData(); err != nil {
		return nil, err
	}
	dropCache(f)
	owner, n, _, err := segmentOwner(f)
	if err == nil && (owner != id || n != number) {
		err = errNotWritten
	}
	if err != nil && !isOurs(err) {
		c.files[name] = nil
		return nil, errors.Join(err, f.Close())
	}
	return f, err
}

// extent returns nil if the extent is on the disk.
func (c *extentCheck) extent(e *unsyncedExtent) error {
	f, err := c.file(e.id, e.segment)
	if err != nil {
		return err
	}
	header := make([]byte, e.header)
	if _, err := f.ReadAt(header, int64(e.offset)); err != nil {
		return err
	}
	x, length, err := parseExtent(header)
	if err != nil {
		return err
	}
	// An older extent may lie where the new one was to be.
	if uint64(length) != e.header || binary.BigEndian.Uint32(header[length-4:]) != e.sum || x.body() != e.body {
		return errNotWritten
	}
	return c.bodies(&x, io.NewSectionReader(f, int64(e.offset+e.header), int64(e.body)))
}

// bodies checks the blocks of the extent.
func (c *extentCheck) bodies(x *extent, r io.Reader) error {
	for i := 0; i < len(x.sizes); {
		size, count := 0, 0
		for ; i+count < len(x.sizes) && (count == 0 || size+int(x.sizes[i+count]) <= extentPiece); count++ {
			size += int(x.sizes[i+count])
		}
		if cap(c.buf) < size {
			c.buf = make([]byte, max(size, extentPiece))
		}
		b := c.buf[:size]
		if _, err := io.ReadFull(r, b); err != nil {
			return err
		}
		for _, sum := range x.sums[i : i+count] {
			block := b[:x.sizes[i]]
			if crc32.Checksum(block, castagnoli) != sum {
				return errNotWritten
			}
			b, i = b[len(block):], i+1
		}
	}
	return nil
}
