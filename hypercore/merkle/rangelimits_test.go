package merkle

import (
	"errors"
	"math/bits"
	"slices"
	"testing"

	"github.com/cobox-p2p/cobox-p2p/hypercore/flattree"
)

func TestVerifyRangeLimits(t *testing.T) {
	w := letters(4)
	r := newReader(w)
	sig := w.signed[4]
	many := make([]Node, MaxRange+1)
	for i := range many {
		many[i].Index = 2 * uint64(i)
	}
	wantRangeError(t, r, RangeClaim{Leaves: many, Length: MaxRange + 1, Signature: sig}, ErrProofLimit, "too many blocks")
	wantRangeError(t, r, RangeClaim{Leaves: many[:MaxRange], Length: MaxRange, Signature: sig}, ErrProofSignature, "as many blocks as may be")

	last := []Node{{Index: 2 * (MaxLength - 1)}, {Index: 2 * MaxLength}}
	wantRangeError(t, r, RangeClaim{Start: MaxLength - 1, Leaves: last, Length: MaxLength, Signature: sig}, ErrProofLimit, "a block behind the limit")
	wantRangeError(t, r, RangeClaim{Start: MaxLength - 1, Leaves: last[:1], Length: MaxLength, Signature: sig}, ErrProofShort, "the last block")
	wantRangeError(t, r, RangeClaim{Start: MaxLength, Leaves: last[1:], Signature: nil}, ErrProofLimit, "start at the limit")
	wantRangeError(t, r, RangeClaim{Start: 1<<64 - 1, Leaves: last, Signature: nil}, ErrProofLimit, "start of 64 bits")
	wantRangeError(t, r, RangeClaim{Leaves: many[:1], Length: MaxLength + 1, Signature: sig}, ErrProofLimit, "length over the limit")
	wantRangeError(t, r, RangeClaim{Leaves: many[:1], Length: MaxLength, Signature: sig}, ErrProofShort, "length at the limit")

	nodes := make([]Node, MaxRangeNodes+1)
	wantRangeError(t, r, RangeClaim{Leaves: many[:1], Nodes: nodes, Length: 4, Signature: sig}, ErrProofLimit, "too many nodes")
	wantRangeError(t, r, RangeClaim{Leaves: many[:1], Nodes: nodes[1:], Length: 4, Signature: sig}, ErrProofShort, "as many nodes as may be")
	for index, want := range map[uint64]error{MaxSize: ErrProofLimit, MaxSize - 1: ErrProofShort, 1<<64 - 1: ErrProofLimit} {
		wantRangeError(t, r, RangeClaim{Leaves: many[:1], Nodes: []Node{{Index: index}}, Length: 4, Signature: sig}, want, "index %d", index)
	}
}

func TestVerifyRangeSizeLimits(t *testing.T) {
	w := letters(4)
	r := newReader(w)
	sig := w.signed[4]
	try := func(a, b, uncle, root uint64, want error) {
		t.Helper()
		c := RangeClaim{Start: 0, Length: 5, Signature: sig, Leaves: []Node{{Index: 0, Size: a}, {Index: 2, Size: b}}}
		c.Nodes = []Node{{Index: 5, Size: uncle}, {Index: 8, Size: root}}
		wantRangeError(t, r, c, want, "sizes %d, %d, %d, %d", a, b, uncle, root)
	}
	const m = MaxSize
	try(m-1, 2, 0, 0, ErrProofSize)
	try(m-1, 1, 0, 0, ErrProofSignature)
	try(1<<63, 1<<63, 0, 0, ErrProofSize)
	try(m-1, 0, 2, 0, ErrProofSize)
	try(m-1, 0, 1, 0, ErrProofSignature)
	try(m-1, 0, 0, 2, ErrProofSize)
	try(m-1, 0, 0, 1, ErrProofSignature)
	try(0, 0, m+1, 0, ErrProofSize)
	some := full(t, w, 1)
	some.mustApply(t, w.claim(t, 4, 1, some.digest(1), false))
	up := w.rangeClaim(t, 4, 1, some.asks(2, 1))
	up.Nodes[0].Size = m - 4 // the block has 4
	wantRangeError(t, some, up, ErrProofContradicts, "size below a held node at the limit")
	up.Nodes[0].Size++
	wantRangeError(t, some, up, ErrProofSize, "size below a held node over the limit")
	try(0, 0, 0, 1<<64-1, ErrProofSize)
}

