package hypercore

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"slices"

	"github.com/cobox-p2p/cobox-p2p/hypercore/merkle"
)

const (
	// bulkBytes and bulkBlocks bound one commit of AppendSeq: enough that its
	// signature and its place in the index cost little beside its bytes. The store
	// syncs several of them together.
	bulkBytes  = 4 << 20
	bulkBlocks = 64 << 10
	// bulkStart is up to how many bytes a buffer grows step by step. Beyond that
	// it is made as large as it can become: memory is touched once.
	bulkStart = 256 << 10
	// bulkBuffers is how many commits are in memory: one is gathered and hashed,
	// one waits, one is on its way to the disk.
	bulkBuffers = 3
)

// AppendSeq appends the blocks that the sequence yields, one after the other,
// and returns which they became when all are durable. They are committed a few
// MiB at a time while the next ones are sealed and hashed on all cores; three
// times 4 MiB are held in memory, and as much again when they are sealed. Other
// appends to the feed wait meanwhile. The yielded slices are not kept.
//
// When the sequence yields an error, ctx ends or something fails, the blocks of
// the returned span are part of the feed and durable all the same, and no others
// became part of it unless the store failed. It returns the errors of Append; an
// empty sequence appends nothing and is none.
func (f *Feed) AppendSeq(ctx context.Context, blocks iter.Seq2[[]byte, error]) (Span, error) {
	if f.blind {
		return Span{}, ErrSealed
	}
	span, err := f.appendSeq(ctx, blocks)
	if err != nil {
		err = fmt.Errorf("append to feed %s: %w", f.discovery, err)
	}
	return span, err
}

func (f *Feed) appendSeq(ctx context.Context, blocks iter.Seq2[[]byte, error]) (Span, error) {
	if err := f.lockWriting(ctx); err != nil {
		return Span{}, err
	}
	defer f.unlockWriting()
	if err := f.mayAppend(); err != nil {
		return Span{}, err
	}
	ctx, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	g := gatherer{ctx: ctx, seal: f.seal, spare: make(chan *bulk, bulkBuffers), full: make(chan *bulk)}
	for range bulkBuffers {
		g.spare <- &bulk{}
	}
	span := Span{Start: f.Length()}
	committed := make(chan error, 1)
	go func() { committed <- f.commitBulks(&g, &span, stop) }()
	err := g.all(blocks)
	close(g.full)
	if commitErr := <-committed; commitErr != nil {
		return span, commitErr
	}
	return span, err
}

// commitBulks commits one bulk after the other and makes them durable. span
// counts them. The caller of AppendSeq holds c.writing for it.
func (c *core) commitBulks(g *gatherer, span *Span, stop context.CancelCauseFunc) error {
	var failed error
	for b := range g.full {
		if failed != nil {
			continue
		}
		if failed = c.appendLeaves(b.blocks, b.leaves, false, nil); failed != nil {
			stop(failed)
			continue
		}
		span.Count += uint64(len(b.blocks))
		g.spare <- b
	}
	if span.Count == 0 {
		return failed
	}
	// When this is durable, so are all commits before it.
	durable := make(chan error, 1)
	err := c.st.Commit(&Batch{Urgent: true, Durable: func(err error) { durable <- err }})
	if err == nil {
		err = <-durable
	}
	if err != nil {
		span.Count = 0
		return errors.Join(failed, err)
	}
	return failed
}

// bulk is the blocks of one commit of AppendSeq.
type bulk struct {
	plain  []byte // blocks end to end
	sealed []byte // the same sealed, when they are
	ends   []int  // in plain
	blocks [][]byte
	leaves []merkle.Node // of blocks; without index
}

// gatherer fills one bulk after the other.
type gatherer struct {
	ctx   context.Context
	seal  *Seal
	spare chan *bulk
	full  chan *bulk
	cur   *bulk
}

// all gathers the blocks that are yielded. What came before an error is handed
// on.
func (g *gatherer) all(blocks iter.Seq2[[]byte, error]) error {
	for b, err := range blocks {
		if err == nil {
			err = g.add(b)
		}
		if err != nil {
			return errors.Join(err, g.flush())
		}
	}
	return g.flush()
}

func (g *gatherer) add(b []byte) error {
	overhead := 0
	if g.seal != nil {
		overhead = SealOverhead
	}
	if len(b)+overhead > MaxBlock {
		return ErrBlockSize
	}
	if c := g.cur; c != nil && (len(c.plain)+len(b)+(len(c.ends)+1)*overhead > bulkBytes || len(c.ends) >= bulkBlocks) {
		if err := g.flush(); err != nil {
			return err
		}
	}
	if g.cur == nil {
		select {
		case g.cur = <-g.spare:
		case <-g.ctx.Done():
			return context.Cause(g.ctx)
		}
		g.cur.plain, g.cur.ends = g.cur.plain[:0], g.cur.ends[:0]
	}
	if c := g.cur; len(c.plain)+len(b) > max(cap(c.plain), bulkStart) {
		c.plain = slices.Grow(c.plain, bulkBytes-len(c.plain))
	}
	g.cur.plain = append(g.cur.plain, b...)
	g.cur.ends = append(g.cur.ends, len(g.cur.plain))
	return nil
}

// flush seals and hashes what was gathered and hands it on.
func (g *gatherer) flush() error {
	b := g.cur
	if b == nil {
		return nil
	}
	g.cur = nil
	b.prepare(g.seal)
	select {
	case g.full <- b:
		return nil
	case <-g.ctx.Done():
		return context.Cause(g.ctx)
	}
}

// prepare sets blocks and leaves.
func (b *bulk) prepare(seal *Seal) {
	n := len(b.ends)
	b.blocks = slices.Grow(b.blocks[:0], n)[:n]
	b.leaves = slices.Grow(b.leaves[:0], n)[:n]
	if seal != nil {
		size := len(b.plain) + n*SealOverhead
		b.sealed = slices.Grow(b.sealed[:0], size)[:size]
	}
	onAllCores(n, len(b.plain), func(i int) {
		start := 0
		if i > 0 {
			start = b.ends[i-1]
		}
		block := b.plain[start:b.ends[i]]
		if seal != nil {
			at := start + i*SealOverhead
			block = seal.Seal(b.sealed[at:at:at+len(block)+SealOverhead], block)
		}
		b.blocks[i] = block
		b.leaves[i] = merkle.Leaf(0, block)
	})
}
