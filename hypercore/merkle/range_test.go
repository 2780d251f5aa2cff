package merkle

import (
	"errors"
	"fmt"
	"math/bits"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/cobox-p2p/cobox-p2p/hypercore/flattree"
)

// rangeClaim answers a request for a range from the tree of length blocks.
func (w *writer) rangeClaim(t testing.TB, length, count uint64, asked RangeAsked) RangeClaim {
	t.Helper()
	p, err := ProveRange(w.nodes, length, count, asked)
	if err != nil {
		t.Fatalf("ProveRange(%d, %d, %+v): %v", length, count, asked, err)
	}
	c := RangeClaim{Start: asked.Start, Nodes: p.Nodes, Length: p.Length}
	for seq := asked.Start; seq < asked.Start+count; seq++ {
		c.Leaves = append(c.Leaves, Leaf(seq, w.blocks[seq]))
	}
	if p.Length > 0 {
		c.Signature = w.signed[p.Length]
	}
	return c
}

// whole answers one who holds nothing.
func (w *writer) whole(t testing.TB, length, start, count uint64) RangeClaim {
	t.Helper()
	return w.rangeClaim(t, length, count, RangeAsked{Start: start, Count: count})
}

// asks returns a request for a range with what the reader holds.
func (r *reader) asks(start, count uint64) RangeAsked {
	has := func(index uint64) bool { _, ok := r.nodes[index]; return ok }
	return RangeAsked{Start: start, Count: count, Length: r.head.Length(), Edges: RangeEdges(has, start, count, r.head.Length())}
}

func (r *reader) verifyRange(c RangeClaim) (Verified, error) {
	r.checks = 0
	return VerifyRange(r.nodes, r.head, c, func(root Hash, length uint64) error {
		r.checks++
		if string(c.Signature) != string(r.writer.sign(root, length)) {
			return errForged
		}
		return nil
	})
}

// applyRange verifies and stores.
func (r *reader) applyRange(c RangeClaim) (Verified, error) {
	v, err := r.verifyRange(c)
	if err != nil {
		return v, err
	}
	for _, n := range v.Nodes {
		r.nodes[n.Index] = n
	}
	if v.Roots != nil {
		r.head = *v.Roots
	}
	for i := range v.Count {
		r.blocks[c.Start+i] = true
	}
	return v, nil
}

func (r *reader) clone() *reader {
	c := newReader(r.writer)
	c.head = r.head.Clone()
	for i, n := range r.nodes {
		c.nodes[i] = n
	}
	for seq := range r.blocks {
		c.blocks[seq] = true
	}
	return c
}

// soundRange returns an error unless what VerifyRange returned is true of a tree
// of the writer, and complete: a reader that stores it can prove every block.
func (r *reader) soundRange(c RangeClaim, v Verified) error {
	w := r.writer
	if v.InTree != (v.Count > 0) || v.Count > uint64(len(c.Leaves)) || v.Leaf != c.Leaves[0] {
		return fmt.Errorf("%d blocks, in the tree: %v", v.Count, v.InTree)
	}
	for _, leaf := range c.Leaves[:v.Count] {
		if leaf != w.nodes[leaf.Index] || leaf.Index/2 >= uint64(len(w.blocks)) {
			return fmt.Errorf("block %d is wrong", leaf.Index/2)
		}
	}
	first := Claim{Seq: c.Start, HasBlock: true}
	if c.Start < uint64(len(w.blocks)) {
		first.Block = w.blocks[c.Start]
	}
	if err := r.sound(first, v); err != nil {
		return err
	}
	return r.keeps(c, v)
}

// keeps returns an error unless the invariant of a reader holds on for the nodes
// that it is to store, and for what was a root before.
func (r *reader) keeps(c RangeClaim, v Verified) error {
	head := r.head
	if v.Roots != nil {
		head = *v.Roots
	}
	isNew := map[uint64]bool{}
	for _, n := range v.Nodes {
		isNew[n.Index] = true
	}
	stored := func(index uint64) bool { _, held := r.nodes[index]; return held || isNew[index] }
	for _, leaf := range c.Leaves[:v.Count] {
		if !stored(leaf.Index) {
			return fmt.Errorf("leaf of block %d is not stored", leaf.Index/2)
		}
	}
	for _, n := range slices.Concat(v.Nodes, r.head.Nodes(), head.Nodes()) {
		sibling := flattree.Sibling(n.Index)
		if !stored(n.Index) || flattree.Within(sibling, head.Length()) && !(stored(sibling) && stored(flattree.Parent(n.Index))) {
			return fmt.Errorf("node %d is stored without its sibling or its parent", n.Index)
		}
	}
	return nil
}

