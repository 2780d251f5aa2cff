package merkle

import (
	"encoding/binary"
	"hash"
	"sync"

	"golang.org/x/crypto/blake2b"

	"github.com/cobox-p2p/cobox-p2p/hypercore/flattree"
)

// First byte of what is hashed, so that no leaf can pass for a parent.
const (
	leafTag   = 0x00 // tag, u64 size, block
	parentTag = 0x01 // tag, u64 size of both children, left hash, right hash
	rootsTag  = 0x02 // tag, then for each root: hash, u64 index, u64 size
)

// smallBlock is the size in bytes up to which copying a block behind its header
// is cheaper than feeding a hash state in two writes.
const smallBlock = 1024

// leafState is a hash state with room for what goes in and out of it, kept
// together so that hashing a large block allocates nothing.
type leafState struct {
	hash.Hash
	buf [HashSize]byte
}

var leafStates = sync.Pool{New: func() any {
	h, err := blake2b.New256(nil)
	if err != nil {
		panic("merkle: unkeyed hash refused")
	}
	return &leafState{Hash: h}
}}

// Leaf returns the node of block number seq: the BLAKE2b-256 hash of a zero
// byte, the block's size as a big-endian u64, and the block. See
// interop/spec/feed.md.
func Leaf(seq uint64, block []byte) Node {
	n := Node{Index: 2 * seq, Size: uint64(len(block))}
	if len(block) <= smallBlock {
		var buf [9 + smallBlock]byte
		buf[0] = leafTag
		binary.BigEndian.PutUint64(buf[1:], n.Size)
		n.Hash = blake2b.Sum256(buf[:9+copy(buf[9:], block)])
		return n
	}
	s := leafStates.Get().(*leafState)
	s.Reset()
	s.buf[0] = leafTag
	binary.BigEndian.PutUint64(s.buf[1:], n.Size)
	s.Write(s.buf[:9])
	s.Write(block)
	n.Hash = Hash(s.Sum(s.buf[:0]))
	leafStates.Put(s)
	return n
}

// Parent returns the node above two siblings, given in any order: the hash of
// 0x01, the sum of their sizes as a big-endian u64, and their hashes from left
// to right. It commits to the sum only, not to either size. The caller has
// checked that the sum is at most MaxSize. See interop/spec/feed.md.
func Parent(a, b Node) Node {
	var n Node
	if b.Index < a.Index {
		parentOf(&b, &a, &n)
		return n
	}
	parentOf(&a, &b, &n)
	return n
}

// parentOf sets n to the node above left and right. It allocates nothing.
func parentOf(left, right, n *Node) {
	n.Index, n.Size = flattree.Parent(left.Index), left.Size+right.Size
	var buf [9 + 2*HashSize]byte
	buf[0] = parentTag
	binary.BigEndian.PutUint64(buf[1:], n.Size)
	copy(buf[9:], left.Hash[:])
	copy(buf[9+HashSize:], right.Hash[:])
	n.Hash = blake2b.Sum256(buf[:])
}

// RootHash returns the hash of a tree with the given roots, left to right: that
// of 0x02 and, for each root, its hash, index and size. The empty tree has one
// too. A head's signature covers it; see interop/spec/feed.md.
func RootHash(roots []Node) Hash {
	var buf [1 + maxRoots*(HashSize+16)]byte
	b := append(buf[:0], rootsTag)
	for _, r := range roots {
		b = append(b, r.Hash[:]...)
		b = binary.BigEndian.AppendUint64(b, r.Index)
		b = binary.BigEndian.AppendUint64(b, r.Size)
	}
	return blake2b.Sum256(b)
}
