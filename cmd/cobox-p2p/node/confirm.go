package node

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/cobox-p2p/cobox-p2p/hypercore"
	"github.com/cobox-p2p/cobox-p2p/multifeed"
)

// Confirmed are the imported writers that this node writes from now on.
type Confirmed struct {
	Space   string            `json:"space"`
	Writers []ConfirmedWriter `json:"writers"`
}

// ConfirmedWriter is one of them.
type ConfirmedWriter struct {
	Feed   string `json:"feed"` // key
	Writer string `json:"writer"`
	Length uint64 `json:"length"` // blocks
}

// ConfirmImport makes imported writers of a space writable, those that feeds name
// by key, its beginning or writer's name, or all when there is none: their owner
// says that nothing else writes them any more. It may be repeated. A writer of
// which blocks are known to be missing is refused, as is one that another copy of
// this node writes.
func (n *Node) ConfirmImport(name string, feeds []string) (Confirmed, error) {
	s, err := n.findUsable(name)
	if err != nil {
		return Confirmed{}, err
	}
	if !s.Readable() {
		return Confirmed{}, useErrorf("space %s is only seeded here, without its key: nothing can be written to it; run space leave --keep %q and join it with its access key first",
			s.entry.Name, s.entry.Name)
	}
	keys, err := s.cameFor(feeds)
	if err != nil {
		return Confirmed{}, err
	}
	c := Confirmed{Space: s.entry.Name, Writers: []ConfirmedWriter{}}
	for _, key := range keys {
		f, err := s.confirm(key)
		if err != nil {
			return c, fmt.Errorf("space %s, writer %s: %w", s.entry.Name, s.handed.get(key).Name, err)
		}
		c.Writers = append(c.Writers, ConfirmedWriter{key.String(), s.name(f), f.Length()})
	}
	return c, nil
}

// confirm makes one imported writer writable.
func (s *space) confirm(key hypercore.Key) (*multifeed.Feed, error) {
	f, err := s.Feed(key)
	if err != nil {
		return nil, err
	}
	least := s.handed.get(key).Least
	switch {
	case f.Damaged() != nil:
		return nil, f.Damaged()
	case f.Retired():
		return nil, errors.New("another copy of this node writes it: append goes on with a feed of this node's own")
	case f.Length() < least, f.Length() < f.KnownLength():
		return nil, fmt.Errorf("%s are here and %d were signed: sync with a peer that has the rest first, or the next block would be signed a second time",
			Count(f.Length(), "block", "blocks"), max(least, f.KnownLength()))
	}
	before := f.Own()
	if f, err = s.Confirm(key); err != nil {
		return nil, err
	}
	if !before {
		// The old software showed its peers what it wrote: should this copy be
		// retired, these blocks are not its own to append again.
		f.ShowHead()
		if err := f.SaveShown(); err != nil {
			return nil, err
		}
	}
	if !f.Writable() {
		return nil, errors.New("it was given away, or another history of it is known: it stays read-only here")
	}
	return f, nil
}

// came returns the keys of the imported writers, ascending.
func (s *space) came() (keys []hypercore.Key) {
	s.handed.mu.Lock()
	defer s.handed.mu.Unlock()
	for key, o := range s.handed.all {
		if o.State == stateCame {
			keys = append(keys, key)
		}
	}
	slices.SortFunc(keys, func(a, b hypercore.Key) int { return slices.Compare(a[:], b[:]) })
	return keys
}

// cameFor returns the imported writers that texts name, or all.
func (s *space) cameFor(texts []string) ([]hypercore.Key, error) {
	all := s.came()
	if len(texts) == 0 {
		if len(all) == 0 {
			return nil, useErrorf("space %s has no writer that legacy import brought", s.entry.Name)
		}
		return all, nil
	}
	var named []hypercore.Key
	for _, text := range texts {
		var found []hypercore.Key
		for _, key := range all {
			if text != "" && (s.handed.get(key).Name == text || strings.HasPrefix(key.String(), strings.ToLower(text))) {
				found = append(found, key)
			}
		}
		switch len(found) {
		case 0:
			return nil, useErrorf("space %s has no imported writer %q: see status", s.entry.Name, clip(text))
		case 1:
			named = append(named, found[0])
		default:
			return nil, useErrorf("space %s has %d imported writers %q: name one by its key, see status", s.entry.Name, len(found), clip(text))
		}
	}
	return named, nil
}

// writer returns the feed that append writes for a name: the imported and
// confirmed writer of that name, or whose key it is, else this node's own.
func (s *space) writer(name string) (*multifeed.Feed, error) {
	var found []*multifeed.Feed
	for _, key := range s.came() {
		if s.handed.get(key).Name != name && key.String() != name {
			continue
		}
		f, err := s.Feed(key)
		if err != nil {
			return nil, err
		}
		if f.Own() && f.Writable() {
			found = append(found, f)
		}
	}
	switch len(found) {
	case 0:
		return s.Writer(name)
	case 1:
		return found[0], nil
	}
	var keys []string
	for _, f := range found {
		keys = append(keys, f.Key().String())
	}
	return nil, useErrorf("several writers named %s were imported: use the key of one as the writer's name: %s", name, strings.Join(keys, ", "))
}
