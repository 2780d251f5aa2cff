package hypercore

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/cobox-p2p/cobox-p2p/hypercore/flattree"
	"github.com/cobox-p2p/cobox-p2p/hypercore/merkle"
)

// Limits of what an audit names. What lies beyond them is counted all the same.
const (
	// MaxAuditSpans is how many spans of damaged blocks an Audit names.
	MaxAuditSpans = 4096
	// MaxAuditNodes is how many recomputed nodes an Audit holds for Repair.
	MaxAuditNodes = 1 << 16
)

// Audit is what a check of everything stored of a feed found.
type Audit struct {
	Blocks uint64 // held, all of which were looked at
	Bytes  uint64 // of the blocks that are right

	// Damaged counts the blocks that can't be read, don't match the tree, or
	// can't be proved because nodes above them are lost. Spans are they in
	// ascending order, the first MaxAuditSpans spans.
	Damaged uint64
	Spans   []Span
	// Nodes counts the tree nodes that are missing or wrong and follow from what
	// is stored beside them. No block is damaged by that: Repair writes them.
	Nodes uint64
	// Lost counts the places in the tree where two children are missing or wrong
	// and follow from nothing. The held blocks below are among Damaged.
	Lost uint64
	// Roots counts the roots that the store doesn't give back as they are.
	// Repair writes them; they are among Nodes.
	Roots uint64
	// Head is nil when the head's signature is right, and the stored head is the
	// one in use.
	Head error
	// Cut says that there are more than MaxAuditNodes to be written: audit again
	// after Repair.
	Cut bool

	key      Key
	head     Head
	unsigned bool                   // the head in use is not signed, so Repair can't store it
	bad      Bitfield               // the blocks that Damaged counts
	rewrite  map[uint64]merkle.Node // nodes for Repair, by index
	lost     []uint64               // nodes whose children are lost, at most maxLost
}

// Valid says whether nothing is damaged.
func (a Audit) Valid() bool { return a.Head == nil && a.Damaged == 0 && a.Nodes == 0 && a.Lost == 0 }

// AuditOption changes how an audit works.
type AuditOption func(*auditor)

// WithProgress lets f be called now and then with the number of blocks looked at
// so far. f is called by one goroutine at a time and must not block.
func WithProgress(f func(blocks uint64)) AuditOption {
	return func(a *auditor) { a.progress = f }
}

// Audit reads and hashes every stored block again and follows it from the signed
// head downwards, so that a damaged node is told from a damaged block. Whatever
// the store can't give back counts as damaged, and the audit goes on; the error
// is that of ctx, or ErrClosed. It takes all cores and a few MiB of memory.
//
// What it finds is noted: damaged blocks are not served or told of any more, and
// reading them returns ErrDamaged, until Repair or a later audit that finds them
// right. See interop/spec/feed.md, "Damage".
func (c *core) Audit(ctx context.Context, opts ...AuditOption) (Audit, error) {
	c.mu.Lock()
	if c.closed {
		c.mu.Unlock()
		return Audit{}, c.ended()
	}
	head, roots, have := c.head, c.roots.Clone(), c.have.clone()
	c.mu.Unlock()

	w := newAuditor(c.st, c.key, have)
	for _, o := range opts {
		o(w)
	}
	w.found.key, w.found.head = c.key, head
	err := c.auditHead(ctx, &w.found, &roots)
	if err == nil {
		err = w.run(ctx, roots.Nodes())
	}
	if err != nil {
		return Audit{}, fmt.Errorf("audit feed %s: %w", c.discovery, err)
	}
	a := w.finish(head.Length)
	c.noteAudit(&a, have)
	return a, nil
}

// auditHead checks that the head in use, which found has, is signed, and that it
// is the stored one.
func (c *core) auditHead(ctx context.Context, found *Audit, roots *merkle.Roots) error {
	head := found.head
	same, err := c.headStored(head)
	if err == nil && !same {
		// It may have changed since it was looked at. Nothing changes it now.
		if err := c.lockWriting(ctx); err != nil {
			return err
		}
		c.mu.Lock()
		now := c.head
		c.mu.Unlock()
		same, err = c.headStored(now)
		same = same || now != head
		c.unlockWriting()
	}
	switch {
	case errors.Is(err, ErrClosed):
		return err
	case err != nil:
		found.Head = fmt.Errorf("%w: head of length %d: %w", ErrDamaged, head.Length, err)
	case !same:
		found.Head = fmt.Errorf("%w: the stored head is not the one of length %d in use", ErrDamaged, head.Length)
	}
	if head.Length == 0 {
		return nil
	}
	if roots.Hash() != head.RootHash {
		found.Head, found.unsigned = fmt.Errorf("%w: roots of length %d do not match its head", ErrDamaged, head.Length), true
	} else if err := c.key.Verify(Signable(head.RootHash, head.Length), head.Signature); err != nil {
		found.Head, found.unsigned = fmt.Errorf("%w: head of length %d: %w", ErrDamaged, head.Length, err), true
	}
	return nil
}

// headStored says whether the store gives back that head.
func (c *core) headStored(head Head) (bool, error) {
	stored, err := c.st.Feed(c.key)
	if errors.Is(err, ErrNoFeed) {
		return head.Length == 0, nil
	}
	return stored.Head == head, err
}

// finish returns what was found, when no goroutine works any more.
func (a *auditor) finish(length uint64) Audit {
	f := &a.found
	f.Damaged = f.bad.Count()
	for s := range f.bad.Spans(0, length) {
		if len(f.Spans) == MaxAuditSpans {
			break
		}
		f.Spans = append(f.Spans, s)
	}
	f.Cut = f.Nodes > uint64(len(f.rewrite))
	slices.Sort(f.lost)
	return *f
}

// nodes returns what the audit found wrong or missing: the right node, or nil.
func (a *Audit) nodes() map[uint64]*merkle.Node {
	if len(a.rewrite)+len(a.lost) == 0 {
		return nil
	}
	all := make(map[uint64]*merkle.Node, len(a.rewrite)+2*len(a.lost))
	for _, index := range a.lost {
		left, right, _ := flattree.Children(index)
		all[left], all[right] = nil, nil
	}
	for index, n := range a.rewrite {
		all[index] = &n
	}
	return all
}

// inTree returns the nodes to be written that belong to the tree of length
// blocks, in ascending order of their indexes.
func (a *Audit) inTree(length uint64) []merkle.Node {
	nodes := make([]merkle.Node, 0, len(a.rewrite))
	for index, n := range a.rewrite {
		if flattree.Within(index, length) {
			nodes = append(nodes, n)
		}
	}
	slices.SortFunc(nodes, func(x, y merkle.Node) int {
		if x.Index < y.Index {
			return -1
		}
		return 1
	})
	return nodes
}

// clone returns a copy that shares no memory that changes.
func (b *Bitfield) clone() *Bitfield {
	c := *b
	c.pages = slices.Clone(b.pages)
	for i := range c.pages {
		if p := c.pages[i].bitPage; p != allBits && p != &noBits {
			q := *p
			c.pages[i].bitPage = &q
		}
	}
	return &c
}
