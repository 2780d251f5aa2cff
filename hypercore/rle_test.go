package hypercore

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"errors"
	"math/rand/v2"
	"os"
	"testing"

	"github.com/cobox-p2p/cobox-p2p/hypercore/merkle"
)

type rleVector struct {
	Name      string
	Raw       *string
	RawLength int
	Encoded   string
}

// bytes returns the raw bitfield; the vectors leave the long ones to their
// names.
func (v rleVector) bytes(t *testing.T) []byte {
	t.Helper()
	raw := make([]byte, v.RawLength)
	switch {
	case v.Raw != nil:
		b, err := hex.DecodeString(*v.Raw)
		if err != nil {
			t.Fatal(err)
		}
		return b
	case v.Name == "all zero 1024 bytes":
	case v.Name == "first 9 of 1024 bytes":
		raw[0], raw[1] = 0xff, 0x80
	case v.Name == "8192 ones":
		for i := range raw {
			raw[i] = 0xff
		}
	default:
		t.Fatalf("vector %q has no bytes", v.Name)
	}
	return raw
}

func TestRLEVectors(t *testing.T) {
	file, err := os.ReadFile("../interop/vectors/legacy.json")
	if err != nil {
		t.Fatal(err)
	}
	var vectors struct{ RLE []rleVector }
	if err := json.Unmarshal(file, &vectors); err != nil {
		t.Fatal(err)
	}
	if len(vectors.RLE) == 0 {
		t.Fatal("no vectors")
	}
	for _, v := range vectors.RLE {
		raw := v.bytes(t)
		if got := hex.EncodeToString(encodeRLE(raw)); got != v.Encoded {
			t.Errorf("%s: encoded %s, want %s", v.Name, got, v.Encoded)
		}
		enc, _ := hex.DecodeString(v.Encoded)
		got, err := DecodeRLE(enc, MaxRLEBytes)
		if want := bytes.TrimRight(raw, "\x00"); err != nil || !bytes.Equal(got, want) {
			t.Errorf("%s: decoded %x, %v, want %x", v.Name, got, err, want)
		}
		var b Bitfield
		if err := b.SetRLE(3*pageBits, enc, uint64(len(raw))*8, MaxPeerPages); err != nil {
			t.Errorf("%s: SetRLE: %v", v.Name, err)
		}
		if got := hex.EncodeToString(AppendRLE(nil, &b, 3*pageBits, 2*pageBits)); got != v.Encoded {
			t.Errorf("%s: from the set %s, want %s", v.Name, got, v.Encoded)
		}
	}
}

func TestDecodeRLERefuses(t *testing.T) {
	for name, src := range map[string]string{
		"number cut off":     "80",
		"number too long":    "8200aa",
		"eleven-byte number": "ffffffffffffffffffff7f",
		"literal cut off":    "04aa",
		"empty literal":      "00",
		"empty run":          "01",
		"empty run of ones":  "0703",
	} {
		b, _ := hex.DecodeString(src)
		if _, err := DecodeRLE(b, 1<<20); !errors.Is(err, ErrRLE) {
			t.Errorf("%s: got %v, want ErrRLE", name, err)
		}
	}
	ones := []byte{0x83, 0x20} // 1024 bytes of ones
	if got, err := DecodeRLE(ones, 1024); err != nil || len(got) != 1024 {
		t.Errorf("at the limit: %d bytes, %v", len(got), err)
	}
	for _, limit := range []int{1023, 0, -1} {
		if _, err := DecodeRLE(ones, limit); !errors.Is(err, ErrRLE) {
			t.Errorf("limit %d: got %v, want ErrRLE", limit, err)
		}
	}
	if _, err := DecodeRLE(append(ones, 2, 1), 1024); !errors.Is(err, ErrRLE) {
		t.Errorf("one byte over the limit: got %v, want ErrRLE", err)
	}
}

