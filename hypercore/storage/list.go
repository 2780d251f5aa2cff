package storage

import (
	"fmt"
	"iter"

	"github.com/cockroachdb/pebble/v2"

	"github.com/cobox-p2p/cobox-p2p/hypercore"
)

// A loop over feeds or records reads so much at once, so that it pins nothing
// while the caller works.
const (
	listCount = 256     // feeds or records
	listBytes = 1 << 20 // of records; a single one may have more
)

// Feeds implements hypercore.Storage. It yields a feed that changes during the
// loop as it was before or after. Where the index is damaged it yields an error
// that wraps ErrDamaged, and goes on with the next feed that can be read.
func (s *Store) Feeds() iter.Seq2[hypercore.StoredFeed, error] {
	return listing[hypercore.StoredFeed]{
		s: s, action: "list feeds", lower: []byte{tableFeed}, upper: []byte{tableFeed + 1},
		parse: func(key, value []byte) (hypercore.StoredFeed, int, error) {
			if len(key) != 1+hypercore.KeySize {
				return hypercore.StoredFeed{}, 0, fmt.Errorf("key %x: %w", key, ErrDamaged)
			}
			k := hypercore.Key(key[1:])
			h, err := parseHead(value)
			if err != nil {
				return hypercore.StoredFeed{}, 0, fmt.Errorf("head of feed %s: %w", k.Discovery(), err)
			}
			return h.stored(k), 0, nil
		},
	}.all
}

// Records implements hypercore.Storage. It yields a record that changes during
// the loop as it was before or after. Where the index is damaged it yields an
// error that wraps ErrDamaged, and goes on with the next record that can be
// read.
func (s *Store) Records(prefix []byte) iter.Seq2[hypercore.Record, error] {
	lower := recordKey(prefix)
	return listing[hypercore.Record]{
		s: s, action: "list records", lower: lower, upper: prefixEnd(lower),
		parse: func(key, value []byte) (hypercore.Record, int, error) {
			both := append(append(make([]byte, 0, len(key)+len(value)), key...), value...) // one allocation for two
			k := both[1:len(key):len(key)]
			return hypercore.Record{Key: k, Value: both[len(key):]}, len(both), nil
		},
	}.all
}

// listing is a loop over the pairs from lower on up to upper.
type listing[T any] struct {
	s            *Store
	action       string
	lower, upper []byte
	parse        func(key, value []byte) (item T, size int, err error) // of one pair, which it doesn't keep
}

// item is what a listing yields.
type item[T any] struct {
	value T
	err   error
}

func (l listing[T]) all(yield func(T, error) bool) {
	var items []item[T]
	for next := l.lower; next != nil; {
		items, next = l.portion(items[:0], next)
		for _, i := range items {
			if !yield(i.value, i.err) {
				return
			}
		}
	}
}

// portion appends what makes one portion from lower on to an empty slice, and says
// where the next one begins: nil behind the last.
func (l listing[T]) portion(items []item[T], lower []byte) (_ []item[T], next []byte) {
	if err := l.s.use(); err != nil {
		return append(items, item[T]{err: err}), nil
	}
	defer l.s.life.RUnlock()
	size, last := 0, append([]byte(nil), lower...)
	err := l.s.scan(lower, l.upper, func(key, value []byte) (bool, error) {
		v, n, err := l.parse(key, value)
		items = append(items, item[T]{v, l.s.wrap(l.action, err)})
		size += n
		last = append(append(last[:0], key...), 0)
		if len(items) < listCount && size < listBytes {
			return true, nil
		}
		next = last
		return false, nil
	})
	if err == nil {
		return items, next
	}
	items = append(items, item[T]{err: l.s.wrap(l.action, err)})
	if !pebble.IsCorruptionError(err) {
		return items, nil
	}
	return items, l.s.behindDamage(last, l.upper)
}
