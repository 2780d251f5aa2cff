package merkle

import (
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"slices"
	"testing"

	"github.com/cobox-p2p/cobox-p2p/hypercore/flattree"
)

// soak makes the random tests longer by this factor.
func soak() int {
	if os.Getenv("COBOX_SOAK") != "" {
		return 50
	}
	return 1
}

// provider answers requests as a peer with a tree of its own length would. With
// memory it is like hypercore 9, which remembers what an asker's digests said
// and leaves that out of later answers too.
type provider struct {
	w      *writer
	length uint64
	memory []uint64 // nil: no memory
}

func (p *provider) answer(t testing.TB, seq, digest uint64, hash bool) Claim {
	if p.memory == nil {
		return p.w.claim(t, p.length, seq, digest, hash)
	}
	var want []uint64
	if hash {
		want = append(want, 2*seq)
	}
	length := uint64(0)
	if digest != 1 {
		for _, index := range asked(2*seq, p.length, digest) {
			p.remember(index)
		}
		want, length = missing(want, p.length, 2*seq, p.memory)
	}
	c := Claim{Seq: seq, HasBlock: !hash, Signature: p.w.signed[length]}
	if c.HasBlock {
		c.Block = p.w.blocks[seq]
	}
	for _, index := range want {
		c.Nodes = append(c.Nodes, p.w.nodes[index])
	}
	return c
}

func (p *provider) remember(index uint64) {
	if slices.Contains(p.memory, index) {
		return
	}
	p.memory = append(p.memory, index)
	if slices.Contains(p.memory, flattree.Sibling(index)) {
		p.remember(flattree.Parent(index))
	}
}

type question struct {
	p      *provider
	seq    uint64
	digest uint64
	hash   bool
}

// story is one reader of a growing feed, with several providers and several
// questions on the way to each, so that answers come late and in any order.
type story struct {
	t         *testing.T
	r         *rand.Rand
	w         *writer
	reader    *reader
	providers []*provider
	open      []question
	eager     bool // asks for any block, also behind the one at its own length
	outcomes  map[string]int
}

func newStory(t *testing.T, seed uint64) *story {
	s := &story{t: t, r: rand.New(rand.NewPCG(seed, 3)), w: newWriter("w"), outcomes: map[string]int{}}
	s.eager = seed%4 == 0
	s.reader = newReader(s.w)
	for i := range 3 {
		p := &provider{w: s.w}
		if i > 0 {
			p.memory = []uint64{}
		}
		s.providers = append(s.providers, p)
	}
	return s
}

func (s *story) grow() {
	for range 1 + s.r.IntN(5) {
		s.w.append(fmt.Appendf(nil, "%0*d", s.r.IntN(12), s.r.IntN(1000)))
	}
}

// ask chooses a block or a hash as a session would: the block at our own
// length first when the provider has more.
func (s *story) ask() {
	p := s.providers[s.r.IntN(len(s.providers))]
	if s.r.IntN(2) == 0 {
		p.length += s.r.Uint64N(s.w.roots.Length() - p.length + 1)
	}
	if p.length == 0 {
		return
	}
	q := question{p: p, seq: s.r.Uint64N(p.length), hash: s.r.IntN(4) == 0}
	if head := s.reader.head.Length(); !s.eager && head < p.length && (q.seq >= head || s.r.IntN(2) == 0) {
		q.seq = head
	}
	q.digest = s.reader.digest(q.seq)
	s.open = append(s.open, q)
}

// hear takes one of the answers. An honest peer's answer is never a bad proof,
// however late it is, and ends in another branch only for the eager.
func (s *story) hear() {
	i := s.r.IntN(len(s.open))
	q := s.open[i]
	s.open = slices.Delete(s.open, i, i+1)
	c := q.p.answer(s.t, q.seq, q.digest, q.hash)
	s.tamper(c)
	v, err := s.reader.verify(c)
	switch {
	case errors.Is(err, ErrProofBranch) && s.eager:
		s.outcomes["branch"]++
		return
	case err != nil:
		s.t.Fatalf("block %d of %d, digest %b, hash %v, head %d: %v", q.seq, q.p.length, q.digest, q.hash, s.reader.head.Length(), err)
	case !v.InTree:
		s.outcomes["older"]++
	case v.Roots != nil:
		s.outcomes["grown"]++
	default:
		s.outcomes["within"]++
	}
	if err := s.reader.sound(c, v); err != nil {
		s.t.Fatalf("block %d: %v", q.seq, err)
	}
	if _, err := s.reader.apply(c); err != nil {
		s.t.Fatal(err)
	}
	if err := s.reader.invariant(); err != nil {
		s.t.Fatalf("after block %d: %v", q.seq, err)
	}
}

