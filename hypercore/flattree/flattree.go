// Package flattree is the arithmetic of flat trees: binary trees whose nodes
// are numbered in order, so that block i is node 2i and a parent lies between
// its children. The numbering is that of hypercore 9; see
// interop/spec/feed.md.
//
// All functions are defined for indexes below 2^53 and lengths up to 2^52
// blocks. Beyond that they don't panic, and what they return means nothing.
package flattree

import "math/bits"

// Index returns the node at the given depth, counted from the leaves, that has
// offset nodes of the same depth to its left.
func Index(depth int, offset uint64) uint64 {
	return (2*offset+1)<<depth - 1
}

// Depth returns how many levels index lies above the leaves.
func Depth(index uint64) int { return bits.TrailingZeros64(^index) }

// Offset returns how many nodes of the same depth lie left of index.
func Offset(index uint64) uint64 { return index >> (Depth(index) + 1) }

// Parent returns the node above index.
func Parent(index uint64) uint64 {
	d := Depth(index)
	return (index | 1<<d) &^ (1 << (d + 1))
}

// Sibling returns the other child of index's parent.
func Sibling(index uint64) uint64 { return index ^ 1<<(Depth(index)+1) }

// Children returns the two nodes below index. A leaf has none: ok is false.
func Children(index uint64) (left, right uint64, ok bool) {
	d := Depth(index)
	if d == 0 {
		return 0, 0, false
	}
	half := uint64(1) << (d - 1)
	return index - half, index + half, true
}

// LeftSpan returns the leftmost leaf below index, itself for a leaf.
func LeftSpan(index uint64) uint64 { return index + 1 - 1<<Depth(index) }

// RightSpan returns the rightmost leaf below index, itself for a leaf.
func RightSpan(index uint64) uint64 { return index - 1 + 1<<Depth(index) }

// Blocks returns how many blocks lie below index, 1 for a leaf.
func Blocks(index uint64) uint64 { return 1 << Depth(index) }

// Within says whether index is a node of the tree of length blocks: whether all
// blocks below it are among them.
func Within(index, length uint64) bool { return RightSpan(index)/2 < length }

// Spans says whether leaf lies below index or is index.
func Spans(index, leaf uint64) bool {
	return LeftSpan(index) <= leaf && leaf <= RightSpan(index)
}

// FullRoots appends to dst the roots of a tree of length blocks, left to right:
// the largest full subtrees, as many as length has bits set.
func FullRoots(dst []uint64, length uint64) []uint64 {
	offset := uint64(0)
	for length != 0 {
		f := uint64(1) << (bits.Len64(length) - 1)
		dst = append(dst, offset+f-1)
		offset += 2 * f
		length -= f
	}
	return dst
}
