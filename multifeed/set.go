package multifeed

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"

	"github.com/cobox-p2p/cobox-p2p/hypercore"
)

// Writer returns the feed that this node writes under that name, and makes it
// when it is asked for the first time. When this copy of the store was found to be
// an old or a second one, it is a new feed, and the one from before is retired. It
// returns ErrNoKey on a seeder, ErrNoSecret on a member's space without the secret,
// ErrName and ErrTooMany.
func (s *Space) Writer(name string) (*Feed, error) {
	if err := checkName(name); err != nil {
		return nil, err
	}
	switch {
	case s.key == nil:
		return nil, ErrNoKey
	case s.address.Kind == KindSigned && s.secret == nil:
		return nil, ErrNoSecret
	}
	f, err := s.writer(name)
	if !errors.Is(err, ErrRetired) {
		return f, err
	}
	s.retiring.Lock()
	defer s.retiring.Unlock()
	if f, err = s.writer(name); !errors.Is(err, ErrRetired) {
		return f, err // somebody has seen to it
	}
	if err := s.retireInstance(context.Background()); err != nil {
		return nil, err
	}
	return s.writer(name)
}

// writer returns the feed of a name under the current instance. It returns
// ErrRetired when that can't be written any more, or came back from a peer: then
// this store has lost it, and writing on would sign a second history.
func (s *Space) writer(name string) (*Feed, error) {
	instance := s.currentInstance()
	key := s.store.NamedKey(writerName(s.address, name, instance))
	f, err := s.byDiscovery(key.Discovery())
	if err == nil && f == nil {
		r := feedRecord{key: key, name: name, instance: instance}
		if s.secret != nil {
			r.admission = s.secret.Admit(key)
		}
		f, err = s.addFeed(r)
	}
	switch {
	case err != nil:
		return nil, err
	case f.damaged != nil:
		return nil, f.damaged
	case !f.Own() || !f.Writable():
		return nil, fmt.Errorf("%w: %q, feed %.8s", ErrRetired, name, f.Discovery())
	}
	return f, nil
}

// Add takes the feed of another writer into the space. In a signed space the
// admission must verify, unless the space's secret is here to make one. It
// returns the feed, also when it was in the space before.
func (s *Space) Add(key hypercore.Key, admission Admission) (*Feed, error) {
	return s.add(key, admission, false)
}

// add is Add of a feed that a peer offered, or that its owner wants here.
func (s *Space) add(key hypercore.Key, admission Admission, offered bool) (*Feed, error) {
	if err := s.checkFeed(key); err != nil {
		return nil, err
	}
	r := feedRecord{key: key, offered: offered}
	if s.address.Kind == KindSigned {
		if s.secret != nil && admission == (Admission{}) {
			admission = s.secret.Admit(key)
		}
		if err := VerifyAdmission(s.address, key, admission); err != nil {
			return nil, err
		}
		r.admission = admission
	}
	return s.addFeed(r)
}

// errAddressFeed is a feed under the space's own key.
var errAddressFeed = errors.New("multifeed: the space's address can't be a feed")

func (s *Space) checkFeed(key hypercore.Key) error {
	if key == hypercore.Key(s.address.Key) {
		return errAddressFeed
	}
	return key.Check()
}

// addFeed stores the record and tells of the feed. A feed that is there already
// is returned as it is: of several admissions the first seen is kept.
func (s *Space) addFeed(r feedRecord) (*Feed, error) {
	f, added, err := s.storeFeed(r)
	if err != nil || !added {
		return f, err
	}
	s.noteHolding(f.Feed)
	s.mu.Lock()
	s.changedLocked()
	tell := s.eventLocked(Event{Kind: FeedAdded, Feed: f})
	sessions := slices.Collect(maps.Keys(s.sessions))
	s.mu.Unlock()
	tell()
	for _, x := range sessions {
		x.feedAdded(f)
	}
	return f, nil
}

// storeFeed takes a feed into the set, and says whether it was not there.
func (s *Space) storeFeed(r feedRecord) (f *Feed, added bool, err error) {
	s.adding.Lock()
	defer s.adding.Unlock()
	if r.name != "" && r.seed == nil && r.instance != s.currentInstance() {
		return nil, false, fmt.Errorf("%w: %q", ErrRetired, r.name) // meanwhile
	}
	dk := r.key.Discovery()
	s.mu.Lock()
	place, there := s.set.find(dk)
	count, closed := len(s.set.list), s.closed
	s.mu.Unlock()
	switch {
	case there:
		f, err = s.feedAt(place)
		return f, false, err
	case closed:
		return nil, false, ErrClosed
	}
	if most := s.maxFeedsFor(r); count >= most {
		return nil, false, fmt.Errorf("%w: %d", ErrTooMany, most)
	}
	r.number = uint64(count)
	if f, err = s.openFeed(r); err != nil {
		return nil, false, fmt.Errorf("add feed %.8s: %w", dk, err)
	}
	err = s.store.Storage().Commit(&hypercore.Batch{
		Records: []hypercore.Record{{Key: append(s.recordPrefix(), r.key[:]...), Value: r.encode()}},
	})
	if err != nil {
		f.give()
		return nil, false, fmt.Errorf("add feed %.8s: %w", dk, err)
	}
	if f.ration != nil {
		s.quota.ration.Charge(f.ration.Used()) // what was in the store before
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.adoptLocked(s.set.add(r.key, uint32(r.number)), f)
	return f, true, nil
}

// Forget removes the space and all of its feeds from the store, for good. The
// space must be closed. Feeds that another space holds as well must be named in
// keep.
func (s *Space) Forget(keep func(hypercore.Key) bool) error {
	s.mu.Lock()
	closed, feeds := s.closed, s.set.list
	s.mu.Unlock()
	if !closed {
		return errors.New("multifeed: a space must be closed before it is forgotten")
	}
	var drop []hypercore.Key
	var records []hypercore.Record
	for _, m := range feeds {
		records = append(records, hypercore.Record{Key: append(s.recordPrefix(), m.key[:]...)})
		if keep == nil || !keep(m.key) {
			drop = append(drop, m.key)
		}
	}
	if err := s.store.Delete(context.Background(), drop, records...); err != nil {
		return fmt.Errorf("forget space %.8s: %w", s.Discovery(), err)
	}
	return nil
}
