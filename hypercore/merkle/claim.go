package merkle

import (
	"fmt"

	"github.com/cobox-p2p/cobox-p2p/hypercore/flattree"
)

const (
	// MaxProofNodes is the most nodes that a proof can need: the way up and the
	// roots.
	MaxProofNodes = 2 * maxRoots
	// signatureSize is the size in bytes of an Ed25519 signature.
	signatureSize = 64
)

// Claim is what a peer answers to a request for a block or for its hash.
// Nothing in it is trusted.
type Claim struct {
	Seq      uint64
	Block    []byte
	HasBlock bool // false: the answer to a request for the hash; Nodes begin with the leaf
	// Nodes are in the order of Proof.Nodes.
	Nodes []Node
	// Signature is empty when the proof should end at a node that is held.
	Signature []byte
}

// check makes the tests that need neither a hash nor the store.
func (c *Claim) check() error {
	if c.Seq >= MaxLength {
		return fmt.Errorf("%w: block %d", ErrProofLimit, c.Seq)
	}
	if len(c.Nodes) > MaxProofNodes {
		return fmt.Errorf("%w: %d nodes", ErrProofLimit, len(c.Nodes))
	}
	if len(c.Signature) != 0 && len(c.Signature) != signatureSize {
		return fmt.Errorf("%w: signature of %d bytes", ErrProofLimit, len(c.Signature))
	}
	for i, n := range c.Nodes {
		if n.Index > MaxSize || !flattree.Within(n.Index, MaxLength) {
			return fmt.Errorf("%w: node %d", ErrProofLimit, n.Index)
		}
		if n.Size > MaxSize {
			return fmt.Errorf("%w: node %d", ErrProofSize, n.Index)
		}
		for _, m := range c.Nodes[:i] {
			if m.Index == n.Index {
				return fmt.Errorf("%w: node %d", ErrProofDuplicate, n.Index)
			}
		}
	}
	if !c.HasBlock && (len(c.Nodes) == 0 || c.Nodes[0].Index != 2*c.Seq) {
		return fmt.Errorf("%w: leaf of block %d", ErrProofShort, c.Seq)
	}
	return nil
}
