package multifeed

import (
	"math"
	"sync"
	"time"
)

const (
	// meterTime is over how long a Session's rates are averaged: what went so long
	// ago counts about a third of what goes now.
	meterTime = 5 * time.Second
	// meterGrain is how long bytes are gathered before they are averaged.
	meterGrain = 50 * time.Millisecond
)

// meter tells how many bytes a second went by lately.
type meter struct {
	mu      sync.Mutex // guards all below
	at      time.Time  // when rate was made up; zero: nothing went by yet
	rate    float64    // bytes a second
	waiting int        // bytes since at
}

func (m *meter) add(n int, now time.Time) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.at.IsZero() {
		m.at = now
	}
	m.waiting += n
	if now.Sub(m.at) >= meterGrain {
		m.rate, m.at, m.waiting = m.nowLocked(now), now, 0
	}
}

// now returns the bytes a second.
func (m *meter) now(now time.Time) float64 {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.at.IsZero() {
		return 0
	}
	return m.nowLocked(now)
}

func (m *meter) nowLocked(now time.Time) float64 {
	past := math.Exp(-max(now.Sub(m.at), 0).Seconds() / meterTime.Seconds())
	return (m.rate + float64(m.waiting)/meterTime.Seconds()) * past
}
