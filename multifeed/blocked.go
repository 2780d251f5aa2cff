package multifeed

import (
	"errors"
	"slices"

	"github.com/cobox-p2p/cobox-p2p/hypercore"
	"github.com/cobox-p2p/cobox-p2p/multifeed/wire"
)

// errBlockOwn is returned for a feed that is written here.
var errBlockOwn = errors.New("multifeed: a feed that this node writes can't be blocked")

// WithBlocked blocks feeds from the start; see Block.
func WithBlocked(feeds ...hypercore.Key) Option {
	return func(s *Space) error {
		for _, key := range feeds {
			s.quota.block(key)
		}
		return nil
	}
}

func (q *quota) block(key hypercore.Key) {
	if q.blocked == nil {
		q.blocked = map[hypercore.Key]struct{}{}
	}
	q.blocked[key] = struct{}{}
}

// Block ends the replication of a feed, known or not, with everybody: whoever offers
// it, it is not taken into the set, and when it is there already, nothing more of it
// is fetched and nothing served. What is stored stays and can be read. It holds until
// Unblock or Close and fails for a feed that is written here.
func (s *Space) Block(key hypercore.Key) error {
	f, err := s.byDiscovery(key.Discovery())
	if err != nil {
		return err
	}
	if f != nil && f.Own() {
		return errBlockOwn
	}
	s.mu.Lock()
	s.quota.block(key)
	s.mu.Unlock()
	for _, x := range s.sessionsNow() {
		if err := x.table.drop(key.Discovery()); err != nil {
			x.end(err)
		}
	}
	s.noteChange()
	return nil
}

// Unblock takes back Block. Peers that offered the feed in vain are asked for it
// now.
func (s *Space) Unblock(key hypercore.Key) {
	s.mu.Lock()
	delete(s.quota.blocked, key)
	s.mu.Unlock()
	s.relent()
	f, err := s.byDiscovery(key.Discovery())
	if err != nil || f == nil {
		return
	}
	for _, x := range s.sessionsNow() {
		x.feedAdded(f)
		if _, ok := x.exchange.(*Feeds); ok {
			continue // it opens what is needed
		}
		if err := x.table.open(f); err != nil {
			x.end(err)
		}
	}
}

// Blocked returns the feeds that are blocked, in ascending order of their keys.
func (s *Space) Blocked() []hypercore.Key {
	s.mu.Lock()
	defer s.mu.Unlock()
	keys := make([]hypercore.Key, 0, len(s.quota.blocked))
	for k := range s.quota.blocked {
		keys = append(keys, k)
	}
	slices.SortFunc(keys, func(a, b hypercore.Key) int { return slices.Compare(a[:], b[:]) })
	return keys
}

// isBlocked says whether nothing of a feed is exchanged.
func (s *Space) isBlocked(key hypercore.Key) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	_, blocked := s.quota.blocked[key]
	return blocked
}

// drop closes our end of a feed's channel. An open end of the remote waits from
// then on, as for a feed that isn't here.
func (t *channels) drop(dk hypercore.DiscoveryKey) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	c := t.byKey[dk]
	if c == nil || c.feed == nil || c.closing {
		return nil
	}
	if c.ours {
		c.ours = false
		t.window.ours--
	}
	if c.peer != nil {
		c.peer.Detach()
		c.peer = nil
	}
	local := c.local
	c.local, c.feed = 0, nil
	t.waiting++
	if c.remote == 0 {
		delete(t.byKey, dk)
		t.waiting--
	}
	if local == 0 {
		return nil
	}
	t.ids.ClearRange(local, 1)
	return t.x.out.control(local, &wire.Close{})
}
