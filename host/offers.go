package host

import (
	"cmp"
	"context"
	"errors"
	"math/rand/v2"
	"slices"
	"sync"
	"time"

	"github.com/libp2p/go-libp2p/core/peer"

	"github.com/cobox-p2p/cobox-p2p/discovery"
)

// Where a peer was found, besides the sources of package discovery.
const (
	sourceHand    = "hand"    // named in a call of Connect
	sourceShared  = "shared"  // an exchange of tags showed that it shares the space
	sourceSession = "session" // it had a session before
	sourceGossip  = "gossip"  // it announced something in the space
)

// offers are the peers that something is to be tried with, mostly offering them
// one space, each with a time and a backoff of its own: a wrong peer holds up
// nobody else.
type offers struct {
	slots chan struct{} // shared with others; one is held during a try
	try   func(ctx context.Context, p peer.AddrInfo, byHand bool) error
	need  func(p peer.ID, byHand bool) bool // whether a try is of any use
	wake  chan struct{}                     // size 1

	mu    sync.Mutex // guards all below; try and need are called without it
	peers map[peer.ID]*offer
	busy  int           // tries that run. Invariant: at most maxSpaceDials
	tried chan struct{} // closed and replaced when a try ends
}

// offer is one peer.
type offer struct {
	info     peer.AddrInfo // at most discovery.MaxAddrs addresses
	source   string
	at       time.Time // of the next try; zero: none is due
	busy     bool
	byHand   bool         // the next try is for those who wait
	waiting  []chan error // each of size 1; told how the next try ends
	wanted   time.Time    // when a try is wanted should the one that runs fail; zero for none
	fresh    bool         // not tried yet
	failures int          // in a row
	err      error        // of the last try or session
	last     time.Time    // when that was
	barred   time.Time
}

func newOffers(slots chan struct{}, try func(context.Context, peer.AddrInfo, bool) error, need func(peer.ID, bool) bool) *offers {
	return &offers{
		slots: slots, try: try, need: need,
		wake:  make(chan struct{}, 1),
		peers: map[peer.ID]*offer{},
		tried: make(chan struct{}),
	}
}

// run tries what is due until ctx ends, and returns when no try runs any more.
func (o *offers) run(ctx context.Context) {
	var tries sync.WaitGroup
	defer tries.Wait()
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-o.wake:
		case <-timer.C:
		}
		due, next := o.due(time.Now())
		for _, f := range due {
			tries.Go(func() { o.attempt(ctx, f) })
		}
		if !next.IsZero() {
			timer.Reset(time.Until(next))
		}
	}
}

// due returns offers whose time has come, marked busy, the likeliest first, and
// when to look again: zero for not before a wake.
func (o *offers) due(now time.Time) (due []*offer, next time.Time) {
	o.mu.Lock()
	defer o.mu.Unlock()
	var ready []*offer
	for _, f := range o.peers {
		switch {
		case f.busy || f.at.IsZero():
		case !f.at.After(now):
			ready = append(ready, f)
		case next.IsZero() || f.at.Before(next):
			next = f.at
		}
	}
	slices.SortFunc(ready, func(a, b *offer) int {
		return cmp.Or(cmp.Compare(a.rank(), b.rank()), cmp.Compare(a.failures, b.failures), a.at.Compare(b.at))
	})
	due = ready[:min(len(ready), maxSpaceDials-o.busy)]
	for _, f := range due {
		f.busy = true
		f.at = time.Time{}
	}
	o.busy += len(due)
	return due, next
}

// rank puts those first who probably know the space.
func (f *offer) rank() int {
	switch f.source {
	case sourceHand:
		return 0
	case sourceShared, sourceSession:
		return 1
	case string(discovery.SourceDHT), string(discovery.SourceMDNS), sourceGossip:
		return 3
	}
	return 2
}

// attempt makes one try of an offer that due returned.
func (o *offers) attempt(ctx context.Context, f *offer) {
	o.mu.Lock()
	info := peer.AddrInfo{ID: f.info.ID, Addrs: slices.Clone(f.info.Addrs)}
	byHand, waiting := f.byHand, f.waiting
	f.byHand, f.waiting = false, nil
	o.mu.Unlock()
	var err error
	needed := o.need(info.ID, byHand)
	if needed {
		select {
		case o.slots <- struct{}{}:
			err = o.try(ctx, info, byHand)
			<-o.slots
		case <-ctx.Done():
			err = ctx.Err()
		}
	}
	o.mu.Lock()
	f.busy = false
	o.busy--
	if needed && !errors.Is(err, errWaits) {
		o.judgeLocked(f, err, time.Now())
	}
	f.fresh = false
	switch { // what was asked for meanwhile
	case len(f.waiting) > 0:
		f.at = time.Now()
	case err != nil && !f.wanted.IsZero():
		f.at = f.wanted
	}
	f.wanted = time.Time{}
	close(o.tried)
	o.tried = make(chan struct{})
	o.mu.Unlock()
	for _, w := range waiting {
		w <- err
	}
	o.rouse()
}

