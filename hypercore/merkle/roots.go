package merkle

import (
	"errors"
	"fmt"
	"slices"

	"github.com/cobox-p2p/cobox-p2p/hypercore/flattree"
)

// Limits of a tree. Every number of the format must fit the integers that
// JavaScript holds exactly.
const (
	// MaxSize is the largest size in bytes, and the largest node index.
	MaxSize = 1<<53 - 1
	// MaxLength is the largest length in blocks: that of the longest tree
	// whose leaves have an index of at most MaxSize.
	MaxLength = 1 << 52
	// maxRoots is how many roots a tree can have, rounded up to the bits of
	// its limits.
	maxRoots = 53
)

// ErrRoots is returned for nodes that aren't the roots of any tree.
var ErrRoots = errors.New("merkle: not the roots of a tree")

// Roots is the roots of a tree, all that is needed to make it grow. The zero
// value is the empty tree. A plain copy shares memory with its original: one of
// the two may be appended to only when the other is not used any more. Clone
// makes an independent copy.
type Roots struct {
	nodes  []Node // left to right
	length uint64 // blocks
	size   uint64 // bytes
}

// NewRoots returns the tree that has exactly the given roots, left to right. It
// returns ErrRoots when there is no such tree or when its size is over MaxSize.
// The slice is copied.
func NewRoots(nodes []Node) (Roots, error) {
	if len(nodes) == 0 {
		return Roots{}, nil
	}
	last := nodes[len(nodes)-1].Index
	if len(nodes) > maxRoots || last > MaxSize {
		return Roots{}, fmt.Errorf("%w: beyond the limits", ErrRoots)
	}
	length := flattree.RightSpan(last)/2 + 1
	if length > MaxLength {
		return Roots{}, fmt.Errorf("%w: beyond the limits", ErrRoots)
	}
	var buf [maxRoots]uint64
	want := flattree.FullRoots(buf[:0], length)
	if len(want) != len(nodes) {
		return Roots{}, fmt.Errorf("%w: %d nodes for %d blocks", ErrRoots, len(nodes), length)
	}
	size := uint64(0)
	for i, n := range nodes {
		if n.Index != want[i] {
			return Roots{}, fmt.Errorf("%w: node %d in place of %d", ErrRoots, n.Index, want[i])
		}
		if n.Size > MaxSize-size {
			return Roots{}, fmt.Errorf("%w: too many bytes", ErrRoots)
		}
		size += n.Size
	}
	return Roots{nodes: slices.Clone(nodes), length: length, size: size}, nil
}

// LoadRoots reads the roots of the stored tree of length blocks. It returns
// ErrNoNode when one isn't stored, and ErrRoots when they can't be the roots of
// a tree or length is over MaxLength.
func LoadRoots(r NodeReader, length uint64) (Roots, error) {
	if length > MaxLength {
		return Roots{}, fmt.Errorf("%w: %d blocks", ErrRoots, length)
	}
	var buf [maxRoots]uint64
	indexes := flattree.FullRoots(buf[:0], length)
	nodes := make([]Node, 0, len(indexes))
	for _, index := range indexes {
		n, err := r.Node(index)
		if err != nil {
			return Roots{}, fmt.Errorf("load root %d: %w", index, err)
		}
		nodes = append(nodes, n)
	}
	return NewRoots(nodes)
}

// Length returns the number of blocks below the roots.
func (r *Roots) Length() uint64 { return r.length }

// Size returns the bytes of all blocks below the roots.
func (r *Roots) Size() uint64 { return r.size }

// Nodes returns a copy of the roots, left to right.
func (r *Roots) Nodes() []Node { return slices.Clone(r.nodes) }

// Clone returns a copy that shares no memory.
func (r *Roots) Clone() Roots {
	return Roots{nodes: slices.Clone(r.nodes), length: r.length, size: r.size}
}

// Hash returns the root hash, which a head's signature covers.
func (r *Roots) Hash() Hash { return RootHash(r.nodes) }

// Append makes the tree one block longer and appends to dst what the tree
// gained: the leaf, then the parents that it completed, from the bottom up. It
// panics unless the leaf's index is 2*Length() and the tree stays within
// MaxLength and MaxSize, which a caller who takes blocks from outside checks
// first.
func (r *Roots) Append(leaf Node, dst []Node) []Node {
	if leaf.Index != 2*r.length || r.length >= MaxLength || leaf.Size > MaxSize-r.size {
		panic("merkle: leaf doesn't extend the tree")
	}
	r.nodes = append(r.nodes, leaf)
	dst = append(dst, leaf)
	for {
		k := len(r.nodes) - 1
		if k == 0 || r.nodes[k-1].Index != flattree.Sibling(r.nodes[k].Index) {
			break
		}
		r.nodes[k-1] = Parent(r.nodes[k-1], r.nodes[k])
		r.nodes = r.nodes[:k]
		dst = append(dst, r.nodes[k-1])
	}
	r.length++
	r.size += leaf.Size
	return dst
}