// TestProveRangeNeedsAtMostMaxRangeNodes counts the nodes at the worst places of
// the largest trees.
func TestProveRangeNeedsAtMostMaxRangeNodes(t *testing.T) {
	most := 0
	for _, length := range []uint64{MaxLength, MaxLength - 1, MaxLength/2 + 1, MaxLength/3*2 + 1} {
		for shift := range 52 {
			for _, start := range []uint64{1<<shift - 1, 1 << shift, length - 1, length - 1<<shift} {
				for _, count := range []uint64{1, 2, 3, MaxRange - 1, MaxRange} {
					if start >= length || count > length-start {
						continue
					}
					p, err := ProveRange(anyNode{}, length, count, RangeAsked{Start: start, Count: count})
					if err != nil {
						t.Fatal(err)
					}
					most = max(most, len(p.Nodes))
				}
			}
		}
	}
	if most > MaxRangeNodes || most < 2*bits.Len64(MaxLength) {
		t.Errorf("%d nodes in a proof, want at most %d", most, MaxRangeNodes)
	}
	t.Logf("%d nodes at most", most)
}

// anyNode holds every node.
type anyNode struct{}

func (anyNode) Node(index uint64) (Node, error) { return Node{Index: index}, nil }

func TestProveRangeRefuses(t *testing.T) {
	w := letters(8)
	for _, bad := range []struct {
		length, count uint64
		asked         RangeAsked
	}{
		{8, 0, RangeAsked{Start: 0, Count: 1}},
		{8, 2, RangeAsked{Start: 0, Count: 1}},
		{8, 1, RangeAsked{Start: 8, Count: 1}},
		{8, 2, RangeAsked{Start: 7, Count: 2}},
		{8, 1<<64 - 1, RangeAsked{Start: 2, Count: 1<<64 - 1}},
		{0, 1, RangeAsked{Start: 0, Count: 1}},
		{MaxLength + 1, 1, RangeAsked{Start: 0, Count: 1}},
	} {
		if _, err := ProveRange(w.nodes, bad.length, bad.count, bad.asked); err == nil {
			t.Errorf("ProveRange(%d, %d, %+v) has no error", bad.length, bad.count, bad.asked)
		}
	}
	delete(w.nodes, 11)
	if _, err := ProveRange(w.nodes, 8, 2, RangeAsked{Start: 0, Count: 2}); !errors.Is(err, ErrNoNode) {
		t.Errorf("without node 11: %v", err)
	}
	if _, err := ProveRange(w.nodes, 8, 2, RangeAsked{Start: 4, Count: 2, Length: 8, Edges: Edges{Left: 0b1001, Right: 0b1001}}); err != nil {
		t.Errorf("up to node 11: %v", err)
	}
}

func TestRangeEdges(t *testing.T) {
	held := map[uint64]bool{3: true, 9: true, 12: true} // roots of 7 blocks
	holds := func(index uint64) bool { return held[index] }
	for _, c := range []struct {
		start, count, length uint64
		want                 Edges
	}{
		{0, 7, 7, Edges{Digest(holds, 0, 7), Digest(holds, 6, 7)}},
		{5, 1, 7, Edges{Digest(holds, 5, 7), Digest(holds, 5, 7)}},
		{7, 9, 7, Edges{0b1110, 0}}, // all roots stand beside the way up from block 7, none beside that from block 15
		{0, 0, 7, Edges{}},
		{MaxLength, 1, 7, Edges{}},
		{MaxLength - 1, 2, 7, Edges{}},
		{1<<64 - 1, 2, 7, Edges{}},
	} {
		if got := RangeEdges(holds, c.start, c.count, c.length); got != c.want {
			t.Errorf("RangeEdges(%d, %d, %d) = %b, want %b", c.start, c.count, c.length, got, c.want)
		}
	}
}

func TestVerifyRangeErrorsOfTheStore(t *testing.T) {
	w := letters(8)
	c := w.whole(t, 8, 3, 2)
	never := func(Hash, uint64) error { t.Error("signature checked"); return nil }
	_, err := VerifyRange(badDisk{}, w.roots, c, never)
	if !errors.Is(err, errDisk) || errors.Is(err, ErrProof) {
		t.Errorf("error of the store: %v", err)
	}
	if _, err := VerifyRange(mixedUp{}, w.roots, c, never); err == nil || errors.Is(err, ErrProof) {
		t.Errorf("wrong node from the store: %v", err)
	}
}

