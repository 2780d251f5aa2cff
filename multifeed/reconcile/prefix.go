package reconcile

import "math/bits"

// prefix names a node of the trie on the wire: a bit 1 and behind it the bits that
// the keys below begin with. It is 1 for the root.
type prefix uint64

const (
	whole prefix = 1
	// maxBits is the depth where the trie is not looked into any more. Only 65 keys
	// that agree in all of these bits lead past it, and nobody finds those.
	maxBits = 60
)

// bits returns the depth.
func (p prefix) bits() int { return bits.Len64(uint64(p)) - 1 }

// valid says whether there is a node of that name in some trie.
func (p prefix) valid() bool {
	n := p.bits()
	return n == 0 || n >= rootBits && n <= maxBits && (n-rootBits)%nibbleBits == 0
}

// child returns the name of a child.
func (p prefix) child(i int) prefix {
	if p == whole {
		return p<<rootBits | prefix(i)
	}
	return p<<nibbleBits | prefix(i)
}

// parent returns the name of the node above and which child of it p is. p is not
// whole.
func (p prefix) parent() (up prefix, i int) {
	if p.bits() == rootBits {
		return whole, int(p & (rootFanout - 1))
	}
	return p >> nibbleBits, int(p & (innerFanout - 1))
}
