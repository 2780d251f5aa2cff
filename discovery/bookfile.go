package discovery

import (
	"bytes"
	"cmp"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/multiformats/go-multiaddr"
)

// bookVersion is the layout written. Any other is set aside like damage, so
// that an older program never overwrites a newer one's book.
const bookVersion = 1

var errBookDamaged = errors.New("damaged")

// The file is one JSON object.
type bookJSON struct {
	Version int        `json:"version"`
	Peers   []peerJSON `json:"peers"` // the latest first
}

type peerJSON struct {
	ID    string    `json:"id"`
	Addrs []string  `json:"addrs"`
	Keys  []keyJSON `json:"keys"` // the latest first
}

type keyJSON struct {
	Key  string `json:"key"`  // 64 hex digits
	Seen int64  `json:"seen"` // seconds since 1970
}

// encodeBook returns the file for peers, which it doesn't change.
func encodeBook(peers map[peer.ID]*bookEntry) []byte {
	entries := slices.SortedFunc(maps.Values(peers), func(a, b *bookEntry) int {
		return cmp.Or(b.seen.Compare(a.seen), cmp.Compare(a.info.ID, b.info.ID))
	})
	book := bookJSON{Version: bookVersion, Peers: []peerJSON{}}
	for _, e := range entries {
		p := peerJSON{ID: e.info.ID.String()}
		for _, a := range e.info.Addrs {
			p.Addrs = append(p.Addrs, a.String())
		}
		for key, seen := range e.keys {
			p.Keys = append(p.Keys, keyJSON{Key: keyHex(key), Seen: seen.Unix()})
		}
		slices.SortFunc(p.Keys, func(a, b keyJSON) int {
			return cmp.Or(cmp.Compare(b.Seen, a.Seen), cmp.Compare(a.Key, b.Key))
		})
		book.Peers = append(book.Peers, p)
	}
	data, err := json.MarshalIndent(book, "", "\t")
	if err != nil {
		panic(fmt.Sprintf("discovery: encode book: %v", err)) // only strings and numbers
	}
	return append(data, '\n')
}

// decodeBook reads a file. What breaks a rule, or exceeds a limit, is
// errBookDamaged.
func decodeBook(data []byte) (map[peer.ID]*bookEntry, error) {
	d := json.NewDecoder(bytes.NewReader(data))
	d.DisallowUnknownFields()
	var book bookJSON
	if err := d.Decode(&book); err != nil {
		return nil, fmt.Errorf("%w: %v", errBookDamaged, err)
	}
	if _, err := d.Token(); err != io.EOF {
		return nil, fmt.Errorf("%w: something follows its end", errBookDamaged)
	}
	if book.Version != bookVersion {
		return nil, fmt.Errorf("%w: version %d, not %d", errBookDamaged, book.Version, bookVersion)
	}
	if len(book.Peers) > MaxBookPeers {
		return nil, fmt.Errorf("%w: %d peers, at most %d", errBookDamaged, len(book.Peers), MaxBookPeers)
	}
	peers := make(map[peer.ID]*bookEntry, len(book.Peers))
	for i, p := range book.Peers {
		e, err := p.entry()
		if err != nil {
			return nil, fmt.Errorf("%w: peer %d: %v", errBookDamaged, i, err)
		}
		if peers[e.info.ID] != nil {
			return nil, fmt.Errorf("%w: peer %d is there twice", errBookDamaged, i)
		}
		peers[e.info.ID] = e
	}
	return peers, nil
}

func (p peerJSON) entry() (*bookEntry, error) {
	if len(p.Addrs) == 0 || len(p.Addrs) > MaxAddrs || len(p.Keys) == 0 || len(p.Keys) > MaxBookKeys {
		return nil, fmt.Errorf("%d addresses and %d keys", len(p.Addrs), len(p.Keys))
	}
	id, err := peer.Decode(p.ID)
	if err != nil {
		return nil, err
	}
	e := &bookEntry{info: peer.AddrInfo{ID: id}, keys: make(map[[32]byte]time.Time, len(p.Keys))}
	for _, s := range p.Addrs {
		a, err := multiaddr.NewMultiaddr(s)
		if err != nil {
			return nil, err
		}
		e.info.Addrs = append(e.info.Addrs, a)
	}
	kept := trimAddrs(id, e.info.Addrs)
	if len(kept) != len(p.Addrs) {
		return nil, fmt.Errorf("%d of %d addresses can't be used", len(p.Addrs)-len(kept), len(p.Addrs))
	}
	e.info.Addrs = kept
	for _, k := range p.Keys {
		raw, err := hex.DecodeString(k.Key)
		if err != nil || len(raw) != 32 {
			return nil, fmt.Errorf("key %.80q isn't 64 hex digits", k.Key)
		}
		e.note([32]byte(raw), time.Unix(k.Seen, 0))
	}
	if len(e.keys) != len(p.Keys) {
		return nil, errors.New("a key is there twice")
	}
	return e, nil
}

// replaceFile puts data in the place of path: whole or not at all, readable by
// the owner alone, and durable when it returns.
func replaceFile(path string, data []byte) (err error) {
	temporary := path + ".new"
	if err := os.Remove(temporary); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	f, err := os.OpenFile(temporary, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	_, err = f.Write(data)
	if err == nil {
		err = f.Sync()
	}
	if closeErr := f.Close(); err == nil {
		err = closeErr
	}
	if err == nil {
		err = os.Rename(temporary, path)
	}
	if err != nil {
		os.Remove(temporary)
		return err
	}
	return syncDirectory(filepath.Dir(path))
}

// syncDirectory makes a rename durable. Systems that can't sync a directory
// need no such thing or give no such promise, so that isn't an error.
func syncDirectory(path string) error {
	d, err := os.Open(path)
	if err != nil {
		return err
	}
	d.Sync()
	return d.Close()
}
