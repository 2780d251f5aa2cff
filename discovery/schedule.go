package discovery

import (
	"container/heap"
	"context"
	"math/rand/v2"
	"sync"
	"time"
)

// lane is a class of jobs that shares a number of slots.
type lane int

const (
	laneAnnounce lane = iota
	laneLookup
	laneNode // jobs of the node as a whole
	lanes
)

// How many jobs of a lane run at once. A thousand topics that are joined
// together wait for each other here and don't start a thousand lookups.
const (
	MaxAnnouncing = 4
	MaxLookingUp  = 8
	maxNodeJobs   = 4
)

// job is something done again and again. It runs at most once at a time.
type job struct {
	lane lane
	// run does the work and returns when to do it again; the zero time means
	// not before it is asked for. It returns soon after ctx is done.
	run func(ctx context.Context) time.Time

	// Guarded by schedule.mu.
	due     time.Time // Invariant: meaningful while index >= 0
	index   int       // place in the heap of its lane, -1 when in none
	running bool
	asked   time.Time // earliest ask while running, zero for none
	cancel  context.CancelFunc
	dropped bool
}

func newJob(l lane, run func(context.Context) time.Time) *job {
	return &job{lane: l, run: run, index: -1}
}

// schedule runs jobs when they are due: one goroutine that waits, and one for
// each job that runs, as many as the lane has slots.
type schedule struct {
	wake chan struct{} // size 1

	mu      sync.Mutex
	waiting [lanes]jobHeap
	free    [lanes]int
	running sync.WaitGroup
}

func newSchedule() *schedule {
	return &schedule{
		wake: make(chan struct{}, 1),
		free: [lanes]int{laneAnnounce: MaxAnnouncing, laneLookup: MaxLookingUp, laneNode: maxNodeJobs},
	}
}

// ask makes j run at the given time, or earlier when it already was to. Asking
// for a running job runs it once more.
func (s *schedule) ask(j *job, at time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case j.dropped:
		return
	case j.running:
		if j.asked.IsZero() || at.Before(j.asked) {
			j.asked = at
		}
		return
	case j.index < 0:
		j.due = at
		heap.Push(&s.waiting[j.lane], j)
	case at.Before(j.due):
		j.due = at
		heap.Fix(&s.waiting[j.lane], j.index)
	default:
		return
	}
	s.nudge()
}

// park ends a run of j that is under way and forgets when it was due. It may
// be asked for again.
func (s *schedule) park(j *job) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.parkLocked(j)
}

// drop parks j for good.
func (s *schedule) drop(j *job) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.parkLocked(j)
	j.dropped = true
}

func (s *schedule) parkLocked(j *job) {
	if j.index >= 0 {
		heap.Remove(&s.waiting[j.lane], j.index)
	}
	j.asked = time.Time{}
	if j.cancel != nil {
		j.cancel()
	}
}

// next returns when j is due, zero when it runs or isn't scheduled.
func (s *schedule) next(j *job) time.Time {
	s.mu.Lock()
	defer s.mu.Unlock()
	if j.index < 0 {
		return time.Time{}
	}
	return j.due
}

// Run starts what is due until ctx is done, and returns when the last job has
// returned.
func (s *schedule) Run(ctx context.Context) {
	defer s.running.Wait()
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		if at := s.start(ctx, time.Now()); !at.IsZero() {
			timer.Reset(time.Until(at))
		}
		select {
		case <-ctx.Done():
			return
		case <-timer.C:
		case <-s.wake:
		}
	}
}

// start starts every job that is due and has a slot, and returns when the next
// one is due in a lane with a free slot, zero for never.
func (s *schedule) start(ctx context.Context, now time.Time) time.Time {
	s.mu.Lock()
	defer s.mu.Unlock()
	var next time.Time
	if ctx.Err() != nil {
		return next
	}
	for l := range s.waiting {
		for s.free[l] > 0 && len(s.waiting[l]) > 0 {
			if due := s.waiting[l][0].due; due.After(now) {
				if next.IsZero() || due.Before(next) {
					next = due
				}
				break
			}
			s.startLocked(ctx, heap.Pop(&s.waiting[l]).(*job))
		}
	}
	return next
}

func (s *schedule) startLocked(ctx context.Context, j *job) {
	runCtx, cancel := context.WithCancel(ctx)
	j.running, j.cancel = true, cancel
	s.free[j.lane]--
	s.running.Go(func() {
		again := j.run(runCtx)
		cancel()
		s.finish(j, again)
	})
}

func (s *schedule) finish(j *job, again time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.free[j.lane]++
	if !j.asked.IsZero() && (again.IsZero() || j.asked.Before(again)) {
		again = j.asked
	}
	j.running, j.cancel, j.asked = false, nil, time.Time{}
	if !again.IsZero() && !j.dropped {
		j.due = again
		heap.Push(&s.waiting[j.lane], j)
	}
	s.nudge()
}

func (s *schedule) nudge() {
	select {
	case s.wake <- struct{}{}:
	default:
	}
}

// jobHeap orders jobs by when they are due.
type jobHeap []*job

func (h jobHeap) Len() int           { return len(h) }
func (h jobHeap) Less(i, k int) bool { return h[i].due.Before(h[k].due) }
func (h jobHeap) Swap(i, k int) {
	h[i], h[k] = h[k], h[i]
	h[i].index, h[k].index = i, k
}

// Push appends x, which is a *job; container/heap calls it.
func (h *jobHeap) Push(x any) {
	j := x.(*job)
	j.index = len(*h)
	*h = append(*h, j)
}

// Pop removes the last job; container/heap calls it.
func (h *jobHeap) Pop() any {
	last := len(*h) - 1
	j := (*h)[last]
	(*h)[last] = nil
	*h = (*h)[:last]
	j.index = -1
	return j
}

// jitter returns a random duration between 0.9 d and 1.1 d, so that nodes and
// topics that started together drift apart.
func jitter(d time.Duration) time.Duration {
	return d*9/10 + time.Duration(rand.Int64N(int64(d)/5+1))
}

// backoff returns the wait after the given number of failures in a row, from
// one upwards: low, doubling up to high, with jitter.
func backoff(failures int, low, high time.Duration) time.Duration {
	wait := low
	for i := 1; i < failures && wait < high; i++ {
		wait *= 2
	}
	return jitter(min(wait, high))
}
