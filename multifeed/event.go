package multifeed

import (
	"fmt"

	"github.com/cobox-p2p/cobox-p2p/hypercore"
)

// EventKind says what happened in a space.
type EventKind byte

// The events of a space.
const (
	FeedAdded      EventKind = iota + 1 // Feed came into the space
	FeedRefused                         // a peer's feed was skipped, or no more of it is taken in; Err says why
	BlocksStored                        // blocks of Feed became durable here
	BlockUploaded                       // a block of Feed was read for a peer
	BlocksDamaged                       // blocks of Feed can't be read from the store, or not proved
	PeersWanted                         // somebody began to wait for what only sessions with peers tell
	BlocksWanted                        // somebody began to wait for blocks of Feed that exist and aren't stored here
	FeedForked                          // the writer of Feed signed two histories; Err has both
	FeedRetired                         // this node writes Feed no more, since another copy of its store does; see Feed.Retired
	RefusedByPeer                       // Session's peer refuses a feed, or doesn't any more; Err is a *Refusal
	LimitLifted                         // more is taken in than before: of Feed, or of the space when that is nil
	SessionStarted                      // Session began
	SessionEnded                        // Session ended; Err says why, nil when it was closed
	Exchanged                           // Session has exchanged the feed set
	AboutReceived                       // Session's peer told its name
)

// Event is what happened in a space. Fields that do not apply are zero.
type Event struct {
	Kind    EventKind
	Feed    *Feed
	Key     hypercore.Key // of a feed that was refused, or isn't any more
	Span    hypercore.Span
	Session *Session
	Err     error
}

type watcher struct{ f func(Event) }

// Notify calls f for every event of the space until stop is called. f is called
// from the goroutine in which the event happened: it must not block, nor read or
// write feeds, nor change or close the space.
func (s *Space) Notify(f func(Event)) (stop func()) {
	w := &watcher{f}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.watchers[w] = struct{}{}
	return func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		delete(s.watchers, w)
	}
}

// eventLocked returns what to call without the lock.
func (s *Space) eventLocked(e Event) func() {
	watchers := make([]*watcher, 0, len(s.watchers))
	for w := range s.watchers {
		watchers = append(watchers, w)
	}
	return func() {
		for _, w := range watchers {
			w.f(e)
		}
	}
}

func (s *Space) event(e Event) {
	s.mu.Lock()
	s.changedLocked()
	tell := s.eventLocked(e)
	s.mu.Unlock()
	tell()
}

// feedEvent passes on what happened to a feed.
func (s *Space) feedEvent(f *Feed, e hypercore.Event) {
	switch e.Kind {
	case hypercore.Stored:
		s.event(Event{Kind: BlocksStored, Feed: f, Span: e.Span})
	case hypercore.Uploaded:
		s.event(Event{Kind: BlockUploaded, Feed: f, Span: e.Span})
	case hypercore.Damaged:
		s.log.Warn("stored blocks are damaged: run verify with --repair",
			"feed", fmt.Sprintf("%.8s", f.Discovery()), "seq", e.Span.Start, "blocks", e.Span.Count)
		s.event(Event{Kind: BlocksDamaged, Feed: f, Span: e.Span})
	case hypercore.PeerAdded:
		s.noteChange()
	case hypercore.Wanted:
		s.wishFor(f)
		s.event(Event{Kind: BlocksWanted, Feed: f, Span: e.Span})
	case hypercore.Forked:
		s.noteForked(f.place)
		err := f.Forked()
		s.log.Error("feed has forked and grows no more here", "feed", fmt.Sprintf("%.8s", f.Discovery()), "err", err)
		s.event(Event{Kind: FeedForked, Feed: f, Err: err})
		for _, x := range s.sessionsNow() {
			x.exchange.Forked(f)
		}
		if f.Retired() {
			s.startMove(f)
		}
	case hypercore.Filled:
		s.noteFull(f)
	case hypercore.Eased:
		s.noteEased(f)
		s.wishFor(f)
	case hypercore.Outrun:
		s.startRetire(f)
	}
}
