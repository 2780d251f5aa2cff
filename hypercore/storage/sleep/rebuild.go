package sleep

import (
	"github.com/cobox-p2p/cobox-p2p/hypercore/flattree"
	"github.com/cobox-p2p/cobox-p2p/hypercore/merkle"
)

// deriver computes nodes from those further down.
type deriver struct {
	f      *Feed
	blocks bool // leaves come from the blocks where these can be read
	buf    []byte
}

// derive returns node index as it follows from the stored nodes levels below it,
// or from the leaves when it isn't that high. offset is where its first block
// begins. What comes out is not proved by anything.
func (d *deriver) derive(index uint64, levels int, offset uint64) (merkle.Node, bool) {
	left, right, inner := flattree.Children(index)
	if levels == 0 || !inner {
		n, ok := d.f.node(index)
		if ok && !inner && d.blocks {
			if leaf, ok := d.leaf(index/2, offset, n.Size); ok {
				return leaf, true
			}
		}
		return n, ok
	}
	a, ok := d.derive(left, levels-1, offset)
	if !ok {
		return merkle.Node{}, false
	}
	b, ok := d.derive(right, levels-1, offset+a.Size)
	if !ok || a.Size > merkle.MaxSize-b.Size {
		return merkle.Node{}, false
	}
	return merkle.Parent(a, b), true
}

func (d *deriver) leaf(seq, offset, size uint64) (merkle.Node, bool) {
	b, err := d.f.read(offset, size, d.buf)
	if err != nil {
		return merkle.Node{}, false
	}
	d.buf = b
	return merkle.Leaf(seq, b), true
}

// leaf returns the node of the size bytes at offset as block seq.
func (f *Feed) leaf(seq, offset, size uint64) (merkle.Node, bool) {
	d := deriver{f: f}
	return d.leaf(seq, offset, size)
}

// splitter finds the children of a node that is proved.
type splitter struct {
	deriver
	parent      merkle.Node
	offset      uint64 // bytes before the parent's first block
	left, right merkle.Node
	score       int // how much speaks for left and right; 0: nothing found yet
}

// children returns the two nodes below parent, whose hash and size are proved and
// whose first block begins at offset. Where the stored ones don't fit, their
// sizes are corrected by each other, and they are recomputed from what lies below
// them. repaired says that they aren't as stored.
func (f *Feed) children(parent merkle.Node, offset uint64) (left, right merkle.Node, repaired, ok bool) {
	l, r, _ := flattree.Children(parent.Index)
	a, hasA := f.node(l)
	b, hasB := f.node(r)
	s := splitter{deriver: deriver{f: f}, parent: parent, offset: offset}
	if hasA && hasB && s.fits(a, b) {
		return a, b, false, true
	}
	if hasA && hasB {
		s.correctSizes(a, b)
	}
	if s.score == 0 && flattree.Depth(l) == 0 {
		s.fromBlocks(rootNode{a, hasA}, rootNode{b, hasB})
	}
	if s.score == 0 && flattree.Depth(l) > 0 {
		s.fromBelow(rootNode{a, hasA}, rootNode{b, hasB})
	}
	return s.left, s.right, true, s.score > 0
}

func (s *splitter) fits(a, b merkle.Node) bool {
	return a.Size <= s.parent.Size && b.Size == s.parent.Size-a.Size && merkle.Parent(a, b) == s.parent
}

// consider takes a and b if they fit and more speaks for them than for what was
// found before: a parent commits to the sum of their sizes only.
func (s *splitter) consider(a, b merkle.Node) {
	if !s.fits(a, b) {
		return
	}
	score := 1
	if s.confirmed(a, s.offset) {
		score++
	}
	if s.confirmed(b, s.offset+a.Size) {
		score++
	}
	if score > s.score {
		s.left, s.right, s.score = a, b, score
	}
}

// confirmed says whether n follows from what lies right below it.
func (s *splitter) confirmed(n merkle.Node, offset uint64) bool {
	if flattree.Depth(n.Index) == 0 {
		leaf, ok := s.leaf(n.Index/2, offset, n.Size)
		return ok && leaf == n
	}
	d := deriver{f: s.f}
	m, ok := d.derive(n.Index, 1, offset)
	return ok && m == n
}

// correctSizes takes the hashes as stored and one of the sizes from the other.
func (s *splitter) correctSizes(a, b merkle.Node) {
	if a.Size <= s.parent.Size {
		fixed := b
		fixed.Size = s.parent.Size - a.Size
		s.consider(a, fixed)
	}
	if b.Size <= s.parent.Size {
		fixed := a
		fixed.Size = s.parent.Size - b.Size
		s.consider(fixed, b)
	}
}

// fromBlocks recomputes one leaf or both from the blocks.
func (s *splitter) fromBlocks(a, b rootNode) {
	for _, size := range s.leftSizes(a, b) {
		x, okX := s.leaf(s.parent.Index/2, s.offset, size)
		y, okY := s.leaf(s.parent.Index/2+1, s.offset+size, s.parent.Size-size)
		a.Size, b.Size = size, s.parent.Size-size
		if okX && b.ok {
			s.consider(x, b.Node)
		}
		if a.ok && okY {
			s.consider(a.Node, y)
		}
		if okX && okY {
			s.consider(x, y)
		}
	}
}

// leftSizes returns the sizes that the left child may have.
func (s *splitter) leftSizes(a, b rootNode) (sizes []uint64) {
	if a.ok && a.Size <= s.parent.Size {
		sizes = append(sizes, a.Size)
	}
	if b.ok && b.Size <= s.parent.Size {
		sizes = append(sizes, s.parent.Size-b.Size)
	}
	return sizes
}

// fromBelow recomputes one inner node or both, from one level below them, then
// two, and so on down to the leaves, and at last from the blocks.
func (s *splitter) fromBelow(a, b rootNode) {
	left, right, _ := flattree.Children(s.parent.Index)
	depth := flattree.Depth(left)
	for levels := 1; levels <= depth+1 && s.score == 0; levels++ {
		s.blocks = levels > depth
		x, okX := s.derive(left, min(levels, depth), s.offset)
		leftSize := x.Size
		if !okX && b.ok {
			leftSize = s.parent.Size - min(b.Size, s.parent.Size)
		}
		y, okY := s.derive(right, min(levels, depth), s.offset+leftSize)
		if okX && b.ok {
			s.consider(x, b.Node)
		}
		if a.ok && okY {
			s.consider(a.Node, y)
		}
		if okX && okY {
			s.consider(x, y)
		}
	}
}
