package merkle

import (
	"math/bits"

	"github.com/cobox-p2p/cobox-p2p/hypercore/flattree"
)

// rangeTree is the nodes between the first and the last leaf of a range in the
// order of their indexes, which is the order in which they are stored: nodes[i]
// has index first+i. Those that span a block outside the range are filled in
// while the range is verified, if at all; until then they are zero.
type rangeTree struct {
	first, last uint64 // indexes of leaves
	// room has space for what lies left of the range, then nodes, then capacity
	// for what lies right of it, so that all of it becomes one slice.
	room  []Node
	nodes []Node
}

// newRangeTree returns the tree over leaves, which are consecutive, with every
// node that these alone give.
func newRangeTree(leaves []Node, length uint64) *rangeTree {
	start, count := leaves[0].Index/2, uint64(len(leaves))
	t := &rangeTree{first: 2 * start, last: 2 * (start + count - 1)}
	// Each bit of start that is set stands for one node left of the range and for
	// one above it that has an index left of it, too.
	left := 2 * bits.OnesCount64(start)
	inner := 2*len(leaves) - 1
	t.room = make([]Node, left+inner, left+inner+2*bits.Len64(max(length, start+count)))
	t.nodes = t.room[left:]
	for i := range leaves {
		t.nodes[2*i] = leaves[i]
	}
	for depth := 1; ; depth++ {
		half := uint64(1) << (depth - 1)
		k, end := (start+2*half-1)>>depth, (start+count)>>depth
		if k >= end {
			return t
		}
		for i := flattree.Index(depth, k) - t.first; k < end; k++ {
			parentOf(&t.nodes[i-half], &t.nodes[i+half], &t.nodes[i])
			i += 4 * half
		}
	}
}

// has says whether index lies between the first and the last leaf.
func (t *rangeTree) has(index uint64) bool { return t.first <= index && index <= t.last }

// at returns the place of a node that has says true of.
func (t *rangeTree) at(index uint64) *Node { return &t.nodes[index-t.first] }

// overlaps says whether a block of the range lies at or below index.
func (t *rangeTree) overlaps(index uint64) bool {
	return flattree.RightSpan(index) >= t.first && flattree.LeftSpan(index) <= t.last
}

// covers says whether only blocks of the range lie at or below index.
func (t *rangeTree) covers(index uint64) bool {
	return flattree.LeftSpan(index) >= t.first && flattree.RightSpan(index) <= t.last
}

// fits says whether the tree was made over as many leaves, and is still whole.
func (t *rangeTree) fits(leaves []Node) bool { return len(t.nodes) == 2*len(leaves)-1 }

// collect returns left, the nodes of the tree that lie at or below tops, which
// go from left to right and were all hashed, without those of held, which go
// from left to right, and right. It reuses the memory of the tree, which is
// empty afterwards.
func (t *rangeTree) collect(left []Node, tops, held []uint64, right []Node) []Node {
	inner := t.nodes[:0]
	keep := func(from, to uint64) {
		if run := t.nodes[from-t.first : to-t.first]; uint64(len(inner)) < from-t.first {
			inner = append(inner, run...)
		} else {
			inner = t.nodes[:to-t.first] // nothing was left out before
		}
	}
	for _, top := range tops {
		next, end := max(flattree.LeftSpan(top), t.first), min(flattree.RightSpan(top), t.last)+1
		for len(held) > 0 && held[0] < end {
			if held[0] >= next {
				keep(next, held[0])
				next = held[0] + 1
			}
			held = held[1:]
		}
		keep(next, end)
	}
	gap := len(t.room) - len(t.nodes) - len(left)
	all := append(t.room[:gap+len(left)+len(inner)], right...)[gap:]
	copy(all, left)
	t.nodes, t.room = nil, nil
	return all
}
