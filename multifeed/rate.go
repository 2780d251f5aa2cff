package multifeed

import "time"

// rate counts things within a window of time. It is used by one goroutine.
type rate struct {
	limit int
	per   time.Duration
	since time.Time
	count int
}

// take says whether n more are within the limit.
func (r *rate) take(n int, now time.Time) bool {
	if now.Sub(r.since) >= r.per {
		r.since, r.count = now, 0
	}
	r.count += n
	return r.count <= r.limit
}
