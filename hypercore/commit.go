package hypercore

import "github.com/cobox-p2p/cobox-p2p/hypercore/merkle"

// change is one commit of a feed on its way to the disk. It is applied when it
// can be read and told when it is durable; either may come first.
type change struct {
	roots *merkle.Roots // nil: the head stays
	head  Head
	span  Span   // blocks stored; Count 0 for none
	bytes uint64 // of these blocks
	from  *Peer  // nil: appended here

	applied, durable bool
	err              error
	done             func(error) // may be nil; called once, without the lock
}

// commit hands the change with what belongs to it to the store. The caller
// holds c.writing.
func (c *core) commit(w *change, b *Batch) error {
	b.Durable = func(err error) {
		c.mu.Lock()
		w.durable, w.err = true, err
		done := c.finishLocked(w)
		c.settleLocked(1)
		c.mu.Unlock()
		done()
	}
	c.mu.Lock()
	c.pending++
	c.mu.Unlock()
	err := c.st.Commit(b)
	c.mu.Lock()
	if err != nil {
		c.settleLocked(1)
		c.mu.Unlock()
		return err
	}
	if w.roots != nil {
		c.roots, c.head = *w.roots, w.head
	}
	c.damage.wrote(b)
	if w.span.Count > 0 {
		c.have.SetRange(w.span.Start, w.span.Count)
		c.bytes += w.bytes
	}
	w.applied = true
	done := c.finishLocked(w)
	c.changedLocked()
	c.mu.Unlock()
	done()
	return nil
}

// finishLocked tells the world of a change that is both readable and durable.
// What it returns is to be called without the lock.
func (c *core) finishLocked(w *change) func() {
	if !w.applied || !w.durable {
		return func() {}
	}
	var told []func()
	if w.err == nil {
		if w.roots != nil && w.head.Length > c.toldHead.Length {
			grown := Span{c.toldHead.Length, w.head.Length - c.toldHead.Length}
			c.toldHead = w.head
			told = c.eventLocked(Event{Kind: Grown, Span: grown, From: w.from})
		}
		if w.span.Count > 0 {
			c.told.SetRange(w.span.Start, w.span.Count)
			told = append(told, c.eventLocked(Event{Kind: Stored, Span: w.span, From: w.from})...)
		}
		for p := range c.peers {
			p.tellLocked(w)
			p.wake()
		}
		c.changedLocked()
	} else if c.failed == nil {
		c.failed = w.err
		c.wakeLocked()
	}
	return func() {
		for _, f := range told {
			f()
		}
		if w.done != nil {
			w.done(w.err)
		}
	}
}
