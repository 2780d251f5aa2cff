package multifeed

import (
	"context"
	"errors"

	"github.com/cobox-p2p/cobox-p2p/hypercore"
)

// Update is that of hypercore.Feed, for which the feed's channel is opened with all
// peers of now that have it.
func (f *Feed) Update(ctx context.Context) (length uint64, err error) {
	if err := f.space.summon(ctx, f); err != nil {
		return f.Length(), err
	}
	return f.Feed.Update(ctx)
}

// summon returns when the feed's channel is open with each peer of now that has the
// feed, or when ctx ended and it is open with one.
func (s *Space) summon(ctx context.Context, f *Feed) error {
	for _, x := range s.sessionsNow() {
		if l, ok := x.exchange.(*Feeds); ok {
			l.force(f.place)
		}
	}
	open := 0
	err := s.wait(ctx, func() bool {
		open = 0
		all := true
		for _, x := range s.sessionsNow() {
			if x.PeerOf(f) != nil {
				open++
			} else if l, ok := x.exchange.(*Feeds); ok && l.mayOpen(f) {
				all = false
			}
		}
		return all
	})
	if errors.Is(err, ErrClosed) {
		return hypercore.ErrClosed
	}
	if open > 0 {
		return nil
	}
	return err
}

// force opens the channel of a feed, whatever we lack of it.
func (l *Feeds) force(place uint32) {
	l.mu.Lock()
	l.forced.Set(uint64(place))
	l.mu.Unlock()
	l.wish(place)
}

// mayOpen says whether the remote has the feed, so that its channel opens when we
// want it.
func (l *Feeds) mayOpen(f *Feed) bool {
	l.mu.Lock()
	has := l.remote.has.Get(uint64(f.place))
	l.mu.Unlock()
	return has && !l.x.noBlocks && f.damaged == nil && !l.x.space.isBlocked(f.Key()) && l.x.mayShow(f)
}
