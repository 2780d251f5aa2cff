package corestore

import (
	"context"
	"fmt"
	"slices"

	"github.com/cobox-p2p/cobox-p2p/hypercore"
)

// Delete closes the feeds, whoever uses them, and removes them with all that is
// stored of them, for good. The records are changed in the same transaction: all
// of it happens or nothing. It returns when that is durable; ctx is honoured
// until the transaction is handed to the store. Feeds that are not stored are
// none of its concern. A feed that is asked for meanwhile is opened afterwards,
// as an empty one.
func (s *Store) Delete(ctx context.Context, keys []hypercore.Key, records ...hypercore.Record) error {
	entries, err := s.seize(ctx, keys)
	if err != nil {
		return fmt.Errorf("delete %d feeds: %w", len(keys), err)
	}
	defer s.free(entries)
	b := &hypercore.Batch{Urgent: true, Records: slices.Clone(records)}
	for _, e := range entries {
		if e.feed != nil {
			e.feed.Close()
		}
		if err := hypercore.AppendDrop(b, s.st, e.key); err != nil {
			return fmt.Errorf("delete feed %s: %w", e.key.Discovery(), err)
		}
	}
	if err := ctx.Err(); err != nil {
		return fmt.Errorf("delete %d feeds: %w", len(keys), err)
	}
	done := make(chan error, 1)
	b.Durable = func(err error) { done <- err }
	if err := s.st.Commit(b); err != nil {
		return fmt.Errorf("delete %d feeds: %w", len(keys), err)
	}
	if err := <-done; err != nil {
		return fmt.Errorf("delete %d feeds: %w", len(keys), err)
	}
	return nil
}

// seize makes busy entries of the feeds, all at once, so that two calls that
// share feeds can't wait for each other. Those that were open keep their feed,
// to be closed.
func (s *Store) seize(ctx context.Context, keys []hypercore.Key) ([]*entry, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for {
		if s.closed {
			return nil, hypercore.ErrClosed
		}
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		at := slices.IndexFunc(keys, func(key hypercore.Key) bool {
			e := s.entries[key]
			return e != nil && (e.busy != nil || e.gone)
		})
		if at < 0 {
			break
		}
		s.awaitLocked(s.entries[keys[at]])
	}
	var seized []*entry
	for _, key := range keys {
		old := s.entries[key]
		if old != nil && old.busy != nil {
			continue // named twice
		}
		e := &entry{key: key, busy: make(chan struct{}), gone: true}
		if old != nil {
			e.feed = old.feed
			s.leaveLocked(old)
			delete(s.leaving, old)
		}
		s.entries[key] = e
		seized = append(seized, e)
	}
	return seized, nil
}

// free lets the feeds be opened again. What they wrote is durable, or they left
// untouched and are to be waited for.
func (s *Store) free(entries []*entry) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, e := range entries {
		close(e.busy)
		e.busy = nil
		if e.feed == nil {
			s.forgetLocked(e)
			continue
		}
		s.leaving[e] = struct{}{}
	}
	s.sweepLocked()
}
