package merkle

import (
	"errors"
	"fmt"

	"github.com/cobox-p2p/cobox-p2p/hypercore/flattree"
)

// heldTree reads the nodes of the tree that is held. What lies outside the tree
// of head counts as not held, whatever the store has.
type heldTree struct {
	local NodeReader
	head  Roots
	seen  []heldNode // what was read already; a few dozen at most
}

type heldNode struct {
	Node
	ok bool
}

// node returns the held node and true, or false when it is not held. An error
// is the store's.
func (h *heldTree) node(index uint64) (Node, bool, error) {
	if !flattree.Within(index, h.head.length) {
		return Node{}, false, nil
	}
	for _, n := range h.head.nodes {
		if n.Index == index {
			return n, true, nil
		}
	}
	for _, n := range h.seen {
		if n.Index == index {
			return n.Node, n.ok, nil
		}
	}
	n, err := readNode(h.local, index)
	if err != nil {
		return Node{}, false, err
	}
	h.seen = append(h.seen, n)
	return n.Node, n.ok, nil
}

// readNode reads a node that may be absent.
func readNode(r NodeReader, index uint64) (heldNode, error) {
	n, err := r.Node(index)
	switch {
	case errors.Is(err, ErrNoNode):
		return heldNode{Node: Node{Index: index}}, nil
	case err != nil:
		return heldNode{}, fmt.Errorf("verify with node %d: %w", index, err)
	case n.Index != index:
		return heldNode{}, fmt.Errorf("verify: store returned node %d for %d", n.Index, index)
	}
	return heldNode{Node: n, ok: true}, nil
}
