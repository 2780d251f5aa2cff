package multifeed

import (
	"github.com/cobox-p2p/cobox-p2p/hypercore"
	"github.com/cobox-p2p/cobox-p2p/hypercore/flattree"
	"github.com/cobox-p2p/cobox-p2p/hypercore/merkle"
)

// chainDigest returns the digest with which block seq is proved to who was given
// the block before, of a tree of length blocks: the highest node over seq that is
// not over before as well was a sibling on the way up from there. See
// interop/spec/bundle.md, "Proofs".
func chainDigest(before, seq, length uint64) uint64 {
	top := 2 * seq
	for {
		parent := flattree.Parent(top)
		if !flattree.Within(parent, length) || flattree.Spans(parent, 2*before) {
			break
		}
		top = parent
	}
	return merkle.Digest(func(index uint64) bool { return index == top }, seq, length)
}

// chain is what the proofs of a section have said so far, as far as it can still
// be of use: the nodes beside and on the way up from the last block, and the
// roots. None of them is verified. With them the whole proof of a block can be
// made, for a feed that did not take the ones before.
type chain struct {
	length    uint64
	signature hypercore.Signature
	nodes     map[uint64]merkle.Node // Invariant: at most three for each level of the tree after keep, and one proof more
}

func newChain(e Entry) *chain {
	return &chain{length: e.Length, signature: e.Signature, nodes: map[uint64]merkle.Node{}}
}

// take adds what d says and drops what no later block needs.
func (c *chain) take(d *hypercore.Data) {
	for _, n := range d.Nodes {
		c.nodes[n.Index] = n
	}
	leaf := 2 * d.Index
	for index := range c.nodes {
		parent := flattree.Parent(index)
		root := flattree.Within(index, c.length) && !flattree.Within(parent, c.length)
		if !root && !flattree.Spans(parent, leaf) {
			delete(c.nodes, index)
		}
	}
}

// whole returns d with the whole proof as far as it was said: the nodes that are
// left out are those over blocks that came before, which a feed holds if it took
// these.
func (c *chain) whole(d *hypercore.Data) *hypercore.Data {
	w := &hypercore.Data{Index: d.Index, Value: d.Value, Signature: c.signature[:]}
	top := 2 * d.Index
	if d.Value == nil {
		w.Nodes = append(w.Nodes, d.Nodes[:min(1, len(d.Nodes))]...)
	}
	for flattree.Within(flattree.Sibling(top), c.length) {
		w.Nodes = c.add(w.Nodes, flattree.Sibling(top))
		top = flattree.Parent(top)
	}
	for _, root := range flattree.FullRoots(nil, c.length) {
		if root != top {
			w.Nodes = c.add(w.Nodes, root)
		}
	}
	return w
}

func (c *chain) add(nodes []merkle.Node, index uint64) []merkle.Node {
	if n, ok := c.nodes[index]; ok {
		nodes = append(nodes, n)
	}
	return nodes
}

// missed adds the nodes over a block that the feed did not take: later ones need
// them in their proofs. Unless the block itself is good, they begin where an
// earlier proof has named one.
func (c *chain) missed(d *hypercore.Data, good bool) {
	var n merkle.Node
	switch {
	case d.Value != nil:
		n = merkle.Leaf(d.Index, d.Value)
	case len(d.Nodes) > 0:
		n = d.Nodes[0]
	default:
		return
	}
	for n.Size <= merkle.MaxSize {
		if said, ok := c.nodes[n.Index]; ok {
			n, good = said, true
		}
		if good {
			c.nodes[n.Index] = n
		}
		sibling, ok := c.nodes[flattree.Sibling(n.Index)]
		if !ok || !flattree.Within(sibling.Index, c.length) {
			return
		}
		n = merkle.Parent(n, sibling)
	}
}
