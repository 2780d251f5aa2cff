package storage

import (
	"errors"
	"sync"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"
)

// scratch is a database that is written once, without a log, and is of no use
// unless finish returned nil. It has a fence of its own, so that a full disk
// fails it and neither the process nor the store.
type scratch struct {
	db    *pebble.DB
	fence *fence

	once   sync.Once
	failed chan struct{} // closed when a write has failed
	cause  error         // set before failed is closed
}

// scratchBatch is how many bytes are put together before they are applied.
const scratchBatch = 1 << 20

// newScratch makes an empty database in dir, which is not there yet. base are
// the options of the store's index.
func newScratch(fsys vfs.FS, dir string, base *pebble.Options) (*scratch, error) {
	s := &scratch{failed: make(chan struct{})}
	s.fence = newFence(fsys, s.fail)
	if err := makeFolder(fsys, dir); err != nil {
		return nil, err
	}
	o := *base
	o.FS, o.Logger, o.DisableWAL = s.fence, scratchLog{s}, true
	o.EventListener = &pebble.EventListener{BackgroundError: s.fail}
	db, err := pebble.Open(dir, &o)
	if err != nil {
		return nil, err
	}
	s.db = db
	s.fence.opened.Store(true)
	if err := s.failure(); err != nil {
		s.close()
		return nil, err
	}
	return s, nil
}

func (s *scratch) fail(err error) {
	s.once.Do(func() {
		s.cause = err
		s.fence.failed.Store(true)
		close(s.failed)
	})
}

func (s *scratch) failure() error {
	select {
	case <-s.failed:
		return s.cause
	default:
		return nil
	}
}

// apply writes the batch and empties it. It waits while flushes lag behind.
func (s *scratch) apply(b *pebble.Batch) error {
	if b.Empty() {
		return nil
	}
	if err := s.db.Apply(b, pebble.NoSync); err != nil {
		s.fail(err)
	}
	b.Reset()
	if s.db.Metrics().MemTable.Size > maxMemory {
		return s.flush()
	}
	return s.failure()
}

// room applies the batch when it is large.
func (s *scratch) room(b *pebble.Batch) error {
	if b.Len() < scratchBatch {
		return nil
	}
	return s.apply(b)
}

// flush returns when all that was applied lies in tables.
func (s *scratch) flush() error {
	flushed, err := s.db.AsyncFlush()
	if err != nil {
		return err
	}
	select {
	case <-flushed:
	case <-s.failed:
	}
	return s.failure()
}

// finish makes everything durable and closes the database.
func (s *scratch) finish() error {
	err := s.flush()
	return errors.Join(err, s.close(), s.failure())
}

// close gives the database up, or closes it after finish.
func (s *scratch) close() error {
	close(s.fence.release)
	return s.db.Close()
}

// scratchLog is silent. What is fatal to Pebble fails the database.
type scratchLog struct{ s *scratch }

func (scratchLog) Infof(string, ...any)  {}
func (scratchLog) Errorf(string, ...any) {}

func (l scratchLog) Fatalf(format string, args ...any) {
	l.s.fail(fatalError(lazyText{format, args}.LogValue().String()))
}

// fatalError is what Pebble would have ended the process with.
type fatalError string

func (e fatalError) Error() string { return string(e) }
