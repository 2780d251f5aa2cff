package merkle

import (
	"fmt"
	"slices"
)

// ForkError is the evidence that a writer signed a tree that contradicts the
// one held: Theirs, hashed together with Siblings one after the other, gives one
// of Roots; the signature that came with the claim covers Roots and Length; and
// Ours, of the same index and another hash, belongs to the held tree. It matches
// ErrProofFork.
type ForkError struct {
	Length       uint64 // blocks of their tree
	Roots        []Node // of their tree, left to right
	Siblings     []Node // from Theirs upwards
	Ours, Theirs Node
}

// Error names the node in dispute.
func (e *ForkError) Error() string {
	return fmt.Sprintf("%v: node %d differs in a signed tree of %d blocks", ErrProofFork, e.Ours.Index, e.Length)
}

// Is makes the error match ErrProofFork.
func (e *ForkError) Is(target error) bool { return target == ErrProofFork }

// dispute is a claimed node whose hash differs from the held one's.
type dispute struct {
	ours, theirs Node
	place        place
	level        int // of the path or of siblings
}

type place byte

const (
	onPath place = iota
	atSibling
	atRoot
)

// compare notes a dispute if theirs isn't the node that is held. Equal hashes
// with different sizes are no dispute about the tree but a lie of the peer: the
// hash commits to the size.
func (v *verifier) compare(ours, theirs Node, at place, level int) error {
	if ours == theirs {
		return nil
	}
	if ours.Hash == theirs.Hash || len(v.claim.Signature) == 0 {
		return fmt.Errorf("%w: node %d", ErrProofContradicts, ours.Index)
	}
	if v.dispute == nil {
		v.dispute = &dispute{ours: ours, theirs: theirs, place: at, level: level}
	}
	return nil
}

// judge finds out whether the writer's signature covers the disputed node. If
// so, the writer has forked the feed; if not, the peer has made it up.
func (v *verifier) judge() error {
	d := v.dispute
	bad := fmt.Errorf("%w: node %d", ErrProofContradicts, d.ours.Index)
	if v.roots == nil {
		if v.planRoots() != nil {
			return bad
		}
		v.settle()
	}
	if _, err := v.grown(); err != nil {
		return bad
	}
	if err := v.check(); err != nil {
		return bad
	}
	return &ForkError{
		Length:   v.length,
		Roots:    nodesOf(v.roots),
		Siblings: v.wayUp(d),
		Ours:     d.ours,
		Theirs:   d.theirs,
	}
}

// wayUp returns the nodes with which the disputed one is hashed up to a root.
func (v *verifier) wayUp(d *dispute) []Node {
	switch d.place {
	case onPath:
		return nodesOf(v.siblings[d.level:])
	case atSibling:
		return slices.Concat([]Node{v.path[d.level].Node}, nodesOf(v.siblings[d.level+1:]))
	}
	return nil
}
