package merkle

import (
	"fmt"

	"github.com/cobox-p2p/cobox-p2p/hypercore/flattree"
)

const (
	// MaxRange is the most blocks of one RangeClaim.
	MaxRange = 4096
	// MaxRangeNodes is the most nodes that the proof of a range can need: the
	// way up left of it, that right of it, and the roots.
	MaxRangeNodes = 3 * maxRoots
)

// RangeClaim is what a peer answers to a request for consecutive blocks. Nothing
// in it is trusted but Leaves, which the receiver has hashed from the blocks.
type RangeClaim struct {
	Start uint64 // number of the first block
	// Leaves are the nodes of the blocks, as Leaf returns them: Leaves[i] is
	// that of block Start+i. There is at least one, and at most MaxRange.
	Leaves []Node
	// Nodes are in the order of RangeProof.Nodes.
	Nodes []Node
	// Length is that of the tree whose roots the proof ends in, or 0 when it
	// ends at nodes that are held.
	Length uint64
	// Signature covers the roots of Length blocks. It is empty when Length is 0,
	// and may be when all these roots are held.
	Signature []byte

	tree *rangeTree // nil, or what Rebuild made of Leaves
}

// Rebuild hashes the nodes that the leaves alone give, which is nearly all of
// the work of VerifyRange, and which that does itself otherwise. It may run on
// any goroutine; Leaves must not change after it. A claim that can't be
// accepted stays as it is.
func (c *RangeClaim) Rebuild() {
	if c.check() == nil {
		c.tree = newRangeTree(c.Leaves, c.Length)
	}
}

// check makes the tests that need neither a hash nor the store. The leaves'
// sizes add up to at most MaxSize when it returns nil.
func (c *RangeClaim) check() error {
	count := uint64(len(c.Leaves))
	if count == 0 || count > MaxRange || c.Start >= MaxLength || count > MaxLength-c.Start || c.Length > MaxLength {
		return fmt.Errorf("%w: %d blocks from %d of %d", ErrProofLimit, count, c.Start, c.Length)
	}
	if c.Length != 0 && c.Length < c.Start+count {
		return fmt.Errorf("%w: %d blocks from %d of %d", ErrProofShort, count, c.Start, c.Length)
	}
	if len(c.Nodes) > MaxRangeNodes {
		return fmt.Errorf("%w: %d nodes", ErrProofLimit, len(c.Nodes))
	}
	if len(c.Signature) != 0 && len(c.Signature) != signatureSize {
		return fmt.Errorf("%w: signature of %d bytes", ErrProofLimit, len(c.Signature))
	}
	if c.Length == 0 && len(c.Signature) != 0 {
		return fmt.Errorf("%w: of no length", ErrProofSignature)
	}
	for _, n := range c.Nodes {
		if n.Index > MaxSize || !flattree.Within(n.Index, MaxLength) {
			return fmt.Errorf("%w: node %d", ErrProofLimit, n.Index)
		}
		if n.Size > MaxSize {
			return fmt.Errorf("%w: node %d", ErrProofSize, n.Index)
		}
	}
	return c.checkLeaves()
}

func (c *RangeClaim) checkLeaves() error {
	size := uint64(0)
	for i := range c.Leaves {
		n := &c.Leaves[i]
		if n.Index != 2*(c.Start+uint64(i)) {
			return fmt.Errorf("%w: leaf %d in place of block %d", ErrProofShort, n.Index, c.Start+uint64(i))
		}
		if n.Size > MaxSize-size {
			return fmt.Errorf("%w: block %d", ErrProofSize, c.Start+uint64(i))
		}
		size += n.Size
	}
	return nil
}
