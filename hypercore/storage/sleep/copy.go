package sleep

import (
	"context"
	"fmt"

	"github.com/cobox-p2p/cobox-p2p/hypercore"
	"github.com/cobox-p2p/cobox-p2p/hypercore/merkle"
)

// progressEvery is after how many bytes, blockCost for each block included, the
// progress is told.
const (
	progressEvery = 4 << 20
	blockCost     = 256
)

// copier takes blocks out of a feed's folder, from left to right, and proves each
// before it goes into the sink.
type copier struct {
	ctx      context.Context
	src      *Feed
	dst      sink
	at       *cursor
	progress func(Progress)

	todo   hypercore.Bitfield // blocks to copy, those that src may hold included
	done   Progress
	untold int // bytes, and blockCost for each block, since the last progress
	buf    []byte
	found  damages
	report Report
}

// sink is where proved blocks go.
type sink interface {
	// held returns which of the blocks are there already, as ascending spans.
	held(of *hypercore.Bitfield) []hypercore.Span
	// begin is called once, before the first put.
	begin(c *copier) error
	// put stores the block at whose leaf the cursor is, and what of the way to
	// it is not known to be stored. The slice is not kept. refused says that it
	// can't be tied to what is stored.
	put(at *cursor, seq uint64, block []byte) (refused bool, err error)
	// finish is called once when all went well.
	finish() error
}

// copyTo runs a copier.
func copyTo(ctx context.Context, dst sink, src *Feed, progress func(Progress)) (Report, error) {
	c := &copier{ctx: ctx, dst: dst, src: src, at: newCursor(src), progress: progress}
	c.found = damages{list: src.Damage(), omitted: src.found.omitted}
	c.report.Head = src.head
	err := c.run()
	c.report.Recomputed = c.at.recomputed
	c.report.Damage, c.report.Omitted = c.found.list, c.found.omitted
	if err != nil {
		err = fmt.Errorf("copy feed %s: %w", src.key.Discovery(), err)
	}
	return c.report, err
}

func (c *copier) run() error {
	if c.src.head.Length == 0 {
		return nil
	}
	c.plan()
	if err := c.dst.begin(c); err != nil {
		return err
	}
	for seq, ok := c.todo.NextSet(0); ok; seq, ok = c.todo.NextSet(seq) {
		if err := c.ctx.Err(); err != nil {
			return err
		}
		next, err := c.block(seq)
		if err != nil {
			return err
		}
		seq = next
	}
	if err := c.dst.finish(); err != nil {
		return err
	}
	c.told()
	return nil
}

// plan finds the blocks to copy.
func (c *copier) plan() {
	length := c.src.head.Length
	for _, set := range []*hypercore.Bitfield{&c.src.held, &c.src.unsure} {
		for s := range set.Spans(0, length) {
			c.todo.SetRange(s.Start, s.Count)
		}
	}
	for _, s := range c.dst.held(&c.todo) {
		c.todo.ClearRange(s.Start, s.Count)
		for t := range c.src.held.Spans(s.Start, s.End()) {
			c.report.Present += t.Count
		}
	}
	c.done.Of = c.todo.Count()
}

// block copies block seq, and returns the number from which to go on.
func (c *copier) block(seq uint64) (next uint64, err error) {
	lost, ok := c.at.seek(seq)
	if !ok {
		lost.Count, lost.Start = lost.End()-seq, seq
		c.lose(treeFile, BadNode, lost, nil)
		return lost.End(), nil
	}
	b, reason, err := c.read(seq)
	if reason != "" {
		c.lose(dataFile, reason, hypercore.Span{Start: seq, Count: 1}, err)
		return seq + 1, nil
	}
	refused, err := c.dst.put(c.at, seq, b)
	if err != nil {
		return seq, err
	}
	if refused {
		c.lose(treeFile, OtherTree, hypercore.Span{Start: seq, Count: 1}, nil)
		return seq + 1, nil
	}
	c.copied(seq, len(b))
	return seq + 1, nil
}

// read returns the block at whose leaf the cursor is, or why there is none. The
// slice is used again by the next read.
func (c *copier) read(seq uint64) ([]byte, Reason, error) {
	leaf, offset := c.at.leaf()
	if leaf.Size > hypercore.MaxBlock {
		return nil, TooLarge, nil
	}
	b, err := c.src.read(offset, leaf.Size, c.buf)
	if err != nil || merkle.Leaf(seq, b) != leaf {
		return nil, BadBlock, err
	}
	c.buf = b
	return b, "", nil
}

func (c *copier) copied(seq uint64, size int) {
	c.report.Blocks++
	c.report.Bytes += uint64(size)
	if !c.src.held.Get(seq) {
		c.report.Unlisted++
	}
	c.done.Blocks++
	c.done.Bytes += uint64(size)
	if c.untold += size + blockCost; c.untold >= progressEvery {
		c.told()
	}
}

// lose names the blocks of span that can't be copied, but for those that src may
// never have held.
func (c *copier) lose(file string, reason Reason, span hypercore.Span, err error) {
	for s := range c.todo.Spans(span.Start, span.End()) {
		c.done.Blocks += s.Count
		for t := range c.src.held.Spans(s.Start, s.End()) {
			c.report.Lost += t.Count
			c.found.add(Damage{File: file, Reason: reason, Span: t, Err: err})
		}
	}
}

func (c *copier) told() {
	c.untold = 0
	if c.progress != nil {
		c.progress(c.done)
	}
}
