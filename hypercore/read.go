package hypercore

import (
	"context"
	"errors"
	"fmt"
)

// Get returns the content of block seq and waits for it to be replicated when
// it isn't stored here, also beyond the known length. It returns what ctx says
// when that ends first, ErrSealed on a blind handle, ErrWrongKey when the block
// does not open, and ErrClosed. The slice belongs to the caller.
func (f *Feed) Get(ctx context.Context, seq uint64) ([]byte, error) {
	if f.blind {
		return nil, ErrSealed
	}
	b, err := f.Block(ctx, seq)
	if err != nil {
		return nil, err
	}
	return f.open(seq, b)
}

// open returns the content of a block.
func (f *Feed) open(seq uint64, b []byte) ([]byte, error) {
	if f.seal == nil {
		return b, nil
	}
	b, err := f.seal.Open(nil, b)
	if err != nil {
		return nil, fmt.Errorf("block %d of feed %s: %w", seq, f.discovery, err)
	}
	return b, nil
}

// Block returns block seq as the tree covers it, sealed or not. It waits like
// Get. The slice belongs to the caller.
func (c *core) Block(ctx context.Context, seq uint64) ([]byte, error) {
	for {
		removals, err := c.await(ctx, seq)
		if err != nil {
			return nil, fmt.Errorf("block %d of feed %s: %w", seq, c.discovery, err)
		}
		blocks, err := c.readBlocks(Span{seq, 1})
		if errors.Is(err, ErrNoBlock) && c.removedSince(removals) {
			continue // it was cleared between the two
		}
		if err != nil {
			return nil, fmt.Errorf("block %d of feed %s: %w", seq, c.discovery, err)
		}
		return blocks[0], nil
	}
}

// Local is Get that waits for nothing: it returns ErrNoBlock when the block isn't
// stored here.
func (f *Feed) Local(seq uint64) ([]byte, error) {
	if f.blind {
		return nil, ErrSealed
	}
	blocks, err := f.readBlocks(Span{seq, 1})
	if err != nil {
		return nil, fmt.Errorf("block %d of feed %s: %w", seq, f.discovery, err)
	}
	return f.open(seq, blocks[0])
}

// Last returns the content of the last block below the known length, and its
// number. It waits like Get, and returns ErrNoBlock for an empty feed.
func (f *Feed) Last(ctx context.Context) (seq uint64, block []byte, err error) {
	length := f.Length()
	if length == 0 {
		return 0, nil, fmt.Errorf("last block of feed %s: %w", f.discovery, ErrNoBlock)
	}
	block, err = f.Get(ctx, length-1)
	return length - 1, block, err
}

// Available says whether every block of the span is stored here or at a peer
// that told so.
func (c *core) Available(span Span) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	at := span.Start
	for at < span.End() {
		next := c.have.NextClear(at)
		for p := range c.peers {
			next = max(next, p.remote.NextClear(at))
		}
		if next == at {
			return false
		}
		at = next
	}
	return true
}

// removedSince says whether blocks were removed since await returned removals.
func (c *core) removedSince(removals uint64) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.removals != removals
}

// await returns when block seq is stored, and how often blocks were removed by
// then.
func (c *core) await(ctx context.Context, seq uint64) (removals uint64, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		return 0, c.ended()
	}
	if c.have.Get(seq) {
		return c.removals, nil
	}
	end := c.wishLocked(seq)
	defer end()
	c.tellWantedLocked(Span{seq, 1}) // not before, for who hears it looks for the wish
	err = c.waitLocked(ctx, func() bool { return c.have.Get(seq) })
	return c.removals, err
}

// tellWantedLocked tells that somebody waits for blocks, if they exist. It gives
// the lock away meanwhile.
func (c *core) tellWantedLocked(s Span) {
	if s.Start >= c.head.Length {
		return
	}
	told := c.eventLocked(Event{Kind: Wanted, Span: s})
	if len(told) == 0 {
		return
	}
	c.mu.Unlock()
	defer c.mu.Lock()
	call(told)
}

// wishLocked makes peers be asked for a block until its result is called, with
// the lock too.
func (c *core) wishLocked(seq uint64) (end func()) {
	c.waiters[seq]++
	c.wakeLocked()
	return func() {
		if c.waiters[seq]--; c.waiters[seq] > 0 {
			return
		}
		delete(c.waiters, seq)
		if r := c.asked[seq]; r != nil && !r.grows && !c.wantedLocked(seq) {
			r.peer.moveLocked(r)
			r.peer.wake()
		}
		if r := c.holderLocked(seq); r != nil && !r.grows && !c.wantsAnyLocked(r.span()) {
			r.peer.moveLocked(r)
			r.peer.wake()
		}
	}
}

// WaitLength returns when the feed's known length is at least length blocks.
func (c *core) WaitLength(ctx context.Context, length uint64) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.waitLocked(ctx, func() bool { return c.head.Length >= length })
}

// waitLocked waits without the lock until done, called with it, is true.
func (c *core) waitLocked(ctx context.Context, done func() bool) error {
	for !done() {
		if c.closed {
			return c.ended()
		}
		changed := c.changed
		c.mu.Unlock()
		var err error
		select {
		case <-changed:
		case <-ctx.Done():
			err = ctx.Err()
		}
		c.mu.Lock()
		if err != nil && !done() {
			return err
		}
	}
	return nil
}

// wakeLocked lets every peer look for something to ask.
func (c *core) wakeLocked() {
	for p := range c.peers {
		p.wake()
	}
}
