package host

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/libp2p/go-libp2p/core/peer"
)

var errCandidates = fmt.Errorf("host: %d peers of the space are being tried already", MaxCandidates)

// ended takes in how a session with the peer ended, and lets those be tried for
// whom there was no room.
func (o *offers) ended(p peer.AddrInfo, err error, lasted time.Duration) {
	now := time.Now()
	o.mu.Lock()
	f := o.peers[p.ID]
	if f == nil {
		f = o.newOfferLocked(p.ID, sourceSession)
	}
	if f != nil {
		f.learn(p)
		f.fresh = false
		if lasted >= longSession {
			f.failures = 0
		}
		if err == nil {
			f.err, f.last = nil, now
			f.plan(now.Add(paceOrderly.pause(1)))
		} else {
			o.judgeLocked(f, err, now)
		}
	}
	for _, f := range o.peers {
		if !f.busy && f.at.IsZero() {
			f.at = now
		}
	}
	o.mu.Unlock()
	o.rouse()
}

// later tries a known peer after the delay, unless a try is due before.
func (o *offers) later(id peer.ID, delay time.Duration) {
	at := time.Now().Add(delay)
	o.mu.Lock()
	f := o.peers[id]
	if f == nil {
		f = o.newOfferLocked(id, sourceSession)
	}
	if f != nil && !f.busy && (f.at.IsZero() || at.Before(f.at)) {
		f.at = at
	}
	o.mu.Unlock()
	o.rouse()
}

// hurry brings forward the tries of all peers that are not barred.
func (o *offers) hurry() {
	now := time.Now()
	o.mu.Lock()
	for _, f := range o.peers {
		if !f.busy && !f.barred.After(now) {
			f.at = now
		}
	}
	o.mu.Unlock()
	o.rouse()
}

// barred returns until when the peer's own streams are refused.
func (o *offers) barred(id peer.ID) time.Time {
	o.mu.Lock()
	defer o.mu.Unlock()
	if f := o.peers[id]; f != nil {
		return f.barred
	}
	return time.Time{}
}

// settled returns when each peer of now was tried, or with the error of ctx, or
// ErrLeft when left ends.
func (o *offers) settled(ctx, left context.Context) error {
	o.mu.Lock()
	var open []*offer
	for _, f := range o.peers {
		open = append(open, f)
	}
	o.mu.Unlock()
	for {
		o.mu.Lock()
		open = slices.DeleteFunc(open, func(f *offer) bool {
			return o.peers[f.info.ID] != f || !f.fresh && !f.busy
		})
		tried := o.tried
		o.mu.Unlock()
		switch {
		case left.Err() != nil:
			return ErrLeft
		case len(open) == 0:
			return nil
		}
		select {
		case <-tried:
		case <-left.Done():
			return ErrLeft
		case <-ctx.Done():
			return fmt.Errorf("host: %d peers not tried yet: %w", len(open), ctx.Err())
		}
	}
}

// tries returns what is known of each peer, in no order.
func (o *offers) tries() []Try {
	o.mu.Lock()
	defer o.mu.Unlock()
	all := make([]Try, 0, len(o.peers))
	for _, f := range o.peers {
		all = append(all, Try{
			Peer:   peer.AddrInfo{ID: f.info.ID, Addrs: slices.Clone(f.info.Addrs)},
			Source: f.source, At: f.last, Why: inWords(f.err), Failures: f.failures, Next: f.at, Barred: f.barred,
		})
	}
	return all
}
