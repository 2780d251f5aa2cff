package storage

import (
	"time"

	"github.com/cockroachdb/pebble/v2"

	"github.com/cobox-p2p/cobox-p2p/hypercore"
)

// When batches that are not urgent are synced: SyncDelay after the first of
// them, or as soon as they have SyncBytes together. A Commit that would leave
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
)

// syncGroup is the batches that one sync makes durable.
type syncGroup struct {
	batches  int
	size     int // bytes
	urgent   bool
	durables []func(error) // in the order of the commits
}

// Commit implements hypercore.Storage. It returns an error that wraps
// ErrBadBatch for a batch beyond a limit.
func (s *Store) Commit(b *hypercore.Batch) error {
	size, err := checkBatch(b)
	if err != nil {
		return err
	}
	size += batchOverhead
	s.mu.Lock()
	defer s.mu.Unlock()
	for s.syncing && s.pending.size+size > SyncBytes && s.pending.batches > 0 && !s.closing {
		s.room.Wait()
	}
	if err := s.readyLocked(); err != nil {
		return err
	}
	if err := s.waitForPebbleLocked(size); err != nil {
		return err
	}
	if err := s.writeLocked(b); err != nil {
		return err
	}
	s.queueLocked(b, size)
	return nil
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
func (s *Store) writeLocked(b *hypercore.Batch) error {
	w := newWriter(s)
	defer w.close()
	if err := w.build(b); err != nil {
		return s.wrap("commit", err)
	}
	if w.batch.Empty() {
		return nil
	}
	if err := s.db.Apply(w.batch, pebble.NoSync); err != nil {
		s.fail(err)
	}
	if err := s.failure(); err != nil {
		return err
	}
	s.nextID = w.nextID
	s.noteGrownLocked(w.order)
	for i := range b.Feeds {
		if b.Feeds[i].Drop {
			s.ids.drop(b.Feeds[i].Key)
		}
	}
	return nil
}

// maxGrown is how many feeds' last grown spans are remembered.
const maxGrown = 4096

// noteGrownLocked remembers which span of each feed the batch made or met last.
func (s *Store) noteGrownLocked(feeds []*feedWriter) {
	for _, f := range feeds {
		switch {
		case f.gone:
			delete(s.grown, f.rec.id)
		case f.last.Count > 0:
			if len(s.grown) >= maxGrown {
				clear(s.grown)
			}
			s.grown[f.rec.id] = f.last
		}
	}
}

// queueLocked leaves it to the committer to make the batch durable.
func (s *Store) queueLocked(b *hypercore.Batch, size int) {
	p := &s.pending
	p.batches++
	p.size += size
	p.urgent = p.urgent || b.Urgent
	if b.Durable != nil {
		p.durables = append(p.durables, b.Durable)
	}
	if p.batches == 1 || b.Urgent || p.size >= SyncBytes {
		signal(s.wake)
	}
}
