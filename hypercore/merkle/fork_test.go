package merkle

import (
	"errors"
	"slices"
	"testing"
)

// checkEvidence tests what a third party would who trusts only the signature.
func checkEvidence(t *testing.T, r *reader, c Claim, err error) {
	t.Helper()
	var f *ForkError
	if !errors.As(err, &f) || !errors.Is(err, ErrProofFork) || errors.Is(err, ErrProof) {
		t.Fatalf("error %v is no fork", err)
	}
	if r.checks != 1 {
		t.Errorf("signature checked %d times", r.checks)
	}
	if string(r.writer.sign(RootHash(f.Roots), f.Length)) != string(c.Signature) {
		t.Error("the signature doesn't cover the roots")
	}
	n := f.Theirs
	for _, s := range f.Siblings {
		n = Parent(n, s)
	}
	if !slices.Contains(f.Roots, n) {
		t.Errorf("node %d doesn't lead to the roots", f.Theirs.Index)
	}
	if f.Ours.Index != f.Theirs.Index || f.Ours.Hash == f.Theirs.Hash || f.Ours != r.nodes[f.Ours.Index] {
		t.Errorf("ours %+v, theirs %+v", f.Ours, f.Theirs)
	}
	if f.Error() == "" {
		t.Error("no text")
	}
}

// TestVerifyBranches gives a reader of one branch every block of another, signed
// by the same writer. It never stores anything of it.
func TestVerifyBranches(t *testing.T) {
	a := letters(12)
	outcomes := map[string]int{}
	for at := range 12 {
		for more := 1; more <= 14; more += 3 {
			b := a.branch(at, slices.Repeat([]string{"other"}, more)...)
			for head := uint64(at + 1); head <= 12; head += 2 {
				r := full(t, a, head)
				sparse := newReader(a)
				sparse.mustApply(t, a.claim(t, head, uint64(at/2), 0, false))
				for _, r := range []*reader{r, sparse} {
					tryBranch(t, r, b, uint64(at), outcomes)
				}
			}
		}
	}
	for _, k := range []string{"fork", "branch", "refused", "older"} {
		if outcomes[k] == 0 {
			t.Errorf("no outcome %q among %v", k, outcomes)
		}
	}
}

func tryBranch(t *testing.T, r *reader, b *writer, at uint64, outcomes map[string]int) {
	t.Helper()
	length := uint64(len(b.blocks))
	for seq := at; seq < length; seq++ {
		for _, digest := range []uint64{0, r.digest(seq)} {
			c := b.claim(t, length, seq, digest, seq%2 == 0)
			v, err := r.verify(c)
			switch {
			case errors.Is(err, ErrProofFork):
				outcomes["fork"]++
				checkEvidence(t, r, c, err)
			case errors.Is(err, ErrProofBranch):
				outcomes["branch"]++
			case errors.Is(err, ErrProof):
				outcomes["refused"]++
			case err == nil && !v.InTree && v.Nodes == nil && v.Roots == nil && length < r.head.Length():
				outcomes["older"]++
			default:
				t.Fatalf("block %d of %d, branched at %d, head %d, digest %b: %+v, %v", seq, length, at, r.head.Length(), digest, v, err)
			}
		}
	}
}

func TestVerifyTellsForkFromLie(t *testing.T) {
	a := letters(8)
	b := a.branch(4, "other", "other")
	r := full(t, a, 8)
	good := b.claim(t, 6, 4, 0, false)
	_, err := r.verify(good)
	checkEvidence(t, r, good, err)

	c := copyOf(good)
	c.Signature[0]++
	wantError(t, r, c, ErrProofContradicts, "another branch without valid signature")
	c.Signature = nil
	wantError(t, r, c, ErrProofContradicts, "another branch without signature")

	// Sizes that the writer never signed are a lie, whatever the signature.
	whole := a.claim(t, 8, 2, 0, true)
	whole.Nodes[0].Size, whole.Nodes[1].Size = 7, 1
	wantError(t, r, whole, ErrProofContradicts, "shifted sizes under a valid signature")

	// One length, two root hashes.
	same := a.branch(4, "x", "y", "z", "0")
	c = same.claim(t, 8, 6, 0, false)
	_, err = r.verify(c)
	checkEvidence(t, r, c, err)
	// A root of a longer tree differs.
	longer := a.branch(0, "0", "1", "2", "3", "4", "5", "6", "7", "8")
	c = longer.claim(t, 9, 8, 0, false)
	_, err = r.verify(c)
	checkEvidence(t, r, c, err)
}
