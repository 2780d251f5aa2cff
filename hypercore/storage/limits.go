package storage

import (
	"errors"
	"fmt"

	"github.com/cobox-p2p/cobox-p2p/hypercore"
)

// Limits of one batch. Both stores refuse a batch that is beyond any of them.
const (
	MaxBlock       = 8 << 20   // bytes of one block
	MaxRun         = 1 << 20   // blocks of one run
	MaxNodes       = 4 << 20   // tree nodes of one feed in one batch
	MaxAnchor      = 1 << 12   // anchor nodes of one feed in one batch
	MaxClear       = 1 << 14   // spans to clear of one feed in one batch
	MaxSeq         = 1 << 53   // end of the last run that a feed can hold, as in hypercore 9
	MaxRecordKey   = 1 << 10   // bytes; the least is 1
	MaxRecordValue = 16 << 20  // bytes
	MaxBatch       = 256 << 20 // bytes of all blocks, nodes and records of a batch
)

// nodeSize is what a tree node counts for in MaxBatch, in bytes.
const nodeSize = 48

// ErrBadBatch is wrapped by the error that Commit returns for a batch beyond a
// limit. Nothing of such a batch is applied.
var ErrBadBatch = errors.New("storage: bad batch")

// checkBatch returns the size of b in bytes, and an error that wraps
// ErrBadBatch for the first limit that b breaks. It looks at lengths alone, so
// its cost doesn't depend on the bytes of the batch.
func checkBatch(b *hypercore.Batch) (size int, err error) {
	for i := range b.Feeds {
		w := &b.Feeds[i]
		if w.Drop {
			continue
		}
		n, err := checkFeedWrite(w)
		if err != nil {
			return 0, fmt.Errorf("%w: feed %s: %w", ErrBadBatch, w.Key.Discovery(), err)
		}
		size += n
		if size > MaxBatch {
			return 0, overBatch(size)
		}
	}
	for _, r := range b.Records {
		if len(r.Key) == 0 || len(r.Key) > MaxRecordKey {
			return 0, fmt.Errorf("%w: record key of %d bytes, must have 1 to %d", ErrBadBatch, len(r.Key), MaxRecordKey)
		}
		if len(r.Value) > MaxRecordValue {
			return 0, fmt.Errorf("%w: record value of %d bytes, limit %d", ErrBadBatch, len(r.Value), MaxRecordValue)
		}
		size += len(r.Key) + len(r.Value)
		if size > MaxBatch {
			return 0, overBatch(size)
		}
	}
	return size, nil
}

func overBatch(size int) error {
	return fmt.Errorf("%w: %d bytes or more, limit %d", ErrBadBatch, size, MaxBatch)
}

// checkFeedWrite is checkBatch for one feed.
func checkFeedWrite(w *hypercore.FeedWrite) (size int, err error) {
	if len(w.Nodes) > MaxNodes {
		return 0, fmt.Errorf("%d nodes, limit %d", len(w.Nodes), MaxNodes)
	}
	if len(w.Anchor) > MaxAnchor {
		return 0, fmt.Errorf("%d anchor nodes, limit %d", len(w.Anchor), MaxAnchor)
	}
	if err := checkClear(w); err != nil {
		return 0, err
	}
	size = (len(w.Nodes) + len(w.Anchor)) * nodeSize
	for _, run := range w.Runs {
		n := uint64(len(run.Blocks))
		if n > MaxRun {
			return 0, fmt.Errorf("run of %d blocks, limit %d", n, MaxRun)
		}
		if run.Start > MaxSeq-n {
			return 0, fmt.Errorf("run of %d blocks from %d on, limit %d", n, run.Start, uint64(MaxSeq))
		}
		for i, block := range run.Blocks {
			if len(block) > MaxBlock {
				return 0, fmt.Errorf("block %d has %d bytes, limit %d", run.Start+uint64(i), len(block), MaxBlock)
			}
			size += len(block)
		}
		if size > MaxBatch {
			return size, nil
		}
	}
	return size, nil
}

// checkClear checks what the write removes.
func checkClear(w *hypercore.FeedWrite) error {
	if w.Truncate && w.Head == nil {
		return errors.New("truncate without a head")
	}
	if w.Truncate && w.Head.Length > MaxSeq {
		return fmt.Errorf("truncate to %d blocks, limit %d", w.Head.Length, uint64(MaxSeq))
	}
	if len(w.Clear) > MaxClear {
		return fmt.Errorf("%d spans to clear, limit %d", len(w.Clear), MaxClear)
	}
	for _, span := range w.Clear {
		if span.Start > MaxSeq || span.Count > MaxSeq-span.Start {
			return fmt.Errorf("clear %d blocks from %d on, limit %d", span.Count, span.Start, uint64(MaxSeq))
		}
	}
	return nil
}
