package multifeed

import (
	"math"

	"github.com/cobox-p2p/cobox-p2p/hypercore"
)

// skip notes a feed that a peer offered and that was refused, and tells the peer. It
// is looked at again when what refused it may not any more.
func (x *Session) skip(e Entry, why error) {
	q := &x.refusals
	dk := e.Feed.Discovery()
	q.mu.Lock()
	if _, known := q.skipped[dk]; known || len(q.skipped) < maxSkipped {
		q.skipped[dk] = e
	}
	q.mu.Unlock()
	x.space.event(Event{Kind: FeedRefused, Key: e.Feed, Session: x, Err: why})
	x.refuse(dk, why)
}

// offerRoom returns how many feeds the remote's offers are looked at for, when so many
// were refused that the rest needn't be: it sends more than it can have in earnest, or
// far more than is wanted.
func (x *Session) offerRoom() int {
	q := &x.refusals
	q.mu.Lock()
	few := len(q.skipped) < MaxRefusals
	q.mu.Unlock()
	limit := x.space.Limits().Feeds
	if few || limit == 0 {
		return math.MaxInt
	}
	return max(limit-x.space.Len(), 0)
}

// relent looks again at what peers offered and limits or the policy refused.
func (s *Space) relent() {
	s.event(Event{Kind: LimitLifted})
	for _, x := range s.sessionsNow() {
		if err := x.relent(); err != nil {
			x.end(err)
		}
		x.wishAll()
	}
}

// Reconsider looks again at what peers offered and the policy refused: it may think
// otherwise now.
func (s *Space) Reconsider() { s.relent() }

// relent takes in what was refused and isn't any more.
func (x *Session) relent() error {
	q := &x.refusals
	q.mu.Lock()
	skipped := q.skipped
	q.skipped = map[hypercore.DiscoveryKey]Entry{}
	q.mu.Unlock()
	for dk, e := range skipped {
		f, err := x.takeEntry(e)
		if err != nil {
			return err
		}
		if f == nil {
			continue
		}
		x.relentOn(dk)
		if l, ok := x.exchange.(*Feeds); ok {
			l.note(f.place, e.Length, e.lacks, f.Own())
		} else if err := x.table.open(f); err != nil {
			return err
		}
	}
	return nil
}
