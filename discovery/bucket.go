package discovery

import "time"

// bucket allows a burst of events and then one in each interval. It isn't
// safe for concurrent use.
type bucket struct {
	burst    int
	interval time.Duration

	used int
	last time.Time // when the first of the used tokens began to come back
}

// take uses a token and returns now. Without a token left it returns when the
// next one is there and uses none.
func (b *bucket) take(now time.Time) time.Time {
	if b.used > 0 {
		back := int(now.Sub(b.last) / b.interval)
		b.used = max(0, b.used-back)
		b.last = b.last.Add(time.Duration(back) * b.interval)
	}
	if b.used >= b.burst {
		return b.last.Add(b.interval)
	}
	if b.used == 0 {
		b.last = now
	}
	b.used++
	return now
}
