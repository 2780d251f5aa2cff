package sleep

import (
	"context"
	"errors"
	"fmt"

	"github.com/cobox-p2p/cobox-p2p/hypercore"
)

// One commit of an Import holds no more than this, or one large block.
const (
	batchBytes  = 8 << 20
	batchBlocks = 16 << 10
)

// Import brings what src holds into st, where nobody may have the feed open. It
// proves each block like Copy does, and writes a few MiB at a time. A feed that is
// stored with another head is opened: it grows to that of src first, or is handed
// to Copy when it can't. When Import returns without an error, all is durable.
//
// progress may be nil. Errors and Report are those of Copy.
func Import(ctx context.Context, st hypercore.Storage, src *Feed, progress func(Progress)) (Report, error) {
	if src.head.Length == 0 {
		return copyTo(ctx, nil, src, progress) // which has nothing to do but to report
	}
	stored, err := st.Feed(src.key)
	switch {
	case errors.Is(err, hypercore.ErrNoFeed):
	case err != nil:
		return Report{}, fmt.Errorf("import feed %s: %w", src.key.Discovery(), err)
	case stored.Head.Length > 0 && stored.Head != src.head:
		return importOver(ctx, st, src, progress)
	}
	return importBulk(ctx, st, src, progress)
}

// importBulk imports into a feed that has the head of the source, or none.
func importBulk(ctx context.Context, st hypercore.Storage, src *Feed, progress func(Progress)) (Report, error) {
	s := &bulkSink{st: st, key: src.key, head: src.head}
	for span, err := range st.Held(src.key) {
		if err != nil {
			return Report{}, fmt.Errorf("import feed %s: %w", src.key.Discovery(), err)
		}
		s.here = append(s.here, span)
	}
	return copyTo(ctx, s, src, progress)
}

// importOver imports into a feed that has another head.
func importOver(ctx context.Context, st hypercore.Storage, src *Feed, progress func(Progress)) (Report, error) {
	dst, err := hypercore.Open(st, src.key, hypercore.KeyPair{})
	if err != nil {
		return Report{}, err
	}
	defer dst.Close()
	s := &feedSink{ctx: ctx, feed: dst, head: src.head}
	grown := &copier{ctx: ctx, src: src, dst: s, at: newCursor(src)}
	if err := s.begin(grown); err != nil {
		return Report{}, fmt.Errorf("import feed %s: %w", src.key.Discovery(), err)
	}
	if !grown.at.rootsKnown {
		report, err := Copy(ctx, dst, src, progress)
		return report, errors.Join(err, dst.Close(), flush(st))
	}
	if err := errors.Join(dst.Close(), flush(st)); err != nil {
		return Report{}, err
	}
	return importBulk(ctx, st, src, progress)
}

// flush returns when all that was committed is durable.
func flush(st hypercore.Storage) error {
	durable := make(chan error, 1)
	if err := st.Commit(&hypercore.Batch{Urgent: true, Durable: func(err error) { durable <- err }}); err != nil {
		return err
	}
	return <-durable
}

// bulkSink gathers blocks with their nodes and commits many at once.
type bulkSink struct {
	st   hypercore.Storage
	key  hypercore.Key
	head hypercore.Head   // of the source; the feed has it or nothing at all
	here []hypercore.Span // held from an Import before

	write hypercore.FeedWrite
	size  int    // bytes of the blocks and of their cost
	room  []byte // for the blocks of the next runs
	count int    // blocks gathered
}

func (s *bulkSink) held(*hypercore.Bitfield) []hypercore.Span { return s.here }

// begin stores the roots with the head.
func (s *bulkSink) begin(c *copier) error {
	s.reset()
	s.write.Nodes = append(s.write.Nodes, c.at.roots...)
	c.at.rootsKnown = true
	return nil
}

func (s *bulkSink) reset() {
	s.write = hypercore.FeedWrite{Key: s.key, Head: &s.head}
	s.size, s.count, s.room = 0, 0, s.room[:0]
}

func (s *bulkSink) put(at *cursor, seq uint64, block []byte) (refused bool, err error) {
	if s.count > 0 && (s.size+len(block) > batchBytes || s.count == batchBlocks) {
		if err := s.flush(); err != nil {
			return false, err
		}
	}
	if s.count == 0 {
		s.anchor(at)
	}
	for i := range at.levels {
		if l := &at.levels[i]; i > 0 && !l.known {
			s.write.Nodes = append(s.write.Nodes, l.node, l.sibling)
		}
	}
	at.learned()
	s.add(seq, block)
	return false, nil
}

// anchor names the nodes on the way to the first block of a batch that were
// stored by batches before.
func (s *bulkSink) anchor(at *cursor) {
	s.write.Anchor = append(s.write.Anchor, at.roots...)
	for i, l := range at.levels {
		if i > 0 && l.known {
			s.write.Anchor = append(s.write.Anchor, l.node, l.sibling)
		}
	}
}

// add keeps a copy of the block.
func (s *bulkSink) add(seq uint64, block []byte) {
	if cap(s.room)-len(s.room) < len(block) {
		s.room = make([]byte, 0, max(len(block), int(min(batchBytes/8, s.head.Size))))
	}
	from := len(s.room)
	s.room = append(s.room, block...)
	block = s.room[from:len(s.room):len(s.room)]
	if n := len(s.write.Runs); n > 0 && s.write.Runs[n-1].Span().End() == seq {
		s.write.Runs[n-1].Blocks = append(s.write.Runs[n-1].Blocks, block)
	} else {
		s.write.Runs = append(s.write.Runs, hypercore.Run{Start: seq, Blocks: [][]byte{block}})
	}
	s.size += len(block) + blockCost
	s.count++
}

func (s *bulkSink) flush() error {
	err := s.st.Commit(&hypercore.Batch{Feeds: []hypercore.FeedWrite{s.write}})
	s.reset()
	return err
}

func (s *bulkSink) finish() error {
	if len(s.write.Nodes) > 0 || s.count > 0 {
		if err := s.flush(); err != nil {
			return err
		}
	}
	return flush(s.st)
}
