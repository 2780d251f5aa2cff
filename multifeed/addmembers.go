package multifeed

import (
	"fmt"
	"maps"
	"slices"

	"github.com/cobox-p2p/cobox-p2p/hypercore"
)

// addMembers takes feeds into the set that nobody here writes, all in one commit,
// opens none, and returns their places and which of these are new. Those that were
// there before are left as they are. It returns ErrTooMany, and the places of the
// first ones, when there is no room for the rest, and ErrClosed. The caller has
// checked keys and admissions.
func (s *Space) addMembers(records []feedRecord) (places, added []uint32, err error) {
	places, added, err = s.storeMembers(records)
	if len(added) > 0 {
		s.tellAdded(added)
	}
	return places, added, err
}

// storeMembers is addMembers without telling of it.
func (s *Space) storeMembers(records []feedRecord) (places, added []uint32, err error) {
	s.adding.Lock()
	defer s.adding.Unlock()
	s.mu.Lock()
	count, closed := len(s.set.list), s.closed
	s.mu.Unlock()
	if closed {
		return nil, nil, ErrClosed
	}
	b := &hypercore.Batch{}
	fresh := make([]bool, len(records))
	for i := range records {
		r := &records[i]
		if fresh[i] = !s.has(r.key.Discovery()); !fresh[i] {
			continue
		}
		if most := s.maxFeedsFor(*r); count >= most {
			err = fmt.Errorf("%w: %d", ErrTooMany, most)
			records = records[:i]
			break
		}
		r.number = uint64(count)
		count++
		b.Records = append(b.Records, hypercore.Record{Key: append(s.recordPrefix(), r.key[:]...), Value: r.encode()})
	}
	if len(b.Records) > 0 {
		if err := s.store.Storage().Commit(b); err != nil {
			return nil, nil, fmt.Errorf("add %d feeds: %w", len(b.Records), err)
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for i, r := range records {
		place, there := s.set.find(r.key.Discovery())
		if fresh[i] && !there {
			place = s.set.add(r.key, uint32(r.number))
			added = append(added, place)
		}
		places = append(places, place)
	}
	return places, added, err
}

// tellAdded tells the world of feeds that came into the set.
func (s *Space) tellAdded(added []uint32) {
	keys := make([]hypercore.Key, len(added))
	for i, place := range added {
		keys[i] = s.keyAt(place)
		s.noteMember(place, keys[i])
		if err := s.chargeStored(keys[i]); err != nil {
			s.logUnopened(place, err)
		}
	}
	s.mu.Lock()
	s.changedLocked()
	watched, sessions := len(s.watchers) > 0, slices.Collect(maps.Keys(s.sessions))
	s.mu.Unlock()
	for _, x := range sessions {
		x.out.wake()
	}
	for i, place := range added {
		dk := keys[i].Discovery()
		waits := slices.ContainsFunc(sessions, func(x *Session) bool { return x.table.awaits(dk) })
		if !watched && !waits {
			continue
		}
		f, err := s.feedAt(place)
		if err != nil {
			s.logUnopened(place, err)
			continue
		}
		if watched {
			s.event(Event{Kind: FeedAdded, Feed: f})
		}
		for _, x := range sessions {
			x.feedAdded(f)
		}
	}
}

// room returns how many feeds of others the set may still get.
func (s *Space) room() int {
	limit := s.maxFeeds
	if feeds := s.Limits().Feeds; feeds > 0 {
		limit = min(limit, feeds)
	}
	return max(0, limit-s.Len())
}

// noteKnownAt takes the length of a head that was verified, of a member that isn't
// open.
func (s *Space) noteKnownAt(place uint32, length uint64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if length > 0 {
		s.set.known[place] = max(length, s.set.known[place])
	}
}
