package hypercore_test

import (
	"bytes"
	"context"
	"errors"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/cobox-p2p/cobox-p2p/hypercore"
	"github.com/cobox-p2p/cobox-p2p/hypercore/flattree"
	"github.com/cobox-p2p/cobox-p2p/hypercore/merkle"
	"github.com/cobox-p2p/cobox-p2p/hypercore/storage"
)

// forkAt returns two writers of one key pair that share the first common blocks,
// and have count blocks each.
func forkAt(t testing.TB, common, count, otherCount uint64) (a, b *hypercore.Feed) {
	t.Helper()
	grow := func(tag byte, count uint64) *hypercore.Feed {
		f := mustOpen(t, storage.NewMemory(), pairOf(1), true)
		if common > 0 {
			mustAppend(t, f, blocksOf(0, common)...)
		}
		for seq := common; seq < count; seq++ {
			mustAppend(t, f, []byte{tag, byte(seq)})
		}
		return f
	}
	return grow('a', count), grow('b', otherCount)
}

// evidenceOf returns what a reader of a finds when it sees block seq of b.
func evidenceOf(t testing.TB, a, b *hypercore.Feed, seq uint64, hash bool) *hypercore.ForkEvidence {
	t.Helper()
	reader, _ := reading(t)
	for s := range a.Length() {
		give(t, a, reader, s)
	}
	d, err := b.Prove(seq, 0, hash)
	if err != nil {
		t.Fatal(err)
	}
	if err := reader.Apply(context.Background(), d); !errors.Is(err, hypercore.ErrForked) {
		t.Fatalf("block %d: %v, want ErrForked", seq, err)
	}
	e := reader.Evidence()
	if e == nil {
		t.Fatal("no evidence")
	}
	return e
}

// Whatever shows a fork, the evidence convinces somebody who has the key alone.
func TestEvidenceConvincesAThirdParty(t *testing.T) {
	rng := rand.New(rand.NewPCG(7, 0))
	for round := range 60 {
		common := rng.Uint64N(20)
		a, b := forkAt(t, common, common+1+rng.Uint64N(20), common+1+rng.Uint64N(20))
		seq := common + rng.Uint64N(min(a.Length(), b.Length())-common)
		e := evidenceOf(t, a, b, seq, round%3 == 0)
		parsed, err := hypercore.ParseForkEvidence(e.Append(nil))
		if err != nil {
			t.Fatalf("round %d: %v", round, err)
		}
		if err := parsed.Verify(a.Key()); err != nil {
			t.Fatalf("round %d: fork at %d of %d and %d blocks, seen at %d: %v", round, common, a.Length(), b.Length(), seq, err)
		}
		if err := parsed.Verify(pairOf(2).Public); !errors.Is(err, hypercore.ErrEvidence) {
			t.Errorf("round %d: with another key: %v", round, err)
		}
		if !errors.Is(parsed, hypercore.ErrForked) || parsed.Error() != e.Error() {
			t.Errorf("round %d: the evidence says %q, want %q", round, parsed, e)
		}
	}
}

func TestEvidenceIsSpoiltByEveryByte(t *testing.T) {
	a, b := forkAt(t, 5, 9, 11)
	e := evidenceOf(t, a, b, 6, false)
	raw := e.Append(nil)
	for i := range raw {
		bad := slices.Clone(raw)
		bad[i] ^= 1 << (i % 8)
		parsed, err := hypercore.ParseForkEvidence(bad)
		if err == nil {
			err = parsed.Verify(a.Key())
		}
		if err == nil && !sizeOnly(e, parsed) {
			t.Fatalf("bit %d of byte %d changed: still accepted", i%8, i)
		}
	}
	for n := range raw {
		if _, err := hypercore.ParseForkEvidence(raw[:n]); !errors.Is(err, hypercore.ErrEvidence) {
			t.Fatalf("cut to %d bytes: %v", n, err)
		}
	}
	if _, err := hypercore.ParseForkEvidence(append(raw, 0)); !errors.Is(err, hypercore.ErrEvidence) {
		t.Error("a byte to spare is accepted")
	}
}

