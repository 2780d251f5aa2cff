package storage

import (
	"errors"
	"sync"

	"github.com/cockroachdb/pebble/v2/vfs"
)

const (
	// maxTails is how many data files stay open for writing when nothing of them
	// waits for a sync.
	maxTails = 16
	// maxDirtyTails is how many data files may wait for a sync together. What
	// goes to further ones is synced by its commit.
	maxDirtyTails = 64
	// tailParallel is how many data files are synced at a time.
	tailParallel = 4
)

// tails keeps data files open for writing, and knows which of them hold bytes that
// the index names and that may not be on the disk yet.
type tails struct {
	syncFolder func() error // makes the names of new files durable; set once

	syncing sync.Mutex // held while files are synced
	failed  error      // the first error of a sync; guarded by syncing

	mu     sync.Mutex // guards all below
	clock  uint64     // counts uses
	files  map[fileName]*tail
	gone   []*tail // not in files any more, dirty or in use
	dirty  int     // files that are dirty
	folder bool    // a file was made whose name may not be durable yet
}

// tail is one data file. Its writer has the lock of the feed.
type tail struct {
	name  fileName
	file  vfs.File
	begun uint64 // bytes that the system was asked to bring to the disk; guarded by the feed's lock

	users int    // guarded by tails.mu, as is all below
	used  uint64 // clock at the last use
	dirty bool
}

// get returns the file, which the caller gives back with put. Unless it is still
// open, open opens it.
func (t *tails) get(name fileName, open func() (vfs.File, error)) (*tail, error) {
	t.mu.Lock()
	t.clock++
	if f := t.files[name]; f != nil {
		f.users, f.used = f.users+1, t.clock
		t.mu.Unlock()
		return f, nil
	}
	t.mu.Unlock()
	file, err := open()
	if err != nil {
		return nil, err
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	f := &tail{name: name, file: file, users: 1, used: t.clock}
	if t.files == nil {
		t.files = make(map[fileName]*tail)
	}
	t.files[name] = f
	return f, nil
}

// put gives files back.
func (t *tails) put(files ...*tail) {
	t.mu.Lock()
	for _, f := range files {
		f.users--
	}
	closing := t.trimLocked(maxTails)
	t.mu.Unlock()
	closeTails(closing)
}

// retire makes get open a file of that name anew. The one that is open is closed
// when it is neither dirty nor in use.
func (t *tails) retire(name fileName) {
	t.mu.Lock()
	if f := t.files[name]; f != nil {
		delete(t.files, name)
		t.gone = append(t.gone, f)
	}
	closing := t.trimLocked(maxTails)
	t.mu.Unlock()
	closeTails(closing)
}

// mayWait says whether the file may be among those that wait for a sync.
func (t *tails) mayWait(f *tail) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return f.dirty || t.dirty < maxDirtyTails
}

// noteFolder says that a file was made.
func (t *tails) noteFolder() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.folder = true
}

// mark notes that the index is about to name bytes of the files that were not
// synced. The caller has the files in use.
func (t *tails) mark(files []*tail) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, f := range files {
		if !f.dirty {
			f.dirty = true
			t.dirty++
		}
	}
}

// sync returns when all that was marked before is on the disk. After an error it
// always returns that error.
func (t *tails) sync() error {
	t.syncing.Lock()
	defer t.syncing.Unlock()
	t.mu.Lock()
	folder := t.folder
	t.folder = false
	files := t.takeLocked()
	t.mu.Unlock()
	if t.failed == nil && folder {
		t.failed = t.syncFolder()
	}
	if t.failed == nil {
		t.failed = syncTails(files)
	}
	t.put(files...)
	return t.failed
}

// takeLocked returns the dirty files, in use and not dirty any more.
func (t *tails) takeLocked() (files []*tail) {
	if t.dirty == 0 {
		return nil
	}
	take := func(f *tail) {
		if f.dirty {
			f.dirty, f.users = false, f.users+1
			files = append(files, f)
		}
	}
	for _, f := range t.files {
		take(f)
	}
	for _, f := range t.gone {
		take(f)
	}
	t.dirty = 0
	return files
}

// close closes all files. None may be in use.
func (t *tails) close() {
	t.mu.Lock()
	t.takeLocked()
	closing := t.trimLocked(0)
	t.mu.Unlock()
	closeTails(closing)
}

// trimLocked takes out the files that are to be closed: retired ones, and those
// first that were not used for longest until limit files are left. Files that are
// dirty or in use stay.
func (t *tails) trimLocked(limit int) (closing []*tail) {
	left := t.gone[:0]
	for _, f := range t.gone {
		if f.dirty || f.users > 0 {
			left = append(left, f)
		} else {
			closing = append(closing, f)
		}
	}
	clear(t.gone[len(left):])
	t.gone = left
	for len(t.files) > limit {
		var oldest *tail
		for _, f := range t.files {
			if !f.dirty && f.users == 0 && (oldest == nil || f.used < oldest.used) {
				oldest = f
			}
		}
		if oldest == nil {
			break
		}
		delete(t.files, oldest.name)
		closing = append(closing, oldest)
	}
	return closing
}

// syncTails syncs the files.
func syncTails(files []*tail) error {
	if len(files) == 0 {
		return nil
	}
	errs := make([]error, len(files))
	places := make(chan struct{}, tailParallel)
	var wg sync.WaitGroup
	for i, f := range files[1:] {
		wg.Go(func() {
			places <- struct{}{}
			defer func() { <-places }()
			errs[i+1] = f.file.SyncData()
		})
	}
	errs[0] = files[0].file.SyncData()
	wg.Wait()
	return errors.Join(errs...)
}

// closeTails closes files of which every byte that counts is on the disk.
func closeTails(files []*tail) {
	for _, f := range files {
		f.file.Close()
	}
}
