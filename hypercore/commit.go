package hypercore

import "github.com/cobox-p2p/cobox-p2p/hypercore/merkle"

// change is one commit of a feed on its way to the disk. It is applied when it
// can be read and told when it is durable; either may come first.
type change struct {
	roots *merkle.Roots // nil: the head stays
	head  Head
	spans []Span // blocks stored; none is empty
	bytes uint64 // of these blocks
	own   bool   // appended here: not counted in the rations before
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
		if !w.own {
			c.giveRoom(w.bytes)
		}
		return err
	}
	if w.roots != nil {
		c.roots, c.head = *w.roots, w.head
	}
	c.damage.wrote(b)
	for _, s := range w.spans {
		c.have.SetRange(s.Start, s.Count)
	}
	c.bytes += w.bytes
	if !w.own {
		c.counted += w.bytes
	}
	w.applied = true
	done := c.finishLocked(w)
	c.changedLocked()
	c.mu.Unlock()
	if w.own {
		c.recount()
	}
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
		for _, s := range w.spans {
			c.told.SetRange(s.Start, s.Count)
			told = append(told, c.eventLocked(Event{Kind: Stored, Span: s, From: w.from})...)
		}
		for p := range c.peers {
			p.tellLocked(w.from, w.spans...)
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
