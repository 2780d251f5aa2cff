package hypercore_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"iter"
	"math/rand/v2"
	"os"
	"runtime"
	"sync/atomic"
	"testing"

	"github.com/cobox-p2p/cobox-p2p/hypercore"
	"github.com/cobox-p2p/cobox-p2p/hypercore/storage"
)

func BenchmarkAppend(b *testing.B) {
	for _, size := range []int{100, 64 << 10} {
		for _, batch := range []int{1, 64} {
			b.Run(fmt.Sprintf("%dB/batch%d", size, batch), func(b *testing.B) {
				block := bytes.Repeat([]byte{1}, size)
				blocks := make([][]byte, batch)
				for i := range blocks {
					blocks[i] = block
				}
				b.ReportAllocs()
				b.SetBytes(int64(size * batch))
				f := mustOpen(b, storage.NewMemory(), pairOf(1), true)
				for i := range b.N {
					if i%256 == 255 { // keep the store small
						f = mustOpen(b, storage.NewMemory(), pairOf(1), true)
					}
					if _, err := f.Append(context.Background(), blocks...); err != nil {
						b.Fatal(err)
					}
				}
			})
		}
	}
}

// BenchmarkAppendSeq appends a stream to a new feed each time, in memory and
// durably to a disk.
func BenchmarkAppendSeq(b *testing.B) {
	for _, c := range []struct {
		name        string
		count, size int
		sealed      bool
	}{{"100B", 50_000, 100, false}, {"64KiB", 1024, 64 << 10, false}, {"64KiB sealed", 1024, 64 << 10, true}} {
		for _, disk := range []bool{false, true} {
			b.Run(fmt.Sprintf("%s/disk=%t", c.name, disk), func(b *testing.B) {
				block := bytes.Repeat([]byte{1}, c.size)
				b.ReportAllocs()
				b.SetBytes(int64(c.size * c.count))
				for b.Loop() {
					b.StopTimer()
					f, end := benchFeed(b, disk)
					if c.sealed {
						f = f.WithSeal(hypercore.NewSeal([32]byte{1}))
					}
					b.StartTimer()
					if _, err := f.AppendSeq(b.Context(), repeat(block, c.count)); err != nil {
						b.Fatal(err)
					}
					b.StopTimer()
					end()
					b.StartTimer()
				}
				b.ReportMetric(float64(c.count)*float64(b.N)/b.Elapsed().Seconds(), "blocks/s")
			})
		}
	}
}

// benchFeed returns a new writable feed and what ends its store.
func benchFeed(b *testing.B, disk bool) (*hypercore.Feed, func()) {
	b.Helper()
	if !disk {
		return mustOpen(b, storage.NewMemory(), pairOf(1), true), func() {}
	}
	dir := b.TempDir()
	st, err := storage.Open(dir)
	if err != nil {
		b.Fatal(err)
	}
	return mustOpen(b, st, pairOf(1), true), func() {
		if err := errors.Join(st.Close(), os.RemoveAll(dir)); err != nil {
			b.Fatal(err)
		}
	}
}

// repeat yields the block count times.
func repeat(block []byte, count int) iter.Seq2[[]byte, error] {
	return func(yield func([]byte, error) bool) {
		for range count {
			if !yield(block, nil) {
				return
			}
		}
	}
}

// BenchmarkAppendTogether appends single blocks from 64 goroutines, each of which
// waits until its own is on the disk, to one feed and to a feed each.
func BenchmarkAppendTogether(b *testing.B) {
	const goroutines = 64
	for _, feeds := range []byte{1, goroutines} {
		b.Run(fmt.Sprintf("feeds=%d", feeds), func(b *testing.B) {
			st, err := storage.Open(b.TempDir())
			if err != nil {
				b.Fatal(err)
			}
			defer st.Close()
			open := make([]*hypercore.Feed, feeds)
			for i := range open {
				open[i] = mustOpen(b, st, pairOf(byte(i)), true)
			}
			block := bytes.Repeat([]byte{1}, 100)
			var next atomic.Int64
			b.ReportAllocs()
			b.SetParallelism((goroutines + runtime.GOMAXPROCS(0) - 1) / runtime.GOMAXPROCS(0))
			b.RunParallel(func(pb *testing.PB) {
				f := open[next.Add(1)%int64(feeds)]
				for pb.Next() {
					if _, err := f.Append(context.Background(), block); err != nil {
						b.Error(err)
						return
					}
				}
			})
		})
	}
}

