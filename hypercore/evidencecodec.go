package hypercore

import (
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/cobox-p2p/cobox-p2p/hypercore/flattree"
	"github.com/cobox-p2p/cobox-p2p/hypercore/merkle"
)

const (
	// MaxEvidence is the longest encoded ForkEvidence in bytes: two statements
	// with as many roots and siblings as the longest feed can have.
	MaxEvidence = 1 + 2*(maxUvarint+merkle.HashSize+SignatureSize+1+(2*maxStatementNodes+1)*(maxUvarint+merkle.HashSize)+maxUvarint+1)
	// maxStatementNodes is the most roots, and the most siblings, of a statement.
	maxStatementNodes = merkle.MaxProofNodes / 2
	// maxUvarint is the most bytes of a uvarint that is at most 2^53-1.
	maxUvarint = 8
	// evidenceVersion is the first byte of an encoded ForkEvidence.
	evidenceVersion = 1
)

// Append appends the evidence as ParseForkEvidence reads it:
//
//	byte 1, statement, statement
//	statement: uvarint length, root hash (32), signature (64),
//	           uvarint count of roots, which is 0 or what the length asks for,
//	           nodes: the roots;
//	           and if there are roots: uvarint index of the node, its node,
//	           uvarint count of siblings, nodes: the siblings
//	node:      uvarint size, hash (32)
//
// Indexes of roots and siblings follow from the length and the node, so there
// is one encoding of each evidence. It needs an evidence that Verify accepts.
func (e *ForkEvidence) Append(b []byte) []byte {
	b = append(b, evidenceVersion)
	return e.Theirs.append(e.Ours.append(b))
}

func (s *Statement) append(b []byte) []byte {
	b = binary.AppendUvarint(b, s.Length)
	b = append(b, s.RootHash[:]...)
	b = append(b, s.Signature[:]...)
	b = appendNodes(b, s.Roots)
	if len(s.Roots) == 0 {
		return b
	}
	b = appendNode(binary.AppendUvarint(b, s.Node.Index), s.Node)
	return appendNodes(b, s.Siblings)
}

func appendNodes(b []byte, nodes []merkle.Node) []byte {
	b = binary.AppendUvarint(b, uint64(len(nodes)))
	for _, n := range nodes {
		b = appendNode(b, n)
	}
	return b
}

func appendNode(b []byte, n merkle.Node) []byte {
	return append(binary.AppendUvarint(b, n.Size), n.Hash[:]...)
}

// ParseForkEvidence reads what Append has written, and nothing else; Verify says
// whether it is true. It returns ErrEvidence for a version that isn't known and
// for what is malformed or over MaxEvidence bytes. No part of b is kept.
func ParseForkEvidence(b []byte) (*ForkEvidence, error) {
	if len(b) == 0 || len(b) > MaxEvidence {
		return nil, fmt.Errorf("%w: %d bytes", ErrEvidence, len(b))
	}
	if b[0] != evidenceVersion {
		return nil, fmt.Errorf("%w: version %d is not known", ErrEvidence, b[0])
	}
	r := evidenceReader{rest: b[1:]}
	e := &ForkEvidence{Ours: r.statement(), Theirs: r.statement()}
	if r.err == nil && len(r.rest) > 0 {
		r.err = fmt.Errorf("%d bytes to spare", len(r.rest))
	}
	if r.err != nil {
		return nil, fmt.Errorf("%w: %w", ErrEvidence, r.err)
	}
	return e, nil
}

// evidenceReader takes bytes from the front of rest until the first error.
type evidenceReader struct {
	rest []byte
	err  error
}

func (r *evidenceReader) statement() (s Statement) {
	s.Length = r.number(merkle.MaxLength)
	r.bytes(s.RootHash[:])
	r.bytes(s.Signature[:])
	roots := r.number(maxStatementNodes)
	if roots == 0 || r.err != nil {
		return s
	}
	var buf [maxStatementNodes]uint64
	indexes := flattree.FullRoots(buf[:0], s.Length)
	if roots != uint64(len(indexes)) {
		r.err = fmt.Errorf("%d roots for %d blocks", roots, s.Length)
		return s
	}
	s.Roots = make([]merkle.Node, 0, len(indexes))
	for _, index := range indexes {
		s.Roots = append(s.Roots, r.node(index))
	}
	s.Node = r.node(r.number(merkle.MaxSize))
	index := s.Node.Index
	for range r.number(maxStatementNodes) {
		if r.err != nil || !flattree.Within(index, s.Length) {
			break
		}
		s.Siblings = append(s.Siblings, r.node(flattree.Sibling(index)))
		index = flattree.Parent(index)
	}
	if r.err == nil && !flattree.Within(index, s.Length) {
		r.err = fmt.Errorf("node %d is not of a tree of %d blocks", index, s.Length)
	}
	return s
}

func (r *evidenceReader) node(index uint64) merkle.Node {
	n := merkle.Node{Index: index, Size: r.number(merkle.MaxSize)}
	r.bytes(n.Hash[:])
	return n
}

// number reads a uvarint of at most limit in its shortest form.
func (r *evidenceReader) number(limit uint64) uint64 {
	if r.err != nil {
		return 0
	}
	v, n := binary.Uvarint(r.rest)
	if n <= 0 || v > limit || n > 1 && r.rest[n-1] == 0 {
		r.err = errors.New("malformed number")
		return 0
	}
	r.rest = r.rest[n:]
	return v
}

func (r *evidenceReader) bytes(dst []byte) {
	if r.err != nil {
		return
	}
	if len(r.rest) < len(dst) {
		r.err = errors.New("cut off")
		return
	}
	r.rest = r.rest[copy(dst, r.rest):]
}
