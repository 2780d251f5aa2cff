package merkle

import (
	"errors"
	"slices"
	"testing"

	"github.com/cobox-p2p/cobox-p2p/hypercore/flattree"
)

// TestVerifyRangeBranches gives readers of one branch every range of another,
// signed by the same writer. Nothing of it is ever stored.
func TestVerifyRangeBranches(t *testing.T) {
	a := letters(11)
	outcomes := map[string]int{}
	for _, at := range []int{0, 3, 4, 6, 8, 10} {
		for _, more := range []int{1, 2, 5, 13} {
			b := a.branch(at, slices.Repeat([]string{"other"}, more)...)
			for head := uint64(at + 1); head <= 11; head += 2 {
				r := full(t, a, head)
				thin := newReader(a)
				thin.mustApply(t, a.claim(t, head, uint64(at/2), 0, false))
				for _, r := range []*reader{r, thin} {
					tryRangeBranch(t, r, b, uint64(at), outcomes)
				}
			}
		}
	}
	for _, k := range []string{"fork", "branch", "refused", "older", "before"} {
		if outcomes[k] == 0 {
			t.Errorf("no outcome %q among %v", k, outcomes)
		}
	}
}

func tryRangeBranch(t *testing.T, r *reader, b *writer, at uint64, outcomes map[string]int) {
	t.Helper()
	length := uint64(len(b.blocks))
	for start := uint64(0); start < length; start++ {
		for count := uint64(1); start+count <= length; count += 3 {
			for _, asked := range []RangeAsked{{Start: start, Count: count}, r.asks(start, count)} {
				c := b.rangeClaim(t, length, count, asked)
				v, err := r.verifyRange(c)
				switch {
				case errors.Is(err, ErrProofFork):
					outcomes["fork"]++
					checkEvidence(t, r, Claim{Signature: c.Signature}, err)
				case errors.Is(err, ErrProofBranch):
					outcomes["branch"]++
				case errors.Is(err, ErrProof):
					outcomes["refused"]++
				case err == nil && v.Count == 0 && v.Nodes == nil && v.Roots == nil && length < r.head.Length():
					outcomes["older"]++
				case err == nil && v.Roots == nil && start+v.Count <= at && r.soundRange(c, v) == nil:
					outcomes["before"]++
				default:
					t.Fatalf("%d from %d of %d, branched at %d, head %d, asked %+v: %+v, %v", count, start, length, at, r.head.Length(), asked, v, err)
				}
			}
		}
	}
}

func TestVerifyRangeTellsForkFromLie(t *testing.T) {
	a := letters(8)
	b := a.branch(4, "other", "other")
	r := full(t, a, 8)
	good := b.whole(t, 6, 2, 4)
	_, err := r.verifyRange(good)
	checkEvidence(t, r, Claim{Signature: good.Signature}, err)

	c := copyRange(good)
	c.Signature[0]++
	wantRangeError(t, r, c, ErrProofContradicts, "another branch without valid signature")
	c.Signature = nil
	wantRangeError(t, r, c, ErrProofContradicts, "another branch without signature")

	// A size that the writer never signed is a lie, whatever the signature.
	c = copyRange(a.whole(t, 8, 2, 2))
	c.Nodes[0].Size++
	wantRangeError(t, r, c, ErrProofContradicts, "other size under a valid signature")

	// A root beside the range differs.
	longer := a.branch(0, "0", "1", "2", "3", "4", "5", "6", "7", "8", "9")
	c = longer.whole(t, 10, 8, 2)
	_, err = r.verifyRange(c)
	checkEvidence(t, r, Claim{Signature: c.Signature}, err)

	// A reader who has the first blocks only takes the branch that it is given.
	if v, err := full(t, a, 4).verifyRange(good); err != nil || v.Roots == nil || v.Count != 4 {
		t.Errorf("first branch that is seen: %+v, %v", v, err)
	}
}

// TestVerifyRangeFindsDamage: a held node that is wrong is found below a right
// one, and what is proved beside no node at all has the right one.
func TestVerifyRangeFindsDamage(t *testing.T) {
	w := letters(16)
	for _, index := range []uint64{2, 5, 11, 17, 22} {
		r := full(t, w, 16)
		bad := r.nodes[index]
		bad.Hash[0]++
		r.nodes[index] = bad
		c := w.whole(t, 16, 1, 11)
		c.Signature = nil
		_, err := r.verifyRange(c)
		if !errors.Is(err, ErrProofContradicts) {
			t.Errorf("node %d: %v", index, err)
		}
		v, err := VerifyRange(nodeMap{}, r.head, c, func(Hash, uint64) error { return errForged })
		if err != nil || v.Count != 11 || !slices.Contains(v.Nodes, w.nodes[index]) {
			t.Errorf("node %d: %+v, %v", index, v, err)
		}
	}
}

// byBlock returns the claim that the range makes about one block: its way up
// with siblings that are hashed from the range or given, then the roots.
func byBlock(c RangeClaim, head Roots, local NodeReader, seq uint64, w *writer) (Claim, bool) {
	v, err := newRangeVerifier(local, head, &c, nil)
	if err != nil || v.climb() != nil || v.planRoots() != nil {
		return Claim{}, false
	}
	one := Claim{Seq: seq, HasBlock: true, Block: w.blocks[seq], Signature: c.Signature}
	index := 2 * seq
	for !slices.Contains(v.tops, index) {
		sibling := flattree.Sibling(index)
		one.Nodes = append(one.Nodes, *v.node(sibling))
		index = flattree.Parent(index)
	}
	for _, root := range v.roots {
		if root.Index != index {
			one.Nodes = append(one.Nodes, root.Node)
		}
	}
	return one, true
}

// agrees fails unless what VerifyRange accepted is what Verify accepts block by
// block.
func agrees(t *testing.T, r *reader, c RangeClaim, v Verified) {
	t.Helper()
	after := r.clone()
	for i := range v.Count {
		one, ok := byBlock(c, r.head, r.nodes, c.Start+i, r.writer)
		if !ok {
			t.Fatalf("block %d has no way up", c.Start+i)
		}
		if _, err := after.apply(one); err != nil {
			t.Fatalf("block %d: Verify has %v of %+v", c.Start+i, err, one)
		}
		if !after.blocks[c.Start+i] {
			t.Fatalf("block %d: Verify doesn't tie it to the tree", c.Start+i)
		}
	}
	for _, n := range v.Nodes {
		if after.nodes[n.Index] != n {
			t.Fatalf("node %d: Verify doesn't prove it", n.Index)
		}
	}
	if v.Count > 0 && len(after.nodes) != len(r.nodes)+len(v.Nodes) {
		t.Fatalf("Verify proves %d nodes, VerifyRange %d", len(after.nodes)-len(r.nodes), len(v.Nodes))
	}
	if v.Roots != nil && v.Roots.Hash() != after.head.Hash() {
		t.Fatal("Verify has another head")
	}
}
