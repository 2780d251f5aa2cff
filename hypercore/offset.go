package hypercore

import (
	"context"
	"errors"
	"fmt"

	"github.com/cobox-p2p/cobox-p2p/hypercore/flattree"
	"github.com/cobox-p2p/cobox-p2p/hypercore/merkle"
)

// content is the blocks of a feed laid end to end without what sealing adds to
// each. Where it must know sizes that aren't stored here, it fetches blocks: one
// that lies in the part of the tree that is in question, whose proof has the
// sizes of its neighbours.
type content struct {
	feed     *core
	overhead uint64 // bytes of each block that are not content
}

// errBeyond says that the feed isn't known to be that long.
var errBeyond = errors.New("hypercore: beyond the known length")

// sizeOf returns the bytes of content below a node.
func (c content) sizeOf(n merkle.Node) (uint64, error) {
	more := c.overhead * flattree.Blocks(n.Index)
	if n.Size < more {
		return 0, ErrWrongKey // a block that is too short to be sealed
	}
	return n.Size - more, nil
}

// find returns the block that holds the byte at offset and where in it, or
// errBeyond, and the length in blocks that it knew of.
func (c content) find(ctx context.Context, offset uint64) (seq, within, length uint64, err error) {
	roots := c.roots()
	for _, root := range roots.Nodes() {
		size, err := c.sizeOf(root)
		if err != nil {
			return 0, 0, 0, err
		}
		if offset < size {
			seq, within, err = c.findUnder(ctx, root, size, offset)
			return seq, within, roots.Length(), err
		}
		offset -= size
	}
	return 0, 0, roots.Length(), errBeyond
}

// findUnder goes down from n, which has size bytes, to the byte at offset.
func (c content) findUnder(ctx context.Context, n merkle.Node, size, offset uint64) (seq, within uint64, err error) {
	for {
		left, _, ok := flattree.Children(n.Index)
		if !ok {
			return n.Index / 2, offset, nil
		}
		// Where the byte would be if all blocks were of one size.
		guess := uint64(float64(offset) / float64(size) * float64(flattree.Blocks(n.Index)))
		l, leftSize, err := c.child(ctx, left, n.Index, guess)
		if err != nil {
			return 0, 0, err
		}
		if offset < leftSize {
			n, size = l, leftSize
			continue
		}
		offset, size = offset-leftSize, size-leftSize
		_, right, _ := flattree.Children(n.Index)
		n = merkle.Node{Index: right, Size: size + c.overhead*flattree.Blocks(right)}
	}
}

// before returns the bytes of the blocks before seq, or errBeyond.
func (c content) before(ctx context.Context, seq uint64) (offset uint64, err error) {
	roots := c.roots()
	for _, root := range roots.Nodes() {
		if seq > flattree.RightSpan(root.Index)/2 {
			size, err := c.sizeOf(root)
			if err != nil {
				return 0, err
			}
			offset += size
			continue
		}
		under, err := c.beforeUnder(ctx, root.Index, seq)
		return offset + under, err
	}
	if seq > roots.Length() {
		return 0, errBeyond
	}
	return offset, nil
}

// beforeUnder returns the bytes below index of the blocks before seq.
func (c content) beforeUnder(ctx context.Context, index, seq uint64) (offset uint64, err error) {
	for flattree.LeftSpan(index)/2 < seq {
		left, right, _ := flattree.Children(index)
		if seq <= flattree.RightSpan(left)/2 {
			index = left
			continue
		}
		_, size, err := c.child(ctx, left, index, seq-flattree.LeftSpan(index)/2)
		if err != nil {
			return 0, err
		}
		offset += size
		index = right
	}
	return offset, nil
}

// child returns a node and its bytes of content. If it isn't stored, a block
// below its parent is fetched, guess being which.
func (c content) child(ctx context.Context, index, parent, guess uint64) (merkle.Node, uint64, error) {
	for tried := false; ; tried = true {
		n, err := trusted{c.feed}.Node(index)
		if err == nil {
			size, err := c.sizeOf(n)
			return n, size, err
		}
		if tried && errors.Is(err, merkle.ErrNoNode) {
			err = fmt.Errorf("%w: %w", ErrDamaged, err) // whoever holds a block holds its path
		}
		if !errors.Is(err, merkle.ErrNoNode) || tried {
			return n, 0, fmt.Errorf("tree node %d of feed %s: %w", index, c.feed.discovery, err)
		}
		if err := c.feed.awaitNode(ctx, index, parent, guess); err != nil {
			return n, 0, fmt.Errorf("tree node %d of feed %s: %w", index, c.feed.discovery, err)
		}
	}
}

func (c content) roots() merkle.Roots {
	c.feed.mu.Lock()
	defer c.feed.mu.Unlock()
	return c.feed.roots.Clone()
}

// awaitNode returns when a block below parent is stored, and with it the node at
// index, its child. It asks for the block number guess below parent, or for one
// near to it that a peer holds.
func (c *core) awaitNode(ctx context.Context, index, parent, guess uint64) error {
	first := flattree.LeftSpan(parent) / 2
	span := Span{first, flattree.Blocks(parent)}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.updating++ // to hear of what peers hold
	defer func() { c.updating-- }()
	for !c.holdsLocked(index) {
		if c.closed {
			return c.ended()
		}
		seq := c.nearestLocked(span, first+guess)
		end := c.wishLocked(seq)
		err := c.waitLocked(ctx, func() bool {
			return c.holdsLocked(index) || !c.offeredLocked(seq) && c.nearestLocked(span, first+guess) != seq
		})
		end()
		if err != nil {
			return err
		}
	}
	return nil
}

// offeredLocked says whether a peer holds the block.
func (c *core) offeredLocked(seq uint64) bool {
	for p := range c.peers {
		if p.remote.Get(seq) {
			return true
		}
	}
	return false
}

// nearestLocked returns the first block of the span from guess on that a peer
// holds, else the first of the span that one holds, else guess.
func (c *core) nearestLocked(span Span, guess uint64) uint64 {
	guess = min(guess, span.End()-1)
	for _, from := range [2]uint64{guess, span.Start} {
		best := span.End()
		for p := range c.peers {
			if seq, ok := p.remote.NextSet(from); ok {
				best = min(best, seq)
			}
		}
		if best < span.End() {
			return best
		}
	}
	return guess
}
