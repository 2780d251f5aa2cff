package merkle

import (
	"fmt"
	"slices"

	"github.com/cobox-p2p/cobox-p2p/hypercore/flattree"
)

// rangeVerifier is one run of VerifyRange: the range is hashed upwards first,
// then compared with what is held, then the signature is checked.
type rangeVerifier struct {
	local  NodeReader
	head   Roots
	claim  *RangeClaim
	check  func(Hash, uint64) error
	tree   *rangeTree
	length uint64 // of the tree that the range is hashed in: the claim's, or else ours

	rest    []Node   // given nodes that have no use yet
	outer   []part   // nodes beside and above the range that tree has no place for
	tops    []uint64 // where the hashing ended, left to right
	roots   []part   // of the tree of length blocks; nil if the claim has no length
	anchors []uint64 // the highest held nodes above blocks of the range, left to right
	within  []uint64 // nodes of tree that are held, left to right
	dispute *rangeDispute
}

// rangeDispute is a claimed node whose hash differs from the held one's.
type rangeDispute struct{ ours, theirs Node }

func newRangeVerifier(local NodeReader, head Roots, c *RangeClaim, check func(Hash, uint64) error) (*rangeVerifier, error) {
	v := &rangeVerifier{local: local, head: head, claim: c, check: check, tree: c.tree, length: c.Length, rest: c.Nodes}
	if v.length == 0 {
		v.length = head.length
	}
	if c.Start+uint64(len(c.Leaves)) > v.length {
		return nil, fmt.Errorf("%w: %d blocks from %d of %d held", ErrProofShort, len(c.Leaves), c.Start, v.length)
	}
	if v.tree == nil || !v.tree.fits(c.Leaves) {
		v.tree = newRangeTree(c.Leaves, v.length)
	}
	v.outer = make([]part, 0, 2*len(c.Nodes)+8)
	return v, nil
}

// held returns the held node and true, or false when it is not held, which no
// node outside the tree of head is. An error is the store's.
func (v *rangeVerifier) held(index uint64) (Node, bool, error) {
	if !flattree.Within(index, v.head.length) {
		return Node{}, false, nil
	}
	for _, n := range v.head.nodes {
		if n.Index == index {
			return n, true, nil
		}
	}
	n, err := readNode(v.local, index)
	return n.Node, n.ok, err
}

// climb hashes the range upwards level by level, up to the roots of the tree, or
// to one held node above the whole range when no given node is left.
func (v *rangeVerifier) climb() error {
	lo, hi := v.tree.first/2, v.tree.last/2
	for depth := 0; ; depth++ {
		if last := flattree.Index(depth, hi); hi&1 == 0 && !flattree.Within(flattree.Sibling(last), v.length) {
			v.tops = append(v.tops, last)
			if lo == hi {
				break
			}
			hi--
		}
		if lo == hi && v.claim.Length == 0 && len(v.rest) == 0 {
			index := flattree.Index(depth, lo)
			_, ok, err := v.held(index)
			if err != nil {
				return err
			}
			if ok {
				v.tops = append(v.tops, index)
				break
			}
		}
		if err := v.widen(depth, lo, hi); err != nil {
			return err
		}
		lo, hi = lo/2, hi/2
		if err := v.parents(depth+1, lo, hi); err != nil {
			return err
		}
	}
	slices.Reverse(v.tops)
	return nil
}

// widen finds the siblings that the outermost nodes lo and hi of a level lack.
func (v *rangeVerifier) widen(depth int, lo, hi uint64) error {
	if lo&1 == 1 {
		if _, err := v.take(flattree.Index(depth, lo-1)); err != nil {
			return err
		}
	}
	if hi&1 == 0 {
		if _, err := v.take(flattree.Index(depth, hi+1)); err != nil {
			return err
		}
	}
	return nil
}

// take adds a node that is not hashed from the range: the next given one or a
// held one.
func (v *rangeVerifier) take(index uint64) (part, error) {
	ours, ok, err := v.held(index)
	if err != nil {
		return part{}, err
	}
	p := part{Node: ours, held: ok}
	switch {
	case len(v.rest) > 0 && v.rest[0].Index == index:
		p.Node, v.rest = v.rest[0], v.rest[1:]
		if ok {
			err = v.compare(ours, p.Node)
		}
	case !ok:
		err = fmt.Errorf("%w: %d", ErrProofShort, index)
	}
	v.outer = append(v.outer, p)
	return p, err
}

// parents hashes the nodes lo to hi of a level that span a block outside the
// range. Only the outermost two can.
func (v *rangeVerifier) parents(depth int, lo, hi uint64) error {
	if err := v.parent(flattree.Index(depth, lo)); err != nil || lo == hi {
		return err
	}
	return v.parent(flattree.Index(depth, hi))
}

func (v *rangeVerifier) parent(index uint64) error {
	if v.tree.covers(index) {
		return nil
	}
	l, r, _ := flattree.Children(index)
	left, right := v.node(l), v.node(r)
	if left.Size > MaxSize-right.Size {
		return fmt.Errorf("%w: node %d", ErrProofSize, index)
	}
	var n Node
	parentOf(left, right, &n)
	if v.tree.has(index) {
		*v.tree.at(index) = n
		return nil
	}
	v.outer = append(v.outer, part{Node: n})
	return nil
}

// node returns a node that was hashed or taken; it must be one.
func (v *rangeVerifier) node(index uint64) *Node {
	if v.tree.has(index) {
		return v.tree.at(index)
	}
	return &v.beside(index).Node
}

// beside returns a node of outer, or nil. The last ones are asked for most.
func (v *rangeVerifier) beside(index uint64) *part {
	for i := len(v.outer) - 1; i >= 0; i-- {
		if v.outer[i].Index == index {
			return &v.outer[i]
		}
	}
	return nil
}

// planRoots settles the roots of the claimed length: those that the range was
// hashed up to, the next given nodes, and held ones. No given node may be left.
func (v *rangeVerifier) planRoots() error {
	if v.claim.Length != 0 {
		var buf [maxRoots]uint64
		for _, index := range flattree.FullRoots(buf[:0], v.length) {
			p := part{}
			if v.tree.overlaps(index) {
				p.Node = *v.node(index)
			} else {
				var err error
				if p, err = v.take(index); err != nil {
					return err
				}
			}
			v.roots = append(v.roots, p)
		}
	}
	if len(v.rest) > 0 {
		return fmt.Errorf("%w: %d", ErrProofSpare, v.rest[0].Index)
	}
	return nil
}
