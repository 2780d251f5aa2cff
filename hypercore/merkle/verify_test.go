package merkle

import (
	"errors"
	"fmt"
	"slices"
	"testing"
)

// letters returns a writer of n blocks of 4 bytes each.
func letters(n int) *writer {
	w := newWriter("w")
	for i := range n {
		w.append(fmt.Appendf(nil, "%04d", i))
	}
	return w
}

// copyOf returns a claim that can be changed.
func copyOf(c Claim) Claim {
	c.Nodes, c.Block, c.Signature = slices.Clone(c.Nodes), slices.Clone(c.Block), slices.Clone(c.Signature)
	return c
}

func wantError(t *testing.T, r *reader, c Claim, want error, what string, args ...any) {
	t.Helper()
	v, err := r.verify(c)
	if !errors.Is(err, want) {
		t.Errorf("%s: %+v, %v, want %v", fmt.Sprintf(what, args...), v, err, want)
	}
	if r.checks > 1 {
		t.Errorf("%s: signature checked %d times", fmt.Sprintf(what, args...), r.checks)
	}
}

func TestVerifyRefusesEveryFlippedBit(t *testing.T) {
	w := letters(13)
	for _, hash := range []bool{false, true} {
		for _, seq := range []uint64{0, 5, 11, 12} {
			r := newReader(w)
			good := w.claim(t, 13, seq, 0, hash)
			if _, err := r.verify(good); err != nil {
				t.Fatal(err)
			}
			for i := range 8 * len(good.Block) {
				c := copyOf(good)
				c.Block[i/8] ^= 1 << (i % 8)
				wantError(t, r, c, ErrProof, "block %d, bit %d", seq, i)
			}
			for i := range 8 * len(good.Signature) {
				c := copyOf(good)
				c.Signature[i/8] ^= 1 << (i % 8)
				wantError(t, r, c, ErrProofSignature, "block %d, bit %d of the signature", seq, i)
			}
			for n := range good.Nodes {
				for i := range 8 * HashSize {
					c := copyOf(good)
					c.Nodes[n].Hash[i/8] ^= 1 << (i % 8)
					wantError(t, r, c, ErrProof, "block %d, node %d, bit %d of the hash", seq, n, i)
				}
				for i := range 64 {
					c := copyOf(good)
					c.Nodes[n].Size ^= 1 << i
					wantError(t, r, c, ErrProof, "block %d, node %d, bit %d of the size", seq, n, i)
					c = copyOf(good)
					c.Nodes[n].Index ^= 1 << i
					wantError(t, r, c, ErrProof, "block %d, node %d, bit %d of the index", seq, n, i)
				}
			}
		}
	}
}

func TestVerifyRefusesOtherNodeLists(t *testing.T) {
	w := letters(13)
	r := newReader(w)
	for seq := range uint64(13) {
		good := w.claim(t, 13, seq, 0, false)
		for i := range good.Nodes {
			c := copyOf(good)
			c.Nodes = slices.Delete(c.Nodes, i, i+1)
			wantError(t, r, c, ErrProof, "block %d without node %d", seq, i)
			for j := range i {
				c := copyOf(good)
				c.Nodes[i], c.Nodes[j] = c.Nodes[j], c.Nodes[i]
				wantError(t, r, c, ErrProof, "block %d with nodes %d and %d exchanged", seq, i, j)
			}
			c = copyOf(good)
			c.Nodes = slices.Insert(c.Nodes, i, c.Nodes[i])
			wantError(t, r, c, ErrProofDuplicate, "block %d with node %d twice", seq, i)
		}
		for index, n := range w.nodes {
			if slices.Contains(good.Nodes, n) {
				continue
			}
			for i := range len(good.Nodes) + 1 {
				c := copyOf(good)
				c.Nodes = slices.Insert(c.Nodes, i, n)
				wantError(t, r, c, ErrProof, "block %d with node %d as number %d", seq, index, i)
			}
		}
		for other := range uint64(14) {
			if other != seq {
				c := copyOf(good)
				c.Seq = other
				wantError(t, r, c, ErrProof, "proof of block %d for block %d", seq, other)
			}
		}
	}
}

