package hypercore

import (
	"math/rand/v2"
	"testing"

	"github.com/cobox-p2p/cobox-p2p/hypercore/merkle"
)

// randomSet returns a set below limit with a prefix, whole pages, long ranges
// and single blocks.
func randomSet(r *rand.Rand, limit uint64) *Bitfield {
	var b Bitfield
	if r.IntN(2) == 0 {
		b.SetRange(0, r.Uint64N(limit/2))
	}
	for range r.IntN(12) {
		start := r.Uint64N(limit)
		if r.IntN(3) == 0 {
			start &^= pageBits - 1
		}
		b.SetRange(start, min(r.Uint64N(1<<r.UintN(16)), limit-start))
		b.ClearRange(r.Uint64N(limit), r.Uint64N(1<<r.UintN(10)))
	}
	return &b
}

func TestBitfieldDifferenceAgainstNaiveSet(t *testing.T) {
	const limit = 6 * pageBits
	for seed := range uint64(12) {
		r := rand.New(rand.NewPCG(seed, 3))
		a, b := randomSet(r, limit), randomSet(r, limit)
		next, found := uint64(0), false
		for i := uint64(limit); i > 0; i-- {
			if a.Get(i-1) && !b.Get(i-1) {
				next, found = i-1, true
			}
			if got, ok := a.NextNotIn(b, i-1); ok != found || ok && got != next {
				t.Fatalf("seed %d: NextNotIn(%d) = %d, %t, want %d, %t", seed, i-1, got, ok, next, found)
			}
		}
		end := r.Uint64N(limit + pageBits)
		want := uint64(0)
		for i := range end {
			if a.Get(i) && !b.Get(i) {
				want++
			}
		}
		if got := a.CountNotIn(b, end); got != want {
			t.Fatalf("seed %d: CountNotIn(%d) = %d, want %d", seed, end, got, want)
		}
	}
}

func TestBitfieldDifferenceAtTheLimits(t *testing.T) {
	var all, none Bitfield
	all.SetRange(0, merkle.MaxLength)
	if got := all.CountNotIn(&none, 1<<63); got != merkle.MaxLength {
		t.Errorf("CountNotIn = %d, want %d", got, uint64(merkle.MaxLength))
	}
	if got, ok := all.NextNotIn(&none, merkle.MaxLength-1); !ok || got != merkle.MaxLength-1 {
		t.Errorf("NextNotIn of the last block = %d, %t", got, ok)
	}
	for _, from := range []uint64{merkle.MaxLength, 1<<64 - 1} {
		if got, ok := all.NextNotIn(&none, from); ok {
			t.Errorf("NextNotIn(%d) = %d", from, got)
		}
	}
	if got, ok := all.NextNotIn(&all, 0); ok || all.CountNotIn(&all, 1<<63) != 0 || none.CountNotIn(&all, 1<<63) != 0 {
		t.Errorf("a set has block %d that it has not", got)
	}
}

// alternating returns the odd blocks below length, which no run makes cheap.
func alternating(length uint64) *Bitfield {
	var b Bitfield
	for i := uint64(1); i < length; i += 2 {
		b.Set(i)
	}
	return &b
}

// BenchmarkMissing looks for a block to ask among a million alternating ones when
// there is none, as every Next does.
func BenchmarkMissing(b *testing.B) {
	const length = 1_000_000
	set := alternating(length)
	b.ReportAllocs()
	for range b.N {
		if seq, ok := set.NextNotIn(set, 0); ok {
			b.Fatalf("block %d", seq)
		}
	}
}

func BenchmarkCountNotIn(b *testing.B) {
	const length = 1_000_000
	set, half := alternating(length), alternating(length/2)
	b.ReportAllocs()
	for range b.N {
		if n := set.CountNotIn(half, length); n != length/4 {
			b.Fatalf("%d blocks", n)
		}
	}
}
