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
