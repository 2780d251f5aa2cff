package storage

import (
	"github.com/cobox-p2p/cobox-p2p/hypercore"
	"github.com/cobox-p2p/cobox-p2p/hypercore/flattree"
	"github.com/cobox-p2p/cobox-p2p/hypercore/merkle"
)

// climb hashes the nodes above the pages, as far as a tree of length blocks has
// them and both children are known.
func (f *feedRebuild) climb(length uint64) error {
	offsets := append([]uint64(nil), f.pages...)
	for depth := pageTopDepth + 1; len(offsets) > 0 && uint64(1)<<depth <= length; depth++ {
		parents := offsets[:0]
		for _, offset := range offsets {
			if n := len(parents); n == 0 || parents[n-1] != offset/2 {
				parents = append(parents, offset/2)
			}
		}
		offsets = parents
		for _, offset := range offsets {
			index := flattree.Index(depth, offset)
			left, right, _ := flattree.Children(index)
			l, ok, err := f.best(left)
			if err != nil {
				return err
			}
			if !ok {
				continue
			}
			r, ok, err := f.best(right)
			if err != nil {
				return err
			}
			if ok && l.Size <= merkle.MaxSize-r.Size {
				f.upper[index] = merkle.Parent(l, r)
			}
		}
	}
	return nil
}

// best returns the node above the pages, or the top of one, that is most likely
// right.
func (f *feedRebuild) best(index uint64) (merkle.Node, bool, error) {
	if n, ok := f.upper[index]; ok {
		return n, true, nil
	}
	nodes, err := f.above(index)
	if err != nil || len(nodes) == 0 {
		return merkle.Node{}, false, err
	}
	return nodes[0], true, nil
}

// above returns what the damaged index and the extent headers know of a node.
func (f *feedRebuild) above(index uint64) (nodes []merkle.Node, err error) {
	k := newDataKey(f.id, kindNode, index)
	value, state, err := f.r.get(k[:])
	if err != nil {
		return nil, err
	}
	if state == found {
		if n, err := parseNode(index, value); err == nil && n.Size <= merkle.MaxSize {
			nodes = append(nodes, n)
		}
	}
	if n, ok := f.anchors[index]; ok {
		nodes = addNode(nodes, n)
	}
	return nodes, nil
}

// candidates returns all that is known of a node, the most likely first.
func (f *feedRebuild) candidates(index uint64) ([]merkle.Node, error) {
	if number, place, ok := pageOf(index); ok {
		p, err := f.page(number)
		if err != nil || p == nil {
			return nil, err
		}
		return p.candidates(nil, place), nil
	}
	known, err := f.above(index)
	n, ok := f.upper[index]
	if err != nil || !ok {
		return known, err
	}
	nodes := []merkle.Node{n}
	for _, n := range known {
		nodes = addNode(nodes, n)
	}
	return nodes, nil
}

// chooseHead returns the longest signed head whose roots are known, with them,
// and the length of the longest that is signed at all.
func (f *feedRebuild) chooseHead() (head hypercore.Head, roots []merkle.Node, signed uint64, err error) {
	for _, h := range f.heads {
		if f.key.Verify(hypercore.Signable(h.RootHash, h.Length), h.Signature) != nil {
			continue
		}
		signed = max(signed, h.Length)
		roots, err := f.rootsOf(h)
		if err != nil {
			return head, nil, 0, err
		}
		if roots == nil {
			continue
		}
		h.Size = 0
		for i := range roots {
			h.Size += roots[i].Size
		}
		return h, roots, signed, nil
	}
	return hypercore.Head{}, nil, signed, nil
}

// maxRootChoices bounds how many sets of roots are tried for one head.
const maxRootChoices = 256

// rootsOf returns the roots of the head, nil when they aren't known.
func (f *feedRebuild) rootsOf(h hypercore.Head) ([]merkle.Node, error) {
	var choices [][]merkle.Node
	product := 1
	for _, index := range flattree.FullRoots(nil, h.Length) {
		nodes, err := f.candidates(index)
		if err != nil || len(nodes) == 0 {
			return nil, err
		}
		product = min(product*len(nodes), maxRootChoices)
		choices = append(choices, nodes)
	}
	roots := make([]merkle.Node, len(choices))
	for choice := range product {
		rest := choice
		for i := range choices {
			roots[i] = choices[i][rest%len(choices[i])]
			rest /= len(choices[i])
		}
		if _, err := merkle.NewRoots(roots); err == nil && merkle.RootHash(roots) == h.RootHash {
			return roots, nil
		}
	}
	return nil, nil
}

// descend keeps a node that belongs to the signed tree, and what hangs on it. It
// is called from left to right.
func (f *feedRebuild) descend(out *rebuiltOutput, n merkle.Node) error {
	if number, place, ok := pageOf(n.Index); ok {
		p, err := f.page(number)
		if err != nil {
			return err
		}
		if p == nil {
			p = &feedPage{number: number}
		}
		if p, err = out.turnTo(p); err != nil {
			return err
		}
		p.trust(place, n)
		return nil
	}
	if err := out.node(n); err != nil {
		return err
	}
	left, right, _ := flattree.Children(n.Index)
	lefts, err := f.candidates(left)
	if err != nil || len(lefts) == 0 {
		return err
	}
	rights, err := f.candidates(right)
	if err != nil {
		return err
	}
	l, r, ok := match(n, lefts, rights)
	if !ok {
		return nil
	}
	if err := f.descend(out, l); err != nil {
		return err
	}
	return f.descend(out, r)
}
