package hypercore

import (
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/cobox-p2p/cobox-p2p/hypercore/merkle"
)

// checkBitfield tests b's invariants and compares it with the naive set of numbers
// below limit.
func checkBitfield(t *testing.T, b *Bitfield, want map[uint64]bool, limit uint64) {
	t.Helper()
	count, end := uint64(0), uint64(0)
	var spans []Span
	for i := range limit {
		if b.Get(i) != want[i] {
			t.Fatalf("Get(%d) = %v, want %v", i, b.Get(i), want[i])
		}
		if !want[i] {
			continue
		}
		count, end = count+1, i+1
		if n := len(spans); n > 0 && spans[n-1].End() == i {
			spans[n-1].Count++
		} else {
			spans = append(spans, Span{i, 1})
		}
	}
	if b.Count() != count || b.End() != end {
		t.Fatalf("Count, End = %d, %d, want %d, %d", b.Count(), b.End(), count, end)
	}
	if got := slices.Collect(b.Spans(0, limit)); !slices.Equal(got, spans) {
		t.Fatalf("Spans = %v, want %v", got, spans)
	}
	checkBitPages(t, b)
}

// checkBitPages tests b's invariants.
func checkBitPages(t *testing.T, b *Bitfield) {
	t.Helper()
	paged := uint64(0)
	for i, e := range b.pages {
		set := uint64(0)
		for j := range uint64(pageBits) {
			if e.get(j) {
				set++
				if e.number*pageBits+j <= b.prefix {
					t.Fatalf("block %d is in a page, prefix is %d", e.number*pageBits+j, b.prefix)
				}
			}
		}
		if set != e.count || set == 0 || (set == pageBits) != (e.bitPage == allBits) {
			t.Fatalf("page %d counts %d, has %d", e.number, e.count, set)
		}
		if i > 0 && b.pages[i-1].number >= e.number {
			t.Fatalf("page %d behind page %d", e.number, b.pages[i-1].number)
		}
		paged += set
	}
	if paged != b.paged {
		t.Fatalf("pages have %d bits, counted %d", paged, b.paged)
	}
}

func TestBitfieldAgainstNaiveSet(t *testing.T) {
	const limit = 5 * pageBits
	for seed := range uint64(6) {
		r := rand.New(rand.NewPCG(seed, 1))
		var b Bitfield
		want := map[uint64]bool{}
		for range 60 {
			start := r.Uint64N(limit)
			count := min(r.Uint64N(1<<r.UintN(16)), limit-start)
			if r.IntN(3) == 0 {
				start, count = start&^(pageBits-1), min(count&^(pageBits-1), limit-start&^(pageBits-1))
			}
			switch r.IntN(5) {
			case 0, 1:
				b.SetRange(start, count)
				for i := range count {
					want[start+i] = true
				}
			case 2:
				b.ClearRange(start, count)
				for i := range count {
					delete(want, start+i)
				}
			case 3:
				b.Set(start)
				want[start] = true
			case 4:
				if i := b.NextClear(0); i < limit {
					b.Set(i)
					want[i] = true
				}
			}
			from := r.Uint64N(limit)
			clear := from
			for want[clear] {
				clear++
			}
			if got := b.NextClear(from); got != clear {
				t.Fatalf("seed %d: NextClear(%d) = %d, want %d", seed, from, got, clear)
			}
			if full := clear > from; full && (!b.Contains(Span{from, clear - from}) || b.Contains(Span{from, clear - from + 1})) {
				t.Fatalf("seed %d: Contains is wrong at %d to %d", seed, from, clear)
			}
		}
		t.Logf("seed %d", seed)
		checkBitfield(t, &b, want, limit)
	}
}

func TestBitfieldOfContiguousBlocksHasNoPages(t *testing.T) {
	var b Bitfield
	for i := range uint64(3 * pageBits) {
		b.Set(i)
	}
	if len(b.pages) != 0 || b.Count() != 3*pageBits {
		t.Errorf("%d pages for %d blocks", len(b.pages), b.Count())
	}
	for i := uint64(4 * pageBits); i > 3*pageBits+1; i-- {
		b.Set(i)
	}
	b.Set(3*pageBits + 1)
	if len(b.pages) == 0 {
		t.Error("no page above a hole")
	}
	b.Set(3 * pageBits)
	if len(b.pages) != 0 || b.NextClear(0) != 4*pageBits+1 {
		t.Errorf("%d pages, first missing block %d", len(b.pages), b.NextClear(0))
	}
}