func TestVerifyRangePassesOverNodesOutsideTheHead(t *testing.T) {
	w := letters(8)
	r := full(t, w, 4)
	r.nodes[8] = Node{Index: 8, Hash: Hash{1}}
	r.nodes[11] = Node{Index: 11, Hash: Hash{2}}
	asked := RangeAsked{Start: 4, Count: 3, Length: 4, Edges: Edges{0b1000, 0b1000}}
	v, err := r.verifyRange(w.rangeClaim(t, 8, 3, asked))
	if err != nil || v.Roots == nil || v.Roots.Hash() != w.roots.Hash() {
		t.Errorf("%+v, %v", v, err)
	}
}

// asker counts what is asked of the store.
type asker struct {
	nodeMap
	asked map[uint64]int
}

func (a asker) Node(index uint64) (Node, error) {
	a.asked[index]++
	return a.nodeMap.Node(index)
}

// TestVerifyRangeAsksOnlyForEdges: of a range that isn't held, no node within it
// is asked for but the children of held ones.
func TestVerifyRangeAsksOnlyForEdges(t *testing.T) {
	w := letters(1024)
	r := newReader(w)
	r.mustApply(t, w.claim(t, 1024, 1000, 0, false))
	a := asker{r.nodes, map[uint64]int{}}
	c := w.rangeClaim(t, 1024, 256, r.asks(256, 256))
	v, err := VerifyRange(a, r.head, c, func(Hash, uint64) error { return errForged })
	if err != nil || v.Count != 256 || len(c.Signature) != 0 {
		t.Fatalf("%d blocks, %v", v.Count, err)
	}
	for index, n := range a.asked {
		if flattree.Depth(index) < 7 || n > 2 {
			t.Errorf("node %d was asked for %d times", index, n)
		}
	}
	if len(a.asked) > 8 {
		t.Errorf("%d nodes were asked for", len(a.asked))
	}
}

// TestProveRangeInFull: who says nothing of what it holds gets all nodes, whatever
// its length.
func TestProveRangeInFull(t *testing.T) {
	w := letters(13)
	for start := range uint64(13) {
		for count := uint64(1); start+count <= 13; count++ {
			for asker := range uint64(14) {
				for more := range uint64(2) {
					p, err := ProveRange(w.nodes, 13, count, RangeAsked{Start: start, Count: count + more, Length: asker})
					want := w.whole(t, 13, start, count)
					if err != nil || p.Length != 13 || !slices.Equal(p.Nodes, want.Nodes) {
						t.Errorf("%d from %d, head %d: %+v, %v, want %+v", count, start, asker, p, err, want.Nodes)
					}
				}
			}
		}
	}
}

// TestVerifyRangeBesideLostNodes: blocks behind one that can't be tied to the held
// tree don't count.
func TestVerifyRangeBesideLostNodes(t *testing.T) {
	w := letters(16)
	r := newReader(w)
	r.mustApply(t, w.claim(t, 16, 8, 0, false))
	c := w.whole(t, 12, 6, 4)
	if v, err := r.verifyRange(c); err != nil || v.Count != 4 {
		t.Fatalf("%+v, %v", v, err)
	}
	delete(r.nodes, 7) // above blocks 0 to 7; node 19, above 8 to 11, is held
	if v, err := r.verifyRange(c); err != nil || v.Count != 0 || v.InTree || v.Nodes != nil {
		t.Errorf("%+v, %v", v, err)
	}
}

// TestProveRangeShortened: of the right edge nothing counts in a shortened answer,
// of the left edge what stands beside the way that both have in common.
func TestProveRangeShortened(t *testing.T) {
	w := letters(16)
	for _, c := range []struct {
		asked RangeAsked
		want  []uint64
	}{
		{RangeAsked{Start: 0, Count: 8}, []uint64{5, 11, 23}},
		{RangeAsked{Start: 0, Count: 8, Edges: Edges{Right: 0b1110}}, []uint64{5, 11, 23}},
		{RangeAsked{Start: 0, Count: 8, Edges: Edges{Left: 0b100}}, []uint64{11, 23}},
		{RangeAsked{Start: 0, Count: 8, Edges: Edges{Left: 0b1010}}, []uint64{5, 23}},
		{RangeAsked{Start: 0, Count: 8, Length: 16, Edges: Edges{Left: 0b10001}}, []uint64{5, 11}},
		{RangeAsked{Start: 0, Count: 8, Length: 16, Edges: Edges{Left: 0b11}}, nil},
	} {
		p, err := ProveRange(w.nodes, 16, 2, c.asked)
		if err != nil {
			t.Fatal(err)
		}
		var got []uint64
		for _, n := range p.Nodes {
			got = append(got, n.Index)
		}
		if !slices.Equal(got, c.want) {
			t.Errorf("%+v: nodes %d, want %d", c.asked, got, c.want)
		}
	}
}
