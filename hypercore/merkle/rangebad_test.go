package merkle

import (
	"errors"
	"slices"
	"testing"
)

// copyRange returns a claim that can be changed.
func copyRange(c RangeClaim) RangeClaim {
	c.Leaves, c.Nodes, c.Signature = slices.Clone(c.Leaves), slices.Clone(c.Nodes), slices.Clone(c.Signature)
	return c
}

func wantRangeError(t *testing.T, r *reader, c RangeClaim, want error, what string, args ...any) {
	t.Helper()
	v, err := r.verifyRange(c)
	if !errors.Is(err, want) || errors.Is(err, ErrProofFork) {
		args = append(args, v, err, want)
		t.Errorf(what+": %+v, %v, want %v", args...)
	}
	if r.checks > 1 {
		t.Errorf(what+": signature checked %d times", append(args, r.checks)...)
	}
}

func TestVerifyRangeRefusesEveryFlippedBit(t *testing.T) {
	w := letters(13)
	some := newReader(w)
	some.mustApply(t, w.claim(t, 13, 0, 0, false))
	for _, of := range []struct {
		r     *reader
		spans [][2]uint64
	}{
		{newReader(w), [][2]uint64{{0, 13}, {0, 3}}},
		{full(t, w, 3), [][2]uint64{{3, 10}}},
		{some, [][2]uint64{{3, 4}, {5, 7}, {12, 1}}},
	} {
		r := of.r
		for _, span := range of.spans {
			asked := r.asks(span[0], span[1])
			good := w.rangeClaim(t, 13, span[1], asked)
			if _, err := r.verifyRange(good); err != nil {
				t.Fatal(err)
			}
			for i := range 8 * len(good.Signature) {
				c := copyRange(good)
				c.Signature[i/8] ^= 1 << (i % 8)
				wantRangeError(t, r, c, ErrProof, "%v: bit %d of the signature", span, i)
			}
			for _, of := range []func(*RangeClaim) []Node{
				func(c *RangeClaim) []Node { return c.Nodes },
				func(c *RangeClaim) []Node { return c.Leaves },
			} {
				for n := range of(&good) {
					for i := range 8 * HashSize {
						c := copyRange(good)
						of(&c)[n].Hash[i/8] ^= 1 << (i % 8)
						wantRangeError(t, r, c, ErrProof, "%v: node %d, bit %d of the hash", span, n, i)
					}
					for i := range 64 {
						c := copyRange(good)
						of(&c)[n].Size ^= 1 << i
						wantRangeError(t, r, c, ErrProof, "%v: node %d, bit %d of the size", span, n, i)
						c = copyRange(good)
						of(&c)[n].Index ^= 1 << i
						wantRangeError(t, r, c, ErrProof, "%v: node %d, bit %d of the index", span, n, i)
					}
				}
			}
		}
	}
}

func TestVerifyRangeRefusesOtherNodeLists(t *testing.T) {
	w := letters(13)
	for _, r := range []*reader{newReader(w), full(t, w, 5)} {
		head := r.head.Length()
		for start := uint64(0); start <= head; start++ {
			for count := uint64(1); start+count <= 13; count++ {
				good := w.rangeClaim(t, 13, count, r.asks(start, count))
				for i := range good.Nodes {
					c := copyRange(good)
					c.Nodes = slices.Delete(c.Nodes, i, i+1)
					wantRangeError(t, r, c, ErrProof, "%d from %d without node %d", count, start, i)
					for j := range i {
						c := copyRange(good)
						c.Nodes[i], c.Nodes[j] = c.Nodes[j], c.Nodes[i]
						wantRangeError(t, r, c, ErrProof, "%d from %d with nodes %d and %d exchanged", count, start, i, j)
					}
					for j := range len(good.Nodes) + 1 {
						c = copyRange(good)
						c.Nodes = slices.Insert(c.Nodes, j, c.Nodes[i])
						wantRangeError(t, r, c, ErrProof, "%d from %d with node %d again as %d", count, start, i, j)
					}
				}
				spareNodes(t, w, r, good)
				otherShapes(t, r, good)
			}
		}
	}
}

// spareNodes puts each node of the tree that the claim doesn't name into each
// place. One that is held and above the range repeats what the reader has, which
// is no lie.
func spareNodes(t *testing.T, w *writer, r *reader, good RangeClaim) {
	t.Helper()
	for index, n := range w.nodes {
		if slices.Contains(good.Nodes, n) {
			continue
		}
		for i := range len(good.Nodes) + 1 {
			c := copyRange(good)
			c.Nodes = slices.Insert(c.Nodes, i, n)
			v, err := r.verifyRange(c)
			if _, held := r.nodes[index]; held && err == nil && r.soundRange(c, v) == nil {
				continue
			}
			if !errors.Is(err, ErrProof) {
				t.Errorf("%d from %d with node %d as number %d: %+v, %v", len(good.Leaves), good.Start, index, i, v, err)
			}
		}
	}
}

