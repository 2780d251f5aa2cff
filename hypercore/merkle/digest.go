package merkle

import "github.com/cobox-p2p/cobox-p2p/hypercore/flattree"

// Digest returns what a peer whose head has length blocks says with its request
// for block seq about the nodes it holds, so that the answer leaves them out.
// It is 0 when it holds nothing of use, and 1 when it needs no node at all.
// Otherwise bit 1 stands for the leaf's sibling, bit 2 for the sibling of its
// parent, and so on; with bit 0 set, the highest bit stands instead for the
// lowest node above the leaf that is held, which says that all roots left of it
// are held too. held is asked for nodes of the tree of length blocks only. The
// result is at most MaxSize. See interop/spec/feed.md.
func Digest(held func(index uint64) bool, seq, length uint64) uint64 {
	if seq >= MaxLength {
		return 0
	}
	return digest(func(index uint64) bool { return flattree.Within(index, length) && held(index) }, seq, length)
}

// digest looks no further right than the last of length blocks.
func digest(has func(index uint64) bool, seq, length uint64) uint64 {
	if has(2 * seq) {
		return 1
	}
	end := max(length, seq+1)
	sibling := flattree.Sibling(2 * seq)
	d := uint64(0)
	for bit := uint64(2); 2*bit <= MaxSize; bit *= 2 {
		parent := flattree.Parent(sibling)
		if !flattree.Within(sibling, end) && flattree.LeftSpan(parent) == 0 {
			break
		}
		if has(sibling) {
			d |= bit
		}
		if has(parent) {
			if d |= 2*bit | 1; d+1 == 4*bit {
				return 1
			}
			return d
		}
		sibling = flattree.Sibling(parent)
	}
	return d
}
