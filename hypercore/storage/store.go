// Package storage holds the two stores that come with the project: Store keeps
// all feeds of a node in one folder, Memory keeps them in memory. Both are a
// hypercore.Storage; package storagetest checks any other. The layout on disk is
// described beside the code that writes it: keys.go, headrecord.go, held.go,
// pack.go, ref.go, page.go for the index, segment.go for the data files.
package storage

import (
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/cobox-p2p/cobox-p2p/hypercore"
)

// Store is a hypercore.Storage in a folder: the file COBOX-STORE says that it is
// one, LOCK is locked while it is open, index is a Pebble database, data holds
// long runs of blocks. These are synced before a batch with them is durable, and
// what a power cut leaves of batches that were not is checked when the store is
// opened, so the database is always right about them.
//
// A failed write or sync of the database, or a failed sync of data files that
// batches share, poisons it: nothing on the disk changes any more, every later
// Commit and every Durable gets an error that wraps hypercore.ErrStorageFailed,
// and only opening the folder again, which reads what really reached the disk,
// makes it usable. Reads go on meanwhile.
type Store struct {
	log   *slog.Logger
	dir   string
	fs    vfs.FS // for the data files
	punch func(f vfs.File, offset, size int64) error
	fence *fence // for the index
	lock  *pebble.Lock
	space *space

	segmentBytes uint64 // size of a data file at which the next one is begun

	failOnce sync.Once
	failed   chan struct{} // closed when the store is poisoned
	failErr  error         // set before failed is closed

	life   sync.RWMutex // held for reading while db is used, but by writers
	closed bool         // guarded by life
	db     *pebble.DB   // set once

	rebuilt *Rebuild // set by Open

	ids     idCache
	refs    refCache
	handles handles
	tails   tails
	locks   feedLocks
	sweeper *sweeper

	mu         sync.Mutex // serialises writers to db and guards all below
	room       sync.Cond  // of mu; woken when a sync ends or the store closes
	closing    bool
	nextID     uint64                   // id of the next new feed
	storedID   uint64                   // what the index has as nextID
	reserved   map[hypercore.Key]uint64 // ids of feeds that are being staged and not stored yet
	spoiled    map[fileName]struct{}    // segments of which a write or sync failed
	hot        hotFeeds
	sinceCheck int // bytes committed since waitForPebbleLocked last looked
	pending    syncGroup
	syncing    bool   // a group that was taken from pending isn't reported yet
	unsynced   uint64 // number of the last batch that was applied before its blocks were synced

	wake   chan struct{} // size 1: pending needs the committer
	relief chan struct{} // size 1: a flush or compaction ended
	quit   chan struct{} // closed to end the committer
	done   chan struct{} // closed when it has ended

	closeOnce sync.Once
	closeErr  error
}

var _ hypercore.Storage = (*Store)(nil)

// fail poisons the store with the first error that it is given. It may be called
// with any lock held.
func (s *Store) fail(err error) {
	s.failOnce.Do(func() {
		s.failErr = fmt.Errorf("%w: %s: %w", hypercore.ErrStorageFailed, s.dir, err)
		s.fence.failed.Store(true)
		close(s.failed)
		// Pebble's errors carry a stack trace behind the first line.
		cause, _, _ := strings.Cut(err.Error(), "\n")
		s.log.Error("storage failed, reopen it", "dir", s.dir, "err", cause)
	})
	signal(s.wake)
}

// failure returns the error of a poisoned store, else nil.
func (s *Store) failure() error {
	select {
	case <-s.failed:
		return s.failErr
	default:
		return nil
	}
}

// Failed is closed when the store is poisoned. Err tells why.
func (s *Store) Failed() <-chan struct{} { return s.failed }

// Err returns the error of a poisoned store, which wraps
// hypercore.ErrStorageFailed, else nil.
func (s *Store) Err() error { return s.failure() }

// Close implements hypercore.Storage. On a poisoned store it returns what
// poisoned it.
func (s *Store) Close() error {
	s.closeOnce.Do(func() {
		s.mu.Lock()
		s.closing = true
		s.room.Broadcast()
		s.mu.Unlock()
		close(s.quit)
		<-s.done
		s.sweeper.close()

		s.life.Lock()
		defer s.life.Unlock()
		s.closed = true
		s.closeErr = s.closeFiles()
	})
	return s.closeErr
}

// closeFiles closes the database and gives up the folder.
func (s *Store) closeFiles() error {
	s.handles.close()
	s.tails.close()
	close(s.fence.release)
	err := s.db.Close()
	if lockErr := s.lock.Close(); err == nil {
		err = lockErr
	}
	if failed := s.failure(); failed != nil {
		return failed
	}
	if err != nil {
		return fmt.Errorf("close store in %s: %w", s.dir, err)
	}
	return nil
}

// use begins a read and returns ErrClosed when there is nothing to read from.
// The caller calls s.life.RUnlock when it returned nil.
func (s *Store) use() error {
	s.life.RLock()
	if s.closed {
		s.life.RUnlock()
		return hypercore.ErrClosed
	}
	return nil
}

// get returns a copy of a value; ok is false when there is none. It needs use
// or mu.
func (s *Store) get(key []byte) (value []byte, ok bool, err error) {
	v, closer, err := s.db.Get(key)
	if errors.Is(err, pebble.ErrNotFound) {
		return nil, false, nil
	}
	if err != nil {
		return nil, false, err
	}
	value = copyOf(v)
	return value, true, closer.Close()
}

// scan calls visit for the pairs from lower on up to upper, in order, until it
// returns false. A nil upper is the end of the store. Key and value are valid
// during the call only. It needs use or mu.
func (s *Store) scan(lower, upper []byte, visit func(key, value []byte) (more bool, err error)) error {
	it, err := s.db.NewIter(&pebble.IterOptions{LowerBound: lower, UpperBound: upper})
	if err != nil {
		return err
	}
	for ok := it.First(); ok; ok = it.Next() {
		more, err := visit(it.Key(), it.Value())
		if err != nil || !more {
			return errors.Join(err, it.Close())
		}
	}
	return it.Close()
}

// signal wakes who waits on c, which has a size of 1.
func signal(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

// maxIDs is how many ids an idCache holds.
const maxIDs = 1 << 14

// idCache remembers the ids of feeds, since every read begins with one.
type idCache struct {
	mu  sync.RWMutex // guards ids
	ids map[hypercore.Key]uint64

	drops atomic.Uint64 // feeds dropped so far
}

func (c *idCache) get(key hypercore.Key) (id uint64, ok bool) {
	c.mu.RLock()
	defer c.mu.RUnlock()
	id, ok = c.ids[key]
	return id, ok
}

// put notes an id that was read when drops had the given value. When a feed was
// dropped since, the id may be of the dropped one and is not kept.
func (c *idCache) put(key hypercore.Key, id, drops uint64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.drops.Load() != drops {
		return
	}
	if c.ids == nil || len(c.ids) >= maxIDs {
		c.ids = make(map[hypercore.Key]uint64)
	}
	c.ids[key] = id
}

// drop forgets the id of a feed that is no longer stored under it.
func (c *idCache) drop(key hypercore.Key) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.drops.Add(1)
	delete(c.ids, key)
}
