package hypercore_test

import (
	"bytes"
	"context"
	"fmt"
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
