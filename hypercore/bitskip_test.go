package hypercore

import (
	"math/rand/v2"
	"testing"
)

func TestNextInNeitherAgainstModel(t *testing.T) {
	for seed := range uint64(16) {
		rng := rand.New(rand.NewPCG(seed, 0))
		const size = 3*pageBits + 100
		var sets [3]Bitfield
		for i := range sets {
			for range rng.IntN(60) {
				sets[i].SetRange(rng.Uint64N(size), 1+rng.Uint64N(1<<rng.IntN(13)))
			}
			if rng.IntN(2) == 0 {
				sets[i].SetRange(0, rng.Uint64N(size))
			}
			for range rng.IntN(200) {
				sets[i].ClearRange(rng.Uint64N(size), 1)
			}
		}
		b, x, y := &sets[0], &sets[1], &sets[2]
		end := b.End() + 10
		want, ok := uint64(0), false
		for from := end; from > 0; {
			from--
			if b.Get(from) && !x.Get(from) && !y.Get(from) {
				want, ok = from, true
			}
			if rng.IntN(20) > 0 && from%64 != 0 {
				continue
			}
			if got, has := b.nextInNeither(x, y, from); has != ok || ok && got != want {
				t.Fatalf("seed %d: from %d = %d, %t, want %d, %t", seed, from, got, has, want, ok)
			}
		}
	}
}

func FuzzClearedRecord(f *testing.F) {
	var set Bitfield
	set.SetRange(5, 100)
	set.SetRange(1<<20+9, 3)
	for part := range uint64(2) {
		r := clearedRecord(Key{}, part, &set)
		f.Add(r.Key[len(r.Key)-8:], r.Value)
	}
	f.Add([]byte{255, 255, 255, 255, 255, 255, 255, 255}, []byte{1, 2})
	f.Fuzz(func(t *testing.T, part, value []byte) {
		var got Bitfield
		if addCleared(&got, part, value) != nil {
			if got.Count() > 0 {
				t.Error("a record that was refused left blocks")
			}
			return
		}
		if got.Count() > clearedPart {
			t.Errorf("%d blocks in one record", got.Count())
		}
	})
}
