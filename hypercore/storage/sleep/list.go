package sleep

import (
	"bytes"
	"context"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/cobox-p2p/cobox-p2p/hypercore"
)

// Limits of the list of a space's feeds.
const (
	MaxListed    = 1 << 16 // entries
	maxListBlock = 64 << 10
)

// readList adds the feeds that the list names.
func (s *Store) readList(ctx context.Context, space *Space) error {
	f, err := s.Feed(space.ListKey.Discovery())
	if err != nil {
		if errors.Is(err, ErrInUse) {
			return err
		}
		space.Damage = append(space.Damage, Damage{File: keyFile, Reason: BadFile, Err: err})
		return nil
	}
	defer f.Close()
	space.Damage = f.Damage()
	at, seen := newCursor(f), map[hypercore.Key]bool{}
	for seq := uint64(0); seq < min(f.Length(), MaxListed); seq++ {
		if err := ctx.Err(); err != nil {
			return err
		}
		feed, err := f.listed(at, seq)
		if err != nil {
			space.Damage = append(space.Damage, Damage{File: dataFile, Reason: BadBlock, Span: hypercore.Span{Start: seq, Count: 1}, Err: err})
			continue
		}
		if !seen[feed.Key] {
			seen[feed.Key] = true
			space.Feeds = append(space.Feeds, feed)
		}
	}
	return nil
}

// listed returns entry seq of a list.
func (f *Feed) listed(at *cursor, seq uint64) (SpaceFeed, error) {
	if _, ok := at.seek(seq); !ok {
		return SpaceFeed{}, fmt.Errorf("%w: %s", hypercore.ErrDamaged, BadNode)
	}
	leaf, offset := at.leaf()
	if leaf.Size > maxListBlock {
		return SpaceFeed{}, fmt.Errorf("entry of %d bytes, limit %d", leaf.Size, maxListBlock)
	}
	if n, ok := f.leaf(seq, offset, leaf.Size); !ok || n != leaf {
		return SpaceFeed{}, fmt.Errorf("%w: %s", hypercore.ErrDamaged, BadBlock)
	}
	b, err := f.read(offset, leaf.Size, nil)
	if err != nil {
		return SpaceFeed{}, err
	}
	return parseListed(b)
}

// listEntry is a block of the list, JSON with a line feed behind it.
type listEntry struct {
	Key  string `json:"key"` // hex
	Name string `json:"name"`
}

// parseListed returns the feed that a block of the list names.
func parseListed(b []byte) (SpaceFeed, error) {
	var e listEntry
	if err := json.Unmarshal(b, &e); err != nil {
		return SpaceFeed{}, errors.New("not the JSON of a feed")
	}
	key, err := hex.DecodeString(e.Key)
	if err != nil || len(key) != hypercore.KeySize {
		return SpaceFeed{}, errors.New("no feed key")
	}
	if len(e.Name) > MaxName {
		return SpaceFeed{}, fmt.Errorf("name of %d bytes, limit %d", len(e.Name), MaxName)
	}
	return SpaceFeed{Key: hypercore.Key(key), Name: e.Name}, hypercore.Key(key).Check()
}

func appendListed(dst []byte, f SpaceFeed) ([]byte, error) {
	buf := bytes.NewBuffer(dst)
	enc := json.NewEncoder(buf) // ends with a line feed
	enc.SetEscapeHTML(false)
	err := enc.Encode(listEntry{f.Key.String(), f.Name})
	return buf.Bytes(), err
}