func TestSetRLEKeepsToItsRange(t *testing.T) {
	ones := encodeRLE(bytes.Repeat([]byte{0xff}, 4096))
	var b Bitfield
	if err := b.SetRLE(4, ones, 100, 8); !errors.Is(err, ErrRLE) {
		t.Errorf("start 4: got %v, want ErrRLE", err)
	}
	if err := b.SetRLE(16, ones, 10001, 8); err != nil || b.Count() != 10001 || b.NextClear(16) != 10017 {
		t.Errorf("count %d, end %d, %v", b.Count(), b.NextClear(16), err)
	}
	if err := b.SetRLE(0, ones, 0, 8); err != nil || b.Count() != 10001 {
		t.Errorf("count %d, %v", b.Count(), err)
	}
	b = Bitfield{}
	if err := b.SetRLE(pageBits, ones, 1<<40, 2); err != nil || b.Count() != 2*pageBits {
		t.Errorf("count %d with room for two pages, %v", b.Count(), err)
	}
	b = Bitfield{}
	if err := b.SetRLE(merkle.MaxLength-16, ones, 1<<63, 2); err != nil || b.Count() != 16 {
		t.Errorf("count %d before the end of all blocks, %v", b.Count(), err)
	}
	for _, over := range []int{0, 1} {
		b = Bitfield{}
		err := b.SetRLE(0, encodeRLE(bytes.Repeat([]byte{0xff}, MaxRLEBytes+over)), 1<<40, 0)
		if (err == nil) != (over == 0) || b.Count() != uint64(1-over)*MaxRLEBytes*8 {
			t.Errorf("%d over the limit: count %d, %v", over, b.Count(), err)
		}
	}
}

// TestRLEOfSets compares the encoding of sets with that of their bytes.
func TestRLEOfSets(t *testing.T) {
	const limit = 10 * pageBits
	for seed := range uint64(12) {
		r := rand.New(rand.NewPCG(seed, 2))
		var b Bitfield
		for range r.IntN(30) {
			start := r.Uint64N(limit)
			b.SetRange(start, min(r.Uint64N(1<<r.UintN(16)), limit-start))
			if r.IntN(3) == 0 {
				b.SetRange(0, r.Uint64N(1<<r.UintN(17)))
			}
		}
		start := r.Uint64N(8) * pageBits
		count := r.Uint64N(8) * pageBits
		raw := make([]byte, count/8)
		for i := range count {
			if b.Get(start + i) {
				raw[i/8] |= 128 >> (i % 8)
			}
		}
		got := AppendRLE([]byte("x"), &b, start, count)
		if want := append([]byte("x"), encodeRLE(raw)...); !bytes.Equal(got, want) {
			t.Fatalf("seed %d: %x, want %x", seed, got, want)
		}
		var c Bitfield
		c.SetRange(0, r.Uint64N(1<<r.UintN(17)))
		want := c
		want.pages = nil
		if err := c.SetRLE(start, got[1:], count, MaxPeerPages); err != nil {
			t.Fatalf("seed %d: %v", seed, err)
		}
		checkBitPages(t, &c)
		for i := range uint64(limit + pageBits) {
			if in := i >= start && i < start+count && b.Get(i); c.Get(i) != (in || want.Get(i)) {
				t.Fatalf("seed %d: block %d is %v", seed, i, c.Get(i))
			}
		}
	}
}

// checkSetRLE compares SetRLE with the bits of DecodeRLE.
func checkSetRLE(t *testing.T, src []byte, start, count, prefix uint64) {
	t.Helper()
	raw, err := DecodeRLE(src, MaxRLEBytes)
	if err != nil || start%8 != 0 || len(raw) > 5*pageBits/8 {
		return
	}
	var got, want Bitfield
	got.SetRange(0, prefix)
	want.SetRange(0, prefix)
	if err := got.SetRLE(start, src, count, 1<<20); err != nil {
		t.Fatalf("SetRLE: %v", err)
	}
	for i := range min(count, 8*uint64(len(raw))) {
		if raw[i/8]<<(i%8)&128 != 0 {
			want.Set(start + i)
		}
	}
	if got.Count() != want.Count() || got.CountNotIn(&want, merkle.MaxLength) != 0 {
		t.Fatalf("SetRLE has %d blocks, want %d", got.Count(), want.Count())
	}
	checkBitPages(t, &got)
}