// sizeOnly says whether two evidences differ in nothing but sizes below a parent,
// which no hash covers.
func sizeOnly(e, other *hypercore.ForkEvidence) bool {
	bare := func(e *hypercore.ForkEvidence) []byte {
		c := *e
		for _, s := range []*hypercore.Statement{&c.Ours, &c.Theirs} {
			s.Node.Size = 0
			s.Siblings = slices.Clone(s.Siblings)
			for i := range s.Siblings {
				s.Siblings[i].Size = 0
			}
		}
		return c.Append(nil)
	}
	return bytes.Equal(bare(e), bare(other))
}

// statement returns what the writer's head says of one node.
func statement(t *testing.T, f *hypercore.Feed, st hypercore.Storage, index uint64) hypercore.Statement {
	t.Helper()
	node := func(index uint64) merkle.Node {
		n, err := st.Node(f.Key(), index)
		if err != nil {
			t.Fatal(err)
		}
		return n
	}
	s := hypercore.Statement{SignedHead: f.Head().Signed(), Node: node(index)}
	for _, root := range flattree.FullRoots(nil, f.Length()) {
		s.Roots = append(s.Roots, node(root))
	}
	for ; flattree.Within(flattree.Sibling(index), f.Length()); index = flattree.Parent(index) {
		s.Siblings = append(s.Siblings, node(flattree.Sibling(index)))
	}
	return s
}

// Nothing that one honest writer signed makes an evidence.
func TestHonestWriterCantBeAccused(t *testing.T) {
	f, st := written(t, 6)
	old := statement(t, f, st, 4)
	mustAppend(t, f, blocksOf(6, 5)...)
	now := statement(t, f, st, 4)
	shifted := now
	shifted.Node.Size++
	shifted.Siblings = slices.Clone(now.Siblings)
	shifted.Siblings[0].Size--
	leaf := statement(t, f, st, 6)
	stranger := now
	stranger.SignedHead.RootHash[0]++
	lifted := now // a leaf under the index of its parent's sibling
	lifted.Node.Index = 9
	lifted.Siblings = nil
	short := now
	short.Siblings = now.Siblings[:1]
	bare := hypercore.Statement{SignedHead: now.SignedHead}
	empty := hypercore.Statement{SignedHead: hypercore.SignedHead{RootHash: merkle.RootHash(nil)}}
	empty.Signature = pairOf(1).Sign(hypercore.Signable(empty.RootHash, 0))
	for name, e := range map[string]hypercore.ForkEvidence{
		"same tree":             {Ours: now, Theirs: now},
		"grown tree":            {Ours: old, Theirs: now},
		"shifted sizes":         {Ours: shifted, Theirs: now},
		"two nodes":             {Ours: now, Theirs: leaf},
		"unsigned":              {Ours: now, Theirs: stranger},
		"node out of place":     {Ours: lifted, Theirs: now},
		"way up cut off":        {Ours: short, Theirs: now},
		"heads alone":           {Ours: bare, Theirs: hypercore.Statement{SignedHead: old.SignedHead}},
		"head against tree":     {Ours: bare, Theirs: old},
		"empty tree, signed":    {Ours: empty, Theirs: now},
		"nothing":               {},
		"no roots but siblings": {Ours: hypercore.Statement{SignedHead: now.SignedHead, Node: leaf.Node}, Theirs: now},
	} {
		if err := e.Verify(f.Key()); !errors.Is(err, hypercore.ErrEvidence) {
			t.Errorf("%s: %v, want ErrEvidence", name, err)
		}
	}
}

// Two heads of one length need no node.
func TestEvidenceOfTwoHeads(t *testing.T) {
	a, b := forkAt(t, 3, 5, 5)
	e := &hypercore.ForkEvidence{
		Ours:   hypercore.Statement{SignedHead: a.Head().Signed()},
		Theirs: hypercore.Statement{SignedHead: b.Head().Signed()},
	}
	parsed, err := hypercore.ParseForkEvidence(e.Append(nil))
	if err != nil {
		t.Fatal(err)
	}
	if err := parsed.Verify(a.Key()); err != nil {
		t.Error(err)
	}
	parsed.Theirs.Roots = []merkle.Node{{Index: 3}}
	if err := parsed.Verify(a.Key()); !errors.Is(err, hypercore.ErrEvidence) {
		t.Errorf("with roots that aren't signed: %v", err)
	}
}

