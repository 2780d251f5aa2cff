package hypercore

import (
	"cmp"
	"slices"

	"github.com/cobox-p2p/cobox-p2p/hypercore/flattree"
	"github.com/cobox-p2p/cobox-p2p/hypercore/merkle"
)

// Common returns how many of the first blocks of a feed that has forked are the
// same in both histories, as far as the evidence shows it: there may be more. It is
// 0 when no fork is known.
func (c *core) Common() uint64 {
	e := c.Evidence()
	if e == nil {
		return 0
	}
	return min(c.covered(&e.Ours), c.covered(&e.Theirs))
}

// covered returns how many blocks from the first one on lie below nodes of the
// statement that are stored here.
func (c *core) covered(s *Statement) uint64 {
	nodes := slices.Concat(s.Roots, s.Siblings, []merkle.Node{s.Node})
	slices.SortFunc(nodes, func(a, b merkle.Node) int {
		return cmp.Compare(flattree.LeftSpan(a.Index), flattree.LeftSpan(b.Index))
	})
	end := uint64(0) // in blocks
	for _, n := range nodes {
		if flattree.LeftSpan(n.Index)/2 > end {
			break
		}
		if held, err := c.st.Node(c.key, n.Index); err == nil && held.Hash == n.Hash {
			end = max(end, flattree.RightSpan(n.Index)/2+1)
		}
	}
	return end
}
