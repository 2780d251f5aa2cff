package hypercore

import (
	"fmt"

	"github.com/cobox-p2p/cobox-p2p/hypercore/merkle"
)

// refuseLocked returns why nothing may be appended, or nil.
func (c *core) refuseLocked() error {
	switch {
	case c.closed:
		return c.ended()
	case c.forked != nil:
		return c.forkedLocked()
	case c.own != nil && c.own.old:
		return ErrOldCopy
	case !c.keys.Valid():
		return ErrNotWritable
	}
	return nil
}

// unseenLocked says whether an own feed has blocks that nobody was shown.
func (c *core) unseenLocked() bool { return c.own != nil && c.head.Length > c.own.shown.Length }

// Unseen returns how many blocks of an own feed nobody was shown; see Shown. It is
// 0 for the feeds of others.
func (c *core) Unseen() uint64 {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.unseenLocked() {
		return 0
	}
	return c.head.Length - c.own.shown.Length
}

// provenLocked returns the head under which peers get proofs: the durable one, or
// what they were shown before of a feed that was stopped.
func (c *core) provenLocked() Head {
	if o := c.own; o != nil && o.old && c.toldHead.Length > o.shown.Length {
		return o.shown
	}
	return c.toldHead
}

// Compare says how a head that somebody signed with the feed's key, and a peer
// shows, stands to what is stored. It returns
//
//   - nil when they go together, as far as that can be told;
//   - ErrOldCopy when the feed is written here and the head is longer, or is of
//     another history of which nobody was shown our part. From then on nothing
//     is appended here;
//   - ErrForked when it proves a fork, which is then stored as evidence;
//   - a *RemoteError when the feed's key did not sign it.
func (c *core) Compare(h SignedHead) error {
	c.mu.Lock()
	head, unseen, closed := c.head, c.unseenLocked(), c.closed
	writer := c.keys.Valid() || unseen
	c.mu.Unlock()
	if h.Length == 0 || !writer && (h.Length != head.Length || h.RootHash == head.RootHash) {
		return nil
	}
	if err := h.Verify(c.key); err != nil {
		return c.remote(fmt.Errorf("head of %d blocks: %w", h.Length, err))
	}
	switch {
	case closed:
		return c.ended()
	case h.Length == head.Length && h.RootHash != head.RootHash && !unseen:
		return c.takeEvidence(&ForkEvidence{Ours: Statement{SignedHead: head.Signed()}, Theirs: Statement{SignedHead: h}}, nil)
	case !writer:
		return nil
	}
	return c.compareOwn(h, head)
}

// compareOwn compares h with the head of a feed that is written here.
func (c *core) compareOwn(h SignedHead, head Head) error {
	if h.Length > head.Length {
		return c.outrun(nil)
	}
	root := head.RootHash
	if h.Length < head.Length {
		roots, err := merkle.LoadRoots(nodesOf{c.st, c.key}, h.Length)
		if err != nil {
			return fmt.Errorf("compare feed %s at %d blocks: %w", c.discovery, h.Length, err)
		}
		root = roots.Hash()
	}
	if h.RootHash != root {
		return c.outrun(nil)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if h.Length > c.own.agreed {
		c.own.agreed, c.own.dirty = h.Length, true
	}
	return nil
}

// outrun ends the writing of a feed that somebody else writes too. It returns
// ErrOldCopy, or that this could not be stored.
func (c *core) outrun(from *Peer) error {
	if err := c.stop(&Batch{}, from, true); err != nil {
		return fmt.Errorf("stop writing feed %s: %w", c.discovery, err)
	}
	return fmt.Errorf("feed %s: %w", c.discovery, ErrOldCopy)
}

// signed says that what is signed with the keys of before is in the store.
func (c *core) signed() {
	c.mu.Lock()
	defer c.mu.Unlock()
	close(c.signing)
	c.signing = nil
}

// awaitSigned waits until nothing is on its way that was signed before.
func (c *core) awaitSigned() {
	c.mu.Lock()
	signing := c.signing
	c.mu.Unlock()
	if signing != nil {
		<-signing
	}
}

// stop takes the keys from the feed if it has any, and commits b durably. What was
// signed already is part of the feed then, and unseen.
func (c *core) stop(b *Batch, from *Peer, event bool) error {
	c.mu.Lock()
	tell := c.stopLocked(b, from)
	c.mu.Unlock()
	if err := c.commitDurably(b); err != nil {
		return err
	}
	c.awaitSigned()
	if event {
		tell()
	}
	return nil
}

// stopLocked takes the keys from the feed if it has any, ends the appends that
// wait, and adds to b that this is for good. What it returns is to be called
// without the lock.
func (c *core) stopLocked(b *Batch, from *Peer) (tell func()) {
	if c.own == nil || c.own.old {
		return func() {}
	}
	c.own.old, c.keys = true, KeyPair{}
	b.Records = append(b.Records, oldRecord(c.key))
	for _, call := range c.queue {
		call.taken = true
		call.done <- ErrOldCopy
	}
	c.queue = nil
	c.changedLocked()
	told := c.eventLocked(Event{Kind: Outrun, From: from})
	return func() {
		for _, f := range told {
			f()
		}
	}
}

// grownByOther takes the keys from a feed that is written here and that somebody
// else made longer; b is the batch in which it grows.
// What it returns is to be called when b is committed, without the lock. The
// caller holds c.writing.
func (c *core) grownByOther(b *Batch, head Head, from *Peer) (tell func()) {
	c.mu.Lock()
	o := c.own
	if o == nil {
		c.mu.Unlock()
		return func() {}
	}
	if head.Length > o.agreed {
		o.agreed, o.dirty = head.Length, true
	}
	c.showLocked(head)
	tell = c.stopLocked(b, from)
	c.mu.Unlock()
	c.addShown(b)
	return tell
}

// Stop ends the writing of a feed, for good and durably, without an event; after
// that Append returns ErrOldCopy. Peers are shown nothing more of it than they were
// before.
func (c *core) Stop() error {
	if err := c.stop(&Batch{}, nil, false); err != nil {
		return fmt.Errorf("stop writing feed %s: %w", c.discovery, err)
	}
	return nil
}

// commitDurably returns when the batch would outlive a power cut.
func (c *core) commitDurably(b *Batch) error {
	if len(b.Feeds) == 0 && len(b.Records) == 0 {
		return nil
	}
	c.mu.Lock()
	c.pending++
	c.mu.Unlock()
	done := make(chan error, 1)
	b.Urgent = true
	b.Durable = func(err error) { done <- err }
	err := c.st.Commit(b)
	if err == nil {
		err = <-done
	}
	c.mu.Lock()
	c.settleLocked(1)
	c.mu.Unlock()
	return err
}
