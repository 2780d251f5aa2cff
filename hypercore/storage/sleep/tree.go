package sleep

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"iter"

	"github.com/cobox-p2p/cobox-p2p/hypercore"
	"github.com/cobox-p2p/cobox-p2p/hypercore/merkle"
)

// Sizes of entries in bytes.
const (
	treeEntry      = merkle.HashSize + 8
	signatureEntry = hypercore.SignatureSize
)

// Node implements merkle.NodeReader with what lies in the file tree, which
// nothing has verified. A node that is not there is merkle.ErrNoNode; one that
// can't be a node, or can't be read, is an error that wraps
// hypercore.ErrDamaged.
func (f *Feed) Node(index uint64) (merkle.Node, error) {
	if index > merkle.MaxSize {
		return merkle.Node{}, merkle.ErrNoNode
	}
	var b [treeEntry]byte
	err := f.tree.entry(b[:], headerSize+treeEntry*int64(index))
	if errors.Is(err, io.ErrUnexpectedEOF) {
		return merkle.Node{}, merkle.ErrNoNode
	}
	if err != nil {
		return merkle.Node{}, fmt.Errorf("%w: node %d: %w", hypercore.ErrDamaged, index, err)
	}
	return parseNode(index, &b)
}

// parseNode returns the node of an entry. 40 zero bytes are none; size 0 with a
// hash is the node of empty blocks.
func parseNode(index uint64, b *[treeEntry]byte) (merkle.Node, error) {
	if *b == [treeEntry]byte{} {
		return merkle.Node{}, merkle.ErrNoNode
	}
	n := merkle.Node{Index: index, Size: binary.BigEndian.Uint64(b[merkle.HashSize:]), Hash: merkle.Hash(b[:])}
	if n.Size > merkle.MaxSize {
		return merkle.Node{}, fmt.Errorf("%w: node %d of %d bytes", hypercore.ErrDamaged, index, n.Size)
	}
	return n, nil
}

func appendNode(dst []byte, n merkle.Node) []byte {
	return binary.BigEndian.AppendUint64(append(dst, n.Hash[:]...), n.Size)
}

// node is Node for who doesn't care why there is none.
func (f *Feed) node(index uint64) (merkle.Node, bool) {
	n, err := f.Node(index)
	return n, err == nil
}

// signature returns the stored signature of a tree of length blocks; ok is false
// when there is none.
func (f *Feed) signature(length uint64) (sig hypercore.Signature, ok bool) {
	if length == 0 || length > merkle.MaxLength {
		return sig, false
	}
	err := f.signatures.entry(sig[:], headerSize+signatureEntry*int64(length-1))
	return sig, err == nil && sig != hypercore.Signature{}
}

// Signatures yields the stored signatures with the length in blocks that each is
// of, ascending and below that of the head. Nothing has verified them.
func (f *Feed) Signatures() iter.Seq2[uint64, hypercore.Signature] {
	return func(yield func(uint64, hypercore.Signature) bool) {
		for length := uint64(1); length < f.head.Length; length++ {
			if sig, ok := f.signature(length); ok && !yield(length, sig) {
				return
			}
		}
	}
}
