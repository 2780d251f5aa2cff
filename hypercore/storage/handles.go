package storage

import (
	"sync"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// maxHandles is how many data files are open for reading, but for those beyond
// it that are being read at the moment.
const maxHandles = 16

// handles keeps data files open for reading, those that were used last.
type handles struct {
	open func(id, number uint64) (vfs.File, error)

	mu    sync.Mutex // guards all below
	clock uint64     // counts uses
	files map[fileName]*handle
}

type fileName struct{ id, number uint64 }

type handle struct {
	opening sync.Once
	file    vfs.File // set by opening, as is err
	err     error

	users int    // guarded by handles.mu, as is all below
	used  uint64 // clock at the last use
	gone  bool   // not in handles.files any more; the last user closes it
}

// get returns an open file, which the caller gives back with put. The file is
// opened without the lock, by the first who asks.
func (h *handles) get(id, number uint64) (*handle, error) {
	name := fileName{id, number}
	h.mu.Lock()
	f := h.files[name]
	if f == nil {
		f = new(handle)
		if h.files == nil {
			h.files = make(map[fileName]*handle)
		}
		h.files[name] = f
	}
	h.clock++
	f.users, f.used = f.users+1, h.clock
	h.mu.Unlock()
	f.opening.Do(func() { f.file, f.err = h.open(id, number) })
	if f.err != nil {
		h.drop(id, number)
		h.put(f)
		return nil, f.err
	}
	return f, nil
}

// put gives a file back.
func (h *handles) put(f *handle) {
	h.mu.Lock()
	f.users--
	closing := h.trimLocked(maxHandles)
	if f.gone && f.users == 0 {
		closing = append(closing, f)
	}
	h.mu.Unlock()
	closeAll(closing)
}

// drop forgets a file, which is closed when nobody reads it any more.
func (h *handles) drop(id, number uint64) {
	name := fileName{id, number}
	h.mu.Lock()
	f := h.files[name]
	if f != nil {
		delete(h.files, name)
		f.gone = true
	}
	idle := f != nil && f.users == 0
	h.mu.Unlock()
	if idle {
		closeAll([]*handle{f})
	}
}

// close closes all files. None may be in use.
func (h *handles) close() {
	h.mu.Lock()
	closing := h.trimLocked(0)
	h.mu.Unlock()
	closeAll(closing)
}

// trimLocked takes out idle files, those first that were not used for longest,
// until limit files are left, and returns them to be closed.
func (h *handles) trimLocked(limit int) (closing []*handle) {
	for len(h.files) > limit {
		var name fileName
		var oldest *handle
		for n, f := range h.files {
			if f.users == 0 && (oldest == nil || f.used < oldest.used) {
				name, oldest = n, f
			}
		}
		if oldest == nil {
			return closing
		}
		delete(h.files, name)
		closing = append(closing, oldest)
	}
	return closing
}

// closeAll closes files that were read only, where an error means nothing.
func closeAll(files []*handle) {
	for _, f := range files {
		if f.file != nil {
			f.file.Close()
		}
	}
}
