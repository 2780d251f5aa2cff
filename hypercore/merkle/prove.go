package merkle

import (
	"fmt"
	"slices"

	"github.com/cobox-p2p/cobox-p2p/hypercore/flattree"
)

// Proof is the nodes that prove one block to a peer.
type Proof struct {
	// Nodes are the leaf itself when it was asked for, then the siblings from
	// the leaf upwards, then the other roots from left to right, without what
	// the asker holds. The slice belongs to the caller.
	Nodes []Node
	// Length, if not 0, says that the proof ends in the roots of a tree of
	// Length blocks, whose signature must go with it. If 0, it ends at a node
	// that the asker holds, and no signature is needed.
	Length uint64
}

// Prove returns the nodes that prove block seq of the stored tree of length
// blocks to a peer that sent digest with its request; see Digest. With hash, the
// leaf itself goes first, in place of the block. It needs seq < length <=
// MaxLength and returns ErrNoNode when a node that belongs to the proof is not
// stored. No digest is refused: bits that make no sense are passed over. The
// nodes and their order are those of hypercore 9, see interop/spec/feed.md.
func Prove(r NodeReader, length, seq, digest uint64, hash bool) (Proof, error) {
	if seq >= length || length > MaxLength {
		return Proof{}, fmt.Errorf("prove block %d of %d: out of range", seq, length)
	}
	return proveIndex(r, length, 2*seq, digest, hash)
}

// proveIndex is Prove for any node of the tree.
func proveIndex(r NodeReader, length, index, digest uint64, hash bool) (Proof, error) {
	var p Proof
	var want []uint64
	if hash {
		want = append(want, index)
	}
	if digest != 1 {
		want, p.Length = missing(want, length, index, asked(index, length, digest))
	}
	p.Nodes = make([]Node, 0, len(want))
	for _, index := range want {
		n, err := r.Node(index)
		if err != nil {
			return Proof{}, fmt.Errorf("prove with node %d: %w", index, err)
		}
		p.Nodes = append(p.Nodes, n)
	}
	return p, nil
}

// missing appends to want the nodes on the way from index to a node that the
// asker holds, and returns 0, or to a root, and returns length. has are the nodes
// that the asker holds.
func missing(want []uint64, length, index uint64, has []uint64) ([]uint64, uint64) {
	for !slices.Contains(has, index) {
		sibling := flattree.Sibling(index)
		if !flattree.Within(sibling, length) {
			for _, root := range flattree.FullRoots(nil, length) {
				if root != index && !slices.Contains(has, root) {
					want = append(want, root)
				}
			}
			return want, length
		}
		if !slices.Contains(has, sibling) {
			want = append(want, sibling)
		}
		index = flattree.Parent(index)
	}
	return want, 0
}

// asked returns the nodes of the tree of length blocks that the sender of
// digest holds, as far as they matter for the way up from index.
func asked(index, length, digest uint64) []uint64 {
	var has []uint64
	note := func(index uint64) {
		if flattree.Within(index, length) {
			has = append(has, index)
		}
	}
	top := digest&1 == 1
	for digest >>= 1; digest != 0 && index <= MaxSize; digest >>= 1 {
		if digest == 1 && top {
			note(index)
			// Who holds a node above the block holds all roots left of it.
			left := min(index, flattree.Sibling(index))
			for _, root := range flattree.FullRoots(nil, flattree.RightSpan(left)/2+1) {
				note(root)
			}
			return has
		}
		if digest&1 == 1 {
			note(flattree.Sibling(index))
		}
		index = flattree.Parent(index)
	}
	return has
}
