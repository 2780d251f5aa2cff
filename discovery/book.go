package discovery

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"github.com/libp2p/go-libp2p/core/peer"
)

// Limits of a book.
const (
	MaxBookPeers = 1024     // the one seen longest ago makes room
	MaxBookKeys  = 64       // of one peer; the one noted longest ago makes room
	MaxBookBytes = 64 << 20 // bytes of the file; more than the limits above let it grow to
)

// Book remembers on disk which peers proved to know a key, so that they can be
// tried at once after a restart and without any DHT. The file tells which keys
// its owner looked up: only he may read it. It is safe for concurrent use.
type Book struct {
	path string
	log  *slog.Logger

	saving sync.Mutex // held while the file is written; before mu

	mu    sync.Mutex             // guards all below
	peers map[peer.ID]*bookEntry // Invariant: at most MaxBookPeers
	dirty bool
}

// bookEntry is one peer.
type bookEntry struct {
	info peer.AddrInfo          // Invariant: at most MaxAddrs addresses
	seen time.Time              // latest of keys
	keys map[[32]byte]time.Time // Invariant: 1 to MaxBookKeys
}

// OpenBook reads the book at path, which needn't exist; its directory must.
// A damaged book is set aside under the name path.damaged with a warning, and
// an empty one begun. An error means that the file can't be read or set aside.
// A nil logger is silent.
func OpenBook(path string, l *slog.Logger) (*Book, error) {
	if l == nil {
		l = slog.New(slog.DiscardHandler)
	}
	if _, err := os.Stat(filepath.Dir(path)); err != nil {
		return nil, fmt.Errorf("open book of peers: %w", err)
	}
	b := &Book{path: path, log: l, peers: make(map[peer.ID]*bookEntry)}
	data, err := readBounded(path, MaxBookBytes)
	if errors.Is(err, fs.ErrNotExist) {
		return b, nil
	}
	if err == nil {
		var peers map[peer.ID]*bookEntry
		if peers, err = decodeBook(data); err == nil {
			b.peers = peers
			return b, nil
		}
	}
	if !errors.Is(err, errBookDamaged) {
		return nil, fmt.Errorf("open book of peers: %w", err)
	}
	aside := path + ".damaged"
	if err := os.Rename(path, aside); err != nil {
		return nil, fmt.Errorf("set damaged book of peers aside: %w", err)
	}
	l.Warn("book of peers is damaged: set aside, peers are looked up afresh", "file", aside, "err", err)
	return b, nil
}

func readBounded(path string, limit int64) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, limit+1))
	if err != nil {
		return nil, err
	}
	if int64(len(data)) > limit {
		return nil, fmt.Errorf("%w: longer than %d bytes", errBookDamaged, limit)
	}
	return data, nil
}

// Seen notes that p proved at the time now to know key, and where it is. Its
// addresses replace those known, unless there are none. A peer with no address
// at all isn't noted.
func (b *Book) Seen(key [32]byte, p peer.AddrInfo, now time.Time) {
	if p.ID.Validate() != nil {
		return
	}
	addrs := trimAddrs(p.ID, p.Addrs)
	b.mu.Lock()
	defer b.mu.Unlock()
	e := b.peers[p.ID]
	if e == nil {
		if len(addrs) == 0 {
			return
		}
		if len(b.peers) >= MaxBookPeers {
			b.evictLocked()
		}
		e = &bookEntry{info: peer.AddrInfo{ID: p.ID}, keys: make(map[[32]byte]time.Time)}
		b.peers[p.ID] = e
	}
	if len(addrs) > 0 {
		e.info.Addrs = addrs
	}
	e.note(key, now)
	b.dirty = true
}

// note remembers the key, in place of the one noted longest ago if need be.
func (e *bookEntry) note(key [32]byte, now time.Time) {
	if _, ok := e.keys[key]; !ok && len(e.keys) >= MaxBookKeys {
		var oldest [32]byte
		var at time.Time
		for k, seen := range e.keys {
			if at.IsZero() || seen.Before(at) {
				oldest, at = k, seen
			}
		}
		delete(e.keys, oldest)
	}
	e.keys[key] = now
	if now.After(e.seen) {
		e.seen = now
	}
}

func (b *Book) evictLocked() {
	var oldest *bookEntry
	for _, e := range b.peers {
		if oldest == nil || e.seen.Before(oldest.seen) {
			oldest = e
		}
	}
	delete(b.peers, oldest.info.ID)
}

// Peers returns the peers that proved to know key, the latest first. The
// caller owns the result.
func (b *Book) Peers(key [32]byte) []peer.AddrInfo {
	type sighting struct {
		info peer.AddrInfo
		at   time.Time
	}
	var found []sighting
	b.mu.Lock()
	for _, e := range b.peers {
		if at, ok := e.keys[key]; ok {
			info := peer.AddrInfo{ID: e.info.ID, Addrs: slices.Clone(e.info.Addrs)}
			found = append(found, sighting{info, at})
		}
	}
	b.mu.Unlock()
	slices.SortFunc(found, func(x, y sighting) int { return y.at.Compare(x.at) })
	peers := make([]peer.AddrInfo, len(found))
	for i, f := range found {
		peers[i] = f.info
	}
	return peers
}

// Forget removes a key, and the peers that are remembered for no other.
func (b *Book) Forget(key [32]byte) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for id, e := range b.peers {
		if _, ok := e.keys[key]; !ok {
			continue
		}
		b.dirty = true
		if delete(e.keys, key); len(e.keys) == 0 {
			delete(b.peers, id)
		}
	}
}

// Flush writes the book if it changed: to a new file that then takes the
// place of the old one, so that a crash leaves one of the two.
func (b *Book) Flush() error {
	b.saving.Lock()
	defer b.saving.Unlock()
	b.mu.Lock()
	if !b.dirty {
		b.mu.Unlock()
		return nil
	}
	data := encodeBook(b.peers)
	b.dirty = false
	b.mu.Unlock()
	if err := replaceFile(b.path, data); err != nil {
		b.mu.Lock()
		b.dirty = true
		b.mu.Unlock()
		return fmt.Errorf("save book of peers: %w", err)
	}
	return nil
}

// Close saves the book. It may be called twice.
func (b *Book) Close() error { return b.Flush() }