// judgeLocked sets when a peer is tried again after err.
func (o *offers) judgeLocked(f *offer, err error, now time.Time) {
	f.err, f.last = err, now
	if err == nil {
		f.failures = 0
		return
	}
	f.failures++
	if f.failures > maxFailures && f.source != sourceHand && len(f.waiting) == 0 {
		delete(o.peers, f.info.ID)
		return
	}
	p := judge(err)
	at := now.Add(p.pause(f.failures))
	if p.bars {
		f.barred = at
	}
	f.plan(at)
}

// plan sets the time of the next try, but for those who wait for one it stays.
func (f *offer) plan(at time.Time) {
	if len(f.waiting) == 0 {
		f.at = at
	}
}

// pause returns how long to wait after that many failures in a row: the base
// doubled for each but the first, up to most, and half of that up or down.
func (p *pace) pause(failures int) time.Duration {
	d := p.base
	for i := 1; i < failures && d < p.most; i++ {
		d = min(2*d, p.most)
	}
	return d/2 + rand.N(d)
}

// add takes a candidate in. For one that is known it changes the addresses only,
// and brings the next try forward when the last one failed on the network and a
// new address is among them.
func (o *offers) add(p peer.AddrInfo, source string) {
	o.mu.Lock()
	f := o.peers[p.ID]
	if f == nil {
		if f = o.newOfferLocked(p.ID, source); f != nil {
			f.at = time.Now()
		}
	}
	if f != nil {
		if f.learn(p) && f.failures > 0 && judge(f.err) == paceNetwork {
			f.at = time.Now()
		}
		if !f.busy && f.at.IsZero() {
			f.at = time.Now() // need decides
		}
	}
	o.mu.Unlock()
	o.rouse()
}

// newOfferLocked makes room for a peer: of MaxCandidates the one that failed
// most makes place. It returns nil when none of them failed.
func (o *offers) newOfferLocked(id peer.ID, source string) *offer {
	if len(o.peers) >= MaxCandidates {
		var worst *offer
		for _, f := range o.peers {
			if !f.busy && len(f.waiting) == 0 && (worst == nil || f.failures > worst.failures) {
				worst = f
			}
		}
		if worst == nil || worst.failures == 0 && source != sourceHand && source != sourceShared {
			return nil
		}
		delete(o.peers, worst.info.ID)
	}
	f := &offer{info: peer.AddrInfo{ID: id}, source: source, fresh: true}
	o.peers[id] = f
	return f
}

// learn takes addresses over and says whether there was a new one.
func (f *offer) learn(p peer.AddrInfo) bool {
	fresh := false
	for _, a := range p.Addrs[:min(len(p.Addrs), discovery.MaxAddrs)] {
		if !slices.ContainsFunc(f.info.Addrs, a.Equal) {
			fresh = true
		}
	}
	if fresh {
		f.info.Addrs = slices.Clone(p.Addrs[:min(len(p.Addrs), discovery.MaxAddrs)])
	}
	return fresh
}

// now tries a peer at once, whatever came before, and tells how that ended on
// the channel. A try that runs already is not meant: it may not know of these
// addresses.
func (o *offers) now(p peer.AddrInfo, source string) <-chan error {
	done := make(chan error, 1)
	o.mu.Lock()
	f := o.wantLocked(p, source)
	if f == nil {
		o.mu.Unlock()
		done <- errCandidates
		return done
	}
	f.byHand = true
	f.waiting = append(f.waiting, done)
	f.at = time.Now()
	o.mu.Unlock()
	o.rouse()
	return done
}

// want tries a peer after the delay, whatever came before, but not while it is
// barred: it can itself bring us to want it.
func (o *offers) want(p peer.AddrInfo, source string, delay time.Duration) {
	now := time.Now()
	at := now.Add(delay)
	o.mu.Lock()
	switch f := o.peers[p.ID]; {
	case f != nil && f.barred.After(now):
		f.learn(p)
	default:
		if f = o.wantLocked(p, source); f == nil {
			break
		}
		if f.busy {
			f.wanted = at
			break
		}
		f.plan(at)
	}
	o.mu.Unlock()
	o.rouse()
}

func (o *offers) wantLocked(p peer.AddrInfo, source string) *offer {
	f := o.peers[p.ID]
	if f == nil {
		if f = o.newOfferLocked(p.ID, source); f == nil {
			return nil
		}
	}
	f.learn(p)
	f.failures = 0
	if source == sourceHand {
		f.source = source
	}
	return f
}

// rouse lets run look again.
func (o *offers) rouse() {
	select {
	case o.wake <- struct{}{}:
	default:
	}
}
