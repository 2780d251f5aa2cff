package hypercore

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"math"
	"math/bits"

	"github.com/cobox-p2p/cobox-p2p/hypercore/flattree"
)

const (
	// MaxSpanBlocks and MaxSpanBytes bound what GetSpan and Blocks return at
	// once. All has no bounds.
	MaxSpanBlocks = 1 << 16
	MaxSpanBytes  = 256 << 20

	// readRun is how many bytes are read together, or one block if that has
	// more; readDepth is the depth of the tree node above as many blocks.
	readRun   = 1 << 20
	readDepth = 8
	// readAhead is how many blocks are asked for before they are read. Half of
	// them come while the other half is read.
	readAhead = 32
	// readPriority is before all downloads of others.
	readPriority = math.MaxInt
)

// ErrSpan says that a span is too large to be returned at once.
var ErrSpan = fmt.Errorf("hypercore: span of over %d blocks or %d bytes", MaxSpanBlocks, MaxSpanBytes)

// GetSpan returns the contents of span.Count blocks from span.Start on, read
// together, and waits for those that aren't stored here as Get does. It returns
// ErrSpan for more than MaxSpanBlocks or MaxSpanBytes. The slices belong to the
// caller.
func (f *Feed) GetSpan(ctx context.Context, span Span) ([][]byte, error) {
	if f.blind {
		return nil, ErrSealed
	}
	return f.gather(ctx, span)
}

// Blocks is GetSpan of the blocks as the tree covers them, sealed or not.
func (c *core) Blocks(ctx context.Context, span Span) ([][]byte, error) {
	return (&Feed{core: c}).gather(ctx, span)
}

func (f *Feed) gather(ctx context.Context, span Span) ([][]byte, error) {
	if span.Count > MaxSpanBlocks {
		return nil, ErrSpan
	}
	d := f.Download(span, DownloadOptions{Priority: readPriority, Linear: true})
	defer d.Cancel()
	if err := d.Wait(ctx); err != nil {
		return nil, fmt.Errorf("blocks %d to %d of feed %s: %w", span.Start, span.End(), f.discovery, err)
	}
	w := scan{feed: f, seq: span.Start, end: span.End()}
	defer w.close()
	all := make([][]byte, 0, span.Count)
	size := 0
	for w.seq < w.end {
		blocks, err := w.next(ctx)
		if err != nil {
			return nil, err
		}
		for _, b := range blocks {
			size += len(b)
		}
		if size > MaxSpanBytes {
			return nil, ErrSpan
		}
		all = append(all, blocks...)
	}
	return all, nil
}

// All yields the contents of the blocks of span in ascending order, and waits for
// those that aren't stored here, a few blocks ahead of the reading. With a Count
// of Endless it goes on with blocks to come until ctx ends; for those of now use
// Span{0, f.Length()}. It ends with the first error: what ctx says, or what Get
// returns. The slices belong to the caller.
func (f *Feed) All(ctx context.Context, span Span) iter.Seq2[[]byte, error] {
	return func(yield func([]byte, error) bool) {
		if f.blind {
			yield(nil, ErrSealed)
			return
		}
		w := scan{feed: f, seq: span.Start, end: span.End()}
		if span.endless() {
			w.end = Endless
		}
		defer w.close()
		for w.seq < w.end {
			blocks, err := w.next(ctx)
			if err != nil {
				yield(nil, err)
				return
			}
			for _, b := range blocks {
				if !yield(b, nil) {
					return
				}
			}
		}
	}
}

// scan reads blocks one after the other.
type scan struct {
	feed     *Feed
	seq, end uint64
	depth    int // of the last run
	ahead    *Download
}

// next returns the contents of the next blocks, at least one, once that is
// stored here. There must be one below end.
func (s *scan) next(ctx context.Context) ([][]byte, error) {
	for {
		s.lookAhead()
		removals, err := s.feed.await(ctx, s.seq)
		if err != nil {
			return nil, fmt.Errorf("block %d of feed %s: %w", s.seq, s.feed.discovery, err)
		}
		run := Span{s.seq, s.held()}
		blocks, err := s.feed.readBlocks(run)
		if errors.Is(err, ErrNoBlock) && s.feed.removedSince(removals) {
			continue
		}
		if err != nil && run.Count > 1 {
			run.Count = 1 // those before the one at fault
			blocks, err = s.feed.readBlocks(run)
		}
		if err != nil {
			return nil, fmt.Errorf("block %d of feed %s: %w", s.seq, s.feed.discovery, err)
		}
		for i, b := range blocks {
			if blocks[i], err = s.feed.open(s.seq+uint64(i), b); err != nil && i == 0 {
				return nil, err
			}
			if err != nil {
				blocks = blocks[:i]
				break
			}
		}
		s.seq += uint64(len(blocks))
		return blocks, nil
	}
}

// held returns how many blocks from seq on are held and make up readRun bytes
// together, or 1. A tree node tells the bytes of all blocks below it.
func (s *scan) held() uint64 {
	c := s.feed.core
	c.mu.Lock()
	held := min(c.have.NextClear(s.seq), s.end) - s.seq
	c.mu.Unlock()
	depth := min(bits.TrailingZeros64(s.seq), bits.Len64(held)-1, readDepth, s.depth+1)
	for ; depth > 0; depth-- {
		n, err := c.st.Node(c.key, flattree.Index(depth, s.seq>>depth))
		if err == nil && n.Size <= readRun {
			break
		}
	}
	s.depth = max(depth, 0)
	return 1 << s.depth
}

// lookAhead asks for the next blocks before they are needed.
func (s *scan) lookAhead() {
	c := s.feed.core
	if s.ahead != nil && s.seq < s.ahead.span.Start+readAhead/2 {
		return
	}
	end := min(s.seq+readAhead, s.end)
	c.mu.Lock()
	missing := c.have.NextClear(s.seq) < end
	c.mu.Unlock()
	before := s.ahead
	s.ahead = nil
	if missing {
		s.ahead = c.Download(Span{s.seq, end - s.seq}, DownloadOptions{Priority: readPriority, Linear: true})
	}
	if before != nil {
		before.Cancel() // after its successor took over what was requested
	}
}

// close takes back what was asked for ahead.
func (s *scan) close() {
	if s.ahead != nil {
		s.ahead.Cancel()
	}
}