// The longest evidence that a feed can give is within MaxEvidence, and one byte
// more is refused unread.
func TestEvidenceLimits(t *testing.T) {
	full := hypercore.Statement{SignedHead: hypercore.SignedHead{Length: merkle.MaxLength - 1}}
	for _, root := range flattree.FullRoots(nil, full.Length) {
		full.Roots = append(full.Roots, merkle.Node{Index: root, Size: merkle.MaxSize})
	}
	full.Node.Size = merkle.MaxSize
	for index := uint64(0); flattree.Within(flattree.Sibling(index), full.Length); index = flattree.Parent(index) {
		full.Siblings = append(full.Siblings, merkle.Node{Index: flattree.Sibling(index), Size: merkle.MaxSize})
	}
	raw := (&hypercore.ForkEvidence{Ours: full, Theirs: full}).Append(nil)
	if len(raw) > hypercore.MaxEvidence {
		t.Fatalf("%d bytes, over MaxEvidence of %d", len(raw), hypercore.MaxEvidence)
	}
	if _, err := hypercore.ParseForkEvidence(raw); err != nil {
		t.Error(err)
	}
	long := append(raw, make([]byte, hypercore.MaxEvidence-len(raw))...)
	for _, b := range [][]byte{long, append(long, 0), nil, {2}} {
		if _, err := hypercore.ParseForkEvidence(b); !errors.Is(err, hypercore.ErrEvidence) {
			t.Errorf("%d bytes: %v", len(b), err)
		}
	}
}

func FuzzParseForkEvidence(f *testing.F) {
	a, b := forkAt(f, 2, 7, 6)
	f.Add(evidenceOf(f, a, b, 3, false).Append(nil))
	f.Add((&hypercore.ForkEvidence{
		Ours: hypercore.Statement{SignedHead: a.Head().Signed()}, Theirs: hypercore.Statement{SignedHead: b.Head().Signed()},
	}).Append(nil))
	f.Add([]byte{1})
	f.Fuzz(func(t *testing.T, raw []byte) {
		e, err := hypercore.ParseForkEvidence(raw)
		if err != nil {
			if !errors.Is(err, hypercore.ErrEvidence) {
				t.Fatalf("%v is no ErrEvidence", err)
			}
			return
		}
		if again := e.Append(nil); !bytes.Equal(again, raw) {
			t.Fatalf("encoded as %x, was %x", again, raw)
		}
		e.Verify(a.Key())
	})
}

func FuzzOwnRecord(f *testing.F) {
	f.Add([]byte{1, 0, 0, 0})
	f.Add(append([]byte{1, 5, 9, 200}, make([]byte, 97)...))
	f.Fuzz(func(t *testing.T, raw []byte) {
		again, err := hypercore.ReencodeOwnRecord(raw)
		if err != nil {
			return
		}
		if third, err := hypercore.ReencodeOwnRecord(again); err != nil || !bytes.Equal(third, again) {
			t.Fatalf("%x reads as %x, then as %x, %v", raw, again, third, err)
		}
	})
}

// What a forked feed has in common with the other history is never overrated, and
// is known to the block where the trees show it.
func TestCommonOfAFork(t *testing.T) {
	rng := rand.New(rand.NewPCG(11, 0))
	if a, _ := written(t, 3); a.Common() != 0 {
		t.Error("without a fork")
	}
	for round := range 40 {
		common := rng.Uint64N(24)
		a, b := forkAt(t, common, common+1+rng.Uint64N(10), common+1+rng.Uint64N(10))
		a.ShowHead()
		d, err := b.Prove(common+rng.Uint64N(min(a.Length(), b.Length())-common), 0, false)
		if err != nil {
			t.Fatal(err)
		}
		if err := a.Apply(context.Background(), d); !errors.Is(err, hypercore.ErrForked) {
			t.Fatal(err)
		}
		if err := b.TakeEvidence(a.Evidence()); err != nil {
			t.Fatal(err)
		}
		if ca, cb := a.Common(), b.Common(); ca > common || cb > common {
			t.Fatalf("round %d: Common = %d and %d, want at most %d", round, ca, cb, common)
		}
	}
	a, b := forkAt(t, 8, 10, 11)
	e := evidenceOf(t, a, b, 9, false)
	if err := a.TakeEvidence(e); err != nil || a.Common() != 8 {
		t.Errorf("Common = %d, %v, want 8", a.Common(), err)
	}
}
