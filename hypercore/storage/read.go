package storage

import (
	"errors"
	"fmt"
	"iter"

	"github.com/cockroachdb/pebble/v2"

	"github.com/cobox-p2p/cobox-p2p/hypercore"
	"github.com/cobox-p2p/cobox-p2p/hypercore/merkle"
)

// wrap says where an error of the database came from.
func (s *Store) wrap(action string, err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("%s in store %s: %w", action, s.dir, damaged(err))
}

// headOf returns the head record of a feed, or ErrNoFeed. It needs use or mu.
func (s *Store) headOf(key hypercore.Key) (headRecord, error) {
	v, closer, err := s.db.Get(feedKey(key))
	if errors.Is(err, pebble.ErrNotFound) {
		return headRecord{}, hypercore.ErrNoFeed
	}
	if err != nil {
		return headRecord{}, s.wrap("read a head", err)
	}
	defer closer.Close()
	h, err := parseHead(v)
	return h, s.wrap("read a head", err)
}

// idOf returns the id of a feed, or ErrNoFeed. It needs use.
func (s *Store) idOf(key hypercore.Key) (uint64, error) {
	if id, ok := s.ids.get(key); ok {
		return id, nil
	}
	drops := s.ids.drops.Load()
	h, err := s.headOf(key)
	if err != nil {
		return 0, err
	}
	s.ids.put(key, h.id, drops)
	return h.id, nil
}

// Feed implements hypercore.Storage.
func (s *Store) Feed(key hypercore.Key) (hypercore.StoredFeed, error) {
	if err := s.use(); err != nil {
		return hypercore.StoredFeed{}, err
	}
	defer s.life.RUnlock()
	h, err := s.headOf(key)
	if err != nil {
		return hypercore.StoredFeed{}, err
	}
	return h.stored(key), nil
}

// Held implements hypercore.Storage. It yields the spans as they were when the
// loop began, and none for a feed that is not stored. It reads the spans alone,
// 16 bytes each in memory, not the blocks.
func (s *Store) Held(key hypercore.Key) iter.Seq2[hypercore.Span, error] {
	return func(yield func(hypercore.Span, error) bool) {
		spans, err := s.spans(key)
		if err != nil {
			yield(hypercore.Span{}, err)
			return
		}
		for _, span := range spans {
			if !yield(span, nil) {
				return
			}
		}
	}
}

func (s *Store) spans(key hypercore.Key) (spans []hypercore.Span, err error) {
	if err := s.use(); err != nil {
		return nil, err
	}
	defer s.life.RUnlock()
	id, err := s.idOf(key)
	if errors.Is(err, hypercore.ErrNoFeed) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	var page heldBits
	lower, upper := kindBounds(id, kindHeld)
	err = s.scan(lower, upper, func(key, value []byte) (bool, error) {
		if len(key) != dataKeySize || dataNumber(key) > MaxSeq/heldPage {
			return false, ErrDamaged
		}
		if err := page.parse(value); err != nil {
			return false, err
		}
		spans = page.appendSpans(spans, dataNumber(key))
		return true, nil
	})
	if err != nil {
		return nil, s.wrap("list held blocks of feed "+key.Discovery().String(), err)
	}
	return spans, nil
}

// Node implements hypercore.Storage. It returns merkle.ErrNoNode for a feed
// that is not stored, too.
func (s *Store) Node(key hypercore.Key, index uint64) (merkle.Node, error) {
	if err := s.use(); err != nil {
		return merkle.Node{}, err
	}
	defer s.life.RUnlock()
	id, err := s.idOf(key)
	if errors.Is(err, hypercore.ErrNoFeed) {
		return merkle.Node{}, merkle.ErrNoNode
	}
	if err != nil {
		return merkle.Node{}, err
	}
	n, err := s.singleNode(id, index)
	if page, place, ok := pageOf(index); ok && errors.Is(err, merkle.ErrNoNode) {
		n, err = s.pagedNode(id, index, page, place)
	}
	if err != nil && !errors.Is(err, merkle.ErrNoNode) {
		return merkle.Node{}, s.wrap("read a node", err)
	}
	return n, err
}

// singleNode returns a node that has a record of its own, or merkle.ErrNoNode.
func (s *Store) singleNode(id, index uint64) (merkle.Node, error) {
	k := newDataKey(id, kindNode, index)
	v, closer, err := s.db.Get(k[:])
	if errors.Is(err, pebble.ErrNotFound) {
		return merkle.Node{}, merkle.ErrNoNode
	}
	if err != nil {
		return merkle.Node{}, err
	}
	defer closer.Close()
	return parseNode(index, v)
}

// pagedNode returns a node of a full page, or merkle.ErrNoNode.
func (s *Store) pagedNode(id, index, page uint64, place int) (merkle.Node, error) {
	k := newDataKey(id, kindPage, page)
	v, closer, err := s.db.Get(k[:])
	if errors.Is(err, pebble.ErrNotFound) {
		return merkle.Node{}, merkle.ErrNoNode
	}
	if err != nil {
		return merkle.Node{}, err
	}
	defer closer.Close()
	return parsePageNode(index, place, v)
}

// Record implements hypercore.Storage.
func (s *Store) Record(key []byte) ([]byte, error) {
	if err := s.use(); err != nil {
		return nil, err
	}
	defer s.life.RUnlock()
	value, ok, err := s.get(recordKey(key))
	if err != nil {
		return nil, s.wrap("read a record", err)
	}
	if !ok {
		return nil, hypercore.ErrNoRecord
	}
	return value, nil
}
