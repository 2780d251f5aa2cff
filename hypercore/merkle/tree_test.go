package merkle

import (
	"crypto/ed25519"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"testing"

	"golang.org/x/crypto/blake2b"

	"github.com/cobox-p2p/cobox-p2p/hypercore/flattree"
)

// nodeMap is a NodeReader in memory.
type nodeMap map[uint64]Node

func (m nodeMap) Node(index uint64) (Node, error) {
	if n, ok := m[index]; ok {
		return n, nil
	}
	return Node{}, ErrNoNode
}

// naiveNode computes the node at index of the tree over blocks by recursion,
// with hashes written down from the format and not with Leaf and Parent.
func naiveNode(into nodeMap, blocks [][]byte, index uint64) Node {
	n := Node{Index: index}
	l, r, ok := flattree.Children(index)
	if !ok {
		block := blocks[index/2]
		n.Size = uint64(len(block))
		n.Hash = blake2b.Sum256(append(binary.BigEndian.AppendUint64([]byte{0}, n.Size), block...))
	} else {
		left, right := naiveNode(into, blocks, l), naiveNode(into, blocks, r)
		n.Size = left.Size + right.Size
		n.Hash = blake2b.Sum256(fmt.Appendf(nil, "\x01%s%s%s", binary.BigEndian.AppendUint64(nil, n.Size), left.Hash[:], right.Hash[:]))
	}
	into[index] = n
	return n
}

// naiveTree returns all nodes of the tree over blocks.
func naiveTree(blocks [][]byte) nodeMap {
	all := nodeMap{}
	for _, root := range flattree.FullRoots(nil, uint64(len(blocks))) {
		naiveNode(all, blocks, root)
	}
	return all
}

// writer is a feed and all the heads that it ever had.
type writer struct {
	secret string
	blocks [][]byte
	nodes  nodeMap
	roots  Roots
	signed [][]byte // signed[n] is the signature over the tree of n blocks
}

func newWriter(secret string, blocks ...string) *writer {
	w := &writer{secret: secret, nodes: nodeMap{}, signed: [][]byte{nil}}
	for _, b := range blocks {
		w.append([]byte(b))
	}
	return w
}

func (w *writer) append(block []byte) {
	w.blocks = append(w.blocks, block)
	for _, n := range w.roots.Append(Leaf(w.roots.Length(), block), nil) {
		w.nodes[n.Index] = n
	}
	w.signed = append(w.signed, w.sign(w.roots.Hash(), w.roots.Length()))
}

// sign stands for a signature: nobody who doesn't know the secret can make it,
// and it is much faster than a real one.
func (w *writer) sign(root Hash, length uint64) []byte {
	h := blake2b.Sum512(fmt.Appendf(nil, "%s %x %d", w.secret, root, length))
	return h[:]
}

// branch returns a writer with the same secret that goes on from the first
// length blocks.
func (w *writer) branch(length int, more ...string) *writer {
	b := newWriter(w.secret)
	for _, block := range w.blocks[:length] {
		b.append(block)
	}
	for _, block := range more {
		b.append([]byte(block))
	}
	return b
}

// claim answers a request for block seq from the tree of length blocks.
func (w *writer) claim(t testing.TB, length, seq, digest uint64, hash bool) Claim {
	t.Helper()
	p, err := Prove(w.nodes, length, seq, digest, hash)
	if err != nil {
		t.Fatalf("Prove(%d, %d, %d, %v): %v", length, seq, digest, hash, err)
	}
	c := Claim{Seq: seq, HasBlock: !hash, Nodes: p.Nodes}
	if c.HasBlock {
		c.Block = w.blocks[seq]
	}
	if p.Length > 0 {
		c.Signature = w.signed[p.Length]
	}
	return c
}

// reader holds part of a feed.
type reader struct {
	writer *writer
	nodes  nodeMap
	head   Roots
	blocks map[uint64]bool
	checks int // calls of checkSignature in the last verify
}

func newReader(w *writer) *reader {
	return &reader{writer: w, nodes: nodeMap{}, blocks: map[uint64]bool{}}
}

// full returns a reader that holds the first length blocks of w.
func full(t testing.TB, w *writer, length uint64) *reader {
	t.Helper()
	r := newReader(w)
	for seq := range length {
		r.mustApply(t, w.claim(t, length, seq, r.digest(seq), false))
	}
	return r
}

func (r *reader) digest(seq uint64) uint64 {
	return Digest(func(index uint64) bool { _, ok := r.nodes[index]; return ok }, seq, r.head.Length())
}

var errForged = errors.New("forged")

func (r *reader) verify(c Claim) (Verified, error) {
	r.checks = 0
	return Verify(r.nodes, r.head, c, func(root Hash, length uint64) error {
		r.checks++
		if string(c.Signature) != string(r.writer.sign(root, length)) {
			return errForged
		}
		return nil
	})
}

// apply verifies and stores.
func (r *reader) apply(c Claim) (Verified, error) {
	v, err := r.verify(c)
	if err != nil || !v.InTree {
		return v, err
	}
	for _, n := range v.Nodes {
		r.nodes[n.Index] = n
	}
	if v.Roots != nil {
		r.head = *v.Roots
	}
	if c.HasBlock {
		r.blocks[c.Seq] = true
	}
	return v, nil
}

