// Package merkle holds the Merkle tree of a feed as pure functions: hashes of
// leaves, parents and roots, growing a tree, proofs and their verification.
// The rules are those of hypercore 9; see interop/spec/feed.md.
package merkle

import "errors"

// HashSize is the size in bytes of every hash of the tree.
const HashSize = 32

// Hash is a BLAKE2b-256 digest.
type Hash [HashSize]byte

// Node is one node of the tree. Index is its flat-tree number, Size the bytes
// of all blocks under it.
type Node struct {
	Index uint64
	Size  uint64
	Hash  Hash
}

// ErrNoNode is returned by a NodeReader that doesn't hold the node.
var ErrNoNode = errors.New("merkle: node not stored")

// NodeReader reads stored nodes. Node returns ErrNoNode for an index it does
// not hold.
type NodeReader interface {
	Node(index uint64) (Node, error)
}
