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
)

// warnAfter is the failure in a row at which the operator is told.
const warnAfter = 6

// announceOnce announces the key and returns when to do so again: after a
// failure soon, and then less and less often, but always.
func (t *Topic) announceOnce(ctx context.Context) time.Time {
	t.mu.Lock()
	t.announce.Began = time.Now()
	t.mu.Unlock()
	err := t.rv.provide(ctx, t.cid)
	now := time.Now()
	t.mu.Lock()
	defer t.mu.Unlock()
	if ctx.Err() != nil || t.left || !t.mode.Announce {
		return time.Time{}
	}
	t.announce.ended(err, now)
	t.tellLocked()
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
