//go:build unix

package host

import (
	"context"
	"runtime"
	"syscall"
	"testing"
	"time"

	"github.com/libp2p/go-libp2p"
	"github.com/libp2p/go-libp2p/core/metrics"

	"github.com/cobox-p2p/cobox-p2p/multifeed"
)

// idleSpaces is how many spaces the two nodes of BenchmarkIdle share.
const idleSpaces = 1000

// BenchmarkIdle measures what two nodes cost that share a thousand spaces of a feed
// each and have nothing to say: memory and goroutines of one node, the share of a
// core that one takes, and what goes over their connection, both ways. One
// iteration is a second; -benchtime 60x gives a figure that holds.
func BenchmarkIdle(b *testing.B) {
	heap, goroutines := inUse(), runtime.NumGoroutine()
	counter := metrics.NewBandwidthCounter()
	first := newNodeOn(b, newTestHost(b, nil, WithLibp2p(libp2p.BandwidthReporter(counter))))
	second := newNode(b, nil)
	for range idleSpaces {
		secret := multifeed.NewSecret()
		m := first.join(secret)
		second.join(secret)
		write(b, m.Space(), "0")
	}
	if err := first.net.Connect(within(b), second.info()); err != nil {
		b.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Minute)
	defer cancel()
	for _, m := range second.net.Spaces() {
		for f := range m.space.Watch(ctx) {
			if _, err := f.Get(ctx, 0); err != nil {
				b.Fatal(err)
			}
			break
		}
	}
	time.Sleep(2 * openerGrace) // what was begun ends
	bytes := func() int64 { t := counter.GetBandwidthTotals(); return t.TotalIn + t.TotalOut }
	cpu, sent, began, rounds := cpuTime(), bytes(), time.Now(), 0
	for b.Loop() {
		time.Sleep(time.Second)
		rounds++
	}
	took := time.Since(began).Seconds()
	b.ReportMetric((cpuTime()-cpu).Seconds()/2/took*100, "%core/node")
	b.ReportMetric(float64(bytes()-sent)*8/1000/took, "kbit/s")
	b.ReportMetric(float64(inUse()-heap)/2/(1<<20), "MiB/node")
	b.ReportMetric(float64(runtime.NumGoroutine()-goroutines)/2, "goroutines/node")
}

// inUse returns the bytes of the heap and of stacks that are in use.
func inUse() uint64 {
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapInuse + m.StackInuse
}

// cpuTime returns what this process has taken of the processors.
func cpuTime() time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		return 0
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
