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

// Records of evidence lie under forkPrefix and the feed key.
const forkPrefix = "fork/"

func forkRecordKey(key Key) []byte { return append([]byte(forkPrefix), key[:]...) }

// Forked returns nil, or an error that wraps ErrForked and the *ForkEvidence,
// which is stored for good.
func (c *core) Forked() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.forkedLocked()
}

// Evidence returns what proves to anybody that the feed has forked, nil when
// nothing is known of a fork.
func (c *core) Evidence() *ForkEvidence {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.forked
}

func (c *core) forkedLocked() error {
	if c.forked == nil {
		return nil
	}
	return fmt.Errorf("feed %s: %w", c.discovery, c.forked)
}

// loadEvidence reads what was stored of a fork. What proves none, since it is
// damaged, doesn't count; a fork is found again.
func (c *core) loadEvidence() error {
	b, err := c.st.Record(forkRecordKey(c.key))
	if errors.Is(err, ErrNoRecord) {
		return nil
	}
	if err != nil {
		return err
	}
	if e, err := ParseForkEvidence(b); err == nil && e.Verify(c.key) == nil {
		c.forked = e
	}
	return nil
}

// TakeEvidence stores evidence of a fork that somebody showed, durably. It
// returns nil also when another is known already, and a *RemoteError with
// ErrEvidence when it proves nothing. Whoever wrote the feed here writes it no
// more.
func (c *core) TakeEvidence(e *ForkEvidence) error {
	if c.Evidence() != nil {
		return nil
	}
	if err := e.Verify(c.key); err != nil {
		return c.remote(err)
	}
	if err := c.takeEvidence(e, nil); !errors.Is(err, ErrForked) {
		return err
	}
	return nil
}

// takeEvidence stores e, which was verified, durably, and tells of it. It returns
// ErrForked, or why it isn't stored.
func (c *core) takeEvidence(e *ForkEvidence, from *Peer) error {
	c.mu.Lock()
	known, closed := c.forkedLocked(), c.closed
	c.mu.Unlock()
	switch {
	case closed:
		return c.ended()
	case known != nil:
		return known
	}
	b := &Batch{Records: []Record{{Key: forkRecordKey(c.key), Value: e.Append(nil)}}}
	c.mu.Lock()
	outrun := c.stopLocked(b, from)
	c.mu.Unlock()
	if err := c.commitDurably(b); err != nil {
		return fmt.Errorf("keep evidence that feed %s has forked: %w", c.discovery, err)
	}
	c.awaitSigned()
	c.mu.Lock()
	var told []func()
	if c.forked == nil { // nobody was faster
		c.forked = e
		told = c.eventLocked(Event{Kind: Forked, From: from})
		c.changedLocked()
	}
	err := c.forkedLocked()
	c.mu.Unlock()
	call(told)
	outrun()
	return err
}

// fork decides about a signed tree of from that contradicts ours. Where it proves
// a fork, the first time is a *RemoteError, since the session that shows a second
// branch has to end; after that it is what Forked returns.
func (c *core) fork(found *merkle.ForkError, signature Signature, from *Peer) error {
	c.mu.Lock()
	known, head, roots, unseen := c.forkedLocked(), c.head, c.roots.Clone(), c.unseenLocked()
	c.mu.Unlock()
	if known != nil {
		return known
	}
	e, err := c.evidence(found, signature, head, &roots)
	if err != nil {
		return err
	}
	if unseen {
		return c.outrun(from)
	}
	if err := c.takeEvidence(e, from); !errors.Is(err, ErrForked) {
		return err
	}
	return c.remote(fmt.Errorf("%w: %w", e, found))
}

// evidence returns our statement about the disputed node beside theirs. When
// they prove nothing, what is stored here is at fault.
func (c *core) evidence(found *merkle.ForkError, signature Signature, head Head, roots *merkle.Roots) (*ForkEvidence, error) {
	ours := Statement{SignedHead: head.Signed(), Roots: roots.Nodes(), Node: found.Ours}
	for index := found.Ours.Index; flattree.Within(flattree.Sibling(index), head.Length); index = flattree.Parent(index) {
		n, err := c.st.Node(c.key, flattree.Sibling(index))
		if err != nil {
			return nil, fmt.Errorf("%w: feed %s: way up from node %d: %w", ErrDamaged, c.discovery, found.Ours.Index, err)
		}
		ours.Siblings = append(ours.Siblings, n)
	}
	e := &ForkEvidence{Ours: ours, Theirs: Statement{
		SignedHead: SignedHead{found.Length, merkle.RootHash(found.Roots), signature},
		Roots:      found.Roots, Node: found.Theirs, Siblings: found.Siblings,
	}}
	if err := e.Verify(c.key); err != nil {
		return nil, fmt.Errorf("%w: feed %s: node %d: %w", ErrDamaged, c.discovery, found.Ours.Index, err)
	}
	return e, nil
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
