package multifeed

import (
	"context"
	"sync"
	"time"

	bucket "golang.org/x/time/rate"
)

const (
	// paceParts is into how many parts of a second the bytes under a limit are
	// split: so long waits whoever comes, for each that is before it.
	paceParts = 20
	// minPart is the smallest of these parts in bytes.
	minPart = 256
	// minReading is how fast a session is read at least, in bytes a second,
	// whatever the limit: slower, and a write of maxWrite bytes at the other end
	// would run into its WriteTimeout. What is read too much under a lower limit
	// is made good by asking later.
	minReading = 2 * int(maxWrite*time.Second/WriteTimeout)
)

// Pace limits the bytes of frames that go one way, up or down, by a Schedule.
// Spaces that share one share its rate; their sessions take turns, a part of a
// second's bytes each. It may be used by several goroutines at once.
type Pace struct {
	now func() time.Time // set once

	// turn is held by the one whose blocks wait, so that what is urgent waits for
	// one part and not for those of all sessions.
	turn chan struct{}

	mu       sync.Mutex // guards all below
	schedule Schedule
	rate     Rate            // of now; 0: no limit
	until    time.Time       // the schedule needn't be looked at before; zero: at once
	bucket   *bucket.Limiter // nil with rate 0
	passed   uint64          // bytes that came by
}

// NewPace returns the limit of that schedule, which must pass Check.
func NewPace(s Schedule) *Pace {
	return &Pace{now: time.Now, turn: make(chan struct{}, 1), schedule: s}
}

// Set changes the schedule, for what waits as well. It returns what Check does.
func (p *Pace) Set(s Schedule) error {
	if err := s.Check(); err != nil {
		return err
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.schedule, p.until = s, time.Time{}
	return nil
}

// Schedule returns what was set.
func (p *Pace) Schedule() Schedule {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.schedule
}

// Rate returns the limit of now, 0 for none.
func (p *Pace) Rate() Rate {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.lookLocked(p.now())
	return p.rate
}

// Passed returns how many bytes came by.
func (p *Pace) Passed() uint64 {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.passed
}

// lookLocked follows the schedule.
func (p *Pace) lookLocked(now time.Time) {
	if now.Before(p.until) && p.until.Sub(now) <= 24*time.Hour {
		return
	}
	before := p.rate
	p.rate, p.until = p.schedule.At(now)
	switch {
	case p.rate == before:
	case p.rate == 0:
		p.bucket = nil
	case p.bucket == nil:
		p.bucket = bucket.NewLimiter(bucket.Limit(p.rate), p.partLocked())
	default:
		p.bucket.SetLimitAt(now, bucket.Limit(p.rate))
		p.bucket.SetBurstAt(now, p.partLocked())
	}
}

func (p *Pace) partLocked() int { return int(min(max(p.rate/paceParts, minPart), maxWrite)) }

// part returns how many bytes go at once, limit at most.
func (p *Pace) part(limit int) int {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.lookLocked(p.now()); p.rate == 0 {
		return limit
	}
	return min(limit, p.partLocked())
}

// reserve counts n bytes and returns how long to wait until they are within the
// limit.
func (p *Pace) reserve(n int) time.Duration {
	p.mu.Lock()
	defer p.mu.Unlock()
	now := p.now()
	p.lookLocked(now)
	p.passed += uint64(n)
	if p.bucket == nil {
		return 0
	}
	var wait time.Duration
	for burst := p.bucket.Burst(); n > 0; n -= burst {
		wait = p.bucket.ReserveN(now, min(n, burst)).DelayFrom(now)
	}
	return wait
}

// debt returns how long it takes until what came by is within the limit.
func (p *Pace) debt() time.Duration {
	p.mu.Lock()
	defer p.mu.Unlock()
	now := p.now()
	if p.lookLocked(now); p.bucket == nil {
		return 0
	}
	tokens := p.bucket.TokensAt(now)
	if tokens >= 0 {
		return 0
	}
	wait := time.Duration(-tokens / float64(p.rate) * float64(time.Second))
	return min(wait, p.until.Sub(now)) // then there may be another rate
}

// wait returns when n bytes, no more than a part, may go. Blocks wait for each
// other; what is urgent waits for one of them.
func (p *Pace) wait(ctx context.Context, n int, urgent bool) error {
	if !urgent {
		select {
		case p.turn <- struct{}{}:
			defer func() { <-p.turn }()
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
	return pause(ctx, p.reserve(n))
}

// pause waits for d, or returns why ctx ended.
func pause(ctx context.Context, d time.Duration) error {
	if d <= 0 {
		return nil
	}
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}