func TestVerifyNamesWhatIsWrong(t *testing.T) {
	w := letters(13)
	some := newReader(w) // holds 0, 2, 1, 5, 3 and roots
	some.mustApply(t, w.claim(t, 13, 0, 0, false))
	for _, c := range []struct {
		name   string
		r      *reader
		change func(c *Claim)
		seq    uint64
		digest uint64
		want   error
	}{
		{"root missing", newReader(w), func(c *Claim) { c.Nodes = slices.Delete(c.Nodes, 3, 4) }, 0, 0, ErrProofShort},
		{"sibling missing", newReader(w), func(c *Claim) { c.Nodes = c.Nodes[1:] }, 1, 0, ErrProofShort},
		{"all missing", newReader(w), func(c *Claim) { c.Nodes = nil }, 1, 0, ErrProofShort},
		{"leaf of a hash missing", newReader(w), func(c *Claim) { c.HasBlock, c.Nodes = false, nil }, 1, 0, ErrProofShort},
		{"leaf beside the block", newReader(w), func(c *Claim) { c.Nodes = slices.Insert(c.Nodes, 0, w.nodes[2]) }, 1, 0, ErrProofShort},
		{"node behind the roots", newReader(w), func(c *Claim) { c.Nodes = append(c.Nodes, w.nodes[4]) }, 0, 0, ErrProofSpare},
		{"node below the path", newReader(w), func(c *Claim) { c.Nodes = append(c.Nodes, w.nodes[5]) }, 0, 1, ErrProofShort},
		{"spare after a held node", some, func(c *Claim) { c.Nodes = append(c.Nodes, w.nodes[4]) }, 0, 1, ErrProof},
		{"no signature", newReader(w), func(c *Claim) { c.Signature = nil }, 3, 0, ErrProofSignature},
		{"no proof at all", some, func(c *Claim) {}, 6, 1, ErrProofShort},
		{"other block at a held leaf", some, func(c *Claim) { c.Block = []byte("0001") }, 0, 1, ErrProofContradicts},
		{"other hash at a held leaf, signed for another tree", some, func(c *Claim) { c.Block[0]++ }, 0, 0, ErrProofContradicts},
		{"short signature", some, func(c *Claim) { c.Signature = c.Signature[:63] }, 4, 0, ErrProofLimit},
		{"long signature", some, func(c *Claim) { c.Signature = append(slices.Clone(c.Signature), 0) }, 4, 0, ErrProofLimit},
	} {
		claim := copyOf(w.claim(t, 13, c.seq, c.digest, false))
		c.change(&claim)
		wantError(t, c.r, claim, c.want, "%s", c.name)
	}
}

// TestVerifySizesThatNothingProves: a parent commits to the sum of its
// children's sizes only, so a peer can tell 7 and 1 for 4 and 4.
func TestVerifySizesThatNothingProves(t *testing.T) {
	w := letters(8)
	shift := func(c Claim, i, j int) Claim {
		c = copyOf(c)
		c.Nodes[i].Size, c.Nodes[j].Size = 7, 1
		return c
	}
	r := newReader(w)
	hash := w.claim(t, 8, 2, 0, true) // leaf 4, sibling 6, then 1 and 11
	v, err := r.verify(shift(hash, 0, 1))
	if err != nil || r.sound(hash, v) != nil {
		t.Fatalf("hash of block 2: %v, %v", err, r.sound(hash, v))
	}
	for _, n := range v.Nodes {
		if n.Index == 4 || n.Index == 6 {
			t.Errorf("node %d is to be stored, its size is not proved", n.Index)
		}
	}
	if len(v.Nodes) != 5 { // 5, 1, 3, 11, 7
		t.Errorf("%d nodes to be stored, want 5", len(v.Nodes))
	}
	for j := 2; j < len(hash.Nodes); j++ {
		wantError(t, r, shift(hash, 0, j), ErrProof, "size shifted to node %d", j)
		wantError(t, r, shift(hash, 1, j), ErrProof, "size shifted to node %d", j)
	}
	block := w.claim(t, 8, 2, 0, false)
	for i := range block.Nodes {
		for j := range i {
			wantError(t, r, shift(block, i, j), ErrProof, "size shifted from node %d to %d", i, j)
		}
	}

	r.mustApply(t, hash)
	r.mustApply(t, w.claim(t, 8, 3, r.digest(3), false)) // proves both sizes
	if err := r.invariant(); err != nil || r.nodes[4] != w.nodes[4] || r.nodes[6] != w.nodes[6] {
		t.Errorf("nodes 4 and 6 = %+v, %+v, %v", r.nodes[4], r.nodes[6], err)
	}
	wantError(t, r, shift(hash, 0, 1), ErrProofContradicts, "shifted sizes of held nodes")

	// The sibling is held: the leaf's size follows.
	w = letters(2)
	r = newReader(w)
	r.mustApply(t, w.claim(t, 1, 0, 0, false))
	v = r.mustApply(t, w.claim(t, 2, 1, r.digest(1), true))
	if len(v.Nodes) != 2 || v.Nodes[1] != w.nodes[2] {
		t.Errorf("nodes %+v", v.Nodes)
	}
	// A leaf that is a root: its signature covers the size.
	r = newReader(w)
	only := w.claim(t, 1, 0, 0, true)
	only.Nodes[0].Size++
	wantError(t, r, only, ErrProofSignature, "size of a root")
	only.Nodes[0].Size--
	if v := r.mustApply(t, only); len(v.Nodes) != 1 || v.Roots.Size() != 4 {
		t.Errorf("nodes %+v", v.Nodes)
	}
}

