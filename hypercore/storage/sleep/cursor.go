package sleep

import (
	"slices"

	"github.com/cobox-p2p/cobox-p2p/hypercore"
	"github.com/cobox-p2p/cobox-p2p/hypercore/flattree"
	"github.com/cobox-p2p/cobox-p2p/hypercore/merkle"
)

// cursor goes down the tree from its signed roots to one leaf after another, and
// remembers the way. All on it is proved by what is above it.
type cursor struct {
	f          *Feed
	roots      []merkle.Node
	levels     []level // from a root to a leaf
	recomputed uint64  // nodes that weren't as stored
	rootsKnown bool    // the feed copied to holds the roots
}

type level struct {
	node    merkle.Node
	sibling merkle.Node // none at the first level
	offset  uint64      // byte at which the first block of node begins
	known   bool        // the feed copied to holds node and sibling; unused at the first level
}

func newCursor(f *Feed) *cursor {
	return &cursor{f: f, roots: f.roots.Nodes(), recomputed: uint64(f.recomputed)}
}

// seek goes to the leaf of block seq, which is below the length. When there are
// no fitting nodes, ok is false and lost the blocks around it that can't be
// reached.
func (c *cursor) seek(seq uint64) (lost hypercore.Span, ok bool) {
	c.rise(2 * seq)
	for {
		at := &c.levels[len(c.levels)-1]
		if at.node.Index == 2*seq {
			return hypercore.Span{}, true
		}
		left, right, repaired, ok := c.f.children(at.node, at.offset)
		if !ok {
			return hypercore.Span{
				Start: flattree.LeftSpan(at.node.Index) / 2, Count: flattree.Blocks(at.node.Index),
			}, false
		}
		if repaired {
			c.recomputed++
		}
		next := level{node: left, sibling: right, offset: at.offset}
		if !flattree.Spans(left.Index, 2*seq) {
			next = level{node: right, sibling: left, offset: at.offset + left.Size}
		}
		c.levels = append(c.levels, next)
	}
}

// rise leaves what doesn't lie above leaf.
func (c *cursor) rise(leaf uint64) {
	for len(c.levels) > 0 {
		at := &c.levels[len(c.levels)-1]
		if flattree.Spans(at.node.Index, leaf) {
			return
		}
		if len(c.levels) > 1 && flattree.Spans(at.sibling.Index, leaf) {
			c.turn(at)
			return
		}
		c.levels = c.levels[:len(c.levels)-1]
	}
	offset := uint64(0)
	for _, root := range c.roots {
		if flattree.Spans(root.Index, leaf) {
			c.levels = append(c.levels, level{node: root, offset: offset})
			return
		}
		offset += root.Size
	}
	panic("sleep: block behind the head")
}

// turn goes to the sibling.
func (c *cursor) turn(at *level) {
	if at.node.Index < at.sibling.Index {
		at.offset += at.node.Size
	} else {
		at.offset -= at.sibling.Size
	}
	at.node, at.sibling = at.sibling, at.node
}

// leaf returns the leaf and where its block begins.
func (c *cursor) leaf() (merkle.Node, uint64) {
	at := c.levels[len(c.levels)-1]
	return at.node, at.offset
}

// proof appends to dst the siblings from the leaf up to a level that is known,
// or up to the root and then the other roots. whole says the latter.
func (c *cursor) proof(dst []merkle.Node) (nodes []merkle.Node, whole bool) {
	for _, at := range slices.Backward(c.levels[1:]) {
		if at.known {
			return dst, false
		}
		dst = append(dst, at.sibling)
	}
	if c.rootsKnown {
		return dst, false
	}
	for _, root := range c.roots {
		if root.Index != c.levels[0].node.Index {
			dst = append(dst, root)
		}
	}
	return dst, true
}

// learned notes that the roots and all on the way are held by the feed copied to.
func (c *cursor) learned() {
	c.rootsKnown = true
	for i := range c.levels {
		c.levels[i].known = true
	}
}