// tamper changes the claim in a few ways and sees that nothing false comes of
// it.
func (s *story) tamper(c Claim) {
	for range 6 {
		bad := mutate(s.r, c)
		v, err := s.reader.verify(bad)
		if s.reader.checks > 1 {
			s.t.Fatalf("signature checked %d times", s.reader.checks)
		}
		if errors.Is(err, ErrProofFork) {
			s.t.Fatalf("fork in a feed that has none: %v", err)
		}
		if err != nil {
			if !errors.Is(err, ErrProof) && !errors.Is(err, ErrProofBranch) {
				s.t.Fatalf("error of no kind: %v", err)
			}
			continue
		}
		if err := s.reader.sound(bad, v); err != nil {
			s.t.Fatalf("block %d: changed claim accepted: %v\n%+v\n%+v", c.Seq, err, c, bad)
		}
	}
}

// mutate returns the claim with one or two changes.
func mutate(r *rand.Rand, c Claim) Claim {
	c.Nodes = slices.Clone(c.Nodes)
	c.Block = slices.Clone(c.Block)
	c.Signature = slices.Clone(c.Signature)
	for range 1 + r.IntN(2) {
		mutateOnce(r, &c)
	}
	return c
}

func mutateOnce(r *rand.Rand, c *Claim) {
	flip := func(b []byte) {
		if len(b) > 0 {
			b[r.IntN(len(b))] ^= 1 << r.IntN(8)
		}
	}
	kind, n := r.IntN(12), len(c.Nodes)
	if n == 0 && kind < 7 {
		kind = 7 + kind%5
	}
	switch kind {
	case 0:
		flip(c.Nodes[r.IntN(n)].Hash[:])
	case 1:
		c.Nodes[r.IntN(n)].Size ^= 1 << r.IntN(54)
	case 2:
		c.Nodes[r.IntN(n)].Index ^= 1 << r.IntN(8)
	case 3: // sizes shifted from one node to another
		i, j := r.IntN(n), r.IntN(n)
		by := min(c.Nodes[i].Size, uint64(1+r.IntN(3)))
		c.Nodes[i].Size -= by
		c.Nodes[j].Size += by
	case 4:
		i := r.IntN(n)
		c.Nodes = slices.Delete(c.Nodes, i, i+1)
	case 5:
		i, j := r.IntN(n), r.IntN(n)
		c.Nodes[i], c.Nodes[j] = c.Nodes[j], c.Nodes[i]
	case 6:
		c.Nodes = c.Nodes[:r.IntN(n)]
	case 7:
		c.Nodes = slices.Insert(c.Nodes, r.IntN(n+1), Node{Index: r.Uint64N(200), Size: r.Uint64N(9)})
	case 8:
		flip(c.Block)
	case 9:
		flip(c.Signature)
	case 10:
		c.Seq = r.Uint64N(80)
	case 11:
		c.HasBlock = !c.HasBlock
	}
}

func TestReaderOfGrowingFeed(t *testing.T) {
	total := map[string]int{}
	for seed := range uint64(60 * soak()) {
		s := newStory(t, seed)
		s.grow()
		for range 150 {
			switch k := s.r.IntN(20); {
			case k == 0 && s.w.roots.Length() < 70:
				s.grow()
			case k < 11:
				s.ask()
			case len(s.open) > 0:
				s.hear()
			}
			if t.Failed() {
				t.Fatalf("seed %d", seed)
			}
		}
		s.finish()
		for k, n := range s.outcomes {
			total[k] += n
		}
	}
	for _, k := range []string{"branch", "grown", "older", "within"} {
		if total[k] == 0 {
			t.Errorf("no outcome %q among %v", k, total)
		}
	}
	t.Logf("outcomes %v", total)
}

// finish fetches what is missing and compares what is held with the feed.
func (s *story) finish() {
	s.t.Helper()
	for len(s.open) > 0 {
		s.hear()
	}
	for seq := range s.reader.blocks {
		if _, err := Prove(s.reader.nodes, s.reader.head.Length(), seq, 0, true); err != nil {
			s.t.Fatalf("a reader can't prove its block %d: %v", seq, err)
		}
	}
	p := &provider{w: s.w, length: s.w.roots.Length()}
	if head := s.reader.head.Length(); head < p.length {
		s.reader.mustApply(s.t, p.answer(s.t, head, s.reader.digest(head), false))
	}
	for seq := range p.length {
		if !s.reader.blocks[seq] {
			s.reader.mustApply(s.t, p.answer(s.t, seq, s.reader.digest(seq), false))
		}
	}
	if !maps.Equal(s.reader.nodes, s.w.nodes) || s.reader.head.Hash() != s.w.roots.Hash() {
		s.t.Fatalf("reader holds %d nodes of %d", len(s.reader.nodes), len(s.w.nodes))
	}
	if !maps.Equal(s.reader.nodes, naiveTree(s.w.blocks)) {
		s.t.Fatal("nodes differ from the naive tree")
	}
}
