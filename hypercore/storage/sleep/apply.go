package sleep

import (
	"context"
	"errors"
	"fmt"

	"github.com/cobox-p2p/cobox-p2p/hypercore"
	"github.com/cobox-p2p/cobox-p2p/hypercore/merkle"
)

var (
	// ErrOtherHistory says that the feed copied to has other blocks than the
	// source: its writer signed two histories.
	ErrOtherHistory = errors.New("sleep: the feed stored here has another history than the source")
	// ErrOtherFeed says that source and target have different keys.
	ErrOtherFeed = errors.New("sleep: source and target are different feeds")
)

// Copy brings what src holds into dst, which must have the same key. Each block
// is followed up to the signed head of src, and dst verifies it again like a
// block from a peer. What is damaged is named in the Report, and the rest goes
// on. Blocks that dst holds are passed over, so a Copy that was interrupted goes
// on where it ended. When it returns, dst may still write; see
// hypercore.Feed.Durable. For a feed that is not stored yet, Import is faster.
//
// progress may be nil. The error is that of ctx or dst, ErrOtherFeed or
// ErrOtherHistory; the Report then tells how far it came.
func Copy(ctx context.Context, dst *hypercore.Feed, src *Feed, progress func(Progress)) (Report, error) {
	if dst.Key() != src.key {
		return Report{}, ErrOtherFeed
	}
	return copyTo(ctx, &feedSink{ctx: ctx, feed: dst, head: src.head}, src, progress)
}

// feedSink applies blocks with their proofs to an open feed.
type feedSink struct {
	ctx   context.Context
	feed  *hypercore.Feed
	head  hypercore.Head // of the source
	nodes []merkle.Node
}

func (s *feedSink) held(of *hypercore.Bitfield) (held []hypercore.Span) {
	for span := range of.Spans(0, s.feed.Length()) {
		for seq := span.Start; seq < span.End(); seq++ {
			if !s.feed.Has(hypercore.Span{Start: seq, Count: 1}) {
				continue
			}
			if n := len(held); n > 0 && held[n-1].End() == seq {
				held[n-1].Count++
				continue
			}
			held = append(held, hypercore.Span{Start: seq, Count: 1})
		}
	}
	return held
}

// begin gives the feed the head of the source. That needs the block behind the
// feed's own length, or its hash: its proof repeats all roots of the feed. Where
// there is none, the feed may still take blocks within its length.
func (s *feedSink) begin(c *copier) error {
	seq := s.feed.Length()
	if seq >= s.head.Length {
		return s.compare(c)
	}
	if _, ok := c.at.seek(seq); !ok {
		return nil
	}
	d := &hypercore.Data{Index: seq, Signature: s.head.Signature[:]}
	if c.todo.Get(seq) {
		d.Value, _, _ = c.read(seq)
	}
	if d.Value == nil {
		leaf, _ := c.at.leaf()
		d.Nodes = append(d.Nodes, leaf)
	}
	d.Nodes, _ = c.at.proof(d.Nodes)
	if refused, err := s.apply(d); refused || err != nil {
		return err
	}
	c.at.rootsKnown = true
	if d.Value != nil {
		c.todo.ClearRange(seq, 1)
		c.copied(seq, len(d.Value))
	}
	return nil
}

// compare shows a feed that is not shorter the head of the source. If the two
// contradict each other, both signed, that is a fork.
func (s *feedSink) compare(c *copier) error {
	if c.at.rootsKnown = s.feed.Head().RootHash == s.head.RootHash; c.at.rootsKnown {
		return nil
	}
	if s.feed.Length() == s.head.Length {
		return ErrOtherHistory
	}
	if _, ok := c.at.seek(s.head.Length - 1); !ok {
		return nil
	}
	leaf, _ := c.at.leaf()
	d := &hypercore.Data{Index: s.head.Length - 1, Nodes: []merkle.Node{leaf}, Signature: s.head.Signature[:]}
	d.Nodes, _ = c.at.proof(d.Nodes)
	_, err := s.apply(d)
	return err
}

func (s *feedSink) put(at *cursor, seq uint64, block []byte) (refused bool, err error) {
	d := &hypercore.Data{Index: seq, Value: block}
	var whole bool
	if d.Nodes, whole = at.proof(s.nodes[:0]); whole {
		d.Signature = s.head.Signature[:]
	}
	s.nodes = d.Nodes
	if refused, err = s.apply(d); refused || err != nil {
		return refused, err
	}
	if at.rootsKnown || s.feed.Head().RootHash == s.head.RootHash {
		at.learned()
	}
	return false, nil
}

// apply says whether the feed, which is all right, refuses what d proves: its
// tree and that of the source can't be tied together there.
func (s *feedSink) apply(d *hypercore.Data) (refused bool, err error) {
	err = s.feed.Apply(s.ctx, d)
	_, fault := errors.AsType[*hypercore.RemoteError](err)
	switch {
	case err == nil:
		return false, nil
	case errors.Is(err, hypercore.ErrForked):
		return false, fmt.Errorf("%w: %w", ErrOtherHistory, err)
	case s.ctx.Err() != nil, errors.Is(err, hypercore.ErrClosed), errors.Is(err, hypercore.ErrStorageFailed):
		return false, err
	case fault, errors.Is(err, merkle.ErrProofBranch):
		return true, nil
	case s.feed.Length() > s.head.Length:
		return true, nil // an older head can't always be tied in
	}
	return false, err
}

func (s *feedSink) finish() error { return nil }