func (r *reader) mustApply(t testing.TB, c Claim) Verified {
	t.Helper()
	v, err := r.apply(c)
	if err != nil {
		t.Fatalf("block %d: %v", c.Seq, err)
	}
	if !v.InTree {
		t.Fatalf("block %d is not in the tree", c.Seq)
	}
	return v
}

// sound returns an error unless what Verify returned for c is true of a tree of
// the writer.
func (r *reader) sound(c Claim, v Verified) error {
	w := r.writer
	if v.InTree && (c.Seq >= uint64(len(w.blocks)) || v.Leaf.Hash != w.nodes[2*c.Seq].Hash) {
		return fmt.Errorf("hash of block %d is wrong", c.Seq)
	}
	if v.InTree && c.HasBlock && string(c.Block) != string(w.blocks[c.Seq]) {
		return fmt.Errorf("block %d is wrong", c.Seq)
	}
	if !v.InTree && (v.Nodes != nil || v.Roots != nil) {
		return fmt.Errorf("nodes of a block that isn't in the tree")
	}
	for i, n := range v.Nodes {
		if n != w.nodes[n.Index] {
			return fmt.Errorf("node %d is wrong: %+v, want %+v", n.Index, n, w.nodes[n.Index])
		}
		if _, ok := r.nodes[n.Index]; ok || i > 0 && v.Nodes[i-1].Index >= n.Index {
			return fmt.Errorf("node %d is held, or out of order", n.Index)
		}
	}
	if v.Roots == nil {
		return nil
	}
	want, err := LoadRoots(w.nodes, v.Roots.Length())
	if err != nil || v.Roots.Hash() != want.Hash() || v.Roots.Size() != want.Size() || want.Length() <= r.head.Length() {
		return fmt.Errorf("tree of %d blocks is wrong", v.Roots.Length())
	}
	return nil
}

// invariant returns an error unless the nodes held are those that Verify needs:
// every root of the head, and the sibling and the parent of every other node;
// the leaves of all blocks.
func (r *reader) invariant() error {
	isRoot := map[uint64]bool{}
	for _, n := range r.head.Nodes() {
		isRoot[n.Index] = true
		if r.nodes[n.Index] != n {
			return fmt.Errorf("root %d is not held", n.Index)
		}
	}
	for i := range r.nodes {
		if isRoot[i] {
			continue
		}
		if _, ok := r.nodes[flattree.Sibling(i)]; !ok {
			return fmt.Errorf("node %d is held without its sibling", i)
		}
		if _, ok := r.nodes[flattree.Parent(i)]; !ok {
			return fmt.Errorf("node %d is held without its parent", i)
		}
	}
	for seq := range r.blocks {
		if _, ok := r.nodes[2*seq]; !ok {
			return fmt.Errorf("leaf of block %d is not held", seq)
		}
	}
	return nil
}

// Vectors of the npm packages, as far as this package needs them.

type vectorNode struct {
	Index, Size uint64
	Hash        string
}

func (v vectorNode) node(t *testing.T) Node {
	t.Helper()
	return Node{Index: v.Index, Size: v.Size, Hash: Hash(unhex(t, v.Hash))}
}

func vectorNodes(t *testing.T, vs []vectorNode) []Node {
	t.Helper()
	nodes := make([]Node, 0, len(vs))
	for _, v := range vs {
		nodes = append(nodes, v.node(t))
	}
	return nodes
}

type vectors struct {
	LeafHashes []struct {
		DataHex    *string
		DataRepeat *struct {
			Byte  byte
			Count int
		}
		Size uint64
		Hash string
	}
	ParentHashes []struct{ Left, Right, Parent vectorNode }
	RootHashes   []struct {
		Roots []vectorNode
		Hash  string
	}
	Feed struct {
		Files struct{ Key string }
		Steps []struct {
			Length, ByteLength         uint64
			Block, TreeHash, Signature string
			Roots                      []vectorNode
		}
	}
	Proofs struct {
		Seed string
		List []struct {
			Index uint64
			Opts  struct {
				Digest uint64
				Hash   bool
			}
			Nodes     []vectorNode
			Signature *string
		}
	}
	Digests []struct {
		TreeHas       []uint64
		DigestOfBlock map[string]uint64
	}
}

func readVectors(t *testing.T) vectors {
	t.Helper()
	file, err := os.ReadFile("../../interop/vectors/legacy.json")
	if err != nil {
		t.Fatal(err)
	}
	var v vectors
	if err := json.Unmarshal(file, &v); err != nil {
		t.Fatal(err)
	}
	if len(v.LeafHashes) == 0 || len(v.ParentHashes) == 0 || len(v.RootHashes) == 0 ||
		len(v.Feed.Steps) == 0 || len(v.Proofs.List) == 0 || len(v.Digests) == 0 {
		t.Fatal("vectors are missing")
	}
	return v
}

func unhex(t *testing.T, s string) []byte {
	t.Helper()
	b, err := hex.DecodeString(s)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// signable is what a real signature covers.
func signable(root Hash, length uint64) []byte {
	return binary.BigEndian.AppendUint64(root[:], length)
}

// realCheck returns a check of real signatures.
func realCheck(key ed25519.PublicKey, signature []byte) func(Hash, uint64) error {
	return func(root Hash, length uint64) error {
		if !ed25519.Verify(key, signable(root, length), signature) {
			return errForged
		}
		return nil
	}
}
