package multifeed

import (
	"errors"
	"fmt"
	"time"

	"github.com/cobox-p2p/cobox-p2p/hypercore"
)

// Limits are how much peers can make this node take in of a space. A field that is
// 0 is no limit.
type Limits struct {
	Feeds         int    // feeds of the space when a peer offers one more, own ones included
	FeedBytes     uint64 // bytes of the blocks stored here of one feed that isn't written here
	SpaceBytes    uint64 // bytes of the blocks stored here of all feeds, own ones included
	Announcements int    // announced feeds and heads that are looked at in a minute
}

// Errors of what limits refuse. Those of bytes are a *hypercore.FullError and match
// one of these as well.
var (
	ErrBlocked       = errors.New("multifeed: feed is blocked here")
	ErrAnnouncements = errors.New("multifeed: more announcements in this minute than the space's limit allows")
	ErrFeedBytes     = errors.New("multifeed: as many bytes of the feed are stored as its limit allows")
	ErrSpaceBytes    = errors.New("multifeed: as many bytes of the space are stored as its limit allows")
	ErrNodeBytes     = errors.New("multifeed: as many bytes are stored as the limit of this node allows")
)

// quota is what a space's limits need.
type quota struct {
	ration  *hypercore.Ration // of the space; nil without WithLimits; set once
	limits  Limits
	blocked map[hypercore.Key]struct{}
	// announced counts announcements.
	announced rate
}

// WithLimits sets the space's limits and what bytes of it are counted in besides: a
// ration that spaces share, as all of a node, or nil. The limits hold before a byte
// of a feed is fetched and, for bytes, before a block is stored: nothing is over them
// but what was appended here, or was there before. Feeds that two spaces have count
// for both.
func WithLimits(l Limits, within *hypercore.Ration) Option {
	return func(s *Space) error {
		if err := l.check(); err != nil {
			return err
		}
		s.quota.ration, s.quota.limits = hypercore.NewRation(within, l.SpaceBytes), l
		return nil
	}
}

func (l Limits) check() error {
	if l.Feeds < 0 || l.Announcements < 0 {
		return fmt.Errorf("multifeed: %d feeds, %d announcements: no limits", l.Feeds, l.Announcements)
	}
	return nil
}

// Limits returns the space's limits.
func (s *Space) Limits() Limits {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.quota.limits
}

// SetLimits changes the limits of a space that was opened WithLimits. Where one was
// raised, what it held up goes on at once with the peers of now. Nothing is removed
// where one is lower than what is there.
func (s *Space) SetLimits(l Limits) error {
	if s.quota.ration == nil {
		return errors.New("multifeed: the space was opened without limits")
	}
	if err := l.check(); err != nil {
		return err
	}
	s.mu.Lock()
	s.quota.limits = l
	s.mu.Unlock()
	s.quota.ration.SetLimit(l.SpaceBytes)
	for _, f := range s.liveFeeds() {
		f.limitBytes(l)
	}
	s.relent()
	return nil
}

// Stored returns how many bytes of blocks of the space count in its limits: what is
// stored here, or is about to be. It is 0 without WithLimits.
func (s *Space) Stored() uint64 {
	if s.quota.ration == nil {
		return 0
	}
	return s.quota.ration.Used()
}

// liveFeeds returns the feeds that somebody holds, without opening any.
func (s *Space) liveFeeds() []*Feed {
	s.mu.Lock()
	defer s.mu.Unlock()
	var feeds []*Feed
	for _, p := range s.set.live {
		if f := p.Value(); f != nil {
			feeds = append(feeds, f)
		}
	}
	return feeds
}

// countStored counts what the store holds of the space, before anything comes.
func (s *Space) countStored() error {
	if s.quota.ration == nil {
		return nil
	}
	for _, m := range s.set.list {
		if err := s.chargeStored(m.key); err != nil {
			return err
		}
	}
	return nil
}

