package hypercore

import (
	"context"
	"errors"
	"fmt"
)

// Clear removes blocks that are stored here and gives their space back. Peers
// are told that they are gone. Blocks of the spans below the feed's known
// length, stored or not, are then fetched only for who asks for them, by a Get,
// a Download or Restore, also after the feed was opened again; a Get or Download
// that waits for them now counts. Whatever leads up to the feed's roots stays.
//
// It returns when all of it is durable, ErrTooManyCleared beyond MaxClear blocks,
// ErrClosed, or what the store said; then nothing was cleared, unless the store
// failed in its sync. ctx is honoured until the blocks are on their way.
func (c *core) Clear(ctx context.Context, spans ...Span) error {
	if err := c.change(ctx, spans, c.clear); err != nil {
		return fmt.Errorf("clear blocks of feed %s: %w", c.discovery, err)
	}
	return nil
}

// Restore takes back that the blocks were cleared: they are fetched like all
// others. It returns like Clear.
func (c *core) Restore(ctx context.Context, spans ...Span) error {
	if err := c.change(ctx, spans, c.restore); err != nil {
		return fmt.Errorf("restore blocks of feed %s: %w", c.discovery, err)
	}
	return nil
}

// change calls f with what of the spans lies below the head, while nothing is on
// its way to the disk: what comes in later can't be told before it is durable.
func (c *core) change(ctx context.Context, spans []Span, f func([]Span) error) error {
	if err := c.lockWriting(ctx); err != nil {
		return err
	}
	defer c.unlockWriting()
	c.mu.Lock()
	length, closed, pending := c.head.Length, c.closed, c.pending
	c.mu.Unlock()
	if closed {
		return c.ended()
	}
	var below []Span
	var count uint64
	if len(spans) > maxClearSpans {
		return ErrTooManyCleared
	}
	for _, s := range spans {
		s.Count = min(s.Count, length-min(s.Start, length))
		if s.Count > MaxClear || count+s.Count > MaxClear {
			return ErrTooManyCleared
		}
		if count += s.Count; s.Count > 0 {
			below = append(below, s)
		}
	}
	if len(below) == 0 {
		return nil
	}
	if pending > 0 {
		if err := c.commitDurably(&Batch{Feeds: []FeedWrite{{Key: c.key}}}); err != nil {
			return err
		}
	}
	return f(below)
}

func (c *core) clear(spans []Span) error {
	b := &Batch{Feeds: []FeedWrite{{Key: c.key, Clear: spans}}}
	undo, err := c.clearInMemory(spans, b)
	if err != nil {
		return err
	}
	if err := c.commitDurably(b); err != nil {
		if !errors.Is(err, ErrStorageFailed) {
			undo()
		}
		return err
	}
	stored, err := c.st.Feed(c.key)
	c.mu.Lock()
	if err == nil {
		c.bytes = stored.Bytes
	}
	c.changedLocked()
	c.wakeLocked() // somebody may wait for what is gone
	var told []func()
	for _, s := range spans {
		told = append(told, c.eventLocked(Event{Kind: Cleared, Span: s})...)
	}
	c.mu.Unlock()
	c.recount()
	call(told)
	return nil
}

// clearInMemory is what Clear does before it reaches the store, so that nobody
// is told of a block that isn't there any more. It returns how to take it back.
func (c *core) clearInMemory(spans []Span, b *Batch) (undo func(), err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	var held, was []Span
	for _, s := range spans {
		for x := range c.cleared.Spans(s.Start, s.End()) {
			was = append(was, x)
		}
	}
	for _, s := range spans {
		c.cleared.SetLimited(s.Start, s.Count, maxClearedPages)
		if !c.cleared.Contains(s) {
			c.unmarkLocked(spans, was)
			return nil, ErrTooManyCleared
		}
	}
	for _, s := range spans {
		for x := range c.have.Spans(s.Start, s.End()) {
			held = append(held, x)
		}
		c.removeLocked(s)
	}
	b.Records = c.clearedRecordsLocked(spans)
	c.takeBackLocked()
	return func() {
		c.mu.Lock()
		defer c.mu.Unlock()
		c.unmarkLocked(spans, was)
		for _, x := range held {
			c.have.SetRange(x.Start, x.Count)
			c.told.SetRange(x.Start, x.Count)
			for p := range c.peers {
				p.tellLocked(nil, x)
				p.wake()
			}
		}
	}, nil
}

// unmarkLocked leaves only was cleared of the spans.
func (c *core) unmarkLocked(spans, was []Span) {
	for _, s := range spans {
		c.cleared.ClearRange(s.Start, s.Count)
	}
	for _, x := range was {
		c.cleared.SetRange(x.Start, x.Count)
	}
}

// removeLocked takes blocks out of what is held and lets peers hear of it. The
// caller holds c.writing, nothing is on its way to the disk, and he removes them
// from the store next.
func (c *core) removeLocked(s Span) {
	c.removals++
	c.damage.forget(s)
	if first, ok := c.told.NextSet(s.Start); ok && first < s.End() {
		told := Span{first, min(s.End(), c.told.End()) - first}
		for p := range c.peers {
			p.untellLocked(told)
			p.wake()
		}
	}
	c.have.ClearRange(s.Start, s.Count)
	c.told.ClearRange(s.Start, s.Count)
	for _, d := range c.downloads {
		d.missesLocked(s)
	}
}

func (c *core) restore(spans []Span) error {
	b := &Batch{}
	undo := c.unclear(b, spans...)
	if len(b.Records) == 0 {
		return nil
	}
	err := c.commitDurably(b)
	c.mu.Lock()
	c.changedLocked()
	c.wakeLocked()
	if err == nil && c.lacksLocked() {
		c.tellWantedLocked(Span{0, c.head.Length})
	}
	c.mu.Unlock()
	if err != nil {
		undo()
	}
	return err
}
