package merkle

import (
	"fmt"

	"github.com/cobox-p2p/cobox-p2p/hypercore/flattree"
)

// part is one node that a proof rests on.
type part struct {
	Node
	held bool // a node of this index is held, and this one equals it
}

// verifier is one run of Verify: first the shape of the proof is settled by
// indexes alone, then it is hashed, then the signature is checked.
type verifier struct {
	held           heldTree
	claim          *Claim
	checkSignature func(Hash, uint64) error

	path     []part // from the leaf upwards; before hashing, held nodes are as held and others empty
	siblings []part // path[i+1] is the parent of path[i] and siblings[i]
	rest     []Node // given nodes that have no use yet
	roots    []part // of the tree of length blocks; nil if the proof ends at a held node
	length   uint64
	dispute  *dispute
}

// newVerifier makes room for a path of the length that the claim suggests.
func newVerifier(local NodeReader, head Roots, c *Claim, checkSignature func(Hash, uint64) error) verifier {
	levels := len(c.Nodes) + 2
	return verifier{
		held:           heldTree{local: local, head: head, seen: make([]heldNode, 0, 2*levels)},
		claim:          c,
		checkSignature: checkSignature,
		path:           make([]part, 0, levels),
		siblings:       make([]part, 0, levels),
	}
}

// top returns the end of the path.
func (v *verifier) top() *part { return &v.path[len(v.path)-1] }

// climb settles the path: up from the leaf as long as there is a sibling, and
// not past a held node when no given node is left.
func (v *verifier) climb() error {
	v.rest = v.claim.Nodes
	if !v.claim.HasBlock {
		v.rest = v.rest[1:]
	}
	anchored := false
	for index := 2 * v.claim.Seq; ; index = flattree.Parent(index) {
		ours, ok, err := v.held.node(index)
		if err != nil {
			return err
		}
		ours.Index = index
		v.path = append(v.path, part{Node: ours, held: ok})
		anchored = anchored || ok
		if ok && len(v.rest) == 0 {
			return nil
		}
		found, err := v.takeSibling(flattree.Sibling(index), anchored)
		if err != nil || !found {
			return err
		}
	}
}

// takeSibling adds the sibling of the path's top, given or held. Above a held
// node, a held right sibling isn't taken: the claim may be about an older, shorter
// tree, which doesn't have it; a left one is in each tree that has the top.
func (v *verifier) takeSibling(index uint64, anchored bool) (bool, error) {
	if !flattree.Within(index, MaxLength) {
		return false, nil
	}
	if len(v.rest) > 0 && v.rest[0].Index == index {
		p, err := v.takeGiven(atSibling, len(v.siblings))
		v.siblings = append(v.siblings, p)
		return true, err
	}
	if anchored && index > v.top().Index {
		return false, nil
	}
	ours, ok, err := v.held.node(index)
	if ok {
		v.siblings = append(v.siblings, part{Node: ours, held: true})
	}
	return ok, err
}

// takeGiven uses the next given node.
func (v *verifier) takeGiven(at place, level int) (part, error) {
	n := v.rest[0]
	v.rest = v.rest[1:]
	ours, ok, err := v.held.node(n.Index)
	if err != nil {
		return part{}, err
	}
	if ok {
		err = v.compare(ours, n, at, level)
	}
	return part{Node: n, held: ok}, err
}

// needsRoots says whether the proof goes on behind its path.
func (v *verifier) needsRoots() bool { return !v.top().held || len(v.rest) > 0 }

// planRoots settles the roots of the tree that the claim is about: its last
// block is the last one below the path or below the last given node.
func (v *verifier) planRoots() error {
	top := v.top().Index
	end := flattree.RightSpan(top)
	if len(v.rest) > 0 {
		end = max(end, flattree.RightSpan(v.rest[len(v.rest)-1].Index))
	}
	v.length = end/2 + 1
	covered := false
	var buf [maxRoots]uint64
	for _, index := range flattree.FullRoots(buf[:0], v.length) {
		p, err := v.root(index)
		if err != nil {
			return err
		}
		v.roots = append(v.roots, p)
		covered = covered || index == top
	}
	if !covered {
		return fmt.Errorf("%w: %d", ErrProofShort, flattree.Sibling(top))
	}
	if len(v.rest) > 0 {
		return fmt.Errorf("%w: %d", ErrProofSpare, v.rest[0].Index)
	}
	return nil
}

// root finds one root: the top of the path, a given node or a held one.
func (v *verifier) root(index uint64) (part, error) {
	if top := v.top(); top.Index == index {
		return *top, nil
	}
	if len(v.rest) > 0 && v.rest[0].Index == index {
		return v.takeGiven(atRoot, 0)
	}
	ours, ok, err := v.held.node(index)
	if err != nil {
		return part{}, err
	}
	if !ok {
		return part{}, fmt.Errorf("%w: %d", ErrProofShort, index)
	}
	return part{Node: ours, held: true}, nil
}

// hash computes the path and compares it with what is held.
func (v *verifier) hash() error {
	var n Node
	if v.claim.HasBlock {
		if uint64(len(v.claim.Block)) > MaxSize {
			return fmt.Errorf("%w: block", ErrProofSize)
		}
		n = Leaf(v.claim.Seq, v.claim.Block)
	} else {
		n = v.claim.Nodes[0]
	}
	for i := range v.path {
		if i > 0 {
			sibling := v.siblings[i-1].Node
			if n.Size > MaxSize-sibling.Size {
				return fmt.Errorf("%w: node %d", ErrProofSize, v.path[i].Index)
			}
			n = Parent(n, sibling)
		}
		if p := &v.path[i]; p.held {
			if err := v.compare(p.Node, n, onPath, i); err != nil {
				return err
			}
		}
		v.path[i].Node = n
	}
	v.settle()
	return nil
}

// settle gives the roots the computed top.
func (v *verifier) settle() {
	for i := range v.roots {
		if v.roots[i].Index == v.top().Index {
			v.roots[i].Node = v.top().Node
		}
	}
}
