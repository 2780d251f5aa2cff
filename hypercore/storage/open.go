package storage

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"syscall"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/bloom"
	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/cobox-p2p/cobox-p2p/hypercore"
)

// ErrLocked is wrapped by what Open returns for a folder that another process,
// or another Store of this one, has open.
var ErrLocked = errors.New("storage: folder is in use")

// Option changes how Open works.
type Option func(*options)

type options struct {
	log      *slog.Logger
	fs       vfs.FS
	memTable uint64 // bytes of one table in memory
}

// WithLogger makes the store log to log: at level error when it fails, else at
// debug. Without it the store is silent.
func WithLogger(log *slog.Logger) Option {
	return func(o *options) { o.log = log }
}

// Open opens the store in dir and makes it there, with mode 0700, when the
// folder is absent or empty. It returns an error that wraps ErrLocked for a
// folder that is in use, a *FormatError for the store of a newer program, and
// one that wraps ErrNotStore for a folder that holds another database.
func Open(dir string, opts ...Option) (*Store, error) {
	o := options{log: slog.New(slog.DiscardHandler), fs: vfs.Default, memTable: memTableSize}
	for _, opt := range opts {
		opt(&o)
	}
	s := &Store{
		grown:  map[uint64]hypercore.Span{},
		log:    o.log,
		dir:    dir,
		failed: make(chan struct{}),
		wake:   make(chan struct{}, 1),
		relief: make(chan struct{}, 1),
		quit:   make(chan struct{}),
		done:   make(chan struct{}),
	}
	s.room.L = &s.mu
	s.fence = newFence(o.fs, s.fail)
	if err := s.open(&o); err != nil {
		return nil, fmt.Errorf("open store in %s: %w", dir, err)
	}
	go s.committer()
	return s, nil
}

// open locks the folder, checks its format and opens the database. When it
// returns an error, nothing is left open.
func (s *Store) open(o *options) (err error) {
	if err := makeFolder(o.fs, s.dir); err != nil {
		return err
	}
	if s.lock, err = pebble.LockDirectory(s.dir, o.fs); err != nil {
		return lockError(err)
	}
	defer func() {
		if err != nil {
			s.lock.Close()
		}
	}()
	if err := checkMarker(o.fs, s.dir); err != nil {
		return err
	}
	if s.db, err = pebble.Open(s.dir, s.pebbleOptions(o.memTable)); err != nil {
		return err
	}
	s.fence.opened.Store(true)
	if err = s.readFormat(); err == nil {
		err = s.failure()
	}
	if err != nil {
		close(s.fence.release)
		err = errors.Join(err, s.db.Close())
	}
	return err
}

// readFormat checks the format record, which a new database gets here, and reads
// the next id.
func (s *Store) readFormat() error {
	value, ok, err := s.get(formatKey)
	if err != nil {
		return err
	}
	if !ok {
		return s.db.Set(formatKey, binary.AppendUvarint(nil, formatVersion), pebble.Sync)
	}
	version, err := parseUvarint(value)
	if err != nil {
		return err
	}
	if version != formatVersion {
		return &FormatError{Found: version, Known: formatVersion}
	}
	value, ok, err = s.get(nextKey)
	if err != nil || !ok {
		return err
	}
	if len(value) != 8 {
		return ErrDamaged
	}
	s.nextID = binary.BigEndian.Uint64(value)
	return nil
}

// lockError tells a folder in use from one that can't be locked. Pebble has no
// error of its own for the former, and that of the system differs.
func lockError(err error) error {
	var path *fs.PathError
	var number syscall.Errno
	if errors.As(err, &path) || errors.As(err, &number) &&
		(number == syscall.ENOLCK || number == syscall.ENOSYS || number == syscall.EINVAL) {
		return err
	}
	return fmt.Errorf("%w: %w", ErrLocked, err)
}

// pebbleOptions are measured; see the benchmarks. What is stored is ciphertext
// and hashes, which don't compress.
func (s *Store) pebbleOptions(memTable uint64) *pebble.Options {
	o := &pebble.Options{
		FS:                          s.fence,
		Lock:                        s.lock,
		Logger:                      pebbleLog{s},
		FormatMajorVersion:          pebble.FormatNewest,
		CacheSize:                   blockCacheSize,
		MemTableSize:                memTable,
		MemTableStopWritesThreshold: 1 << 16,
		L0CompactionThreshold:       4,
		L0StopWritesThreshold:       1 << 16,
		MaxOpenFiles:                256,
		EventListener: &pebble.EventListener{
			BackgroundError: s.fail,
			FlushEnd:        func(pebble.FlushInfo) { signal(s.relief) },
			CompactionEnd:   func(pebble.CompactionInfo) { signal(s.relief) },
		},
	}
	// The scheduler that Pebble makes by itself leaves a goroutine behind when
	// the database can't be opened. This one does without, and is the same as
	// long as one compaction runs at a time.
	o.Experimental.CompactionScheduler = pebble.NewConcurrencyLimitSchedulerWithNoPeriodicGrantingForTest()
	o.CompactionConcurrencyRange = func() (lower, upper int) { return 1, 1 }
	o.ApplyCompressionSettings(func() pebble.DBCompressionSettings { return pebble.DBCompressionNone })
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
