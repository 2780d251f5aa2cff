package storage

import (
	"encoding/binary"
	"errors"
	"fmt"
	"iter"

	"github.com/cockroachdb/pebble/v2"

	"github.com/cobox-p2p/cobox-p2p/hypercore"
	"github.com/cobox-p2p/cobox-p2p/hypercore/merkle"
)

// A loop over feeds or records reads so much at once, so that it pins nothing
// while the caller works.
const (
	listCount = 256     // feeds or records
	listBytes = 1 << 20 // of records; a single one may have more
)

// readBlocksHint is for how many blocks a read makes room before it has seen
// that they are held.
const readBlocksHint = 1 << 12

// wrap says where an error of the database came from.
func (s *Store) wrap(action string, err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("%s in store %s: %w", action, s.dir, err)
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

// Feeds implements hypercore.Storage. It yields a feed that changes during the
// loop as it was before or after.
func (s *Store) Feeds() iter.Seq2[hypercore.StoredFeed, error] {
	return func(yield func(hypercore.StoredFeed, error) bool) {
		next := []byte{tableFeed}
		for {
			feeds, err := s.feedsFrom(next)
			if err != nil {
				yield(hypercore.StoredFeed{}, err)
				return
			}
			for _, f := range feeds {
				if !yield(f, nil) {
					return
				}
			}
			if len(feeds) < listCount {
				return
			}
			next = append(feedKey(feeds[len(feeds)-1].Key), 0)
		}
	}
}

// feedsFrom returns up to listCount feeds whose table keys begin at lower.
func (s *Store) feedsFrom(lower []byte) ([]hypercore.StoredFeed, error) {
	if err := s.use(); err != nil {
		return nil, err
	}
	defer s.life.RUnlock()
	var feeds []hypercore.StoredFeed
	err := s.scan(lower, []byte{tableFeed + 1}, func(key, value []byte) (bool, error) {
		h, err := parseHead(value)
		if err != nil || len(key) != 1+hypercore.KeySize {
			return false, ErrDamaged
		}
		feeds = append(feeds, h.stored(hypercore.Key(key[1:])))
		return len(feeds) < listCount, nil
	})
	return feeds, s.wrap("list feeds", err)
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
	lower, upper := kindBounds(id, kindSpan)
	err = s.scan(lower, upper, func(key, value []byte) (bool, error) {
		span, err := parseSpan(key, value)
		spans = append(spans, span)
		return true, err
	})
	if err != nil {
		return nil, s.wrap("list held blocks", err)
	}
	return spans, nil
}

// parseSpan returns the span of a span record, or ErrDamaged.
func parseSpan(key, value []byte) (hypercore.Span, error) {
	if len(key) != dataKeySize {
		return hypercore.Span{}, ErrDamaged
	}
	count, err := parseUvarint(value)
	start := dataNumber(key)
	if err != nil || count == 0 || start > MaxSeq || count > MaxSeq-start {
		return hypercore.Span{}, ErrDamaged
	}
	return hypercore.Span{Start: start, Count: count}, nil
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

// Blocks implements hypercore.Storage. It returns hypercore.ErrNoBlock for a
// feed that is not stored, and nothing for an empty span. Blocks that were
// written together share one buffer; each is capped at its own end.
func (s *Store) Blocks(key hypercore.Key, span hypercore.Span) ([][]byte, error) {
	if err := s.use(); err != nil {
		return nil, err
	}
	defer s.life.RUnlock()
	if span.Count == 0 {
		return nil, nil
	}
	if span.Start > MaxSeq || span.Count > MaxSeq-span.Start {
		return nil, hypercore.ErrNoBlock
	}
	id, err := s.idOf(key)
	if errors.Is(err, hypercore.ErrNoFeed) {
		return nil, hypercore.ErrNoBlock
	}
	if err != nil {
		return nil, err
	}
	blocks, err := s.readBlocks(id, span)
	if err != nil && !errors.Is(err, hypercore.ErrNoBlock) {
		return nil, s.wrap("read blocks", err)
	}
	return blocks, err
}

// readBlocks reads the packs from that which holds span.Start on.
func (s *Store) readBlocks(id uint64, span hypercore.Span) (blocks [][]byte, err error) {
	_, upper := kindBounds(id, kindBlocks)
	lower := newDataKey(id, kindBlocks, span.Start)
	it, err := s.db.NewIter(&pebble.IterOptions{LowerBound: lower[:], UpperBound: upper})
	if err != nil {
		return nil, err
	}
	defer func() {
		if closeErr := it.Close(); closeErr != nil {
			blocks, err = nil, closeErr
		}
	}()
	blocks = make([][]byte, 0, min(span.Count, readBlocksHint))
	next := span.Start
	for ok := it.First(); ok && next < span.End(); ok = it.Next() {
		end := binary.BigEndian.Uint64(it.Key()[10:]) + 1
		p, err := parsePack(it.Value())
		if err != nil || uint64(p.count) > end {
			return nil, ErrDamaged
		}
		first := end - uint64(p.count)
		if first > next {
			return nil, hypercore.ErrNoBlock
		}
		to := min(end, span.End())
		blocks = p.appendBlocks(blocks, int(next-first), int(to-first))
		next = to
	}
	if next < span.End() {
		return nil, hypercore.ErrNoBlock
	}
	return blocks, nil
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

// Records implements hypercore.Storage. It yields a record that changes during
// the loop as it was before or after.
func (s *Store) Records(prefix []byte) iter.Seq2[hypercore.Record, error] {
	first := recordKey(prefix)
	return func(yield func(hypercore.Record, error) bool) {
		next, upper := first, prefixEnd(first)
		for next != nil {
			var records []hypercore.Record
			var err error
			records, next, err = s.recordsFrom(next, upper)
			if err != nil {
				yield(hypercore.Record{}, err)
				return
			}
			for _, r := range records {
				if !yield(r, nil) {
					return
				}
			}
		}
	}
}

// recordsFrom returns the records from lower on that make one portion, and where
// the next one begins: nil behind the last.
func (s *Store) recordsFrom(lower, upper []byte) (records []hypercore.Record, next []byte, err error) {
	if err := s.use(); err != nil {
		return nil, nil, err
	}
	defer s.life.RUnlock()
	size := 0
	err = s.scan(lower, upper, func(key, value []byte) (bool, error) {
		records = append(records, hypercore.Record{Key: copyOf(key[1:]), Value: copyOf(value)})
		size += len(key) + len(value)
		if len(records) < listCount && size < listBytes {
			return true, nil
		}
		next = append(copyOf(key), 0)
		return false, nil
	})
	return records, next, s.wrap("list records", err)
}