// otherShapes changes lengths and the blocks' numbers.
func otherShapes(t *testing.T, r *reader, good RangeClaim) {
	t.Helper()
	for length := range uint64(16) {
		c := copyRange(good)
		if c.Length = length; length == good.Length || length == r.head.Length() && good.Length == 0 {
			continue
		}
		v, err := r.verifyRange(c)
		if err == nil && r.soundRange(c, v) == nil && length < r.head.Length() && c.Signature == nil {
			continue // a part of the held tree
		}
		if !errors.Is(err, ErrProof) {
			t.Errorf("%d from %d under %d blocks: %+v, %v", len(good.Leaves), good.Start, length, v, err)
		}
	}
	c := copyRange(good)
	c.Start++
	wantRangeError(t, r, c, ErrProofShort, "leaves of other blocks")
	for i := range c.Leaves {
		c.Leaves[i].Index += 2
	}
	wantRangeError(t, r, c, ErrProof, "%d blocks from %d as from %d", len(c.Leaves), good.Start, c.Start)
	if len(good.Leaves) > 1 {
		c := copyRange(good)
		c.Leaves = c.Leaves[:len(c.Leaves)-1]
		v, err := r.verifyRange(c)
		if !errors.Is(err, ErrProof) && (err != nil || r.soundRange(c, v) != nil) {
			t.Errorf("%d blocks from %d, the last left out: %+v, %v", len(c.Leaves), c.Start, v, err)
		}
	}
}

func TestVerifyRangeNamesWhatIsWrong(t *testing.T) {
	w := letters(13)
	some := newReader(w)
	some.mustApply(t, w.claim(t, 13, 0, 0, false))
	for _, c := range []struct {
		name   string
		r      *reader
		change func(c *RangeClaim)
		want   error
	}{
		{"root missing", newReader(w), func(c *RangeClaim) { c.Nodes = c.Nodes[:len(c.Nodes)-1] }, ErrProofShort},
		{"sibling missing", newReader(w), func(c *RangeClaim) { c.Nodes = c.Nodes[1:] }, ErrProofShort},
		{"node behind the roots", newReader(w), func(c *RangeClaim) { c.Nodes = append(c.Nodes, w.nodes[4]) }, ErrProofSpare},
		{"no signature", newReader(w), func(c *RangeClaim) { c.Signature = nil }, ErrProofSignature},
		{"signature of no length", some, func(c *RangeClaim) { c.Length = 0 }, ErrProofSignature},
		{"other block, not signed", some, func(c *RangeClaim) { c.Leaves[1].Hash[0]++; c.Signature = nil }, ErrProofContradicts},
		{"other block, signed for another tree", some, func(c *RangeClaim) { c.Leaves[1].Hash[0]++ }, ErrProofContradicts},
		{"short signature", some, func(c *RangeClaim) { c.Signature = c.Signature[:63] }, ErrProofLimit},
		{"long signature", some, func(c *RangeClaim) { c.Signature = append(c.Signature, 0) }, ErrProofLimit},
		{"no blocks", some, func(c *RangeClaim) { c.Leaves = nil }, ErrProofLimit},
		{"length before the last block", some, func(c *RangeClaim) { c.Length = 5 }, ErrProofShort},
		{"leaves exchanged", some, func(c *RangeClaim) { c.Leaves[0], c.Leaves[1] = c.Leaves[1], c.Leaves[0] }, ErrProofShort},
		{"behind the held tree, not signed", full(t, w, 5), func(c *RangeClaim) { c.Length, c.Signature = 0, nil }, ErrProofShort},
	} {
		claim := copyRange(w.whole(t, 13, 3, 3))
		c.change(&claim)
		wantRangeError(t, c.r, claim, c.want, "%s", c.name)
	}
}

// TestVerifyRangeSizes: every size that is stored is proved, since the peer gives
// never both children of one parent.
func TestVerifyRangeSizes(t *testing.T) {
	w := letters(13)
	for start := range uint64(13) {
		for count := uint64(1); start+count <= 13; count++ {
			good := w.whole(t, 13, start, count)
			for i := range good.Nodes {
				for j := range good.Nodes {
					if i == j {
						continue
					}
					c := copyRange(good)
					c.Nodes[i].Size--
					c.Nodes[j].Size++
					wantRangeError(t, newReader(w), c, ErrProofSignature, "%d from %d, a byte moved from node %d to %d", count, start, i, j)
				}
			}
		}
	}
}
