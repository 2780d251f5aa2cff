package multifeed

import (
	"iter"
	"math/bits"
	"math/rand/v2"
)

// index finds members by name: a hash table whose chains go through the members
// themselves, a tenth of what a map of a million takes.
type index struct {
	seed  uint64   // odd and of this process alone: so nobody can make names that share a chain
	heads []uint32 // 1 + place of the newest member of a chain, 0 for none; a power of two of them
}

const minHeads = 16 // of an index

func newIndex() index {
	return index{seed: rand.Uint64() | 1, heads: make([]uint32, minHeads)}
}

// chain returns where the chain of a name begins.
func (x *index) chain(name uint64) *uint32 {
	return &x.heads[name*x.seed>>(64-bits.TrailingZeros(uint(len(x.heads))))]
}

// add takes in the last member of the list.
func (x *index) add(list []member) {
	if len(list) > len(x.heads) {
		x.rebuild(list)
		return
	}
	x.link(list, len(list)-1)
}

func (x *index) link(list []member, place int) {
	head := x.chain(list[place].name)
	list[place].next, *head = *head, uint32(place)+1
}

// rebuild takes in the whole list anew.
func (x *index) rebuild(list []member) {
	size := minHeads
	for size < len(list) {
		size *= 2
	}
	x.heads = make([]uint32, size)
	for place := range list {
		x.link(list, place)
	}
}

// find yields the places of the members of that name, the newest first.
func (x *index) find(list []member, name uint64) iter.Seq[uint32] {
	return func(yield func(uint32) bool) {
		for next := *x.chain(name); next > 0; next = list[next-1].next {
			if list[next-1].name == name && !yield(next-1) {
				return
			}
		}
	}
}
