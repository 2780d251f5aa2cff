package sleep

import (
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"

	"github.com/cobox-p2p/cobox-p2p/hypercore"
	"github.com/cobox-p2p/cobox-p2p/hypercore/corestore"
)

const (
	masterFile = "master_key" // 32 bytes
	// MaxFeeds is how many feeds of a store are looked at.
	MaxFeeds = 1 << 16
	// maxStrangers is how many names of what is no feed are listed.
	maxStrangers = 64
	// dirBatch is how many names of a folder are read at once.
	dirBatch = 1024
)

// Errors of stores.
var (
	// ErrNoStore: the folder holds neither a master key nor a feed.
	ErrNoStore = errors.New("sleep: no store here")
	// ErrTooManyFeeds: the store has more than MaxFeeds feeds.
	ErrTooManyFeeds = fmt.Errorf("sleep: store of over %d feeds", MaxFeeds)
)

// Store is a folder of corestore 5. A feed with the discovery key dk in hex is in
// the folder <dk[0:2]>/<dk[2:4]>/<dk>.
type Store struct {
	dir       string
	master    *corestore.MasterKey // nil: there is none
	feeds     []hypercore.DiscoveryKey
	strangers []string
	omitted   int // strangers that are not listed
}

// OpenStore opens a store for reading and finds its feeds, none of which it
// opens. It returns ErrNoStore, ErrInUse when a running program has one of the
// feeds open, and ErrTooManyFeeds.
func OpenStore(dir string) (*Store, error) {
	s := &Store{dir: dir}
	if err := s.open(MaxFeeds); err != nil {
		return nil, fmt.Errorf("open store %s: %w", dir, err)
	}
	return s, nil
}

func (s *Store) open(limit int) error {
	b, err := readSmall(filepath.Join(s.dir, masterFile), corestore.MasterKeySize)
	if err != nil {
		return err
	}
	if len(b) == corestore.MasterKeySize {
		s.master = (*corestore.MasterKey)(b)
	}
	if err := s.find(limit); err != nil {
		return err
	}
	s.sort()
	if s.master == nil && len(s.feeds) == 0 {
		return ErrNoStore
	}
	for _, dk := range s.feeds {
		if err := probeLock(filepath.Join(s.path(dk), bitfieldFile)); err != nil {
			return fmt.Errorf("feed %s: %w", dk, err)
		}
	}
	return nil
}

// probeLock returns ErrInUse when another program has the bitfield locked.
func probeLock(path string) error {
	f, err := openFile(path, bitfieldFile)
	if err != nil || f.missing() {
		return nil // Open names it
	}
	defer f.close()
	return lockShared(f.f)
}

// find walks the two levels of folders above the feeds.
func (s *Store) find(limit int) error {
	return eachName(s.dir, func(a fs.DirEntry) error {
		if a.Name() == masterFile {
			return nil
		}
		if !a.IsDir() || !isHex(a.Name(), 2) {
			s.stranger(a.Name())
			return nil
		}
		return eachName(filepath.Join(s.dir, a.Name()), func(b fs.DirEntry) error {
			if !b.IsDir() || !isHex(b.Name(), 2) {
				s.stranger(filepath.Join(a.Name(), b.Name()))
				return nil
			}
			return s.findBelow(a.Name(), b.Name(), limit)
		})
	})
}

func (s *Store) findBelow(a, b string, limit int) error {
	err := eachName(filepath.Join(s.dir, a, b), func(c fs.DirEntry) error {
		name := c.Name()
		if !c.IsDir() || !isHex(name, 64) || name[:2] != a || name[2:4] != b {
			s.stranger(filepath.Join(a, b, name))
			return nil
		}
		if len(s.feeds) == limit {
			return ErrTooManyFeeds
		}
		dk, _ := hex.DecodeString(name)
		s.feeds = append(s.feeds, hypercore.DiscoveryKey(dk))
		return nil
	})
	return err
}

func (s *Store) sort() {
	slices.SortFunc(s.feeds, func(a, b hypercore.DiscoveryKey) int { return slices.Compare(a[:], b[:]) })
}

func (s *Store) stranger(name string) {
	if len(s.strangers) >= maxStrangers {
		s.omitted++
		return
	}
	s.strangers = append(s.strangers, name)
}

// eachName calls f for what is in a folder, without holding all names in memory.
func eachName(dir string, f func(fs.DirEntry) error) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer d.Close()
	for {
		entries, err := d.ReadDir(dirBatch)
		for _, e := range entries {
			if err := f(e); err != nil {
				return err
			}
		}
		if len(entries) == 0 || err != nil {
			return nil // the end, or what can't be read: what was found counts
		}
	}
}

// isHex says whether s is n digits of lower-case hex.
func isHex(s string, n int) bool {
	if len(s) != n {
		return false
	}
	for _, c := range s {
		if (c < '0' || c > '9') && (c < 'a' || c > 'f') {
			return false
		}
	}
	return true
}

// path returns the folder of a feed.
func (s *Store) path(dk hypercore.DiscoveryKey) string {
	name := dk.String()
	return filepath.Join(s.dir, name[:2], name[2:4], name)
}

// MasterKey returns the store's master key; ok is false when it has none.
func (s *Store) MasterKey() (master corestore.MasterKey, ok bool) {
	if s.master == nil {
		return master, false
	}
	return *s.master, true
}

// Feeds returns the discovery keys of the feeds in the store, ascending.
func (s *Store) Feeds() []hypercore.DiscoveryKey { return slices.Clone(s.feeds) }

// Strangers returns the first names in the store that are no part of it, and how
// many more there are.
func (s *Store) Strangers() (names []string, more int) { return slices.Clone(s.strangers), s.omitted }

// Has says whether there is a folder of the feed.
func (s *Store) Has(dk hypercore.DiscoveryKey) bool {
	_, ok := slices.BinarySearchFunc(s.feeds, dk, func(a, b hypercore.DiscoveryKey) int { return slices.Compare(a[:], b[:]) })
	return ok
}

// Feed opens a feed of the store like Open. Its key must belong to the folder,
// and its key pair comes from its name and the master key, or from its
// secret_key.
func (s *Store) Feed(dk hypercore.DiscoveryKey) (*Feed, error) {
	options := []OpenOption{WithDiscoveryKey(dk)}
	if s.master != nil {
		options = append(options, WithMasterKey(*s.master))
	}
	return Open(s.path(dk), options...)
}

// CreateStore makes a store with the given master key. The folder must not
// exist, or be empty; else it returns ErrExists.
func CreateStore(dir string, master corestore.MasterKey) (*Store, error) {
	if err := createStore(dir, master); err != nil {
		return nil, fmt.Errorf("create store %s: %w", dir, err)
	}
	return &Store{dir: dir, master: &master}, nil
}

func createStore(dir string, master corestore.MasterKey) error {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	entries, err := os.ReadDir(dir)
	if err != nil {
		return err
	}
	if len(entries) > 0 {
		return fmt.Errorf("%w: %s isn't empty", ErrExists, dir)
	}
	in := &folder{temp: dir}
	if err := in.write(masterFile, master[:]); err != nil {
		return err
	}
	return syncDir(dir)
}
