package hypercore

import (
	"context"
	"fmt"

	"github.com/cobox-p2p/cobox-p2p/hypercore/merkle"
)

const (
	// maxAppendShare bounds in bytes what one commit takes from the queue of
	// waiting appends; a single append over it goes alone.
	maxAppendShare = 8 << 20
	// blockCost is what a block counts for beside its content: its two nodes.
	blockCost = 2 * (merkle.HashSize + 16)
)

type appendCall struct {
	blocks [][]byte
	leaves []merkle.Node // of blocks; without index
	size   uint64        // bytes of the blocks, and blockCost for each
	taken  bool          // by a commit; guarded by core.mu
	seq    uint64        // of the first block; set before done
	done   chan error
}

// Append adds the blocks as one batch under one signature and returns the
// number of the first one when all are durable. Appends that wait at the same
// time share a signature and a sync. It returns ErrNotWritable, ErrBlockSize,
// ErrNoBlocks, ErrSealed on a blind handle, ErrForked, ErrOldCopy, ErrClosed, or what the store said;
// then none of the blocks became part of the feed, unless the store failed
// while it synced, after which it takes no writes at all. ctx is honoured while
// the blocks wait for their turn, not any more once they are on their way to
// the disk.
func (f *Feed) Append(ctx context.Context, blocks ...[]byte) (seq uint64, err error) {
	switch {
	case f.blind:
		return 0, ErrSealed
	case len(blocks) == 0:
		return 0, ErrNoBlocks
	}
	call, err := f.newCall(blocks)
	if err != nil {
		return 0, err
	}
	if err := f.enqueue(ctx, call); err != nil {
		return 0, fmt.Errorf("append to feed %s: %w", f.discovery, err)
	}
	if err := <-call.done; err != nil {
		return 0, fmt.Errorf("append to feed %s: %w", f.discovery, err)
	}
	return call.seq, nil
}

// newCall seals and hashes the blocks, before their turn comes.
func (f *Feed) newCall(blocks [][]byte) (*appendCall, error) {
	overhead, size := 0, 0
	if f.seal != nil {
		overhead = SealOverhead
	}
	for _, b := range blocks {
		if len(b)+overhead > MaxBlock {
			return nil, ErrBlockSize
		}
		size += len(b) + overhead
	}
	call := &appendCall{
		blocks: blocks, leaves: make([]merkle.Node, len(blocks)),
		size: uint64(size + len(blocks)*blockCost), done: make(chan error, 1),
	}
	if f.seal != nil {
		call.blocks = make([][]byte, len(blocks))
	}
	onAllCores(len(blocks), size, func(i int) {
		if f.seal != nil {
			call.blocks[i] = f.seal.Seal(make([]byte, 0, len(blocks[i])+SealOverhead), blocks[i])
		}
		call.leaves[i] = merkle.Leaf(0, call.blocks[i])
	})
	return call, nil
}

// mayAppend returns why nothing can be appended now.
func (c *core) mayAppend() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.refuseLocked()
}

// enqueue returns when the call was taken by a commit, its own or another's.
func (c *core) enqueue(ctx context.Context, call *appendCall) error {
	if err := c.mayAppend(); err != nil {
		return err
	}
	c.mu.Lock()
	if c.closed {
		c.mu.Unlock()
		return c.ended()
	}
	c.queue = append(c.queue, call)
	c.mu.Unlock()
	for {
		select {
		case c.turn <- struct{}{}:
		case err := <-call.done: // served by another's commit
			call.done <- err
			return nil
		case <-ctx.Done():
			return c.giveUp(ctx, call)
		}
		served, err := c.lead(ctx, call)
		<-c.turn
		if err != nil {
			return c.giveUp(ctx, call)
		}
		if served {
			return nil
		}
	}
}

