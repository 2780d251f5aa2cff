package storage_test

import (
	"encoding/binary"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"

	"github.com/cobox-p2p/cobox-p2p/hypercore"
	"github.com/cobox-p2p/cobox-p2p/hypercore/merkle"
	"github.com/cobox-p2p/cobox-p2p/hypercore/storage"
)

// benchmarkRebuild opens the store in dir again and again, each time after spoil,
// and wants so many blocks in it.
func benchmarkRebuild(b *testing.B, dir string, blocks uint64, spoil func()) {
	b.Helper()
	for b.Loop() {
		b.StopTimer()
		spoil()
		b.StartTimer()
		s, err := storage.Open(dir)
		if err != nil {
			b.Fatal(err)
		}
		b.StopTimer()
		if r := s.Rebuilt(); r == nil || r.Blocks != blocks {
			b.Fatalf("rebuilt: %v, want %d blocks", r, blocks)
		}
		if err := s.Close(); err != nil {
			b.Fatal(err)
		}
		b.StartTimer()
	}
}

// BenchmarkRebuildData makes the index of data files of 256 MiB, or 1 GiB with
// COBOX_SOAK=1, in blocks of 64 KiB.
func BenchmarkRebuildData(b *testing.B) {
	size := 256 << 20
	if soak {
		size = 1 << 30
	}
	dir := b.TempDir()
	s, err := storage.Open(dir)
	if err != nil {
		b.Fatal(err)
	}
	f := newWrittenFeed(rand.New(rand.NewPCG(1, 2)))
	block := make([]byte, 64<<10)
	for at := 0; at < size; {
		w := hypercore.FeedWrite{Key: f.keys.Public, Anchor: f.roots.Nodes()}
		run := hypercore.Run{Start: f.roots.Length()}
		for range 128 {
			binary.LittleEndian.PutUint64(block, f.roots.Length())
			own := append([]byte(nil), block...)
			w.Nodes = f.roots.Append(merkle.Leaf(f.roots.Length(), own), w.Nodes)
			run.Blocks = append(run.Blocks, own)
			at += len(own)
		}
		w.Runs, w.Head = []hypercore.Run{run}, f.sign()
		if err := s.Commit(&hypercore.Batch{Feeds: []hypercore.FeedWrite{w}}); err != nil {
			b.Fatal(err)
		}
	}
	if err := s.Close(); err != nil {
		b.Fatal(err)
	}
	b.SetBytes(int64(size))
	benchmarkRebuild(b, dir, f.roots.Length(), func() {
		if err := os.RemoveAll(filepath.Join(dir, "index")); err != nil {
			b.Fatal(err)
		}
	})
}

// BenchmarkRebuildFeeds rebuilds an index of 5,000 feeds of one small block, or
// 100,000 with COBOX_SOAK=1.
func BenchmarkRebuildFeeds(b *testing.B) {
	count := 5000
	if soak {
		count = 100000
	}
	dir := b.TempDir()
	s, err := storage.Open(dir)
	if err != nil {
		b.Fatal(err)
	}
	rng := rand.New(rand.NewPCG(1, 2))
	for range count {
		f := newWrittenFeed(rng)
		block := randomBlock(rng, 100)
		w := hypercore.FeedWrite{Key: f.keys.Public, Runs: []hypercore.Run{{Blocks: [][]byte{block}}}}
		w.Nodes = f.roots.Append(merkle.Leaf(0, block), nil)
		w.Head = f.sign()
		if err := s.Commit(&hypercore.Batch{Feeds: []hypercore.FeedWrite{w}}); err != nil {
			b.Fatal(err)
		}
	}
	if err := s.Close(); err != nil {
		b.Fatal(err)
	}
	benchmarkRebuild(b, dir, uint64(count), func() {
		markers, err := filepath.Glob(filepath.Join(dir, "index", "marker.manifest.*"))
		if err != nil || len(markers) == 0 {
			b.Fatal(markers, err)
		}
		for _, m := range markers {
			if err := os.Remove(m); err != nil {
				b.Fatal(err)
			}
		}
	})
}