// sparse returns a reader of the first length blocks that holds each with the
// given chance in 256, some without their hash's block.
func sparse(t testing.TB, r *rand.Rand, w *writer, length uint64, chance int) *reader {
	t.Helper()
	to := newReader(w)
	if length > 0 {
		to.mustApply(t, w.claim(t, length, r.Uint64N(length), 0, r.IntN(2) == 0))
	}
	for seq := range length {
		if r.IntN(256) < chance {
			to.mustApply(t, w.claim(t, length, seq, to.digest(seq), r.IntN(4) == 0))
		}
	}
	return to
}

// TestRangeOfEverySmallTree asks for each range of each small tree, with answers
// of any length, as readers of any length and several kinds of holes.
func TestRangeOfEverySmallTree(t *testing.T) {
	largest := uint64(11)
	if soak() > 1 {
		largest = 20
	}
	w := letters(int(largest))
	naive := naiveTree(w.blocks)
	for seed := range uint64(3) {
		r := rand.New(rand.NewPCG(seed, 7))
		for head := uint64(0); head <= largest; head++ {
			to := sparse(t, r, w, head, []int{0, 40, 128}[seed%3])
			for length := uint64(1); length <= largest; length++ {
				for start := range length {
					for count := uint64(1); start+count <= length; count++ {
						asked := to.asks(start, count)
						tryRange(t, to, w.rangeClaim(t, length, count, asked), asked, length)
						less := asked
						less.Count += 1 + r.Uint64N(8)
						less.Edges = to.asks(start, less.Count).Edges
						tryRange(t, to, w.rangeClaim(t, length, count, less), less, length)
						tryRange(t, to, w.whole(t, length, start, count), RangeAsked{}, length)
						if t.Failed() {
							t.Fatalf("seed %d", seed)
						}
					}
				}
			}
		}
	}
	for index, n := range naive {
		if n != w.nodes[index] {
			t.Errorf("node %d of the writer is wrong", index)
		}
	}
}

// tryRange gives an honest answer to a reader.
func tryRange(t *testing.T, to *reader, c RangeClaim, asked RangeAsked, length uint64) {
	t.Helper()
	head, end := to.head.Length(), c.Start+uint64(len(c.Leaves))
	v, err := to.verifyRange(c)
	what := func() string {
		return fmt.Sprintf("blocks %d to %d of %d, head %d, asked %+v", c.Start, end, length, head, asked)
	}
	if errors.Is(err, ErrProofBranch) && c.Start > head && length > head {
		return // as it may be of a block behind the next one
	}
	if err != nil {
		t.Errorf("%s: %v, %+v", what(), err, c.Nodes)
		return
	}
	if err := to.soundRange(c, v); err != nil {
		t.Errorf("%s: %v", what(), err)
	}
	all := v.Count == uint64(len(c.Leaves))
	switch {
	case length > head && end > head && (!all || v.Roots == nil || v.Roots.Length() != length):
		t.Errorf("%s: did not grow: %+v", what(), v)
	case length == head && (!all || v.Roots != nil):
		t.Errorf("%s: %d blocks of the same tree", what(), v.Count)
	case length == head && asked.Count > 0 && (len(c.Signature) != 0 || to.checks != 0):
		t.Errorf("%s: signature within known roots", what())
	}
	wasteless(t, to, c, asked, what)
}

// wasteless fails when an answer brings a node that the reader holds or can hash.
// A shortened answer may bring held nodes right of it, below where the ways up
// from its first and its last block meet.
func wasteless(t *testing.T, to *reader, c RangeClaim, asked RangeAsked, what func() string) {
	t.Helper()
	short := uint64(len(c.Leaves)) < asked.Count
	for _, n := range c.Nodes {
		over := flattree.RightSpan(n.Index) >= 2*c.Start && flattree.LeftSpan(n.Index) <= 2*(c.Start+uint64(len(c.Leaves))-1)
		if over {
			t.Errorf("%s: node %d can be hashed from the range", what(), n.Index)
		}
		met := bits.Len64(c.Start ^ (c.Start + uint64(len(c.Leaves)) - 1))
		if _, held := to.nodes[n.Index]; held && asked.Count > 0 && (!short || flattree.Depth(n.Index) >= met) && flattree.Within(n.Index, to.head.Length()) && c.Start <= to.head.Length() {
			t.Errorf("%s: node %d is held", what(), n.Index)
		}
	}
}

