package merkle

import (
	"crypto/ed25519"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"testing"

	"github.com/cobox-p2p/cobox-p2p/hypercore/flattree"
)

func TestProofVectors(t *testing.T) {
	v := readVectors(t)
	w := newWriter("w")
	for i := range 9 {
		w.append(fmt.Appendf(nil, "block%d", i))
	}
	key := ed25519.NewKeyFromSeed(unhex(t, v.Proofs.Seed))
	for i, p := range v.Proofs.List {
		got, err := Prove(w.nodes, 9, p.Index, p.Opts.Digest, p.Opts.Hash)
		if err != nil || !slices.Equal(got.Nodes, vectorNodes(t, p.Nodes)) {
			t.Errorf("proof %d: %+v, %v, want %+v", i, got.Nodes, err, p.Nodes)
		}
		if p.Signature == nil {
			if got.Length != 0 {
				t.Errorf("proof %d: length %d, want 0", i, got.Length)
			}
			continue
		}
		sig := unhex(t, *p.Signature)
		if got.Length != 9 || string(ed25519.Sign(key, signable(w.roots.Hash(), 9))) != string(sig) {
			t.Errorf("proof %d: length %d, or another signature", i, got.Length)
		}
		if p.Opts.Digest != 0 {
			continue
		}
		c := Claim{Seq: p.Index, Block: w.blocks[p.Index], HasBlock: !p.Opts.Hash, Nodes: vectorNodes(t, p.Nodes), Signature: sig}
		res, err := Verify(nodeMap{}, Roots{}, c, realCheck(key.Public().(ed25519.PublicKey), sig))
		if err != nil || res.Roots == nil || res.Roots.Hash() != w.roots.Hash() {
			t.Errorf("proof %d: Verify = %+v, %v", i, res, err)
		}
	}
}

func TestDigestVectors(t *testing.T) {
	for i, v := range readVectors(t).Digests {
		// The original also counts a parent as held when both children are, and
		// looks as far as its bitfield reaches, which has whole bytes.
		held := map[uint64]bool{}
		reach := uint64(0)
		for _, index := range v.TreeHas {
			held[index] = true
			for held[flattree.Sibling(index)] {
				index = flattree.Parent(index)
				held[index] = true
			}
			reach = max(reach, (index/8+1)*8)
		}
		for block, want := range v.DigestOfBlock {
			seq, err := strconv.ParseUint(block, 10, 64)
			if err != nil {
				t.Fatal(err)
			}
			if got := digest(func(index uint64) bool { return held[index] }, seq, reach/2); got != want {
				t.Errorf("tree %d: digest of block %d = %d, want %d", i, seq, got, want)
			}
		}
	}
}

func TestDigestAtTheLimits(t *testing.T) {
	all := func(uint64) bool { return true }
	none := func(uint64) bool { return false }
	for _, seq := range []uint64{0, 1, MaxLength/2 - 1, MaxLength - 1} {
		if got := Digest(none, seq, MaxLength); got != 0 {
			t.Errorf("Digest(%d) of nothing = %d", seq, got)
		}
		if got := Digest(all, seq, MaxLength); got != 1 {
			t.Errorf("Digest(%d) of all = %d", seq, got)
		}
		root := func(i uint64) bool { return i == MaxLength-1 }
		if got := Digest(root, seq, MaxLength); got > MaxSize {
			t.Errorf("Digest(%d) of the root = %d, over 53 bits", seq, got)
		}
		siblings := func(i uint64) bool { return !flattree.Spans(i, 2*seq) }
		if got := Digest(siblings, seq, MaxLength); got > MaxSize || got&1 == 1 {
			t.Errorf("Digest(%d) of all siblings = %d", seq, got)
		}
	}
	if got := Digest(all, MaxLength, MaxLength); got != 0 {
		t.Errorf("Digest beyond the limit = %d", got)
	}
	if got := Digest(all, 9, 8); got&1 == 1 {
		t.Errorf("Digest of a block behind the head = %d", got)
	}
}

func TestProveRefuses(t *testing.T) {
	w := newWriter("w", "a", "b", "c", "d", "e")
	for _, bad := range [][2]uint64{{5, 5}, {0, 0}, {5, 1 << 63}, {MaxLength + 1, 0}} {
		if _, err := Prove(w.nodes, bad[0], bad[1], 0, false); err == nil {
			t.Errorf("Prove of block %d of %d", bad[1], bad[0])
		}
	}
	delete(w.nodes, 5)
	if _, err := Prove(w.nodes, 5, 0, 0, false); !errors.Is(err, ErrNoNode) {
		t.Errorf("Prove without node 5: %v", err)
	}
	if _, err := Prove(w.nodes, 5, 0, 5, false); err != nil {
		t.Errorf("Prove up to node 1: %v", err)
	}
}

// FuzzProve gives any digest to Prove: it panics on none, and what it returns
// are nodes of the tree, none twice.
func FuzzProve(f *testing.F) {
	w := newWriter("w")
	for i := range 40 {
		w.append(fmt.Appendf(nil, "%d", i))
	}
	f.Add(uint64(9), uint64(3), uint64(0), true)
	f.Add(uint64(40), uint64(33), uint64(1<<63+5), false)
	f.Add(uint64(40), uint64(33), uint64(1<<64-1), false)
	f.Fuzz(func(t *testing.T, length, seq, digest uint64, hash bool) {
		length = length%40 + 1
		p, err := Prove(w.nodes, length, seq%length, digest, hash)
		if err != nil {
			t.Fatal(err)
		}
		seen := map[uint64]bool{}
		for _, n := range p.Nodes {
			if seen[n.Index] || n != w.nodes[n.Index] || !flattree.Within(n.Index, length) {
				t.Fatalf("node %d", n.Index)
			}
			seen[n.Index] = true
		}
		if p.Length != 0 && p.Length != length || len(p.Nodes) > MaxProofNodes {
			t.Fatalf("%d nodes up to %d blocks", len(p.Nodes), p.Length)
		}
	})
}
