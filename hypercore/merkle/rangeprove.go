package merkle

import (
	"fmt"
	"math/bits"
	"slices"

	"github.com/cobox-p2p/cobox-p2p/hypercore/flattree"
)

// Edges says which nodes on the ways up from the first and from the last block
// of a range a peer holds: two digests as Digest returns them. Zero edges stand
// for a peer that wants every node of the proof.
type Edges struct {
	Left  uint64 // from the first block
	Right uint64 // from the last block
}

// RangeEdges returns what a peer whose head has length blocks says with its
// request for count blocks from start about the nodes it holds. holds is asked
// for nodes of the tree of length blocks only, and must say true of its roots.
// Of a range that is empty or ends behind MaxLength nothing is said. See
// interop/spec/feed.md, "Ranges".
func RangeEdges(holds func(index uint64) bool, start, count, length uint64) Edges {
	if count == 0 || start >= MaxLength || count > MaxLength-start {
		return Edges{}
	}
	e := Edges{Left: Digest(holds, start, length)}
	if e.Right = e.Left; count > 1 {
		e.Right = Digest(holds, start+count-1, length)
	}
	return e
}

// RangeAsked is a peer's request for Count blocks from Start. Nothing in it is
// trusted: values that make no sense only cost the asker its proof.
type RangeAsked struct {
	Start, Count uint64
	Length       uint64 // of the asker's head
	Edges
}

// RangeProof is the nodes that prove consecutive blocks to a peer.
type RangeProof struct {
	// Nodes are, level by level from the leaves upwards, the sibling left of the
	// range and then that right of it; then the other roots from left to right;
	// without what the asker holds. The slice belongs to the caller.
	Nodes []Node
	// Length, if not 0, says that the proof ends in the roots of a tree of
	// Length blocks, whose signature must go with it. If 0, it ends at nodes
	// that the asker holds, and no signature is needed.
	Length uint64
}

// ProveRange returns the nodes that prove the first count of the blocks that
// asked names, out of the stored tree of length blocks. It needs 0 < count <=
// asked.Count and asked.Start+count <= length <= MaxLength, and returns
// ErrNoNode when a node that belongs to the proof is not stored. When count is
// less than was asked, the right edge says nothing. See interop/spec/feed.md,
// "Ranges".
func ProveRange(r NodeReader, length, count uint64, asked RangeAsked) (RangeProof, error) {
	if length > MaxLength || asked.Start >= length || count == 0 || count > length-asked.Start || count > asked.Count {
		return RangeProof{}, fmt.Errorf("prove %d blocks from %d of %d: out of range", count, asked.Start, length)
	}
	w := newWayUp(length, count, asked)
	want, ends := w.missing()
	p := RangeProof{Nodes: make([]Node, 0, len(want)), Length: ends}
	for _, index := range want {
		n, err := r.Node(index)
		if err != nil {
			return RangeProof{}, fmt.Errorf("prove with node %d: %w", index, err)
		}
		p.Nodes = append(p.Nodes, n)
	}
	return p, nil
}

// noDepth is the depth of no node.
const noDepth = maxRoots

// rangeEdge is the way up from the first or the last block of a range.
type rangeEdge struct {
	seq  uint64
	held []uint64 // nodes beside the way that the asker holds
	top  int      // depth of the lowest node on the way that the asker holds, or noDepth
}

// rangeWay is both ways up from a range, in the tree of length blocks.
type rangeWay struct {
	length      uint64
	asker       uint64 // blocks of the asker's tree, whose roots it holds
	left, right rangeEdge
}

func newWayUp(length, count uint64, asked RangeAsked) *rangeWay {
	w := &rangeWay{length: length}
	if asked.Edges != (Edges{}) {
		w.asker = asked.Length
	}
	first, last := asked.Start, asked.Start+count-1
	w.left = w.edge(first, asked.Left)
	if count == asked.Count {
		w.right = w.edge(last, asked.Right)
		return w
	}
	// The right edge says nothing of this block. Where both ways have become
	// one, the left edge says it; who holds a node below holds that one, too.
	w.right = w.edge(last, 0)
	w.right.held = w.left.held
	if w.left.top == noDepth {
		return w
	}
	top := max(w.left.top, bits.Len64(first^last))
	if flattree.Within(flattree.Index(top, last>>top), w.asker) {
		w.lower(&w.right, top)
	}
	return w
}

// edge says what an asker holds who sent digest.
func (w *rangeWay) edge(seq, digest uint64) rangeEdge {
	e := rangeEdge{seq: seq, held: asked(2*seq, w.length, digest), top: noDepth}
	if digest&1 == 1 {
		w.lower(&e, max(bits.Len64(digest)-2, 0))
	}
	if seq < w.asker {
		w.lower(&e, rootDepth(seq, w.asker))
	}
	return e
}

// lower notes that the asker holds the node at depth above e.seq, if the tree
// has it.
func (w *rangeWay) lower(e *rangeEdge, depth int) {
	if depth < e.top && flattree.Within(flattree.Index(depth, e.seq>>depth), w.length) {
		e.top = depth
	}
}

// rootDepth returns the depth of the root above block seq < length: the highest
// bit in which they differ is that of the root's size.
func rootDepth(seq, length uint64) int { return bits.Len64(seq^length) - 1 }

// missing returns the nodes that the asker lacks. The second value is 0 if they
// lead up to nodes that it holds, else the length of the tree.
func (w *rangeWay) missing() (want []uint64, length uint64) {
	held := w.left.top != noDepth && w.right.top != noDepth
	leftTop, rightTop := min(w.left.top, rootDepth(w.left.seq, w.length)), rootDepth(w.right.seq, w.length)
	if held {
		rightTop = w.right.top
	}
	for depth := range max(leftTop, rightTop) {
		if k := w.left.seq >> depth; depth < leftTop && k&1 == 1 {
			want = w.left.need(want, flattree.Index(depth, k-1))
		}
		if k := w.right.seq >> depth; depth < rightTop && k&1 == 0 {
			want = w.right.need(want, flattree.Index(depth, k+1))
		}
	}
	if held {
		return want, 0
	}
	return w.otherRoots(want), w.length
}

// otherRoots appends the roots beside the range that the asker lacks. Who holds
// a node above the first block holds all roots left of it.
func (w *rangeWay) otherRoots(want []uint64) []uint64 {
	var buf [maxRoots]uint64
	for _, root := range flattree.FullRoots(buf[:0], w.length) {
		switch {
		case flattree.RightSpan(root) < 2*w.left.seq && w.left.top == noDepth:
			want = w.left.need(want, root)
		case flattree.LeftSpan(root) > 2*w.right.seq:
			want = w.right.need(want, root)
		}
	}
	return want
}

// need appends index to want unless the asker holds it.
func (e *rangeEdge) need(want []uint64, index uint64) []uint64 {
	if slices.Contains(e.held, index) {
		return want
	}
	return append(want, index)
}
