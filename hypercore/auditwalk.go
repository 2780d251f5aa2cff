package hypercore

import (
	"errors"
	"slices"

	"github.com/cobox-p2p/cobox-p2p/hypercore/flattree"
	"github.com/cobox-p2p/cobox-p2p/hypercore/merkle"
)

// walk is one goroutine's part of an audit.
type walk struct {
	*auditor
	upper  bool // hands units on
	ahead  blockBuffer
	blocks uint64 // looked at since the last count
	bytes  uint64 // of these, in blocks that are right
}

// root audits the tree of one root, which is trusted.
func (w *walk) root(r merkle.Node) {
	if n, ok := w.node(r.Index); !ok || n != r {
		w.rewrite(r, true)
	}
	w.descend(r)
}

// descend audits everything below a node whose hash is trusted. Its size may be
// wrong where only the sum with its sibling's was proved: what lies below proves
// the right one, which is returned.
func (w *walk) descend(n merkle.Node) (size uint64, proved bool) {
	if w.over() {
		return 0, false
	}
	if flattree.Depth(n.Index) == 0 {
		return w.leaf(n)
	}
	w.prefetch(n)
	kids, size, ok := w.children(n)
	if !ok {
		w.orphan(n)
		return 0, false
	}
	n.Size = size
	if w.upper && flattree.Blocks(n.Index) <= auditUnit {
		w.units <- unit{n, kids}
		return size, true
	}
	w.below(n, kids)
	return size, true
}

// below audits the two trees below a trusted node. The left one goes first, or
// else the right one when it alone has held blocks, for it proves both sizes.
func (w *walk) below(n merkle.Node, kids family) {
	first, second := 0, 1
	if !w.holdsBelow(kids.nodes[0].Index) {
		first, second = 1, 0
	}
	a, b := &kids.nodes[first], &kids.nodes[second]
	fits := func(of, other *merkle.Node, size uint64, proved bool) {
		if proved && size <= n.Size && (of.Size != size || other.Size != n.Size-size) {
			of.Size, other.Size = size, n.Size-size
			kids.stored = [2]bool{}
		}
	}
	size, proved := w.descend(*a)
	fits(a, b, size, proved)
	again, settled := w.descend(*b)
	if !proved {
		fits(b, a, again, settled)
	}
	if a.Size+b.Size != n.Size { // nothing that is right lies below
		w.distrust(n.Index)
	}
	for i, stored := range kids.stored {
		if !stored {
			w.repair(kids.nodes[i])
		}
	}
}

// repair notes the node for Repair unless it is stored as it is.
func (w *walk) repair(n merkle.Node) {
	if s, ok := w.node(n.Index); !ok || s != n {
		w.rewrite(n, false)
	}
}

// orphan deals with a node whose children can't be found. Without a held block
// below that is no damage, but what is stored there is not to be trusted.
func (w *walk) orphan(n merkle.Node) {
	if w.holdsBelow(n.Index) {
		w.lose(n.Index)
		for s := range w.heldBelow(n.Index) {
			w.blocks += s.Count
		}
		return
	}
	left, right, _ := flattree.Children(n.Index)
	if w.stores(left) || w.stores(right) {
		w.distrust(n.Index)
	}
}

// stores says whether anything is stored under the index, readable or not.
func (w *walk) stores(index uint64) bool {
	_, err := w.st.Node(w.key, index)
	return !errors.Is(err, merkle.ErrNoNode)
}

// leaf audits one block whose hash is trusted.
func (w *walk) leaf(n merkle.Node) (size uint64, proved bool) {
	seq := n.Index / 2
	if !w.have.Get(seq) {
		return 0, false
	}
	w.blocks++
	block, ok := w.block(seq)
	if leaf := merkle.Leaf(seq, block); ok && leaf.Hash == n.Hash {
		w.bytes += leaf.Size
		return leaf.Size, true
	}
	w.damaged(seq)
	return 0, false
}

// children returns the children of a node whose hash is trusted, and its size:
// the stored ones when they hash to it, else such as follow from what is held
// below. It is false when none are found.
func (w *walk) children(n merkle.Node) (kids family, size uint64, ok bool) {
	left, right, _ := flattree.Children(n.Index)
	l, haveLeft := w.node(left)
	r, haveRight := w.node(right)
	if haveLeft && haveRight {
		if size, ok := joins(n, l, r); ok {
			return family{[2]merkle.Node{l, r}, [2]bool{true, true}}, size, true
		}
	}
	if !w.holdsBelow(n.Index) {
		return family{}, 0, false
	}
	for depth := 1; depth <= flattree.Depth(n.Index)+1 && !w.over(); depth++ {
		for _, l := range w.candidates(left, depth-1) {
			for _, r := range w.candidates(right, depth-1) {
				if size, ok := joins(n, l, r); ok {
					return family{nodes: [2]merkle.Node{l, r}}, size, true
				}
			}
		}
	}
	return family{}, 0, false
}

// joins says whether the two nodes are the children of n by their hashes, and
// which size n has then: its own or, when that is wrong, the sum of theirs. A
// pair whose sizes don't add up gets its sizes from what lies below.
func joins(n, l, r merkle.Node) (size uint64, ok bool) {
	if n.Size <= merkle.MaxSize {
		if merkle.Parent(merkle.Node{Index: l.Index, Hash: l.Hash, Size: n.Size}, merkle.Node{Index: r.Index, Hash: r.Hash}).Hash == n.Hash {
			return n.Size, true
		}
	}
	if l.Size > merkle.MaxSize || r.Size > merkle.MaxSize-l.Size {
		return 0, false
	}
	p := merkle.Parent(l, r)
	return p.Size, p.Hash == n.Hash
}

// maxCandidates bounds what is tried for one node. Where little is damaged there
// are one or two.
const maxCandidates = 32

// candidates returns what the node could be: first as it follows from what lies
// up to depth levels below it, then as it is stored, then mixtures of both. A
// block lies one level below its leaf.
func (w *walk) candidates(index uint64, depth int) []merkle.Node {
	stored, ok := w.node(index)
	var all candidateList
	left, right, inner := flattree.Children(index)
	var ls, rs []merkle.Node
	switch {
	case w.over():
		return nil
	case depth == 0:
	case !inner:
		if block, held := w.block(index / 2); held {
			all.add(merkle.Leaf(index/2, block))
		}
	case w.holdsBelow(index) || w.stores(left) && w.stores(right):
		ls, rs = w.candidates(left, depth-1), w.candidates(right, depth-1)
		if len(ls) > 0 && len(rs) > 0 {
			all.addParent(ls[0], rs[0])
		}
	}
	if ok {
		all.add(stored)
	}
	for _, l := range ls {
		for _, r := range rs {
			all.addParent(l, r)
		}
	}
	return all
}

// candidateList is up to maxCandidates nodes, all different.
type candidateList []merkle.Node

func (c *candidateList) add(n merkle.Node) {
	if len(*c) < maxCandidates && !slices.Contains(*c, n) {
		*c = append(*c, n)
	}
}

func (c *candidateList) addParent(l, r merkle.Node) {
	if len(*c) < maxCandidates && l.Size <= merkle.MaxSize && r.Size <= merkle.MaxSize-l.Size {
		c.add(merkle.Parent(l, r))
	}
}
