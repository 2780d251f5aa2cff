package merkle

import (
	"cmp"
	"fmt"
	"slices"

	"github.com/cobox-p2p/cobox-p2p/hypercore/flattree"
)

// VerifyRange checks a peer's claim about consecutive blocks against the held
// tree, whose roots are head, by the rules of Verify: what it accepts, Verify
// would accept block by block. check returns nil if the claim's signature covers
// the given root hash and length; it is called at most once, and only when roots
// need it. Errors are those of Verify.
//
// The result's Count says how many of the blocks, from the first on, belong to
// the tree; InTree says that it isn't 0. Count is less than all only when an
// older head vouches for the rest, or another branch: the rest isn't to be
// stored then, and the peer did no wrong. Nodes holds all that is to be stored,
// also what was rebuilt within the range. Leaf is the node of the first block.
//
// local is asked for the nodes beside and above the range; for those within it
// only below one that is held, since who holds a node holds its parent. So a
// node that local holds without its parent may be among Nodes. See
// interop/spec/feed.md, "Ranges".
func VerifyRange(local NodeReader, head Roots, c RangeClaim, check func(root Hash, length uint64) error) (Verified, error) {
	if err := c.check(); err != nil {
		return Verified{}, err
	}
	v, err := newRangeVerifier(local, head, &c, check)
	if err != nil {
		return Verified{}, err
	}
	if err := v.climb(); err != nil {
		return Verified{}, err
	}
	if err := v.planRoots(); err != nil {
		return Verified{}, err
	}
	for _, top := range v.tops {
		if err := v.compareBelow(top, false); err != nil {
			return Verified{}, err
		}
	}
	if c.Length != 0 && len(c.Signature) == 0 && !v.rootsHeld() {
		return Verified{}, fmt.Errorf("%w: missing for %d blocks", ErrProofSignature, c.Length)
	}
	if v.dispute != nil {
		return Verified{}, v.judge()
	}
	if c.Length == 0 {
		return v.anchored(), nil
	}
	return v.signed()
}

// signed checks the signature over the roots and says what it proved.
func (v *rangeVerifier) signed() (Verified, error) {
	grown, err := NewRoots(nodesOf(v.roots))
	if err != nil {
		return Verified{}, fmt.Errorf("%w: tree of %d blocks", ErrProofSize, v.length)
	}
	if !v.rootsHeld() {
		if err := v.checkSignature(); err != nil {
			return Verified{}, err
		}
	}
	switch {
	case v.length > v.head.length && v.continues():
		return v.proved(uint64(len(v.claim.Leaves)), v.tops, &grown), nil
	case v.length > v.head.length && len(v.anchors) == 0:
		return Verified{}, fmt.Errorf("%w: %d blocks to %d", ErrProofBranch, v.head.length, v.length)
	}
	return v.anchored(), nil
}

// checkSignature calls check with the roots.
func (v *rangeVerifier) checkSignature() error {
	if err := v.check(RootHash(nodesOf(v.roots)), v.length); err != nil {
		return fmt.Errorf("%w: of %d blocks: %w", ErrProofSignature, v.length, err)
	}
	return nil
}

// rootsHeld says whether all roots are those of a part of the held tree, so that
// no signature is needed.
func (v *rangeVerifier) rootsHeld() bool {
	missing := func(p part) bool { return !p.held && !slices.Contains(v.anchors, p.Index) }
	return v.length <= v.head.length && !slices.ContainsFunc(v.roots, missing)
}

// continues says whether every root of the held tree is part of the proof: was
// hashed from the range, stands beside it, or is a root there, too. Their
// equality was checked with that of all held nodes.
func (v *rangeVerifier) continues() bool {
	for _, r := range v.head.nodes {
		if !v.tree.overlaps(r.Index) && v.beside(r.Index) == nil {
			return false
		}
	}
	return true
}

// anchored returns what is proved by held nodes above the range. The blocks that
// only another tree vouches for are left out, with all that follow.
func (v *rangeVerifier) anchored() Verified {
	next := v.tree.first
	anchors := v.anchors[:0]
	for _, index := range v.anchors {
		if flattree.LeftSpan(index) > next {
			break
		}
		next = min(flattree.RightSpan(index), v.tree.last) + 2
		anchors = append(anchors, index)
	}
	if len(anchors) == 0 {
		return Verified{Leaf: v.claim.Leaves[0]}
	}
	return v.proved((next-v.tree.first)/2, anchors, nil)
}

// proved returns the first count blocks with the nodes at and below tops, which
// go from left to right, and the roots if the tree grew.
func (v *rangeVerifier) proved(count uint64, tops []uint64, grown *Roots) Verified {
	res := Verified{InTree: true, Count: count, Leaf: v.claim.Leaves[0], Roots: grown}
	var left, right []Node
	for _, p := range v.outer {
		under := func(top uint64) bool { return flattree.LeftSpan(top) <= p.Index && p.Index <= flattree.RightSpan(top) }
		switch {
		case p.held || grown == nil && !slices.ContainsFunc(tops, under):
		case p.Index < v.tree.first:
			left = append(left, p.Node)
		default:
			right = append(right, p.Node)
		}
	}
	byIndex := func(a, b Node) int { return cmp.Compare(a.Index, b.Index) }
	slices.SortFunc(left, byIndex)
	slices.SortFunc(right, byIndex)
	res.Nodes = v.tree.collect(left, tops, v.within, right)
	return res
}
