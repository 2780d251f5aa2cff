// Package corestore keeps many feeds in one storage: each is open once, opened
// when it is asked for and closed when nobody uses it. The keys of its own feeds
// are derived by name from one master key, by the rule of npm corestore 5.
package corestore

import (
	"container/list"
	"errors"
	"iter"
	"sync"

	"github.com/cobox-p2p/cobox-p2p/hypercore"
)

// MaxIdle is how many feeds that nobody uses are kept open, unless WithMaxIdle
// says otherwise.
const MaxIdle = 256

// Store opens feeds of one Storage. It may be used by several goroutines at
// once.
//
// Acquire and AcquireNamed lend a feed until its Handle is released; feeds that
// nobody has are closed beyond a bound, the longest unused first. Feed and Named
// open one for good: until Release, Delete or Close.
type Store struct {
	st      hypercore.Storage
	master  MasterKey
	maxIdle int
	opened  func(*hypercore.Feed) // may be nil

	mu       sync.Mutex // guards all below; never held over I/O
	entries  map[hypercore.Key]*entry
	idle     *list.List // of *entry: open, and used by nobody; the longest unused last
	leaving  map[*entry]struct{}
	watchers map[*watcher]struct{}
	closed   bool
}

// Option changes how a store works.
type Option func(*Store)

// WithMaxIdle sets how many feeds that nobody uses are kept open. With 0 or less
// a feed is closed as soon as its last Handle is released.
func WithMaxIdle(n int) Option { return func(s *Store) { s.maxIdle = n } }

// WithOpened sets what is called with every feed when it was opened, the first
// time and again later, before anybody gets it: the place for what an open feed
// doesn't keep, as its SetSparse and SetGuard. It must not use the store.
func WithOpened(f func(*hypercore.Feed)) Option { return func(s *Store) { s.opened = f } }

// New returns the store of the feeds in st. It reads nothing yet. Closing it
// does not close st.
func New(st hypercore.Storage, master MasterKey, opts ...Option) *Store {
	s := &Store{
		st: st, master: master, maxIdle: MaxIdle,
		entries:  map[hypercore.Key]*entry{},
		idle:     list.New(),
		leaving:  map[*entry]struct{}{},
		watchers: map[*watcher]struct{}{},
	}
	for _, o := range opts {
		o(s)
	}
	return s
}

// Storage returns the storage under the store, for records and batches of those
// who build on it. Feeds must not be written past the store.
func (s *Store) Storage() hypercore.Storage { return s.st }

// Acquire lends the feed of key, stored or not, and opens it if it isn't open.
// It is read-only unless somebody has it by its name. It returns ErrWeakKey for
// what can't be a feed's key, ErrClosed, and what hypercore.Open does. The
// Handle must be released.
func (s *Store) Acquire(key hypercore.Key) (*Handle, error) {
	return s.acquire(key, hypercore.KeyPair{})
}

// AcquireNamed lends the writable feed that is derived from the master key and
// name, like Acquire. The same name gives the same feed, on every machine with
// this master key, so a writer's name must hold something that no other machine
// uses; see interop/spec/keys.md, "Writers".
func (s *Store) AcquireNamed(name string) (*Handle, error) {
	pair := s.master.KeyPair(name)
	return s.acquire(pair.Public, pair)
}

func (s *Store) acquire(key hypercore.Key, pair hypercore.KeyPair) (*Handle, error) {
	e, err := s.take(key, pair)
	if err != nil {
		return nil, err
	}
	return &Handle{store: s, entry: e}, nil
}

// Feed opens the feed of key for good; it is read-only unless it was opened by
// its name before. It returns what Acquire does.
func (s *Store) Feed(key hypercore.Key) (*hypercore.Feed, error) {
	return s.pin(key, hypercore.KeyPair{})
}

// Named opens the feed of that name for good; see AcquireNamed.
func (s *Store) Named(name string) (*hypercore.Feed, error) {
	pair := s.master.KeyPair(name)
	return s.pin(pair.Public, pair)
}

// NamedKey returns the key of the feed of that name, without opening it.
func (s *Store) NamedKey(name string) hypercore.Key { return s.master.KeyPair(name).Public }

// NamedPair returns the key pair of the feed of that name.
func (s *Store) NamedPair(name string) hypercore.KeyPair { return s.master.KeyPair(name) }

// pin keeps a feed open without a Handle.
func (s *Store) pin(key hypercore.Key, pair hypercore.KeyPair) (*hypercore.Feed, error) {
	e, err := s.take(key, pair)
	if err != nil {
		return nil, err
	}
	s.mu.Lock()
	if e.pinned {
		e.uses--
	}
	e.pinned = true
	s.mu.Unlock()
	return e.feed, nil
}

// Loaded returns the feed of key if it is open. Only who has a Handle of it, or
// opened it for good, may rely on it to stay so.
func (s *Store) Loaded(key hypercore.Key) (*hypercore.Feed, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	e := s.entries[key]
	if e == nil || e.feed == nil || e.gone {
		return nil, false
	}
	return e.feed, true
}

// Open returns how many feeds are open, and how many of them nobody uses.
func (s *Store) Open() (open, idle int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, e := range s.entries {
		if e.feed != nil && !e.gone {
			open++
		}
	}
	return open, s.idle.Len()
}

// List yields what is stored of every feed, in ascending order of keys, without
// opening one.
func (s *Store) List() iter.Seq2[hypercore.StoredFeed, error] { return s.st.Feeds() }

// Release closes the feed if it is open, whoever uses it: their calls return
// ErrClosed. It is opened again when it is asked for, and when all that the
// closed one wrote is durable.
func (s *Store) Release(key hypercore.Key) error {
	s.mu.Lock()
	e := s.entries[key]
	if e == nil || e.feed == nil || e.gone {
		s.mu.Unlock()
		return nil
	}
	s.leaveLocked(e)
	s.mu.Unlock()
	err := e.feed.Close()
	s.mu.Lock()
	defer s.mu.Unlock()
	s.sweepLocked()
	return err
}

// Close closes all feeds, but not the storage. It may be called twice.
func (s *Store) Close() error {
	s.mu.Lock()
	s.closed = true
	var open []*hypercore.Feed
	var busy []chan struct{}
	for _, e := range s.entries {
		switch {
		case e.busy != nil:
			busy = append(busy, e.busy)
		case !e.gone:
			s.leaveLocked(e)
			open = append(open, e.feed)
		}
	}
	s.mu.Unlock()
	var errs []error
	for _, f := range open {
		errs = append(errs, f.Close())
	}
	for _, done := range busy {
		<-done
	}
	return errors.Join(errs...)
}
