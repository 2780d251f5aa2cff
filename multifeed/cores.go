package multifeed

import (
	"runtime"
	"sync"
	"sync/atomic"
)

// onAllCores calls do for 0 to n-1 and returns when all calls have. Several
// goroutines share the work, of which each part takes a tenth of a millisecond or
// more.
func onAllCores(n int, do func(i int)) {
	workers := min(runtime.GOMAXPROCS(0), n)
	var next atomic.Int64
	work := func() {
		for i := next.Add(1) - 1; i < int64(n); i = next.Add(1) - 1 {
			do(int(i))
		}
	}
	var others sync.WaitGroup
	for range workers - 1 {
		others.Go(work)
	}
	if n > 0 {
		work()
	}
	others.Wait()
}
