package storage

import (
	"time"

	"github.com/cockroachdb/pebble/v2"

	"github.com/cobox-p2p/cobox-p2p/hypercore"
)

// When batches that are not urgent are synced, and the data files that they
// changed: SyncDelay after the first of them, or as soon as they have SyncBytes
// together. A Commit that would leave
// another SyncBytes behind a sync under way waits for it.
const (
	SyncDelay = 200 * time.Millisecond
	SyncBytes = 32 << 20
)

// Bounds of what waits to be flushed and compacted. Beyond them a Commit waits.
// Pebble's own bounds are out of reach, because a Commit that waits inside
// Pebble could not be woken when the disk fails.
const (
	maxMemory      = 96 << 20
	maxSublevels   = 20
	checkBytes     = 8 << 20 // committed between two looks at the above
	batchOverhead  = 256     // bytes that the smallest batch counts for
	memTableSize   = 16 << 20
	blockCacheSize = 16 << 20
	tableFileSize  = 16 << 20 // a million small feeds are some dozens of tables then
)

// syncGroup is the batches that one sync makes durable.
type syncGroup struct {
	batches  int
	size     int // bytes
	urgent   bool
	durables []func(error) // in the order of the commits
	garbage  []garbage     // to be freed afterwards
	cleared  uint64        // bytes deleted from the index, about
}

// Commit implements hypercore.Storage. It returns an error that wraps
// ErrBadBatch for a batch beyond a limit, ErrDiskFull when there is no space for
// it, or what failed when the blocks of a long run were written; the store stays
// usable after all of these.
func (s *Store) Commit(b *hypercore.Batch) error {
	size, err := checkBatch(b)
	if err != nil {
		return err
	}
	if err := s.ready(); err != nil {
		return err
	}
	size += batchOverhead
	if adds(b, size) {
		if err := s.space.admit(uint64(size)); err != nil {
			return s.wrap("commit", err)
		}
	}
	plans := planFeeds(b)
	unlock := s.locks.lock(plans)
	defer unlock()
	stages, err := s.stage(plans, b.Urgent)
	if err == nil {
		err = s.apply(b, plans, stages, size)
	}
	s.unstage(stages, err)
	return err
}

// apply makes the batch of size bytes readable and leaves it to the committer to
// make it durable.
func (s *Store) apply(b *hypercore.Batch, plans []feedPlan, stages map[hypercore.Key]*staged, size int) error {
	indexed := size // goes to the index
	for _, st := range stages {
		indexed -= st.size
		size += st.waiting - st.size
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for s.syncing && s.pending.size+size > SyncBytes && s.pending.batches > 0 && !s.closing {
		s.room.Wait()
	}
	if err := s.readyLocked(); err != nil {
		return err
	}
	if err := s.waitForPebbleLocked(indexed); err != nil {
		return err
	}
	w := newWriter(s)
	defer w.close()
	if err := s.writeLocked(w, plans, stages, b.Records); err != nil {
		return err
	}
	s.queueLocked(b, w, size)
	return nil
}

// ready is readyLocked for who doesn't hold mu.
func (s *Store) ready() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.readyLocked()
}

// readyLocked says why the store takes no commits, if so.
func (s *Store) readyLocked() error {
	if s.closing {
		return hypercore.ErrClosed
	}
	return s.failure()
}

// waitForPebbleLocked returns when Pebble has room for size more bytes.
func (s *Store) waitForPebbleLocked(size int) error {
	s.sinceCheck += size
	if s.sinceCheck < checkBytes {
		return nil
	}
	s.sinceCheck = 0
	for {
		m := s.db.Metrics()
		if m.MemTable.Size <= maxMemory && m.Levels[0].Sublevels <= maxSublevels {
			return nil
		}
		select {
		case <-s.relief:
		case <-s.failed:
			return s.failErr
		}
	}
}

// writeLocked applies the batch to the database, unsynced.
func (s *Store) writeLocked(w *writer, plans []feedPlan, stages map[hypercore.Key]*staged, records []hypercore.Record) error {
	if err := w.note(stages); err != nil {
		return s.wrap("commit", err)
	}
	if err := w.build(plans, stages, records); err != nil {
		return s.wrap("commit", err)
	}
	if w.batch.Empty() {
		return nil
	}
	for _, st := range stages {
		s.tails.mark(st.tails)
	}
	if err := s.db.Apply(w.batch, pebble.NoSync); err != nil {
		s.fail(err)
	}
	if err := s.failure(); err != nil {
		return err
	}
	s.storedID = s.nextID
	s.hot.note(w.feeds)
	for i := range plans {
		if plans[i].drop {
			s.ids.drop(plans[i].key)
		}
	}
	if w.removes {
		s.refs.clear()
	}
	return nil
}

// queueLocked leaves it to the committer to make the batch durable.
func (s *Store) queueLocked(b *hypercore.Batch, w *writer, size int) {
	p := &s.pending
	p.batches++
	p.size += size
	p.urgent = p.urgent || b.Urgent
	p.garbage = append(p.garbage, w.garbage...)
	p.cleared += w.cleared
	if b.Durable != nil {
		p.durables = append(p.durables, b.Durable)
	}
	if p.batches == 1 || b.Urgent || p.size >= SyncBytes {
		signal(s.wake)
	}
}
