package hypercore

import (
	"runtime"
	"sync"
	"sync/atomic"
)

const (
	// parallelBytes is from how many bytes on blocks are sealed and hashed on
	// all cores: a quarter of a millisecond's work for one.
	parallelBytes = 128 << 10
	// parallelShare is how many bytes one core takes at a time.
	parallelShare = 32 << 10
)

// onAllCores calls do for 0 to n-1 and returns when all calls have. Where size,
// the bytes of all n together, is worth it, several goroutines share the work.
func onAllCores(n, size int, do func(i int)) {
	workers := min(runtime.GOMAXPROCS(0), n)
	if workers < 2 || size < parallelBytes {
		for i := range n {
			do(i)
		}
		return
	}
	share := int64(max(1, n*parallelShare/size))
	var next atomic.Int64
	work := func() {
		for {
			start := next.Add(share) - share
			if start >= int64(n) {
				return
			}
			for i := start; i < min(start+share, int64(n)); i++ {
				do(int(i))
			}
		}
	}
	var others sync.WaitGroup
	for range workers - 1 {
		others.Go(work)
	}
	work()
	others.Wait()
}