// lead commits what waits, call among it, and returns when that is durable or
// failed: what is appended meanwhile shares the next signature and sync. It
// returns false when call has to wait for another turn, and the error of ctx.
// The caller has the turn.
func (c *core) lead(ctx context.Context, call *appendCall) (served bool, err error) {
	if err := c.lockWriting(ctx); err != nil {
		return false, err
	}
	calls := c.take(call)
	var settled chan struct{}
	if len(calls) > 0 {
		settled = c.appendAll(calls)
	}
	c.unlockWriting()
	if settled != nil {
		<-settled
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	return call.taken || c.closed, nil
}

// giveUp returns the error of ctx, or nil when the call is on its way already.
func (c *core) giveUp(ctx context.Context, call *appendCall) error {
	if c.withdraw(call) {
		return ctx.Err()
	}
	return nil
}

// withdraw takes a call that no commit has taken out of the queue.
func (c *core) withdraw(call *appendCall) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	for i, q := range c.queue {
		if q == call {
			c.queue = append(c.queue[:i], c.queue[i+1:]...)
			return true
		}
	}
	return false
}

// take returns what the next commit shall hold, nothing when the call that
// asks was served by another's commit.
func (c *core) take(call *appendCall) []*appendCall {
	c.mu.Lock()
	defer c.mu.Unlock()
	if call.taken {
		return nil
	}
	var size uint64
	n := 0
	for n < len(c.queue) && (n == 0 || size+c.queue[n].size <= maxAppendShare) {
		size += c.queue[n].size
		c.queue[n].taken = true
		n++
	}
	calls := append([]*appendCall(nil), c.queue[:n]...)
	c.queue = append(c.queue[:0], c.queue[n:]...)
	return calls
}

// appendAll commits the calls under one signature. What it returns is closed when
// that is durable or failed. The caller holds c.writing.
func (c *core) appendAll(calls []*appendCall) (settled chan struct{}) {
	blocks, leaves := calls[0].blocks, calls[0].leaves
	if len(calls) > 1 {
		blocks, leaves = nil, nil
		for _, call := range calls {
			blocks, leaves = append(blocks, call.blocks...), append(leaves, call.leaves...)
		}
	}
	c.mu.Lock()
	seq := c.head.Length
	c.mu.Unlock()
	for _, call := range calls {
		call.seq = seq
		seq += uint64(len(call.blocks))
	}
	settled = make(chan struct{})
	tell := func(err error) {
		for _, call := range calls {
			call.done <- err
		}
		close(settled)
	}
	if err := c.appendLeaves(blocks, leaves, true, tell); err != nil {
		tell(err)
	}
	return settled
}

// appendLeaves commits blocks whose leaves are hashed but for their index, under
// one signature. durable is called when the commit is; it may be nil. The caller
// holds c.writing.
func (c *core) appendLeaves(blocks [][]byte, leaves []merkle.Node, urgent bool, durable func(error)) error {
	c.mu.Lock()
	roots, keys, err := c.roots.Clone(), c.keys, c.refuseLocked()
	if err != nil {
		c.mu.Unlock()
		return err
	}
	c.signing = make(chan struct{})
	c.mu.Unlock()
	defer c.signed()
	anchor, size := roots.Nodes(), roots.Size()
	run := Run{Start: roots.Length(), Blocks: blocks}
	nodes := make([]merkle.Node, 0, 2*len(leaves)+1)
	for _, leaf := range leaves {
		leaf.Index = 2 * roots.Length()
		nodes = roots.Append(leaf, nodes)
	}
	head := Head{Length: roots.Length(), Size: roots.Size(), RootHash: roots.Hash()}
	head.Signature = keys.Sign(Signable(head.RootHash, head.Length))
	w := &change{roots: &roots, head: head, spans: []Span{run.Span()}, bytes: roots.Size() - size, own: true, done: durable}
	b := &Batch{
		Urgent: urgent,
		Feeds:  []FeedWrite{{Key: c.key, Head: &head, Nodes: nodes, Runs: []Run{run}, Anchor: anchor}},
	}
	c.addShown(b)
	return c.commit(w, b)
}
