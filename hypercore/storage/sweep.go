package storage

import (
	"context"
	"errors"
	"io/fs"
	"sync"

	"github.com/cockroachdb/pebble/v2"
)

// sweeper gives back the space of what was removed: it frees garbage in data
// files once the batch that made it garbage is durable, so that no power cut
// brings back names of bytes that are gone, and compacts the index where much
// was deleted.
type sweeper struct {
	s    *Store
	stop context.CancelFunc
	wake chan struct{} // size 1
	done chan struct{} // closed when run has ended

	mu      sync.Mutex // guards all below
	idle    sync.Cond  // of mu; woken when there is nothing left to do
	busy    bool
	garbage []garbage
	deleted uint64 // bytes deleted from the index and not compacted since
}

// compactBytes is how many deleted bytes are worth a compaction.
const compactBytes = 4 << 20

func newSweeper(s *Store) *sweeper {
	w := &sweeper{s: s, wake: make(chan struct{}, 1), done: make(chan struct{})}
	w.idle.L = &w.mu
	return w
}

// start begins with what an earlier run of the program left.
func (w *sweeper) start() error {
	err := w.s.scan([]byte{tableGarbage}, []byte{tableGarbage + 1}, func(key, value []byte) (bool, error) {
		g, err := parseGarbage(key, value)
		w.garbage = append(w.garbage, g)
		return true, err
	})
	if err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(context.Background())
	w.stop = cancel
	go w.run(ctx)
	w.add(nil, 0)
	return nil
}

// add takes garbage whose removal is durable, and bytes deleted from the index.
func (w *sweeper) add(g []garbage, deleted uint64) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.garbage = append(w.garbage, g...)
	w.deleted += deleted
	if len(w.garbage) > 0 || w.deleted >= compactBytes {
		w.busy = true
		signal(w.wake)
	}
}

func (w *sweeper) close() {
	w.stop()
	<-w.done
}

func (w *sweeper) run(ctx context.Context) {
	defer close(w.done)
	defer w.idle.Broadcast()
	for {
		select {
		case <-ctx.Done():
			return
		case <-w.s.failed:
			return
		case <-w.wake:
		}
		w.mu.Lock()
		todo, compact := w.garbage, w.deleted >= compactBytes
		w.garbage = nil
		if compact {
			w.deleted = 0
		}
		w.mu.Unlock()
		w.sweep(ctx, todo)
		if compact && ctx.Err() == nil {
			w.compact(ctx)
		}
		w.mu.Lock()
		w.busy = len(w.garbage) > 0 || w.deleted >= compactBytes
		w.idle.Broadcast()
		w.mu.Unlock()
	}
}

// sweep frees the bytes and then removes their records. What can't be freed now
// is tried again when the store is opened.
func (w *sweeper) sweep(ctx context.Context, todo []garbage) {
	batch := w.s.db.NewBatch()
	defer batch.Close()
	for _, g := range todo {
		if ctx.Err() != nil || w.s.failure() != nil {
			break
		}
		if err := w.free(g); err != nil {
			w.s.log.Debug("space is not given back yet", "file", segmentName(g.id, g.number), "err", err)
			continue
		}
		if err := batch.Delete(g.key(), nil); err != nil {
			w.s.fail(err)
			return
		}
	}
	if batch.Empty() || w.s.failure() != nil {
		return
	}
	if err := w.s.db.Apply(batch, pebble.NoSync); err != nil {
		w.s.fail(err)
	}
}

// free gives back the bytes. Bytes that the system can't free one by one stay
// until all of their file is garbage.
func (w *sweeper) free(g garbage) error {
	name := w.s.segmentPath(g.id, g.number)
	if g.size == 0 {
		w.s.tails.retire(fileName{g.id, g.number})
		err := w.s.fs.Remove(name)
		w.s.handles.drop(g.id, g.number)
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		return err
	}
	f, err := w.s.openToChange(name)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	return errors.Join(w.s.punch(f, int64(g.offset), int64(g.size)), f.Close())
}

// compact rewrites the part of the index that holds blocks and nodes.
func (w *sweeper) compact(ctx context.Context) {
	err := w.s.db.Compact(ctx, []byte{tableData}, []byte{tableData + 1}, false)
	if err != nil && ctx.Err() == nil {
		w.s.log.Debug("compaction", "err", err)
	}
}