func TestBitfieldRangesAtTheLimits(t *testing.T) {
	var b Bitfield
	b.SetRange(0, math.MaxUint64)
	if b.Count() != merkle.MaxLength || b.Get(merkle.MaxLength) || !b.Get(merkle.MaxLength-1) {
		t.Errorf("Count = %d, want %d", b.Count(), uint64(merkle.MaxLength))
	}
	if !b.Contains(Span{0, merkle.MaxLength}) || b.Contains(Span{0, math.MaxUint64}) || b.Contains(Span{1, math.MaxUint64}) {
		t.Error("Contains is wrong at the limit")
	}
	b = Bitfield{}
	b.SetRange(math.MaxUint64, 1)
	b.SetRange(merkle.MaxLength, 1)
	b.SetRange(merkle.MaxLength-1, math.MaxUint64)
	if b.Count() != 1 || b.End() != merkle.MaxLength {
		t.Errorf("Count, End = %d, %d", b.Count(), b.End())
	}
	if _, ok := b.NextSet(merkle.MaxLength); ok {
		t.Error("found a block beyond the limit")
	}
}

// TestW6TinyMessageCostsLittle withstands the messages of a few bytes that kept
// a legacy peer busy for half a minute and made it allocate gigabytes.
func TestW6TinyMessageCostsLittle(t *testing.T) {
	const huge = merkle.MaxLength / 2
	var b Bitfield
	b.SetLimited(0, huge, MaxPeerPages) // from 0 on: no page at all
	if b.Count() != huge || len(b.pages) != 0 {
		t.Fatalf("count %d, %d pages", b.Count(), len(b.pages))
	}
	for i := range uint64(50) {
		b.ClearLimited(2*i, 1, MaxPeerPages)
		b.SetLimited(2*i+1, huge, MaxPeerPages)
	}
	b.SetLimited(huge+7, huge, MaxPeerPages)
	b.SetLimited(math.MaxUint64-5, math.MaxUint64, MaxPeerPages)
	checkBitPages(t, &b)
	if len(b.pages) > MaxPeerPages {
		t.Errorf("%d pages", len(b.pages))
	}
	bomb := []byte{0xff, 0xff, 0xff, 0xff, 0x0f} // 2^30 bytes of ones and more
	if err := b.SetRLE(0, bomb, huge, MaxPeerPages); err == nil {
		t.Error("SetRLE took a bitfield of 1 GiB")
	}
	if got := AppendRLE(nil, &b, 0, math.MaxUint64); len(got) > MaxPeerPages*(pageBits/8+16) {
		t.Errorf("AppendRLE made %d bytes", len(got))
	}
}

func TestBitfieldPageLimit(t *testing.T) {
	var b Bitfield
	for i := range uint64(3) {
		b.SetLimited((2*i+2)*pageBits, 1, 2)
	}
	if b.Count() != 2 || b.Get(6*pageBits) {
		t.Errorf("count %d with room for two pages", b.Count())
	}
	b.SetLimited(3*pageBits/2, 9*pageBits, 3) // room for one more, and those there are
	want := uint64(pageBits/2 + 2*pageBits)
	if b.Count() != want {
		t.Errorf("count %d, want %d", b.Count(), want)
	}
	b.SetLimited(0, 2*pageBits, 0) // from 0 on it needs none
	if b.NextClear(0) != 3*pageBits {
		t.Errorf("first missing block %d", b.NextClear(0))
	}
	b = Bitfield{}
	b.SetRange(0, 10*pageBits)
	b.ClearLimited(pageBits, 1, 4)
	if got := b.Count(); got != 5*pageBits-1 {
		t.Errorf("%d blocks left with room for four pages, want %d", got, 5*pageBits-1)
	}
	checkBitPages(t, &b)
}

func BenchmarkBitfieldSetInOrder(b *testing.B) {
	var f Bitfield
	b.ReportAllocs()
	for i := range uint64(b.N) {
		f.Set(i)
	}
}

func BenchmarkBitfieldSetAtRandom(b *testing.B) {
	var f Bitfield
	r := rand.New(rand.NewPCG(1, 1))
	b.ReportAllocs()
	for range b.N {
		f.Set(r.Uint64N(1 << 24))
	}
}

// BenchmarkBitfieldHostileRanges is the dearest pair of messages that a peer can
// send: all pages are made and dropped again.
func BenchmarkBitfieldHostileRanges(b *testing.B) {
	var f Bitfield
	b.ReportAllocs()
	for range b.N {
		f.SetLimited(1, merkle.MaxLength, MaxPeerPages)
		f.ClearLimited(1, merkle.MaxLength, MaxPeerPages)
	}
}
