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
	var mark *pebble.Batch
	if err == nil {
		mark = s.markLocked()
	}
	s.mu.Unlock()

	if mark != nil {
		err = s.waitForMark(mark)
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

// markLocked writes an empty record to the log, with a request to sync the log
// up to it. It returns nil when that poisoned the store.
func (s *Store) markLocked() *pebble.Batch {
	mark := s.db.NewBatch()
	if err := mark.LogData(nil, nil); err != nil {
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
