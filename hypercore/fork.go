package hypercore

import (
	"errors"
	"fmt"

	"github.com/cobox-p2p/cobox-p2p/hypercore/flattree"
	"github.com/cobox-p2p/cobox-p2p/hypercore/merkle"
)

// ErrForked says that the feed's writer signed two trees that contradict each
// other. The feed doesn't grow here any more; what was verified before stays
// readable and is served. See interop/spec/feed.md, "Fork".
var ErrForked = errors.New("hypercore: feed has forked")

// Forked returns nil, or an error that wraps ErrForked and the *merkle.ForkError
// that is the evidence. It is kept while the feed is open.
func (c *core) Forked() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.forkedLocked()
}

func (c *core) forkedLocked() error {
	if c.forked == nil {
		return nil
	}
	return fmt.Errorf("feed %s: %w: %w", c.discovery, ErrForked, c.forked)
}

// fork keeps the evidence that from brought. The first time it returns a
// *RemoteError, since the session that shows a second branch has to end; after
// that what Forked does.
func (c *core) fork(evidence *merkle.ForkError, from *Peer) error {
	c.mu.Lock()
	if c.forked != nil {
		defer c.mu.Unlock()
		return c.forkedLocked()
	}
	c.forked = evidence
	told := c.eventLocked(Event{Kind: Forked, From: from})
	c.changedLocked()
	c.mu.Unlock()
	for _, f := range told {
		f()
	}
	return c.remote(fmt.Errorf("%w: %w", ErrForked, evidence))
}

// withinHead takes from v, which proved a longer head, what belongs to the tree
// of length blocks: every root of it was part of the proof, so all nodes below
// these are proved by them. It is false when the block isn't.
func withinHead(v *merkle.Verified, seq, length uint64) bool {
	if seq >= length {
		return false
	}
	kept := v.Nodes[:0]
	for _, n := range v.Nodes {
		if flattree.RightSpan(n.Index) <= 2*(length-1) {
			kept = append(kept, n)
		}
	}
	v.Nodes, v.Roots = kept, nil
	return true
}
