package storage

import (
	"time"

	"github.com/cockroachdb/pebble/v2"
)

// committer is the goroutine that syncs. It takes all that is pending at once,
// so whoever commits during a sync shares the next one, and it alone calls the
// Durable functions, hence in order.
func (s *Store) committer() {
	defer close(s.done)
	timer := time.NewTimer(SyncDelay)
	timer.Stop()
	waiting := false // timer runs
	for last := false; !last; {
		due := false
		select {
		case <-s.wake:
		case <-timer.C:
			due, waiting = true, false
		case <-s.quit:
			last = true
		}
		switch s.takeAndSync(due || last) {
		case groupDone:
			timer.Stop()
			waiting = false
		case groupWaits:
			if !waiting {
				timer.Reset(SyncDelay)
				waiting = true
			}
		}
	}
}

// What takeAndSync did with the pending batches.
const (
	groupNone  = iota // there were none
	groupWaits        // left for the timer
	groupDone
)

// takeAndSync makes durable what is pending, if it is due, and reports it.
func (s *Store) takeAndSync(due bool) int {
	s.mu.Lock()
	group := s.pending
	err := s.failure()
	if group.batches == 0 {
		s.mu.Unlock()
		return groupNone
	}
	if !due && !group.urgent && group.size < SyncBytes && err == nil {
		s.mu.Unlock()
		return groupWaits
	}
	s.pending = syncGroup{}
	s.syncing = true
	number := s.unsynced
	s.mu.Unlock()

	if err == nil {
		err = s.syncUpTo(number)
	}
	for _, durable := range group.durables {
		durable(err)
	}
	if err == nil {
		s.sweeper.add(group.garbage, group.cleared)
	}
	s.mu.Lock()
	s.syncing = false
	s.room.Broadcast()
	s.mu.Unlock()
	return groupDone
}

// syncUpTo returns when all batches that were applied so far are durable. number
// is that of the last one whose blocks were not synced.
func (s *Store) syncUpTo(number uint64) error {
	if err := s.tails.sync(); err != nil {
		s.fail(err)
		return s.failure()
	}
	s.mu.Lock()
	mark := s.markLocked(number)
	s.mu.Unlock()
	if mark == nil {
		return s.failure()
	}
	return s.waitForMark(mark)
}

// markLocked writes the mark of the number to the log, with a request to sync the
// log up to it. It returns nil when that poisoned the store.
func (s *Store) markLocked(number uint64) *pebble.Batch {
	mark := s.db.NewBatch()
	if err := mark.LogData(appendMark(nil, number), nil); err != nil {
		s.fail(err)
		return nil
	}
	if err := s.db.ApplyNoSyncWait(mark, pebble.Sync); err != nil {
		s.fail(err)
		return nil
	}
	return mark
}

// waitForMark returns when the log is synced up to the mark, or why that is out
// of reach. See fence: the truth about a log is in failure.
func (s *Store) waitForMark(mark *pebble.Batch) error {
	if err := mark.SyncWait(); err != nil {
		s.fail(err)
	}
	mark.Close()
	return s.failure()
}
