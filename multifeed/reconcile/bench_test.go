package reconcile

import (
	"fmt"
	"testing"
)

// keysOf returns count keys, made before what is measured.
func keysOf(count int) []Key {
	keys := make([]Key, count)
	for n := range keys {
		keys[n] = keyOf(n)
	}
	return keys
}

func build(keys []Key) *Set {
	s := New()
	for n, key := range keys {
		s.Set(key, hashOf(n))
	}
	s.Fingerprint()
	return s
}

func BenchmarkBuild(b *testing.B) {
	for _, count := range []int{10_000, 100_000, 1_000_000} {
		b.Run(fmt.Sprint(count), func(b *testing.B) {
			keys := keysOf(count)
			b.ReportAllocs()
			for b.Loop() {
				build(keys)
			}
		})
	}
}

// BenchmarkUpdate changes one entry and takes a view.
func BenchmarkUpdate(b *testing.B) {
	for _, count := range []int{10_000, 100_000, 1_000_000} {
		b.Run(fmt.Sprint(count), func(b *testing.B) {
			keys := keysOf(count)
			s := build(keys)
			b.ReportAllocs()
			for n := 0; b.Loop(); n++ {
				s.Set(keys[n*7919%count], hashOf(-n))
				s.Snapshot()
			}
		})
	}
}

// BenchmarkSession is the work of both sides.
func BenchmarkSession(b *testing.B) {
	for _, c := range []struct{ count, changed int }{
		{10_000, 0}, {10_000, 10}, {100_000, 100}, {100_000, 100_000},
	} {
		b.Run(fmt.Sprintf("%d of %d", c.changed, c.count), func(b *testing.B) {
			keys := keysOf(c.count)
			s := build(keys)
			before := s.Snapshot()
			for n := range c.changed {
				s.Set(keys[n*(c.count/c.changed)], hashOf(-1))
			}
			after := s.Snapshot()
			b.ReportAllocs()
			for b.Loop() {
				p := newPair(b, before, after, 1)
				if p.run(); len(p.sent[0]) != c.changed {
					b.Fatalf("%d entries sent, want %d", len(p.sent[0]), c.changed)
				}
			}
		})
	}
}

// BenchmarkStranger is what a remote with 100,000 feeds that nobody else has costs a
// side that has 10,000.
func BenchmarkStranger(b *testing.B) {
	ours, theirs := build(keysOf(10_000)).Snapshot(), feeds(10_000, 100_000).set().Snapshot()
	b.ReportAllocs()
	for b.Loop() {
		b.StopTimer()
		p := newPair(b, theirs, ours, 1)
		for !p.side[0].Done() || !p.side[1].Done() {
			in := p.write(0)
			b.StartTimer()
			for _, payload := range in {
				if err := p.side[1].Handle(payload); err != nil {
					b.Fatal(err)
				}
			}
			out := p.write(1)
			b.StopTimer()
			for _, payload := range out {
				if err := p.side[0].Handle(payload); err != nil {
					b.Fatal(err)
				}
			}
		}
		b.StartTimer()
	}
}
