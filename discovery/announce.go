package discovery

import (
	"context"
	"time"
)

// When a key is announced. Nodes of a DHT forget a provider after 48 hours and
// his addresses after 24: with 10 hours a record survives one announcement that
// fails, and the jitter spreads the keys of a node over two hours.
const (
	ReprovideInterval  = 10 * time.Hour
	MinAnnounceBackoff = 500 * time.Millisecond
	MaxAnnounceBackoff = 5 * time.Minute
	// announceHold is how long the first announcement waits for the first lookup,
	// which finds peers the sooner for it.
	announceHold = time.Second
	// Two that join at once miss each other's announcements: who found nobody looks
	// again so long after the first announcement.
	lookAgain = 2 * time.Second
)

// warnAfter is the failure in a row at which the operator is told.
const warnAfter = 6

// announceOnce announces the key and returns when to do so again: after a
// failure soon, and then less and less often, but always.
func (t *Topic) announceOnce(ctx context.Context) time.Time {
	t.mu.Lock()
	t.announce.Began = time.Now()
	before := !t.announce.Done.IsZero()
	t.mu.Unlock()
	if before && t.handOver() {
		return time.Time{}
	}
	err := t.rv.provide(ctx, t.cid)
	now := time.Now()
	t.mu.Lock()
	defer t.mu.Unlock()
	if ctx.Err() != nil || t.left || !t.mode.Announce {
		return time.Time{}
	}
	first := t.announce.Done.IsZero()
	t.announce.ended(err, now)
	t.tellLocked()
	if first && err == nil && t.mode.Lookup && t.offered == 0 {
		t.again = true
		t.rv.jobs.ask(t.looking, now.Add(jitter(lookAgain)))
	}
	if err == nil {
		t.rv.log.Debug("announced", "space", shortHex(t.key), "took", now.Sub(t.announce.Began))
		return now.Add(jitter(ReprovideInterval))
	}
	t.rv.complain("announcement failed", t.key, err, t.announce.Failures)
	return now.Add(backoff(t.announce.Failures, MinAnnounceBackoff, MaxAnnounceBackoff))
}

// complain logs a failure: once in a row of them as a warning.
func (r *Rendezvous) complain(what string, key [32]byte, err error, failures int) {
	if failures == warnAfter {
		r.log.Warn(what, "space", shortHex(key), "failures", failures, "err", err)
		return
	}
	r.log.Debug(what, "space", shortHex(key), "failures", failures, "err", err)
}

// handOver leaves a key that was announced before to the sweeper, if there are
// many, and says whether it did.
func (t *Topic) handOver() bool {
	if t.rv.count.Load() < SweepFrom {
		return false
	}
	taken, err := t.rv.sweep.take(t.cid.Hash())
	if err != nil {
		t.rv.log.Debug("announcing by sweeps failed", "space", shortHex(t.key), "err", err)
	}
	if !taken {
		return false
	}
	t.mu.Lock()
	keep := !t.left && t.mode.Announce
	if keep {
		t.swept = true
		t.announce.ended(nil, time.Now())
		t.tellLocked()
	}
	t.mu.Unlock()
	if !keep {
		t.unsweep()
	}
	return true
}

// unsweep takes the key away from the sweeper.
func (t *Topic) unsweep() {
	if err := t.rv.sweep.drop(t.cid.Hash()); err != nil {
		t.rv.log.Debug("announcing by sweeps not ended", "space", shortHex(t.key), "err", err)
	}
}

// isSwept says whether the sweeper has the key.
func (t *Topic) isSwept() bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.swept
}
