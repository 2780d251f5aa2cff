package storage

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"syscall"

	"github.com/cockroachdb/pebble/v2"
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
	reserve  uint64
	segment  uint64 // bytes of one data file
	punch    func(f vfs.File, offset, size int64) error

	keepIndex bool // see WithoutRebuild
}

// WithLogger makes the store log to log: at level error when it fails, else at
// debug. Without it the store is silent.
func WithLogger(log *slog.Logger) Option {
	return func(o *options) { o.log = log }
}

// WithReserve makes the store refuse what adds to it while the disk has less than
// so many bytes free. Without it that is 64 MiB; 0 is no limit.
func WithReserve(bytes uint64) Option {
	return func(o *options) { o.reserve = bytes }
}

// Open opens the store in dir and makes it there, with mode 0700, when the
// folder is absent or empty. It returns an error that wraps ErrLocked for a
// folder that is in use, a *FormatError for the store of another format, and
// one that wraps ErrNotStore for a folder that holds another database.
func Open(dir string, opts ...Option) (*Store, error) {
	o := options{log: slog.New(slog.DiscardHandler), fs: vfs.Default, memTable: memTableSize,
		reserve: defaultReserve, segment: segmentBytes, punch: punchHole}
	for _, opt := range opts {
		opt(&o)
	}
	s := &Store{
		log:          o.log,
		dir:          dir,
		fs:           o.fs,
		punch:        o.punch,
		segmentBytes: o.segment,
		space:        &space{fs: o.fs, dir: dir, reserve: o.reserve},
		reserved:     make(map[hypercore.Key]uint64),
		spoiled:      make(map[fileName]struct{}),
		hot:          make(hotFeeds),
		failed:       make(chan struct{}),
		wake:         make(chan struct{}, 1),
		relief:       make(chan struct{}, 1),
		quit:         make(chan struct{}),
		done:         make(chan struct{}),
	}
	s.room.L = &s.mu
	s.handles.open = s.openSegment
	s.sweeper = newSweeper(s)
	s.tails.syncFolder = func() error { return syncFolder(s.fs, s.dataDir()) }
	s.fenceIndex()
	if err := s.open(&o); err != nil {
		return nil, fmt.Errorf("open store in %s: %w", dir, err)
	}
	go s.committer()
	return s, nil
}

// fenceIndex makes the file system that the index will see.
func (s *Store) fenceIndex() {
	s.fence = newFence(s.fs, s.fail)
	s.fence.before = s.tails.sync
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
	if err := makeFolder(o.fs, s.dataDir()); err != nil {
		return err
	}
	return s.openIndex(o)
}

// start makes the store fit for use when the database is open.
func (s *Store) start() error {
	if err := s.readFormat(); err != nil {
		return damaged(err)
	}
	if err := s.checkSegments(); err != nil {
		return damaged(err)
	}
	return damaged(s.sweeper.start())
}

// damaged marks an error of the database that says that a file isn't what was
// written.
func damaged(err error) error {
	if pebble.IsCorruptionError(err) && !errors.Is(err, ErrDamaged) {
		return fmt.Errorf("%w: %w", ErrDamaged, err)
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
	s.storedID = s.nextID
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