func TestVerifyOlderHead(t *testing.T) {
	w := letters(16)
	r := newReader(w)
	r.mustApply(t, w.claim(t, 8, 0, 0, false)) // holds 0, 2, 1, 5, 3, 11, 7
	older := w.claim(t, 5, 4, r.digest(4), false)
	v, err := r.verify(older)
	if err != nil || v.InTree || v.Nodes != nil || v.Roots != nil || r.checks != 1 {
		t.Errorf("block 4 under 5 blocks: %+v, %v, %d checks", v, err, r.checks)
	}
	older.Signature = w.signed[6]
	wantError(t, r, older, ErrProofSignature, "block 4 under a signature of 6 blocks")

	// A late answer about an older tree, whose right root isn't ours for certain.
	late := w.claim(t, 6, 0, 0, false)
	if v, err := r.verify(late); err != nil || !v.InTree || v.Nodes != nil || v.Roots != nil {
		t.Errorf("block 0 under 6 blocks: %+v, %v", v, err)
	}
	late.Nodes[2].Hash[0]++
	wantError(t, r, late, ErrProofSignature, "another root under 6 blocks")

	// What is all held needs no signature.
	r = full(t, w, 8)
	again := w.claim(t, 7, 4, 0, false)
	again.Signature[0]++
	if v, err := r.verify(again); err != nil || !v.InTree || v.Nodes != nil || v.Roots != nil || r.checks != 0 {
		t.Errorf("block 4 again: %+v, %v, %d checks", v, err, r.checks)
	}
}

func TestVerifyStopsAtHeldNode(t *testing.T) {
	w := letters(8)
	r := newReader(w)
	r.mustApply(t, w.claim(t, 8, 0, 0, false))
	c := w.claim(t, 8, 3, r.digest(3), false)
	if len(c.Nodes) != 1 || c.Signature != nil {
		t.Fatalf("claim %+v", c)
	}
	v := r.mustApply(t, c)
	if r.checks != 0 || v.Roots != nil || len(v.Nodes) != 2 {
		t.Errorf("%d checks, %+v", r.checks, v)
	}
	if err := r.invariant(); err != nil {
		t.Error(err)
	}
	// The whole proof, asked for before more was held, is as good.
	if v := r.mustApply(t, w.claim(t, 8, 7, 0, false)); v.Roots != nil || len(v.Nodes) != 4 {
		t.Errorf("whole proof: %+v", v)
	}
}

func TestVerifyEmptyBlocks(t *testing.T) {
	w := newWriter("w", "", "", "")
	r := newReader(w)
	for _, seq := range []uint64{2, 0, 1} {
		r.mustApply(t, w.claim(t, 3, seq, r.digest(seq), false))
	}
	if r.head.Length() != 3 || r.head.Size() != 0 || r.invariant() != nil {
		t.Errorf("head %+v, %v", r.head, r.invariant())
	}
	c := w.claim(t, 3, 0, 0, false)
	c.HasBlock = false
	wantError(t, newReader(w), c, ErrProofShort, "empty block taken for none")
}
