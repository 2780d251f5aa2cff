package storage

import "github.com/cockroachdb/pebble/v2/vfs"

// WithFS makes the store work on fs.
func WithFS(fs vfs.FS) Option {
	return func(o *options) { o.fs = fs }
}

// WithMemTable sets the bytes of one table in memory, so that little data makes
// many flushes.
func WithMemTable(size uint64) Option {
	return func(o *options) { o.memTable = size }
}

// WithSegment sets the bytes of one data file.
func WithSegment(size uint64) Option {
	return func(o *options) { o.segment = size }
}

// WithPunch makes the store free bytes of a file by punch.
func WithPunch(punch func(f vfs.File, offset, size int64) error) Option {
	return func(o *options) { o.punch = punch }
}

// WaitSwept returns when all that may be given back by now was given back.
func (s *Store) WaitSwept() {
	w := s.sweeper
	w.mu.Lock()
	defer w.mu.Unlock()
	for w.busy && s.failure() == nil {
		w.idle.Wait()
	}
}

// What a run needs to go to a data file, when its batch is urgent and when not.
const (
	LongRunBytes  = longRunBytes
	LooseRunBytes = looseRunBytes
)

// PunchHole is what frees bytes of a file.
var PunchHole = punchHole
