package discovery

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/ipfs/go-cid"
	"github.com/libp2p/go-libp2p/core/peer"
)

// Mode says what is done for a key. With neither set the key stays joined and
// rests.
type Mode struct {
	Announce bool // tell the DHT that this node has the key
	Lookup   bool // find other peers that have it
}

// Topic is one joined key.
type Topic struct {
	rv    *Rendezvous
	key   [32]byte
	cid   cid.Cid
	found func(Candidate)

	announcing *job
	looking    *job

	foundMu sync.Mutex // held while found is called; before mu
	left    bool       // guarded by foundMu and mu: either one to read, both to write

	mu       sync.Mutex // guards all below
	mode     Mode
	changed  chan struct{} // closed and replaced when a round ends, the mode changes, or the topic is left
	announce Round
	lookup   Round
	interval time.Duration // until the next lookup that finds nothing new
	known    map[peer.ID]struct{}
	offered  uint64
	recalled time.Time // when the book was last asked
	swept    bool      // the sweeper announces it again
	again    bool      // the next lookup need not wait for MinRefresh
}

func newTopic(r *Rendezvous, key [32]byte, found func(Candidate)) *Topic {
	t := &Topic{
		rv: r, key: key, cid: CID(key), found: found,
		changed: make(chan struct{}), interval: MinLookupInterval,
		known: make(map[peer.ID]struct{}),
	}
	t.announcing = newJob(laneAnnounce, t.announceOnce)
	t.looking = newJob(laneLookup, t.lookupOnce)
	return t
}

// Key returns the key that was joined.
func (t *Topic) Key() [32]byte { return t.key }

// Update changes what is done for the key. What is switched on starts at once;
// what is switched off stops at once, but an announcement that was made stays
// with the DHT's nodes until it expires, up to two days later.
func (t *Topic) Update(mode Mode) {
	if t.update(mode) {
		t.unsweep()
	}
}

// update says whether the sweeper must be told that the key is announced no more.
func (t *Topic) update(mode Mode) (unsweep bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.left {
		return false
	}
	was := t.mode
	t.mode = mode
	now := time.Now()
	if mode.Announce != was.Announce {
		unsweep, t.swept = t.swept, false
		t.announce = Round{}
		t.rv.jobs.park(t.announcing)
		if mode.Announce && t.rv.routing != nil {
			at := now
			if mode.Lookup && !was.Lookup {
				at = now.Add(announceHold) // or when the lookup is through
			}
			t.rv.jobs.ask(t.announcing, at)
		}
	}
	if mode.Lookup != was.Lookup {
		t.lookup = Round{}
		t.rv.jobs.park(t.looking)
		if mode.Lookup {
			t.interval = MinLookupInterval
			t.rv.jobs.ask(t.looking, now)
		}
	}
	t.tellLocked()
	return unsweep
}

// Mode returns what is done for the key.
func (t *Topic) Mode() Mode {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.mode
}

// Refresh looks the key up now, or as soon as MinRefresh has gone by since the
// last lookup began, and starts the growing intervals anew. It does nothing
// when lookups are off.
func (t *Topic) Refresh() {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.left || !t.mode.Lookup {
		return
	}
	t.interval = MinLookupInterval
	at := time.Now()
	if soonest := t.lookup.Began.Add(MinRefresh); soonest.After(at) {
		at = soonest
	}
	t.rv.jobs.ask(t.looking, at)
}

// renew announces the key again at the given time.
func (t *Topic) renew(at time.Time) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.left || t.swept || !t.mode.Announce || t.rv.routing == nil {
		return
	}
	t.rv.jobs.ask(t.announcing, at)
}

// stir shortens the wait for the next lookup because the network changed: new
// providers may be there and old ones gone.
func (t *Topic) stir() {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.left || !t.mode.Lookup {
		return
	}
	t.interval = MinLookupInterval
	clear(t.known)
	t.rv.jobs.ask(t.looking, time.Now().Add(jitter(MinLookupInterval)))
}

// retry repeats at the given time what failed last time.
func (t *Topic) retry(at time.Time) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.left {
		return
	}
	if t.mode.Announce && t.announce.Failures > 0 {
		t.rv.jobs.ask(t.announcing, at)
	}
	if t.mode.Lookup && t.lookup.Failures > 0 {
		t.rv.jobs.ask(t.looking, at)
	}
}

// Flushed returns when everything the mode asks for was done once: the key is
// announced and a lookup is through. Announcing is never given up, so without a
// reachable DHT node it returns only when ctx is done, with what went wrong
// last; errors.Is finds ctx's error in it, ErrNoRouters or ErrNoAddrs. Without
// a routing there is nothing to announce to and nothing to wait for. It
// returns ErrClosed when the topic is left meanwhile.
func (t *Topic) Flushed(ctx context.Context) error {
	for {
		t.mu.Lock()
		left, changed := t.left, t.changed
		pending, reason := t.pendingLocked()
		t.mu.Unlock()
		switch {
		case left:
			return ErrClosed
		case pending == "":
			return nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			if reason == nil {
				return fmt.Errorf("discovery: not %s yet: %w", pending, ctx.Err())
			}
			return fmt.Errorf("discovery: not %s yet: %w (%w)", pending, ctx.Err(), reason)
		}
	}
}

// pendingLocked names what the mode asks for and wasn't done yet, and why.
func (t *Topic) pendingLocked() (string, error) {
	switch {
	case t.mode.Announce && t.rv.routing != nil && t.announce.Done.IsZero():
		return "announced", t.announce.Err
	case t.mode.Lookup && t.lookup.Done.IsZero():
		return "looked up", t.lookup.Err
	}
	return "", nil
}

// Leave ends the topic. found isn't called any more when it returns. It may be
// called twice.
func (t *Topic) Leave() {
	t.foundMu.Lock()
	t.mu.Lock()
	t.left = true
	unsweep := t.swept
	t.swept = false
	t.rv.jobs.drop(t.announcing)
	t.rv.jobs.drop(t.looking)
	t.tellLocked()
	t.mu.Unlock()
	t.foundMu.Unlock()
	if unsweep {
		t.unsweep()
	}
	t.rv.forget(t)
}

// tellLocked wakes those who wait in Flushed.
func (t *Topic) tellLocked() {
	close(t.changed)
	t.changed = make(chan struct{})
}

// offer tells found of a candidate, unless the topic was left.
func (t *Topic) offer(c Candidate) {
	t.foundMu.Lock()
	defer t.foundMu.Unlock()
	if t.left {
		return
	}
	t.found(c)
}