// chargeStored counts what the store holds of a feed that is new in the set.
func (s *Space) chargeStored(key hypercore.Key) error {
	if s.quota.ration == nil {
		return nil
	}
	stored, err := s.store.Storage().Feed(key)
	if errors.Is(err, hypercore.ErrNoFeed) || errors.Is(err, hypercore.ErrDamaged) {
		return nil
	}
	if err == nil {
		s.quota.ration.Charge(stored.Bytes)
	}
	return err
}

// ration lets the feed's blocks count in the limits of bytes.
func (s *Space) ration(f *Feed, core *hypercore.Feed) (stop func()) {
	if s.quota.ration == nil {
		return func() {}
	}
	f.ration = hypercore.NewRation(s.quota.ration, 0)
	f.limitBytes(s.Limits())
	return core.SetRation(f.ration)
}

func (f *Feed) limitBytes(l Limits) {
	switch {
	case f.ration == nil:
	case f.Own():
		f.ration.SetLimit(0)
	default:
		f.ration.SetLimit(l.FeedBytes)
	}
}

// allow decides on a feed that isn't in the set before anything of it is taken in;
// more is how many others were allowed and aren't in the set yet. Its errors wrap
// errRefused.
func (s *Space) allow(o Offer, more int) error {
	s.mu.Lock()
	_, blocked := s.quota.blocked[o.Feed]
	limit, count := s.quota.limits.Feeds, len(s.set.list)
	s.mu.Unlock()
	var err error
	switch {
	case blocked:
		err = ErrBlocked
	case limit > 0 && count+more >= limit:
		err = fmt.Errorf("%w: %d", ErrTooMany, limit)
	case s.policy != nil:
		err = s.policy(o)
	}
	if err != nil {
		return fmt.Errorf("%w: %w", errRefused, err)
	}
	return nil
}

// maxFeedsFor returns how many feeds the set may have with that of the record.
func (s *Space) maxFeedsFor(r feedRecord) int {
	if limit := s.Limits().Feeds; r.offered && limit > 0 {
		return min(limit, s.maxFeeds)
	}
	return s.maxFeeds
}

// hears says whether one more announcement is looked at.
func (s *Space) hears(now time.Time) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	q := &s.quota
	if q.limits.Announcements == 0 {
		return true
	}
	q.announced.limit, q.announced.per = q.limits.Announcements, time.Minute
	return q.announced.take(1, now)
}

// LimitError returns nil, or which limit keeps more of the feed from being taken in:
// ErrFeedBytes, ErrSpaceBytes, ErrNodeBytes or ErrBlocked, with a
// *hypercore.FullError unless it is the last.
func (f *Feed) LimitError() error {
	if f.space.isBlocked(f.Key()) {
		return ErrBlocked
	}
	return f.fullError()
}

// fullError names the limit of bytes that holds up a feed. It is nil when none does.
func (f *Feed) fullError() error {
	full, ok := errors.AsType[*hypercore.FullError](f.Full())
	if !ok {
		return nil
	}
	limit := ErrNodeBytes
	switch full.Ration {
	case f.ration:
		limit = ErrFeedBytes
	case f.space.quota.ration:
		limit = ErrSpaceBytes
	}
	return fmt.Errorf("%w: %w", limit, full)
}

// noteFull tells of a feed of which nothing more is taken in.
func (s *Space) noteFull(f *Feed) {
	err := f.fullError()
	if err == nil {
		return
	}
	s.event(Event{Kind: FeedRefused, Feed: f, Key: f.Key(), Err: err})
	for _, x := range s.sessionsNow() {
		if x.PeerOf(f) != nil {
			x.refuse(f.Discovery(), err)
		}
	}
}

// noteEased tells that more of a feed is taken in again.
func (s *Space) noteEased(f *Feed) {
	s.event(Event{Kind: LimitLifted, Feed: f, Key: f.Key()})
	for _, x := range s.sessionsNow() {
		x.relentOn(f.Discovery())
	}
}