func TestSetRLEAgainstDecodeRLE(t *testing.T) {
	for seed := range uint64(60) {
		r := rand.New(rand.NewPCG(seed, 4))
		raw := make([]byte, r.IntN(5*pageBits/8))
		for i := 0; i < len(raw); {
			n := min(1+r.IntN(1<<r.UintN(12)), len(raw)-i)
			for j, kind := i, r.IntN(3); j < i+n; j++ {
				raw[j] = []byte{0, 0xff, byte(r.Uint32())}[kind]
			}
			i += n
		}
		t.Logf("seed %d", seed)
		checkSetRLE(t, encodeRLE(raw), 8*r.Uint64N(3*pageBits/8), r.Uint64N(6*pageBits), r.Uint64N(1<<r.UintN(17)))
	}
}

// A few bytes cost what they put into the set, not what they stand for.
func TestSetRLECostsItsPages(t *testing.T) {
	var far Bitfield
	far.Set(MaxWant - 1)
	src := AppendRLE(nil, &far, 0, MaxWant)
	var b Bitfield
	allocs := testing.AllocsPerRun(10, func() {
		if err := b.SetRLE(MaxWant, src, MaxWant, MaxPeerPages); err != nil {
			t.Fatal(err)
		}
	})
	if b.touched = 0; b.SetRLE(MaxWant, src, MaxWant, MaxPeerPages) != nil || b.touched != 1 || allocs > 1 {
		t.Errorf("%d bytes touch %d pages with %v allocations, want 1 of each", len(src), b.touched, allocs)
	}
}

func FuzzDecodeRLE(f *testing.F) {
	f.Add([]byte{0x33, 0x02, 0xf0, 0xf1, 0x03, 0x02, 0x0f, 0x63, 0x02, 0xf0})
	f.Add([]byte{0xff, 0xff, 0xff, 0xff, 0x0f})
	f.Fuzz(func(t *testing.T, src []byte) {
		raw, err := DecodeRLE(src, 1<<16)
		if err != nil {
			if !errors.Is(err, ErrRLE) {
				t.Fatalf("error %v", err)
			}
			return
		}
		if len(raw) > 1<<16 {
			t.Fatalf("%d bytes", len(raw))
		}
		again, err := DecodeRLE(encodeRLE(raw), 1<<16)
		if want := bytes.TrimRight(raw, "\x00"); err != nil || !bytes.Equal(again, want) {
			t.Fatalf("decoded again %x, %v, want %x", again, err, want)
		}
	})
}

func FuzzSetRLE(f *testing.F) {
	f.Add([]byte{0x33, 0x02, 0xf0}, uint64(0), uint64(8192), uint64(3))
	f.Add([]byte{0x83, 0x20}, uint64(8), uint64(1<<52), uint64(8200))
	f.Fuzz(func(t *testing.T, src []byte, start, count, prefix uint64) {
		var b Bitfield
		b.SetRange(0, prefix)
		if err := b.SetRLE(start, src, count, 4); err != nil && b.Count() != min(prefix, merkle.MaxLength) {
			t.Fatal("set changed by a refused bitfield")
		}
		if len(b.pages) > 4 || b.End() > merkle.MaxLength {
			t.Fatalf("%d pages, end %d", len(b.pages), b.End())
		}
		checkBitPages(t, &b)
		checkSetRLE(t, src, start, count, prefix)
	})
}

func BenchmarkAppendRLE(b *testing.B) {
	var f Bitfield
	r := rand.New(rand.NewPCG(1, 1))
	for range 100_000 {
		f.Set(r.Uint64N(1 << 20))
	}
	var dst []byte
	b.ReportAllocs()
	for range b.N {
		dst = AppendRLE(dst[:0], &f, 0, 1<<20)
	}
}

func BenchmarkSetRLE(b *testing.B) {
	var f Bitfield
	r := rand.New(rand.NewPCG(1, 1))
	for range 100_000 {
		f.Set(r.Uint64N(1 << 20))
	}
	src := AppendRLE(nil, &f, 0, 1<<20)
	b.ReportAllocs()
	for range b.N {
		var g Bitfield
		if err := g.SetRLE(0, src, 1<<20, MaxPeerPages); err != nil {
			b.Fatal(err)
		}
	}
}
