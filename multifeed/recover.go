package multifeed

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"

	"github.com/cobox-p2p/cobox-p2p/hypercore"
)

// Recover mends a feed that can't be opened because what is stored of it is
// damaged, and returns it as it is then; who holds the damaged one asks the space
// again. See hypercore.Recover. With discard, what can't be mended is dropped so
// that peers send it anew; a feed that was written here is never written again
// after that. A feed that can be opened is returned as it is.
func (s *Space) Recover(ctx context.Context, key hypercore.Key, discard bool) (*Feed, hypercore.Recovered, error) {
	f, err := s.Feed(key)
	if err != nil || f.damaged == nil {
		return f, hypercore.Recovered{}, err
	}
	done, err := s.recoverFeed(ctx, f, discard)
	if err != nil {
		return nil, done, fmt.Errorf("space %.8s: %w", s.Discovery(), err)
	}
	if f, err = s.Feed(key); err != nil {
		return nil, done, err
	}
	s.noteHolding(f.Feed)
	s.mu.Lock()
	sessions := slices.Collect(maps.Keys(s.sessions))
	s.changedLocked()
	s.mu.Unlock()
	for _, x := range sessions {
		x.feedAdded(f)
		// The remote may have told of it while it was damaged.
		if err := x.table.open(f); err != nil {
			x.end(err)
		}
	}
	return f, done, f.damaged
}

func (s *Space) recoverFeed(ctx context.Context, f *Feed, discard bool) (hypercore.Recovered, error) {
	s.opening.Lock()
	defer s.opening.Unlock()
	st := s.store.Storage()
	done, err := hypercore.Recover(ctx, st, f.Key())
	if errors.Is(err, hypercore.ErrDamaged) && discard {
		done, err = hypercore.Discard(ctx, st, f.Key())
	}
	if err != nil {
		return done, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.set.live[f.place].Value() == f {
		delete(s.set.live, f.place)
	}
	return done, nil
}
