package storage_test

import (
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/cobox-p2p/cobox-p2p/hypercore"
	"github.com/cobox-p2p/cobox-p2p/hypercore/merkle"
)

// bulkBytes is what one turn of the benchmarks beside a plain file writes.
const bulkBytes = 256 << 20

// plainFile writes bulkBytes in pieces to a new file and syncs it at the end.
func plainFile(b *testing.B, piece []byte) time.Duration {
	name := filepath.Join(b.TempDir(), "plain")
	began := time.Now()
	f, err := os.Create(name)
	if err != nil {
		b.Fatal(err)
	}
	for range bulkBytes / len(piece) {
		if _, err := f.Write(piece); err != nil {
			b.Fatal(err)
		}
	}
	if err := f.Sync(); err != nil {
		b.Fatal(err)
	}
	took := time.Since(began)
	f.Close()
	os.Remove(name)
	return took
}

// storeBulk appends bulkBytes in blocks of 64 KiB and batches of some blocks to
// a new store, durable after every batch or at the end.
func storeBulk(b *testing.B, block []byte, blocks int, urgent bool) time.Duration {
	dir := b.TempDir()
	s := openStore(b, dir, nil)
	a := appender{block: block}
	began := time.Now()
	for a.seq < bulkBytes/uint64(len(block)) {
		batch := a.batch(blocks)
		if urgent {
			commitDurable(b, s, batch)
			continue
		}
		if err := s.Commit(batch); err != nil {
			b.Fatal(err)
		}
	}
	commitDurable(b, s, &hypercore.Batch{})
	took := time.Since(began)
	s.Close()
	os.RemoveAll(dir)
	return took
}

// BenchmarkBulk writes long runs beside a plain file with one sync, in turns, and
// tells the ratio of the times' sums and the spread of the turns' ratios.
func BenchmarkBulk(b *testing.B) {
	block := make([]byte, 64<<10)
	rand.NewChaCha8([32]byte{}).Read(block)
	for _, c := range []struct {
		name   string
		blocks int
		urgent bool
	}{{"8MiB", 128, false}, {"durable4MiB", 64, true}, {"durable1MiB", 16, true}} {
		b.Run(c.name, func(b *testing.B) {
			plainFile(b, block)
			storeBulk(b, block, c.blocks, c.urgent)
			var plain, store time.Duration
			low, high := 1e9, 0.0
			for turn := 0; b.Loop(); turn++ {
				var p, s time.Duration
				if turn%2 == 0 {
					p, s = plainFile(b, block), storeBulk(b, block, c.blocks, c.urgent)
				} else {
					s, p = storeBulk(b, block, c.blocks, c.urgent), plainFile(b, block)
				}
				plain, store = plain+p, store+s
				low, high = min(low, p.Seconds()/s.Seconds()), max(high, p.Seconds()/s.Seconds())
			}
			mib := float64(b.N) * bulkBytes / (1 << 20)
			b.ReportMetric(mib/plain.Seconds(), "plain-MiB/s")
			b.ReportMetric(mib/store.Seconds(), "store-MiB/s")
			b.ReportMetric(plain.Seconds()/store.Seconds(), "ratio")
			b.ReportMetric(low, "low")
			b.ReportMetric(high, "high")
		})
	}
}

var fresh []byte

// BenchmarkRandomRead reads single blocks of 64 KiB at random, and the same from
// a plain file into new buffers, in turns of 64.
func BenchmarkRandomRead(b *testing.B) {
	const size, blocks = 64 << 10, 2048
	s := openStore(b, b.TempDir(), nil)
	a := appender{block: make([]byte, size)}
	rand.NewChaCha8([32]byte{}).Read(a.block)
	name := filepath.Join(b.TempDir(), "plain")
	f, err := os.Create(name)
	if err != nil {
		b.Fatal(err)
	}
	defer f.Close()
	for a.seq < blocks {
		if err := s.Commit(a.batch(64)); err != nil {
			b.Fatal(err)
		}
	}
	for range blocks {
		if _, err := f.Write(a.block); err != nil {
			b.Fatal(err)
		}
	}
	rng := rand.New(rand.NewPCG(1, 1))
	var plain, store time.Duration
	for b.Loop() {
		began := time.Now()
		for range 64 {
			fresh = make([]byte, size) // on the heap, as what a store returns
			if _, err := f.ReadAt(fresh, rng.Int64N(blocks)*size); err != nil {
				b.Fatal(err)
			}
		}
		middle := time.Now()
		for range 64 {
			if _, err := s.Blocks(a.key, hypercore.Span{Start: rng.Uint64N(blocks), Count: 1}); err != nil {
				b.Fatal(err)
			}
		}
		plain, store = plain+middle.Sub(began), store+time.Since(middle)
	}
	b.ReportMetric(float64(store.Nanoseconds())/float64(b.N*64), "ns/block")
	b.ReportMetric(plain.Seconds()/store.Seconds(), "ratio")
}

