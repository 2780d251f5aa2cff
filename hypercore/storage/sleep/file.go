package sleep

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"sync"
)

const (
	// pageBytes is how much of a file is read at once: a multiple of the sizes
	// of a tree node and of a signature.
	pageBytes = 204 * 320
	// maxPages is how many such pages of one file are kept.
	maxPages = 16
)

// file is one file of a feed, read by pages. A missing one is empty. It may be
// used by several goroutines at once.
type file struct {
	name string
	f    *os.File // nil: missing
	size int64    // bytes, when it was opened

	mu    sync.Mutex // guards all below
	pages map[int64]*page
	clock uint64
}

type page struct {
	bytes []byte
	used  uint64 // clock of the last use
}

// openFile opens a regular file for reading. One that doesn't exist is empty.
func openFile(path, name string) (*file, error) {
	info, err := os.Stat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return &file{name: name}, nil
	}
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() {
		return nil, fmt.Errorf("%s is not a regular file", path)
	}
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	return &file{name: name, f: f, size: info.Size(), pages: map[int64]*page{}}, nil
}

func (f *file) missing() bool { return f.f == nil }

func (f *file) close() error {
	if f.f == nil {
		return nil
	}
	return f.f.Close()
}

// readAt fills b from offset on, past the kept pages. What lies behind the end
// is io.ErrUnexpectedEOF.
func (f *file) readAt(b []byte, offset int64) error {
	if offset < 0 || offset > f.size || int64(len(b)) > f.size-offset {
		return io.ErrUnexpectedEOF
	}
	if len(b) == 0 {
		return nil
	}
	if _, err := f.f.ReadAt(b, offset); err != nil {
		if errors.Is(err, io.EOF) {
			return io.ErrUnexpectedEOF
		}
		return fmt.Errorf("read %s: %w", f.name, err)
	}
	return nil
}

// entry fills b, which is at most a page long, from offset on. It goes through
// the kept pages.
func (f *file) entry(b []byte, offset int64) error {
	if offset < 0 || offset > f.size || int64(len(b)) > f.size-offset {
		return io.ErrUnexpectedEOF
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	for len(b) > 0 {
		p, err := f.pageLocked(offset / pageBytes)
		if err != nil {
			return err
		}
		n := copy(b, p[offset%pageBytes:])
		b, offset = b[n:], offset+int64(n)
	}
	return nil
}

func (f *file) pageLocked(number int64) ([]byte, error) {
	f.clock++
	if p := f.pages[number]; p != nil {
		p.used = f.clock
		return p.bytes, nil
	}
	size := min(pageBytes, f.size-number*pageBytes)
	var b []byte
	if len(f.pages) >= maxPages {
		b = f.dropLocked()
	}
	if int64(cap(b)) < size {
		b = make([]byte, size)
	}
	b = b[:size]
	if err := f.readAt(b, number*pageBytes); err != nil {
		return nil, err
	}
	f.pages[number] = &page{b, f.clock}
	return b, nil
}

// dropLocked forgets the page that was used longest ago and returns its memory.
func (f *file) dropLocked() []byte {
	oldest := int64(-1)
	for n, p := range f.pages {
		if oldest < 0 || p.used < f.pages[oldest].used {
			oldest = n
		}
	}
	b := f.pages[oldest].bytes
	delete(f.pages, oldest)
	return b[:cap(b)]
}

// readHeader returns the file's header. The error says what is wrong with it; a
// file without a byte has none and is all right.
func (f *file) readHeader(want header) (header, error) {
	if f.size == 0 {
		return want, nil
	}
	b := make([]byte, headerSize)
	if err := f.readAt(b, 0); err != nil {
		return want, fmt.Errorf("%w: %w", errHeader, err)
	}
	h, err := parseHeader(b)
	if err != nil {
		return want, err
	}
	return h, h.check(want)
}

// readSmall returns a whole file of at most limit bytes; more is cut off. A
// missing one is nil.
func readSmall(path string, limit int64) ([]byte, error) {
	f, err := openFile(path, path)
	if err != nil || f.missing() {
		return nil, err
	}
	defer f.close()
	b := make([]byte, min(f.size, limit))
	return b, f.readAt(b, 0)
}
