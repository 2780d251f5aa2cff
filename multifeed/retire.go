package multifeed

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"

	"github.com/cobox-p2p/cobox-p2p/hypercore"
)

// ErrRetired says that this copy of a writer must not write any more, since
// another copy of the same store does or did. The space has another feed for the
// writer's name: Space.Writer returns it.
var ErrRetired = errors.New("multifeed: this feed is retired here: ask the space for its writer again")

// Records of retirement: under retiredPrefix, the address and an instance lies the
// instance that came in its place; under movingPrefix, the address and a feed key a
// byte 1, as long as blocks of the feed are to be appended again.
const (
	retiredPrefix = "retired/"
	movingPrefix  = "moving/"
)

func (s *Space) spaceRecord(prefix string, rest []byte) []byte {
	b := append(append([]byte(prefix), byte(s.address.Kind)), s.address.Key[:]...)
	return append(b, rest...)
}

// maxRetired is how many instances of a space may have been retired one after the
// other.
const maxRetired = 1 << 16

// followInstance replaces an instance that was retired by the one that came in its
// place.
func (s *Space) followInstance() error {
	for range maxRetired {
		value, err := s.store.Storage().Record(s.spaceRecord(retiredPrefix, s.instance[:]))
		if errors.Is(err, hypercore.ErrNoRecord) {
			return nil
		}
		if err != nil {
			return err
		}
		if len(value) != len(s.instance) {
			return fmt.Errorf("%w: record of a retired instance", hypercore.ErrDamaged)
		}
		s.instance = Instance(value)
	}
	return fmt.Errorf("%w: over %d retired instances", hypercore.ErrDamaged, maxRetired)
}

// currentInstance returns the instance under which this node writes now.
func (s *Space) currentInstance() Instance {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.instance
}

// writes says whether the feed of a record is written here now.
func (s *Space) writes(r feedRecord) bool {
	if r.name == "" || r.retired {
		return false
	}
	if r.seed != nil {
		return r.ours
	}
	return r.instance == s.currentInstance()
}

// Retired says whether this node wrote the feed and writes it no more, since
// another copy of its store was found to do so.
func (f *Feed) Retired() bool { return f.retired.Load() }

// retiredError makes the error of an append to a retired feed say what to do.
func (f *Feed) retiredError(err error) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, hypercore.ErrOldCopy), f.retired.Load(), f.own.Load() && errors.Is(err, hypercore.ErrForked):
		return fmt.Errorf("%w: %w", ErrRetired, err)
	}
	return err
}

// startRetire retires the writers of this copy, not in the caller's goroutine.
func (s *Space) startRetire(f *Feed) {
	s.background(func(ctx context.Context) {
		if err := s.retire(ctx, f); err != nil {
			s.log.Error("own feeds not retired", "feed", fmt.Sprintf("%.8s", f.Discovery()), "err", err)
		}
	})
}

// retire retires the writers of this copy because of one of their feeds, unless
// that was done.
func (s *Space) retire(ctx context.Context, f *Feed) error {
	s.retiring.Lock()
	defer s.retiring.Unlock()
	r, err := s.readRecord(f.Key())
	if err != nil || !s.writes(r) {
		return err
	}
	return s.retireInstance(ctx)
}

// retireInstance ends the writing of all own feeds, and makes an instance under
// which the node writes on. What nobody was shown of them is appended again to the
// writers of the same names; see interop/spec/keys.md, "Copies of a writer". The
// caller holds retiring.
func (s *Space) retireInstance(ctx context.Context) error {
	feeds, err := s.replaceInstance()
	if err != nil {
		return err
	}
	for _, f := range feeds {
		s.log.Warn("another copy of this node writes: its writer goes on with a new feed",
			"feed", fmt.Sprintf("%.8s", f.Discovery()), "writer", f.Name(), "unseen", f.Unseen())
	}
	err = s.moveAll(ctx)
	for _, x := range s.sessionsNow() {
		x.released()
	}
	for _, f := range feeds {
		s.event(Event{Kind: FeedRetired, Feed: f})
	}
	return err
}

// replaceInstance stops all writers and goes over to a new instance. It returns the
// feeds that were written under the one before.
func (s *Space) replaceInstance() (feeds []*Feed, err error) {
	s.adding.Lock() // so that no writer of the old instance comes meanwhile
	defer s.adding.Unlock()
	records, err := s.ownRecords()
	if err != nil {
		return nil, err
	}
	old, next := s.currentInstance(), NewInstance()
	b := []hypercore.Record{{Key: s.spaceRecord(retiredPrefix, old[:]), Value: next[:]}}
	for _, r := range records {
		f, err := s.stopWriter(r)
		if err != nil {
			return nil, err
		}
		feeds = append(feeds, f)
		r.retired = true
		b = append(b, hypercore.Record{Key: append(s.recordPrefix(), r.key[:]...), Value: r.encode()})
		if f.Unseen() > 0 || f.Evidence() != nil {
			b = append(b, s.movingRecord(r.key))
		}
	}
	if err := s.commitRecords(b); err != nil {
		return nil, err
	}
	s.mu.Lock()
	s.instance = next
	s.mu.Unlock()
	return feeds, nil
}

// stopWriter ends the writing of an own feed.
func (s *Space) stopWriter(r feedRecord) (*Feed, error) {
	f, err := s.Feed(r.key)
	if err != nil {
		return nil, err
	}
	if f.damaged == nil {
		if err := f.Stop(); err != nil {
			return nil, err
		}
	}
	f.own.Store(false)
	f.retired.Store(true)
	s.noteHolding(f.Feed) // peers are told of less
	return f, nil
}

// ownRecords returns what is stored of the feeds that are written here.
func (s *Space) ownRecords() (own []feedRecord, err error) {
	prefix := s.recordPrefix()
	for rec, err := range s.store.Storage().Records(prefix) {
		if err != nil {
			return nil, err
		}
		r, err := decodeFeedRecord(rec.Key[len(prefix):], rec.Value)
		if err != nil {
			return nil, err
		}
		if s.writes(r) {
			own = append(own, r)
		}
	}
	return own, nil
}

// commitRecords returns when the records are durable.
func (s *Space) commitRecords(records []hypercore.Record) error {
	done := make(chan error, 1)
	err := s.store.Storage().Commit(&hypercore.Batch{
		Records: records, Urgent: true, Durable: func(err error) { done <- err },
	})
	if err != nil {
		return err
	}
	return <-done
}

// background runs f in a goroutine that Close ends and waits for.
func (s *Space) background(f func(context.Context)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.closed {
		s.run(f)
	}
}

// sessionsNow returns the sessions to tell of something.
func (s *Space) sessionsNow() []*Session {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Collect(maps.Keys(s.sessions))
}