// TestRangeStory lets readers of a growing feed take ranges late, in any order,
// and compares what they hold in the end with the feed.
func TestRangeStory(t *testing.T) {
	partial := 0
	for seed := range uint64(20 * soak()) {
		r := rand.New(rand.NewPCG(seed, 9))
		w := letters(1)
		to := newReader(w)
		var late []RangeClaim
		for range 60 {
			for range r.IntN(9) {
				w.append(fmt.Appendf(nil, "%0*d", r.IntN(9), r.IntN(100)))
			}
			length := uint64(len(w.blocks)) - r.Uint64N(min(4, uint64(len(w.blocks))))
			start := min(to.head.Length(), length-1)
			if r.IntN(2) == 0 {
				start = r.Uint64N(start + 1)
			}
			asked := to.asks(start, 1+r.Uint64N(20))
			late = append(late, w.rangeClaim(t, length, 1+r.Uint64N(min(asked.Count, length-start)), asked))
			for len(late) > 0 && r.IntN(3) > 0 {
				i := r.IntN(len(late))
				c := late[i]
				late = slices.Delete(late, i, i+1)
				if err := tamperRange(t, r, to, c); err != nil {
					t.Fatalf("seed %d: %v", seed, err)
				}
				if r.IntN(2) == 0 {
					c.Rebuild()
				}
				v, err := to.verifyRange(c)
				if err != nil {
					t.Fatalf("seed %d: %d blocks from %d of %d, head %d: %v", seed, len(c.Leaves), c.Start, c.Length, to.head.Length(), err)
				}
				if v.Count > 0 && v.Count < uint64(len(c.Leaves)) {
					partial++
				}
				if err := to.soundRange(c, v); err != nil {
					t.Fatalf("seed %d: %v", seed, err)
				}
				if _, err := to.applyRange(c); err != nil {
					t.Fatalf("seed %d: %v", seed, err)
				}
			}
		}
		length := uint64(len(w.blocks))
		for start := uint64(0); start < length; start += 64 {
			count := min(64, length-start)
			v, err := to.applyRange(w.rangeClaim(t, length, count, to.asks(start, count)))
			if err != nil || v.Count != count {
				t.Fatalf("seed %d: last round, block %d: %+v, %v", seed, start, v, err)
			}
		}
		if len(to.nodes) != len(w.nodes) || to.head.Hash() != w.roots.Hash() {
			t.Fatalf("seed %d: reader holds %d nodes of %d", seed, len(to.nodes), len(w.nodes))
		}
	}
	if partial == 0 {
		t.Error("no range of which a part only was tied to the tree")
	}
}

// tamperRange changes the claim in a few ways and returns an error if something
// false comes of it.
func tamperRange(t *testing.T, r *rand.Rand, to *reader, good RangeClaim) error {
	t.Helper()
	for range 4 {
		c := copyRange(good)
		for range 1 + r.IntN(2) {
			mutateRange(r, &c)
		}
		v, err := to.verifyRange(c)
		switch {
		case to.checks > 1 || errors.Is(err, ErrProofFork):
			return fmt.Errorf("changed claim: %d checks, %w", to.checks, err)
		case err != nil && !errors.Is(err, ErrProof) && !errors.Is(err, ErrProofBranch):
			return fmt.Errorf("changed claim: error of no kind: %w", err)
		case err == nil:
			if err := to.soundRange(c, v); err != nil {
				return fmt.Errorf("changed claim accepted: %w\n%+v\n%+v", err, good, c)
			}
			agrees(t, to, c, v)
		}
	}
	return nil
}

// mutateRange changes one thing in a claim.
func mutateRange(r *rand.Rand, c *RangeClaim) {
	if kind := r.IntN(12); kind < 8 {
		one := Claim{Nodes: c.Nodes, HasBlock: true, Signature: c.Signature}
		mutateOnce(r, &one)
		c.Nodes, c.Signature = one.Nodes, one.Signature
		return
	}
	leaf := &c.Leaves[r.IntN(len(c.Leaves))]
	switch r.IntN(5) {
	case 0:
		leaf.Hash[r.IntN(HashSize)] ^= 1 << r.IntN(8)
	case 1:
		leaf.Size ^= 1 << r.IntN(54)
	case 2:
		c.Length ^= 1 << r.IntN(6)
	case 3:
		c.Length, c.Signature = 0, nil
	case 4:
		c.Leaves = c.Leaves[:1+r.IntN(len(c.Leaves))]
	}
}
