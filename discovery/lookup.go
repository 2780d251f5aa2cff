package discovery

import (
	"context"
	"time"

	"github.com/libp2p/go-libp2p/core/peer"
)

// When a key is looked up. An idle topic costs one lookup in MaxLookupInterval, or
// less where there are so many that the node would do one in less than
// LookupSpacing; who joins later finds this node by its announcement without any.
const (
	MinLookupInterval = 30 * time.Second
	MaxLookupInterval = 15 * time.Minute
	LookupSpacing     = 5 * time.Second
	MinRefresh        = 15 * time.Second // between the beginnings of two lookups
	MinLookupBackoff  = time.Second      // after one that failed
)

// Limits of one lookup round.
const (
	MaxProviders = 32  // providers handed out
	MaxRecalled  = 16  // remembered peers handed out
	MaxScanned   = 256 // provider records read
	MaxResolved  = 8   // providers without addresses that are searched for
	MaxKnown     = 128 // peers of a topic remembered as not new
)

// round is one lookup of one key.
type round struct {
	t       *Topic
	offered map[peer.ID]bool
	fresh   int // candidates that earlier rounds didn't have
	taken   int // providers handed out
	scanned int
	later   []peer.AddrInfo // providers that earlier rounds had, for what place is left
	bare    []peer.ID       // providers without addresses
}

// lookupOnce does a round and returns when to do the next: in MinLookupInterval
// when peers were found that weren't known, else after twice as long as before.
func (t *Topic) lookupOnce(ctx context.Context) time.Time {
	if at := t.beginLookup(time.Now()); !at.IsZero() {
		return at
	}
	r := round{t: t, offered: make(map[peer.ID]bool)}
	if t.mayRecall(time.Now()) {
		r.remembered()
	}
	err := r.providers(ctx)
	now := time.Now()
	t.mu.Lock()
	defer t.mu.Unlock()
	if ctx.Err() != nil || t.left || !t.mode.Lookup {
		return time.Time{}
	}
	t.lookup.ended(err, now)
	t.tellLocked()
	if t.mode.Announce && t.announce.Tries == 0 && t.rv.routing != nil {
		t.rv.jobs.ask(t.announcing, now)
	}
	if err != nil {
		t.rv.complain("lookup failed", t.key, err, t.lookup.Failures)
		return now.Add(backoff(t.lookup.Failures, MinLookupBackoff, MaxLookupInterval))
	}
	if r.fresh > 0 {
		t.interval = MinLookupInterval
	}
	next := now.Add(jitter(t.interval))
	t.interval = min(2*t.interval, max(MaxLookupInterval, time.Duration(t.rv.count.Load())*LookupSpacing))
	return next
}

// beginLookup notes that a lookup begins. It returns when one may begin if the
// last, which succeeded, began less than MinRefresh ago: Refresh may have been
// called just before that one noted its beginning.
func (t *Topic) beginLookup(now time.Time) time.Time {
	t.mu.Lock()
	defer t.mu.Unlock()
	soonest := t.lookup.Began.Add(MinRefresh)
	if !t.again && !t.lookup.Began.IsZero() && t.lookup.Err == nil && soonest.After(now) {
		return soonest
	}
	t.again = false
	t.lookup.Began = now
	return time.Time{}
}

// remembered hands out the peers that the book has for the key.
func (r *round) remembered() {
	book := r.t.rv.book
	if book == nil {
		return
	}
	for i, p := range book.Peers(r.t.key) {
		if i == MaxRecalled {
			return
		}
		r.offer(p, SourceBook)
	}
}

// providers asks the routing and hands out at most MaxProviders: first those
// that are new, so that many records can't hide the others for long.
func (r *round) providers(ctx context.Context) error {
	rv := r.t.rv
	if rv.routing == nil {
		return nil
	}
	err := rv.findProviders(ctx, r.t.cid, r.provider)
	for _, p := range r.later {
		r.take(p)
	}
	for i, id := range r.bare {
		if i == MaxResolved || r.taken == MaxProviders || ctx.Err() != nil {
			break
		}
		if addrs, ok := rv.resolve(ctx, id); ok {
			r.take(peer.AddrInfo{ID: id, Addrs: addrs})
		}
	}
	return err
}

// provider takes one record and says whether more are wanted.
func (r *round) provider(p peer.AddrInfo) bool {
	r.scanned++
	p.Addrs = trimAddrs(p.ID, p.Addrs)
	switch {
	case p.ID.Validate() != nil || p.ID == r.t.rv.host.ID():
	case len(p.Addrs) == 0:
		if len(r.bare) < MaxScanned {
			r.bare = append(r.bare, p.ID)
		}
	case r.t.knows(p.ID):
		r.later = append(r.later, p)
	default:
		r.take(p)
	}
	return r.taken < MaxProviders && r.scanned < MaxScanned
}

func (r *round) take(p peer.AddrInfo) {
	if r.taken < MaxProviders && r.offer(p, SourceDHT) {
		r.taken++
	}
}

// offer hands out p unless this round did already, and says whether it did.
func (r *round) offer(p peer.AddrInfo, from Source) bool {
	if p.ID == r.t.rv.host.ID() || r.offered[p.ID] {
		return false
	}
	r.offered[p.ID] = true
	if r.t.learn(p.ID) {
		r.fresh++
	}
	r.t.offer(Candidate{AddrInfo: p, Source: from})
	return true
}

// mayRecall says whether the remembered peers are due. Lookups that fail are
// repeated sooner than a peer that was just tried should be.
func (t *Topic) mayRecall(now time.Time) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	if !t.recalled.IsZero() && now.Sub(t.recalled) < MinRefresh {
		return false
	}
	t.recalled = now
	return true
}

// knows says whether an earlier round, or this one, had id.
func (t *Topic) knows(id peer.ID) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	_, ok := t.known[id]
	return ok
}

// learn counts a candidate and says whether it is new. When MaxKnown peers are
// known nothing is new any more, so a flood of made-up providers doesn't make
// lookups more frequent.
func (t *Topic) learn(id peer.ID) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.offered++
	if _, ok := t.known[id]; ok || len(t.known) >= MaxKnown {
		return false
	}
	t.known[id] = struct{}{}
	return true
}