// BenchmarkThreshold appends durable batches around the size at which runs go to
// data files.
func BenchmarkThreshold(b *testing.B) {
	for _, size := range []int{64 << 10, 128 << 10, 252 << 10, 256 << 10, 512 << 10, 1 << 20} {
		b.Run(fmt.Sprintf("%dKiB", size>>10), func(b *testing.B) {
			s := openStore(b, b.TempDir(), nil)
			a := appender{block: make([]byte, 4<<10)}
			b.SetBytes(int64(size))
			for b.Loop() {
				commitDurable(b, s, a.batch(size/len(a.block)))
			}
		})
	}
}

// BenchmarkTwoSpans lets two spans of one feed grow in turns.
func BenchmarkTwoSpans(b *testing.B) {
	s := openStore(b, b.TempDir(), nil)
	block := make([]byte, 100)
	for i := uint64(0); b.Loop(); i++ {
		start := i / 2
		if i%2 == 1 {
			start += 1 << 30
		}
		err := s.Commit(&hypercore.Batch{Feeds: []hypercore.FeedWrite{{
			Runs: []hypercore.Run{{Start: start, Blocks: [][]byte{block}}},
		}}})
		if err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkManyFeeds makes many small feeds with a record each, and opens and
// lists them.
func BenchmarkManyFeeds(b *testing.B) {
	for _, feeds := range []int{100_000, 1_000_000} {
		if feeds > 100_000 && !soak {
			continue
		}
		b.Run(fmt.Sprint(feeds), func(b *testing.B) { benchmarkManyFeeds(b, feeds) })
	}
}

func benchmarkManyFeeds(b *testing.B, feeds int) {
	dir := b.TempDir()
	s := openStore(b, dir, nil)
	began := time.Now()
	rng := rand.NewChaCha8([32]byte{})
	for i := 0; i < feeds; {
		batch := &hypercore.Batch{}
		for range 500 {
			var key hypercore.Key
			rng.Read(key[:])
			h := hypercore.Head{Length: 1, Size: 100}
			rng.Read(h.RootHash[:])
			rng.Read(h.Signature[:])
			block, value := make([]byte, 100), make([]byte, 110)
			rng.Read(block)
			rng.Read(value)
			batch.Feeds = append(batch.Feeds, hypercore.FeedWrite{
				Key: key, Head: &h, Nodes: []merkle.Node{{Size: 100, Hash: h.RootHash}}, Runs: []hypercore.Run{{Blocks: [][]byte{block}}},
			})
			batch.Records = append(batch.Records, hypercore.Record{Key: append([]byte("set/"), key[:]...), Value: value})
			i++
		}
		if err := s.Commit(batch); err != nil {
			b.Fatal(err)
		}
	}
	commitDurable(b, s, &hypercore.Batch{})
	b.ReportMetric(float64(feeds)/time.Since(began).Seconds(), "feeds-made/s")
	s.Close()
	var open, list time.Duration
	var before, after runtime.MemStats
	files := 0
	for b.Loop() {
		runtime.GC()
		runtime.ReadMemStats(&before)
		began := time.Now()
		s := openStore(b, dir, nil)
		opened := time.Now()
		n := 0
		for _, err := range s.Feeds() {
			if err != nil {
				b.Fatal(err)
			}
			n++
		}
		for _, err := range s.Records([]byte("set/")) {
			if err != nil {
				b.Fatal(err)
			}
			n++
		}
		open, list = open+opened.Sub(began), list+time.Since(opened)
		if n != 2*feeds {
			b.Fatalf("listed %d", n)
		}
		runtime.GC()
		runtime.ReadMemStats(&after)
		if names, err := os.ReadDir("/proc/self/fd"); err == nil {
			files = max(files, len(names))
		}
		s.Close()
	}
	b.ReportMetric(open.Seconds()*1e3/float64(b.N), "ms-open")
	b.ReportMetric(list.Seconds()*1e3/float64(b.N), "ms-list")
	b.ReportMetric(float64(files), "descriptors")
	b.ReportMetric(float64(after.HeapInuse-min(before.HeapInuse, after.HeapInuse))/(1<<20), "heap-MiB")
	if status, err := os.ReadFile("/proc/self/status"); err == nil {
		for line := range strings.Lines(string(status)) {
			var kib float64
			if _, err := fmt.Sscanf(line, "VmHWM: %f kB", &kib); err == nil {
				b.ReportMetric(kib/1024, "peak-MiB")
			}
		}
	}
}
