package hypercore

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"sync"
)

// Ration is how many bytes the blocks of some feeds may take up here, as the tree
// covers them. Peers' blocks that are too much for it are refused before they are
// stored; what is appended here counts and is not refused. A Ration may be part of
// another, and then takes from that, too. It may be used by several goroutines at
// once.
type Ration struct {
	mu     *sync.Mutex // guards all below, and the same of all rations under one root; taken with a feed's lock held
	within *Ration     // set once; nil: a root
	limit  uint64      // 0: none
	used   uint64
	// waiting are the feeds that found no room.
	waiting map[*core]struct{}
}

// ErrFull is wrapped by a *FullError.
var ErrFull = errors.New("hypercore: no room for more blocks")

// FullError says that a block of a peer was refused, or isn't asked for, because a
// Ration is used up.
type FullError struct {
	Ration      *Ration
	Limit, Used uint64 // bytes
}

// Error names the limit.
func (e *FullError) Error() string {
	return fmt.Sprintf("%s: %d of %d bytes are used", ErrFull, e.Used, e.Limit)
}

// Is makes it match ErrFull.
func (e *FullError) Is(target error) bool { return target == ErrFull }

// NewRation returns a ration of limit bytes, 0 for any number, that is part of
// within; nil for a ration of its own.
func NewRation(within *Ration, limit uint64) *Ration {
	r := &Ration{within: within, limit: limit, waiting: map[*core]struct{}{}}
	if within != nil {
		r.mu = within.mu
	} else {
		r.mu = &sync.Mutex{}
	}
	return r
}

// Limit returns the bytes that may be used, 0 for any number.
func (r *Ration) Limit() uint64 {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.limit
}

// Used returns the bytes that are used. They may be over the limit, when that was
// lowered or by what was appended here.
func (r *Ration) Used() uint64 {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.used
}

// SetLimit changes how many bytes may be used, 0 for any number. Feeds that found no
// room look again. Nothing is removed when more is used already.
func (r *Ration) SetLimit(limit uint64) {
	r.mu.Lock()
	r.limit = limit
	waiting := r.easedLocked()
	r.mu.Unlock()
	wakeAll(waiting)
}

// Charge counts bytes that are stored whatever the limit.
func (r *Ration) Charge(bytes uint64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.chargeLocked(bytes)
}

func (r *Ration) chargeLocked(bytes uint64) {
	for ; r != nil; r = r.within {
		r.used += bytes
	}
}

// Give gives bytes back that were counted.
func (r *Ration) Give(bytes uint64) {
	if bytes == 0 {
		return
	}
	var waiting []*core
	r.mu.Lock()
	for at := r; at != nil; at = at.within {
		at.used -= min(bytes, at.used)
		waiting = append(waiting, at.easedLocked()...)
	}
	r.mu.Unlock()
	wakeAll(waiting)
}

// Close gives back all that is used to what the ration is part of. The feeds that
// used it must be closed, or have given it up.
func (r *Ration) Close() {
	if r.within == nil {
		return
	}
	r.mu.Lock()
	used := r.used
	r.used = 0
	r.mu.Unlock()
	r.within.Give(used)
}

// take counts bytes if they are within the limits.
func (r *Ration) take(bytes uint64) *FullError {
	r.mu.Lock()
	defer r.mu.Unlock()
	if at := r.fullLocked(bytes); at != nil {
		return &FullError{at, at.limit, at.used}
	}
	r.chargeLocked(bytes)
	return nil
}

// fullLocked returns the ration that has no room for so many bytes, or nil.
func (r *Ration) fullLocked(bytes uint64) *Ration {
	for ; r != nil; r = r.within {
		if r.limit > 0 && (r.used > r.limit || bytes > r.limit-r.used) {
			return r
		}
	}
	return nil
}

// room returns how many bytes are left, and full while more are used than may be or
// a block waits that found no room: how long the next one is isn't known. That
// nothing is left alone is not enough, for a block may be empty.
func (r *Ration) room() (left uint64, full *FullError) {
	r.mu.Lock()
	defer r.mu.Unlock()
	left = math.MaxUint64
	for ; r != nil; r = r.within {
		if r.limit == 0 {
			continue
		}
		if r.used > r.limit || len(r.waiting) > 0 {
			return 0, &FullError{r, r.limit, r.used}
		}
		left = min(left, r.limit-r.used)
	}
	return left, nil
}

// await lets c look again when there may be room. It is false when there is some
// already that wasn't when e was returned.
func (e *FullError) await(c *core) bool {
	r := e.Ration
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.limit == 0 || r.limit > e.Limit || r.used < e.Used && r.used < r.limit {
		return false
	}
	r.waiting[c] = struct{}{}
	return true
}

// easedLocked returns the feeds that may look again.
func (r *Ration) easedLocked() []*core {
	if len(r.waiting) == 0 || r.limit > 0 && r.used >= r.limit {
		return nil
	}
	var all []*core
	for c := range r.waiting {
		all = append(all, c)
	}
	clear(r.waiting)
	return all
}

func (r *Ration) leave(c *core) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for ; r != nil; r = r.within {
		delete(r.waiting, c)
	}
}

func wakeAll(waiting []*core) {
	for _, c := range waiting {
		c.eased()
	}
}

// SetRation lets the feed's blocks count in r, in r alone those that are here
// already: whoever made what r is part of has counted them. Peers' blocks that are
// too much for it are refused as those that a Guard refuses, with an error that wraps
// ErrFull, and no more of the feed is asked of anybody until there is room. stop ends
// that and leaves counted what is.
func (c *core) SetRation(r *Ration) (stop func()) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.rations = append(slices.Clip(c.rations), r)
	r.mu.Lock()
	r.used += c.counted
	r.mu.Unlock()
	return func() {
		c.mu.Lock()
		if at := slices.Index(c.rations, r); at >= 0 {
			c.rations = slices.Delete(slices.Clone(c.rations), at, at+1)
		}
		c.mu.Unlock()
		r.leave(c)
		c.eased()
	}
}
