package hypercore

import (
	"context"
	"errors"
	"fmt"
	"math"

	"github.com/cobox-p2p/cobox-p2p/hypercore/merkle"
)

// ErrWritable refuses to take blocks away from a feed that can be appended to:
// what follows would be a second history.
var ErrWritable = errors.New("hypercore: feed is still written here")

// DropUnseen takes from an own feed that was stopped the blocks that nobody was
// shown, so that those of the writer's other copy can come in their place. It
// returns how many blocks went, durably and together with records; the records
// are written in any case. It returns ErrWritable for a feed that isn't stopped.
func (c *core) DropUnseen(ctx context.Context, records ...Record) (dropped uint64, err error) {
	if err := c.lockWriting(ctx); err != nil {
		return 0, err
	}
	defer c.unlockWriting()
	c.mu.Lock()
	closed, writable, unseen := c.closed, c.keys.Valid(), c.unseenLocked()
	var to Head
	if unseen {
		to = c.own.shown
	}
	c.mu.Unlock()
	switch {
	case closed:
		return 0, c.ended()
	case writable:
		return 0, ErrWritable
	}
	b := &Batch{Records: records}
	if !unseen {
		err = c.commitDurably(b)
	} else {
		dropped, err = c.truncate(to, b)
	}
	if err != nil {
		return 0, fmt.Errorf("return feed %s to %d blocks: %w", c.discovery, to.Length, err)
	}
	return dropped, nil
}

// truncate returns to an earlier head. The caller holds c.writing.
func (c *core) truncate(to Head, b *Batch) (dropped uint64, err error) {
	// What is on its way to the disk must not be told behind the cut.
	if err := c.commitDurably(&Batch{Feeds: []FeedWrite{{Key: c.key}}}); err != nil {
		return 0, err
	}
	roots, err := merkle.LoadRoots(nodesOf{c.st, c.key}, to.Length)
	if err != nil {
		return 0, err
	}
	if to.Length > 0 && roots.Hash() != to.RootHash {
		return 0, fmt.Errorf("%w: its blocks are not those that were shown", ErrDamaged)
	}
	cut, undo := c.cut(to, roots)
	b.Feeds = append(b.Feeds, FeedWrite{Key: c.key, Head: &to, Truncate: true})
	unmark := c.unclear(b, cut)
	if err := c.commitDurably(b); err != nil {
		unmark()
		undo()
		return 0, err
	}
	stored, err := c.st.Feed(c.key)
	defer c.recount()
	c.mu.Lock()
	defer c.mu.Unlock()
	if err == nil {
		c.bytes = stored.Bytes
	}
	c.changedLocked()
	c.wakeLocked()
	return cut.Count, err
}

// cut does in memory what truncate does in the store, before it, so that nobody is
// told of a block that isn't there any more. It returns the blocks that go, and how
// to take it back.
func (c *core) cut(to Head, roots merkle.Roots) (cut Span, undo func()) {
	c.mu.Lock()
	defer c.mu.Unlock()
	wasRoots, was := c.roots, c.head
	cut = Span{to.Length, was.Length - to.Length}
	var held []Span
	for s := range c.have.Spans(cut.Start, cut.End()) {
		held = append(held, s)
	}
	c.removeLocked(cut)
	c.roots, c.head, c.toldHead, c.growing = roots, to, to, nil
	for p := range c.peers {
		p.parted, p.barren, p.growth = math.MaxUint64, false, nil
	}
	return cut, func() {
		c.mu.Lock()
		defer c.mu.Unlock()
		c.roots, c.head, c.toldHead = wasRoots, was, was
		for _, s := range held {
			c.have.SetRange(s.Start, s.Count)
			c.told.SetRange(s.Start, s.Count)
		}
	}
}