// BenchmarkGet reads random blocks of a feed on a disk.
func BenchmarkGet(b *testing.B) {
	for _, c := range []struct{ count, size int }{{50_000, 100}, {1024, 64 << 10}} {
		for _, sealed := range []bool{false, true} {
			b.Run(fmt.Sprintf("%dB/sealed=%t", c.size, sealed), func(b *testing.B) {
				f, end := benchFeed(b, true)
				defer end()
				if sealed {
					f = f.WithSeal(hypercore.NewSeal([32]byte{1}))
				}
				if _, err := f.AppendSeq(b.Context(), repeat(bytes.Repeat([]byte{1}, c.size), c.count)); err != nil {
					b.Fatal(err)
				}
				rng := rand.New(rand.NewPCG(1, 1))
				b.ReportAllocs()
				b.SetBytes(int64(c.size))
				for b.Loop() {
					if _, err := f.Get(b.Context(), rng.Uint64N(uint64(c.count))); err != nil {
						b.Fatal(err)
					}
				}
			})
		}
	}
}

// BenchmarkOpen opens a feed whose head, roots and spans are on a disk.
func BenchmarkOpen(b *testing.B) {
	st, err := storage.Open(b.TempDir())
	if err != nil {
		b.Fatal(err)
	}
	defer st.Close()
	f := mustOpen(b, st, pairOf(1), true)
	if _, err := f.AppendSeq(b.Context(), repeat([]byte("block"), 65_535)); err != nil {
		b.Fatal(err)
	}
	if err := f.Close(); err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		f := mustOpen(b, st, pairOf(1), true)
		if err := f.Close(); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkReplicate(b *testing.B) {
	for _, c := range []struct{ count, size int }{{10_000, 100}, {512, 64 << 10}} {
		b.Run(fmt.Sprintf("%dx%dB", c.count, c.size), func(b *testing.B) {
			writer := mustOpen(b, storage.NewMemory(), pairOf(1), true)
			blocks := make([][]byte, c.count)
			for i := range blocks {
				blocks[i] = bytes.Repeat([]byte{byte(i)}, c.size)
			}
			mustAppend(b, writer, blocks...)
			b.ReportAllocs()
			b.SetBytes(int64(c.count * c.size))
			for b.Loop() {
				reader, _ := reading(b)
				replicate(b, writer, reader)
				if held, _ := reader.Held(); held != uint64(c.count) {
					b.Fatalf("%d blocks arrived, want %d", held, c.count)
				}
			}
		})
	}
}

// replicate carries messages to and fro until both sides are silent.
func replicate(b *testing.B, x, y *hypercore.Feed) {
	var peers [2]*hypercore.Peer
	for i, f := range []*hypercore.Feed{x, y} {
		p, err := f.Attach(hypercore.PeerOptions{Wake: func() {}})
		if err != nil {
			b.Fatal(err)
		}
		defer p.Detach()
		peers[i] = p
	}
	for silent := 0; silent < 2; {
		from, to := peers[silent], peers[1-silent]
		m, err := from.Next(epoch)
		if err != nil {
			b.Fatal(err)
		}
		if m == nil {
			silent++
			continue
		}
		for m != nil {
			if err := to.Handle(m, epoch); err != nil {
				b.Fatal(err)
			}
			if m, err = from.Next(epoch); err != nil {
				b.Fatal(err)
			}
		}
		silent = 0
	}
}
