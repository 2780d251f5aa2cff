package storage

import (
	"fmt"
	"log/slog"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/bloom"
)

// pebbleOptions are measured; see the benchmarks. What is stored is ciphertext
// and hashes, which don't compress.
func (s *Store) pebbleOptions(memTable uint64) *pebble.Options {
	o := &pebble.Options{
		FS:                          s.fence,
		Logger:                      pebbleLog{s},
		FormatMajorVersion:          pebble.FormatNewest,
		CacheSize:                   blockCacheSize,
		MemTableSize:                memTable,
		MemTableStopWritesThreshold: 1 << 16,
		L0CompactionThreshold:       4,
		L0StopWritesThreshold:       1 << 16,
		MaxOpenFiles:                256,
		EventListener: &pebble.EventListener{
			BackgroundError: func(err error) { s.fail(damaged(err)) },
			DataCorruption: func(info pebble.DataCorruptionInfo) {
				s.log.Error("table is damaged", "file", info.Path, "err", info.Details)
			},
			FlushEnd:      func(pebble.FlushInfo) { signal(s.relief) },
			CompactionEnd: func(pebble.CompactionInfo) { signal(s.relief) },
		},
	}
	// The scheduler that Pebble makes by itself leaves a goroutine behind when
	// the database can't be opened. This one does without, and is the same as
	// long as one compaction runs at a time.
	o.Experimental.CompactionScheduler = pebble.NewConcurrencyLimitSchedulerWithNoPeriodicGrantingForTest()
	o.CompactionConcurrencyRange = func() (lower, upper int) { return 1, 1 }
	o.ApplyCompressionSettings(func() pebble.DBCompressionSettings { return pebble.DBCompressionNone })
	for i := range o.TargetFileSizes {
		o.TargetFileSizes[i] = tableFileSize
	}
	for i := range o.Levels {
		o.Levels[i].FilterPolicy = bloom.FilterPolicy(10)
	}
	return o
}

// pebbleLog passes Pebble's log on. What is fatal to Pebble poisons the store.
type pebbleLog struct{ s *Store }

func (l pebbleLog) Infof(format string, args ...any) {
	l.s.log.Debug("pebble", "message", lazyText{format, args})
}

func (l pebbleLog) Errorf(format string, args ...any) {
	l.s.log.Debug("pebble error", "message", lazyText{format, args})
}

func (l pebbleLog) Fatalf(format string, args ...any) {
	l.s.fail(fmt.Errorf(format, args...))
}

// lazyText is formatted only when it is logged.
type lazyText struct {
	format string
	args   []any
}

func (t lazyText) LogValue() slog.Value { return slog.StringValue(fmt.Sprintf(t.format, t.args...)) }
