package hypercore

import (
	"context"
	"errors"
	"fmt"

	"github.com/cobox-p2p/cobox-p2p/hypercore/flattree"
	"github.com/cobox-p2p/cobox-p2p/hypercore/merkle"
)

// auditRun is how many blocks an audit reads at once.
const auditRun = 16

// Audit is what a check of everything stored of a feed found.
type Audit struct {
	Blocks  uint64   // that were hashed again
	Damaged []uint64 // those that do not match the tree, or can't be read
	Head    error    // nil when the head's roots and signature are right
}

// Valid says whether nothing is damaged.
func (a Audit) Valid() bool { return a.Head == nil && len(a.Damaged) == 0 }

// Audit hashes every stored block again, follows it up to the signed head, and
// checks the head's signature. What is damaged is in the Audit; the error is
// that of ctx or of a store that can't be read at all.
func (c *core) Audit(ctx context.Context) (Audit, error) {
	c.mu.Lock()
	head, roots := c.head, c.roots.Clone()
	var spans []Span
	for s := range c.have.Spans(0, head.Length) {
		spans = append(spans, s)
	}
	c.mu.Unlock()

	a := Audit{Head: c.auditHead(head, &roots)}
	up := auditTree{nodes: nodesOf{c.st, c.key}, length: head.Length, good: map[uint64]bool{}}
	for _, n := range roots.Nodes() {
		up.good[n.Index] = a.Head == nil
	}
	for _, s := range spans {
		for s.Count > 0 {
			if err := ctx.Err(); err != nil {
				return a, err
			}
			n := min(s.Count, auditRun)
			if err := c.auditRun(Span{s.Start, n}, &up, &a); err != nil {
				return a, fmt.Errorf("audit feed %s: %w", c.discovery, err)
			}
			s.Start, s.Count = s.Start+n, s.Count-n
		}
	}
	return a, nil
}

func (c *core) auditHead(head Head, roots *merkle.Roots) error {
	if head.Length == 0 {
		return nil
	}
	if roots.Hash() != head.RootHash {
		return fmt.Errorf("%w: roots of length %d do not match its head", ErrDamaged, head.Length)
	}
	return c.key.Verify(Signable(head.RootHash, head.Length), head.Signature)
}

// auditRun checks a few blocks. One that can't be read is tried alone, so that
// its neighbours aren't blamed.
func (c *core) auditRun(s Span, up *auditTree, a *Audit) error {
	blocks, err := c.st.Blocks(c.key, s)
	switch {
	case errors.Is(err, ErrClosed):
		return err
	case err != nil && s.Count > 1:
		for seq := s.Start; seq < s.End(); seq++ {
			if err := c.auditRun(Span{seq, 1}, up, a); err != nil {
				return err
			}
		}
		return nil
	}
	for seq := s.Start; seq < s.End(); seq++ {
		a.Blocks++
		if err != nil || !up.proves(merkle.Leaf(seq, blocks[seq-s.Start])) {
			a.Damaged = append(a.Damaged, seq)
		}
	}
	return nil
}

// auditTree remembers which stored nodes lead up to a good root.
type auditTree struct {
	nodes  nodesOf
	length uint64
	good   map[uint64]bool
}

// maxAuditNodes bounds what an audit remembers; past it, parents are hashed
// again.
const maxAuditNodes = 1 << 16

// proves says whether the leaf equals the stored one and every parent up to a
// root known to be good or bad follows from its stored children.
func (t *auditTree) proves(leaf merkle.Node) bool {
	stored, err := t.nodes.Node(leaf.Index)
	return err == nil && stored == leaf && t.leadsUp(leaf)
}

func (t *auditTree) leadsUp(n merkle.Node) bool {
	if good, ok := t.good[n.Index]; ok {
		return good
	}
	sibling, err := t.nodes.Node(flattree.Sibling(n.Index))
	if err != nil {
		return false
	}
	parent, err := t.nodes.Node(flattree.Parent(n.Index))
	good := err == nil && merkle.Parent(n, sibling) == parent && t.leadsUp(parent)
	if flattree.Depth(n.Index) > 0 && len(t.good) < maxAuditNodes {
		t.good[n.Index] = good
	}
	return good
}
