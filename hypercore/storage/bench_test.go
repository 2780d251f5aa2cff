package storage_test

import (
	"fmt"
	"math/rand/v2"
	"sync/atomic"
	"testing"

	"github.com/cobox-p2p/cobox-p2p/hypercore"
	"github.com/cobox-p2p/cobox-p2p/hypercore/merkle"
	"github.com/cobox-p2p/cobox-p2p/hypercore/storage"
)

// appender makes batches that append to one feed what a writer would: blocks,
// and one leaf and on average one parent for each.
type appender struct {
	key   hypercore.Key
	seq   uint64
	block []byte
}

func (a *appender) batch(blocks int) *hypercore.Batch {
	w := hypercore.FeedWrite{Key: a.key, Runs: []hypercore.Run{{Start: a.seq, Blocks: make([][]byte, blocks)}}}
	for i := range blocks {
		w.Runs[0].Blocks[i] = a.block
		for level := uint64(0); ; level++ { // the leaf and every parent that it completes
			w.Nodes = append(w.Nodes, merkle.Node{Index: 2*a.seq + 1 - 1<<level, Size: a.seq})
			if a.seq>>level&1 == 0 {
				break
			}
		}
		a.seq++
	}
	w.Head = &hypercore.Head{Length: a.seq}
	return &hypercore.Batch{Feeds: []hypercore.FeedWrite{w}}
}

// commitDurable commits the batch and waits until it is durable.
func commitDurable(b *testing.B, s *storage.Store, batch *hypercore.Batch) {
	done := make(chan error, 1)
	batch.Urgent, batch.Durable = true, func(err error) { done <- err }
	if err := s.Commit(batch); err != nil {
		b.Fatal(err)
	}
	if err := <-done; err != nil {
		b.Fatal(err)
	}
}

func BenchmarkAppendUrgent(b *testing.B) {
	for _, writers := range []int{1, 64} {
		b.Run(fmt.Sprintf("writers=%d", writers), func(b *testing.B) {
			s := openStore(b, b.TempDir(), nil)
			var next atomic.Uint32
			b.ReportAllocs()
			b.SetParallelism((writers + 1) / 2)
			if writers == 1 {
				a := appender{block: make([]byte, 100)}
				for b.Loop() {
					commitDurable(b, s, a.batch(1))
				}
				return
			}
			b.RunParallel(func(pb *testing.PB) {
				a := appender{key: hypercore.Key{byte(next.Add(1))}, block: make([]byte, 100)}
				for pb.Next() {
					commitDurable(b, s, a.batch(1))
				}
			})
		})
	}
}

func benchmarkBatches(b *testing.B, blocks, size int) {
	s := openStore(b, b.TempDir(), nil)
	a := appender{block: make([]byte, size)}
	rand.NewChaCha8([32]byte{}).Read(a.block)
	b.SetBytes(int64(blocks * size))
	b.ReportAllocs()
	for b.Loop() {
		if err := s.Commit(a.batch(blocks)); err != nil {
			b.Fatal(err)
		}
	}
	commitDurable(b, s, &hypercore.Batch{})
	b.ReportMetric(float64(a.seq)/b.Elapsed().Seconds(), "blocks/s")
}

func BenchmarkBatch1000x100(b *testing.B) { benchmarkBatches(b, 1000, 100) }
func BenchmarkBatch1024x100(b *testing.B) { benchmarkBatches(b, 1024, 100) }
func BenchmarkBatch1024x1K(b *testing.B)  { benchmarkBatches(b, 1024, 1<<10) }
func BenchmarkBatch16x64K(b *testing.B)   { benchmarkBatches(b, 16, 64<<10) }

func BenchmarkReadSpan64K(b *testing.B) {
	const length, span = 2048, 16
	s := openStore(b, b.TempDir(), nil)
	a := appender{block: make([]byte, 64<<10)}
	for range length / span {
		if err := s.Commit(a.batch(span)); err != nil {
			b.Fatal(err)
		}
	}
	commitDurable(b, s, &hypercore.Batch{})
	rng := rand.New(rand.NewPCG(1, 1))
	b.SetBytes(span * 64 << 10)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := s.Blocks(a.key, hypercore.Span{Start: rng.Uint64N(length - span), Count: span}); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkRandom reads nodes and blocks of a feed of 50,000 small blocks that
// was appended one by one, or in aligned batches.
func BenchmarkRandom(b *testing.B) {
	for _, batch := range []int{1, 1024} {
		s := openStore(b, b.TempDir(), nil)
		a := appender{block: make([]byte, 100)}
		for a.seq < 50_000 {
			if err := s.Commit(a.batch(batch)); err != nil {
				b.Fatal(err)
			}
		}
		commitDurable(b, s, &hypercore.Batch{})
		rng := rand.New(rand.NewPCG(1, 1))
		b.Run(fmt.Sprintf("node/batch=%d", batch), func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if _, err := s.Node(a.key, 2*rng.Uint64N(50_000)); err != nil {
					b.Fatal(err)
				}
			}
		})
		b.Run(fmt.Sprintf("block/batch=%d", batch), func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if _, err := s.Blocks(a.key, hypercore.Span{Start: rng.Uint64N(50_000), Count: 1}); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
