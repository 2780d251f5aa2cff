package sleep

import (
	"slices"

	"github.com/cobox-p2p/cobox-p2p/hypercore/flattree"
	"github.com/cobox-p2p/cobox-p2p/hypercore/merkle"
)

// Depths of a repair: how many levels below a root are taken for it.
const (
	shallow = 1
	deep    = 64
)

// Limits of a deep repair of one root.
const (
	maxRebuild = 1 << 20 // blocks below it
	maxRehash  = 1 << 30 // bytes of these, when they are hashed
)

// repairAny tries harder for the newest signatures.
func (s *headSearch) repairAny(recent []candidate) bool {
	return slices.ContainsFunc(recent, func(c candidate) bool { return s.repair(c, deep) })
}

// repair tries the roots of c with one of them recomputed, and with all.
func (s *headSearch) repair(c candidate, depth int) bool {
	roots := s.stored(c.length)
	all := slices.Clone(roots)
	offset := uint64(0)
	for i, root := range roots {
		for _, n := range s.rebuilt(root.Node, offset, depth) {
			one := slices.Clone(roots)
			one[i], all[i] = rootNode{n, true}, rootNode{n, true}
			if s.tries <= maxTries && s.try(c, one) {
				return true
			}
		}
		offset += all[i].Size
	}
	return s.tries <= maxTries && s.try(c, all)
}

// rebuilt returns what a root may be, going by what lies below it.
func (s *headSearch) rebuilt(root merkle.Node, offset uint64, depth int) (nodes []merkle.Node) {
	levels := flattree.Depth(root.Index)
	if levels == 0 {
		// A last block alone ends where the file does.
		for _, size := range []uint64{root.Size, uint64(s.f.data.size) - min(offset, uint64(s.f.data.size))} {
			if n, ok := s.f.leaf(root.Index/2, offset, size); ok {
				nodes = append(nodes, n)
			}
		}
		return nodes
	}
	if depth == shallow || flattree.Blocks(root.Index) > maxRebuild {
		levels = shallow
	}
	d := deriver{f: s.f}
	if n, ok := d.derive(root.Index, levels, offset); ok {
		nodes = append(nodes, n)
	}
	if d.blocks = depth == deep && root.Size <= maxRehash; d.blocks {
		if n, ok := d.derive(root.Index, levels, offset); ok {
			nodes = append(nodes, n)
		}
	}
	return nodes
}
