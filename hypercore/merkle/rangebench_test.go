package merkle

import "testing"

func BenchmarkVerifyRange(b *testing.B) {
	w := letters(1 << 13)
	yes := func(Hash, uint64) error { return nil }
	fresh, some := newReader(w), newReader(w)
	some.mustApply(b, w.claim(b, 1<<13, 0, 0, false))
	claims := map[string]struct {
		r *reader
		c RangeClaim
	}{
		"grow1":      {fresh, w.whole(b, 1, 0, 1)},
		"grow4096":   {fresh, w.whole(b, 1<<13, 0, 4096)},
		"within64":   {some, w.rangeClaim(b, 1<<13, 64, some.asks(640, 64))},
		"within4096": {some, w.rangeClaim(b, 1<<13, 4096, some.asks(4096, 4096))},
	}
	for name, x := range claims {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if _, err := VerifyRange(x.r.nodes, x.r.head, x.c, yes); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
	b.Run("rebuilt4096", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			b.StopTimer()
			c := claims["within4096"].c
			c.Rebuild()
			b.StartTimer()
			if _, err := VerifyRange(some.nodes, some.head, c, yes); err != nil {
				b.Fatal(err)
			}
		}
	})
}

func BenchmarkProveRange(b *testing.B) {
	w := letters(1 << 13)
	some := newReader(w)
	some.mustApply(b, w.claim(b, 1<<13, 0, 0, false))
	asked := some.asks(640, 64)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := ProveRange(w.nodes, 1<<13, 64, asked); err != nil {
			b.Fatal(err)
		}
	}
}
