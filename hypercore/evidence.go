package hypercore

import (
	"errors"
	"fmt"

	"github.com/cobox-p2p/cobox-p2p/hypercore/flattree"
	"github.com/cobox-p2p/cobox-p2p/hypercore/merkle"
)

// ErrEvidence says that an evidence proves no fork of that feed.
var ErrEvidence = errors.New("hypercore: no evidence of a fork")

// SignedHead is what a feed's writer signed about one length in blocks. Other
// than a Head, it says nothing of bytes.
type SignedHead struct {
	Length    uint64
	RootHash  merkle.Hash
	Signature Signature // over root hash and length; see Signable
}

// Signed returns the part of the head that its signature covers, with it.
func (h Head) Signed() SignedHead { return SignedHead{h.Length, h.RootHash, h.Signature} }

// Verify returns nil when the feed of key has signed the head.
func (h SignedHead) Verify(key Key) error {
	return key.Verify(Signable(h.RootHash, h.Length), h.Signature)
}

// Statement is a signed head, and perhaps one node of its tree with the way from
// it to a root.
type Statement struct {
	SignedHead
	// Roots are those of the tree, left to right; nil when only the head is
	// known. Then Node and Siblings mean nothing.
	Roots []merkle.Node
	Node  merkle.Node
	// Siblings hash Node up to one of Roots, from the bottom upwards.
	Siblings []merkle.Node
}

// ForkEvidence is two statements of one feed's writer that contradict each
// other: two root hashes of one length, or two hashes of one node. Anybody who
// has the feed's key can check it; see interop/spec/feed.md, "Fork". Its slices
// are not changed by anybody.
type ForkEvidence struct {
	Ours   Statement // of the tree that was held where the fork was found
	Theirs Statement
}

// Error says what the statements disagree on. An evidence is an error that
// matches ErrForked.
func (e *ForkEvidence) Error() string {
	if e.differInHead() {
		return fmt.Sprintf("%v: two root hashes of %d blocks are signed", ErrForked, e.Ours.Length)
	}
	return fmt.Sprintf("%v: node %d differs between signed trees of %d and %d blocks",
		ErrForked, e.Ours.Node.Index, e.Ours.Length, e.Theirs.Length)
}

// Is makes the evidence match ErrForked.
func (e *ForkEvidence) Is(target error) bool { return target == ErrForked }

func (e *ForkEvidence) differInHead() bool {
	return e.Ours.Length == e.Theirs.Length && e.Ours.RootHash != e.Theirs.RootHash
}

// Verify returns nil when the feed of key has signed both statements and they
// contradict each other, which takes nothing but the key. Else it returns
// ErrEvidence with what is wrong.
func (e *ForkEvidence) Verify(key Key) error {
	for _, s := range []*Statement{&e.Ours, &e.Theirs} {
		if err := s.verify(key); err != nil {
			return fmt.Errorf("%w: tree of %d blocks: %w", ErrEvidence, s.Length, err)
		}
	}
	ours, theirs := &e.Ours, &e.Theirs
	switch {
	case e.differInHead():
		return nil
	case len(ours.Roots) == 0 || len(theirs.Roots) == 0:
		return fmt.Errorf("%w: no node of both trees", ErrEvidence)
	case ours.Node.Index != theirs.Node.Index:
		return fmt.Errorf("%w: nodes %d and %d can't be compared", ErrEvidence, ours.Node.Index, theirs.Node.Index)
	case ours.Node.Hash == theirs.Node.Hash:
		return fmt.Errorf("%w: the trees agree on node %d", ErrEvidence, ours.Node.Index)
	}
	return nil
}

// verify checks all that one statement says.
func (s *Statement) verify(key Key) error {
	if s.Length == 0 || s.Length > merkle.MaxLength {
		return errors.New("not a length that is signed")
	}
	if err := s.SignedHead.Verify(key); err != nil {
		return err
	}
	if len(s.Roots) == 0 {
		return nil
	}
	roots, err := merkle.NewRoots(s.Roots)
	if err != nil {
		return err
	}
	if roots.Length() != s.Length || roots.Hash() != s.RootHash {
		return errors.New("its roots are not those that are signed")
	}
	return s.verifyPath()
}

// verifyPath hashes the node up to a root. Only hashes count: a parent's hash
// says nothing of the sizes of its children.
func (s *Statement) verifyPath() error {
	if !flattree.Within(s.Node.Index, s.Length) {
		return fmt.Errorf("node %d is not of the tree", s.Node.Index)
	}
	top := s.Node
	for _, n := range s.Siblings {
		if n.Index != flattree.Sibling(top.Index) || !flattree.Within(n.Index, s.Length) {
			return fmt.Errorf("node %d does not lead to a root", n.Index)
		}
		if n.Size > merkle.MaxSize || top.Size > merkle.MaxSize-n.Size {
			return fmt.Errorf("node %d is too large", n.Index)
		}
		top = merkle.Parent(top, n)
	}
	for _, r := range s.Roots {
		if r.Index == top.Index && r.Hash == top.Hash {
			return nil
		}
	}
	return fmt.Errorf("node %d is not below its roots", s.Node.Index)
}
