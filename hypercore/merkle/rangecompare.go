package merkle

import (
	"fmt"

	"github.com/cobox-p2p/cobox-p2p/hypercore/flattree"
)

// compareBelow compares the nodes that were hashed from the range, at and below
// index, with what is held, and notes which are. It looks below a node of the
// held tree only when that is held itself. under says that index lies below a
// held node.
func (v *rangeVerifier) compareBelow(index uint64, under bool) error {
	if !v.tree.overlaps(index) || flattree.LeftSpan(index)/2 >= v.head.length || v.dispute != nil {
		return nil
	}
	held := flattree.Within(index, v.head.length)
	if held {
		ours, ok, err := v.held(index)
		if err != nil || !ok {
			return err
		}
		if err := v.compare(ours, *v.node(index)); err != nil {
			return err
		}
		if !under {
			v.anchors = append(v.anchors, index)
		}
	}
	left, right, parent := flattree.Children(index)
	if parent {
		if err := v.compareBelow(left, held || under); err != nil {
			return err
		}
	}
	if held {
		v.noteHeld(index)
	}
	if !parent {
		return nil
	}
	return v.compareBelow(right, held || under)
}

// noteHeld notes that a node hashed from the range is held. It is called in the
// order of indexes.
func (v *rangeVerifier) noteHeld(index uint64) {
	if v.tree.has(index) {
		v.within = append(v.within, index)
		return
	}
	v.beside(index).held = true
}

// compare notes a dispute if theirs isn't the node that is held. Equal hashes
// with different sizes are no dispute about the tree but a lie of the peer: the
// hash commits to the size.
func (v *rangeVerifier) compare(ours, theirs Node) error {
	if ours == theirs {
		return nil
	}
	if ours.Hash == theirs.Hash || len(v.claim.Signature) == 0 {
		return fmt.Errorf("%w: node %d", ErrProofContradicts, ours.Index)
	}
	if v.dispute == nil {
		v.dispute = &rangeDispute{ours: ours, theirs: theirs}
	}
	return nil
}

// judge finds out whether the writer's signature covers the disputed node. If
// so, the writer has forked the feed; if not, the peer has made it up. The
// evidence is that of a single node with its way up, as Verify gives it.
func (v *rangeVerifier) judge() error {
	bad := fmt.Errorf("%w: node %d", ErrProofContradicts, v.dispute.ours.Index)
	if _, err := NewRoots(nodesOf(v.roots)); err != nil {
		return bad
	}
	if err := v.checkSignature(); err != nil {
		return bad
	}
	e := &ForkError{Length: v.length, Roots: nodesOf(v.roots), Ours: v.dispute.ours, Theirs: v.dispute.theirs}
	for index := e.Theirs.Index; ; index = flattree.Parent(index) {
		sibling := flattree.Sibling(index)
		if !flattree.Within(sibling, v.length) {
			return e
		}
		e.Siblings = append(e.Siblings, *v.node(sibling))
	}
}
