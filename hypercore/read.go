package hypercore

import (
	"context"
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
	if err != nil || f.seal == nil {
		return b, err
	}
	if b, err = f.seal.Open(nil, b); err != nil {
		return nil, fmt.Errorf("block %d of feed %s: %w", seq, f.discovery, err)
	}
	return b, nil
}

// Block returns block seq as the tree covers it, sealed or not. It waits like
// Get. The slice belongs to the caller.
func (c *core) Block(ctx context.Context, seq uint64) ([]byte, error) {
	if err := c.await(ctx, seq); err != nil {
		return nil, fmt.Errorf("block %d of feed %s: %w", seq, c.discovery, err)
	}
	blocks, err := c.st.Blocks(c.key, Span{seq, 1})
	if err != nil {
		return nil, fmt.Errorf("block %d of feed %s: %w", seq, c.discovery, err)
	}
	return blocks[0], nil
}

// await returns when block seq is stored.
func (c *core) await(ctx context.Context, seq uint64) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		return ErrClosed
	}
	if c.have.Get(seq) {
		return nil
	}
	c.waiters[seq]++
	defer func() {
		if c.waiters[seq]--; c.waiters[seq] == 0 {
			delete(c.waiters, seq)
		}
	}()
	c.wakeLocked()
	return c.waitLocked(ctx, func() bool { return c.have.Get(seq) })
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
			return ErrClosed
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
