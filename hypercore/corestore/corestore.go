// Package corestore keeps many feeds in one storage: each is open once, and
// only when it is asked for. The keys of its own feeds are derived by name from
// one master key, by the rule of npm corestore 5.
package corestore

import (
	"errors"
	"fmt"
	"iter"
	"sync"

	"github.com/cobox-p2p/cobox-p2p/hypercore"
)

// MasterKeySize is the size in bytes of a master key.
const MasterKeySize = 32

// MasterKey is the secret from which all own feeds are derived. It has no text
// form.
type MasterKey [MasterKeySize]byte

// Format keeps the key out of every log.
func (MasterKey) Format(f fmt.State, _ rune) { fmt.Fprint(f, "master key") }

// MarshalText fails, so that no encoder of JSON or logs writes the key.
func (MasterKey) MarshalText() ([]byte, error) {
	return nil, errors.New("corestore: a master key has no text form")
}

// KeyPair returns the key pair of the feed with that name: Ed25519 from the seed
// BLAKE2b-256("9\ncorestore" || name; key = master key). See
// interop/spec/keys.md, "Writers".
func (m MasterKey) KeyPair(name string) hypercore.KeyPair {
	return hypercore.NewKeyPair(hypercore.KeyedHash(m[:], []byte("9\ncorestore"), []byte(name)))
}

// Store opens feeds of one Storage. It may be used by several goroutines at
// once.
type Store struct {
	st     hypercore.Storage
	master MasterKey

	mu      sync.Mutex // guards all below; held over the opening of a feed
	open    map[hypercore.Key]*hypercore.Feed
	leaving map[hypercore.Key]*hypercore.Feed // released, and perhaps not settled
	closed  bool
}

// New returns the store of the feeds in st. It reads nothing yet. Closing it
// does not close st.
func New(st hypercore.Storage, master MasterKey) *Store {
	return &Store{
		st: st, master: master,
		open:    map[hypercore.Key]*hypercore.Feed{},
		leaving: map[hypercore.Key]*hypercore.Feed{},
	}
}

// Storage returns the storage under the store, for records and batches of those
// who build on it. Feeds must not be written past the store.
func (s *Store) Storage() hypercore.Storage { return s.st }

// Feed opens the feed of key, stored or not; it is read-only unless it was
// opened by its name before. It returns ErrWeakKey for what can't be a feed's
// key and ErrClosed.
func (s *Store) Feed(key hypercore.Key) (*hypercore.Feed, error) {
	return s.get(key, hypercore.KeyPair{})
}

// Named opens the writable feed that is derived from the master key and name.
// The same name gives the same feed, on every machine with this master key, so
// a writer's name must hold something that no other machine uses; see
// interop/spec/keys.md, "Writers".
func (s *Store) Named(name string) (*hypercore.Feed, error) {
	pair := s.master.KeyPair(name)
	return s.get(pair.Public, pair)
}

// NamedKey returns the key of the feed that Named opens, without opening it.
func (s *Store) NamedKey(name string) hypercore.Key { return s.master.KeyPair(name).Public }

func (s *Store) get(key hypercore.Key, pair hypercore.KeyPair) (*hypercore.Feed, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.settleLocked(key)
	if s.closed {
		return nil, hypercore.ErrClosed
	}
	if f := s.open[key]; f != nil {
		if pair.Valid() && !f.Writable() {
			return f, f.Unlock(pair)
		}
		return f, nil
	}
	f, err := hypercore.Open(s.st, key, pair)
	if err != nil {
		return nil, err
	}
	s.open[key] = f
	return f, nil
}

// settleLocked waits without the lock until nothing of a released feed is on its
// way to the disk. Two open feeds of one key could sign two blocks of one number.
func (s *Store) settleLocked(key hypercore.Key) {
	for f := s.leaving[key]; f != nil; f = s.leaving[key] {
		s.mu.Unlock()
		f.Close()
		<-f.Settled()
		s.mu.Lock()
		if s.leaving[key] == f {
			delete(s.leaving, key)
		}
	}
}

// Loaded returns the feed of key if it is open.
func (s *Store) Loaded(key hypercore.Key) (*hypercore.Feed, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	f, ok := s.open[key]
	return f, ok
}

// List yields what is stored of every feed, in ascending order of keys, without
// opening one.
func (s *Store) List() iter.Seq2[hypercore.StoredFeed, error] { return s.st.Feeds() }

// Release closes the feed if it is open. It is opened again when it is asked
// for, and when all that the closed one wrote is durable; handles from before
// return ErrClosed.
func (s *Store) Release(key hypercore.Key) error {
	s.mu.Lock()
	f := s.open[key]
	if f == nil {
		s.mu.Unlock()
		return nil
	}
	delete(s.open, key)
	s.leaving[key] = f
	s.mu.Unlock()
	err := f.Close()
	s.mu.Lock()
	defer s.mu.Unlock()
	for key, f := range s.leaving {
		select {
		case <-f.Settled():
			delete(s.leaving, key)
		default:
		}
	}
	return err
}

// Close closes all feeds, but not the storage. It may be called twice.
func (s *Store) Close() error {
	s.mu.Lock()
	s.closed = true
	open := s.open
	s.open = map[hypercore.Key]*hypercore.Feed{}
	s.mu.Unlock()
	var errs []error
	for _, f := range open {
		errs = append(errs, f.Close())
	}
	return errors.Join(errs...)
}
