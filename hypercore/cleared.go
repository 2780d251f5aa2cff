package hypercore

import (
	"encoding/binary"
	"errors"
	"fmt"
	"slices"

	"github.com/cobox-p2p/cobox-p2p/hypercore/merkle"
)

const (
	// MaxClear is how many blocks one Clear or Restore may name.
	MaxClear = 1 << 28
	// maxClearSpans is how many spans one Clear or Restore may name.
	maxClearSpans = 1 << 15
	// maxClearedPages bounds the memory that remembers cleared blocks: pages of
	// 8192 blocks, of 1 KiB at the most and 16 bytes if all of them are cleared.
	maxClearedPages = 1 << 16
	// clearedPart is how many blocks share a record. It holds them as AppendRLE
	// encodes them.
	clearedPart = MaxWant
	// clearedPrefix, a feed key and the number of the part as 8 bytes, big
	// endian, are the key of such a record.
	clearedPrefix = "cleared/"
)

// ErrTooManyCleared says that more blocks were to be cleared than one call
// takes, or than are remembered of one feed.
var ErrTooManyCleared = fmt.Errorf("hypercore: over %d blocks or %d spans to clear at once, or too far apart", MaxClear, maxClearSpans)

func clearedRecords(key Key) []byte { return append([]byte(clearedPrefix), key[:]...) }

// clearedRecord returns the record of one part of the set, which deletes itself
// when nothing is cleared there.
func clearedRecord(key Key, part uint64, cleared *Bitfield) Record {
	return Record{
		Key:   binary.BigEndian.AppendUint64(clearedRecords(key), part),
		Value: AppendRLE(nil, cleared, part*clearedPart, clearedPart),
	}
}

// addCleared adds the blocks of a record to the set.
func addCleared(cleared *Bitfield, part, value []byte) error {
	if len(part) != 8 {
		return ErrRLE
	}
	number := binary.BigEndian.Uint64(part)
	if number >= merkle.MaxLength/clearedPart {
		return ErrRLE
	}
	return cleared.SetRLE(number*clearedPart, value, clearedPart, maxClearedPages)
}

// clearedRecordsLocked returns the records of the parts that the spans, none of
// which is empty, touch.
func (c *core) clearedRecordsLocked(spans []Span) (records []Record) {
	var parts []uint64
	for _, s := range spans {
		for part := s.Start / clearedPart; part <= (s.End()-1)/clearedPart; part++ {
			parts = append(parts, part)
		}
	}
	slices.Sort(parts)
	for _, part := range slices.Compact(parts) {
		records = append(records, clearedRecord(c.key, part, &c.cleared))
	}
	return records
}

// unclear takes blocks that are about to be stored out of the cleared ones, in
// memory and in b. The caller holds c.writing, and calls undo if b isn't
// committed.
func (c *core) unclear(b *Batch, spans ...Span) (undo func()) {
	c.mu.Lock()
	defer c.mu.Unlock()
	var was []Span
	for _, s := range spans {
		for x := range c.cleared.Spans(s.Start, s.End()) {
			was = append(was, x)
		}
		c.cleared.ClearRange(s.Start, s.Count)
	}
	if len(was) == 0 {
		return func() {}
	}
	b.Records = append(b.Records, c.clearedRecordsLocked(was)...)
	return func() {
		c.mu.Lock()
		defer c.mu.Unlock()
		for _, x := range was {
			c.cleared.SetRange(x.Start, x.Count)
		}
	}
}

// loadCleared reads which blocks were cleared. A damaged record counts as none:
// its blocks are fetched again.
func (c *core) loadCleared() error {
	prefix := clearedRecords(c.key)
	for r, err := range c.st.Records(prefix) {
		if errors.Is(err, ErrDamaged) {
			break
		}
		if err != nil {
			return err
		}
		_ = addCleared(&c.cleared, r.Key[len(prefix):], r.Value)
	}
	if c.cleared.Count() == 0 {
		return nil
	}
	for held := range c.have.Spans(0, c.cleared.End()) {
		c.cleared.ClearRange(held.Start, held.Count)
	}
	return nil
}

// Cleared returns how many blocks are neither stored here nor fetched, because
// they were cleared. They are not missing.
func (c *core) Cleared() uint64 {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.cleared.Count()
}
