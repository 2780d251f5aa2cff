package multifeed

import (
	"sync/atomic"
	"time"
)

// turn is what decides whether a session gives its stream to that of another
// space for a while.
type turn struct {
	stirred atomic.Int64 // since Session.started, when the last frame went either way
	resting atomic.Bool  // the writer has nothing to send, or had not when the session ended
	settled atomic.Bool  // at the end
	ended   atomic.Int64 // since Session.started; 0 before
}

// stir notes a frame that is no keep-alive.
func (t *turn) stir(x *Session, now time.Time) { t.stirred.Store(int64(now.Sub(x.started))) }

// finish notes how things stand at the end, before the feeds let go of what the
// remote told.
func (t *turn) finish(x *Session) {
	t.ended.Store(max(int64(time.Since(x.started)), 1))
	t.settled.Store(x.settledNow())
}

// Stirred returns when the last frame that is no keep-alive was read or was
// about to be written, and when the session began if there was none.
func (x *Session) Stirred() time.Time {
	return x.started.Add(time.Duration(x.turn.stirred.Load()))
}

// Ended returns when the session ended, zero while it runs. What became durable
// here later was not told in it.
func (x *Session) Ended() time.Time {
	if at := x.turn.ended.Load(); at != 0 {
		return x.started.Add(time.Duration(at))
	}
	return time.Time{}
}

// Settled says whether neither side owes the other anything, as far as it is
// known here: the feed sets were exchanged, nothing waits to be sent, and of the
// feeds that are open on both sides neither lacks blocks that the other told it
// holds. Of a session that has ended it says how it was at the end.
func (x *Session) Settled() bool {
	if x.turn.ended.Load() != 0 {
		return x.turn.settled.Load()
	}
	return x.settledNow()
}

func (x *Session) settledNow() bool {
	if l, ok := x.exchange.(*Feeds); ok && !l.settled() || !x.Exchanged() || !x.turn.resting.Load() || len(x.out.wakeup) > 0 {
		return false
	}
	self := []*Session{x}
	for _, f := range x.table.replicated() {
		held := f.Durable()
		if x.lacks(f, held) > 0 || held+f.Cleared() < f.lengthWith(self) {
			return false
		}
	}
	return true
}

// replicated returns the feeds that are open on both sides.
func (t *channels) replicated() []*Feed {
	t.mu.Lock()
	defer t.mu.Unlock()
	var feeds []*Feed
	for _, c := range t.byKey {
		if c.peer != nil {
			feeds = append(feeds, c.feed)
		}
	}
	return feeds
}
