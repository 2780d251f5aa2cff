package storage

import (
	"errors"
	"fmt"
	"io/fs"
	"sync"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/cobox-p2p/cobox-p2p/hypercore"
)

// staged is the extents that were written for one feed, before the batch that
// names them is applied. When it is not, they are overwritten.
type staged struct {
	key      hypercore.Key
	id       uint64
	segments uint64            // begun, with the new ones
	ends     map[uint64]uint64 // by segment number: bytes of the file with the new extents
	created  []uint64          // segment numbers
	placed   []placed          // ascending
	size     int               // bytes of the blocks

	unsynced []unsyncedExtent // those of placed that were not synced
	tails    []*tail          // the files with them, in use
	waiting  int              // bytes of their blocks
}

// placed is one extent in a data file.
type placed struct {
	start   uint64 // first block
	segment uint64 // number
	offset  uint64 // of the first block in the segment
	sizes   []uint32
	sums    []uint32
}

func (p *placed) end() uint64 { return p.start + uint64(len(p.sizes)) }

// stageParallel is how many feeds of a batch are written and synced at a time.
const stageParallel = 4

// stage writes the long runs of the plans that are not held to data files, and
// syncs them if urgent. The caller holds the locks of their feeds, and calls
// unstage with what it returns, also along with an error.
func (s *Store) stage(plans []feedPlan, urgent bool) (map[hypercore.Key]*staged, error) {
	var long []*feedPlan
	for i := range plans {
		if plans[i].long() {
			long = append(long, &plans[i])
		}
	}
	if len(long) == 0 {
		return nil, nil
	}
	if err := s.use(); err != nil {
		return nil, err
	}
	defer s.life.RUnlock()
	results, errs := make([]*staged, len(long)), make([]error, len(long))
	places := make(chan struct{}, stageParallel)
	var wg sync.WaitGroup
	for i := range long[1:] {
		wg.Go(func() {
			places <- struct{}{}
			defer func() { <-places }()
			results[i+1], errs[i+1] = s.stageFeed(long[i+1], urgent)
		})
	}
	results[0], errs[0] = s.stageFeed(long[0], urgent)
	wg.Wait()
	all := make(map[hypercore.Key]*staged, len(long))
	for _, r := range results {
		if r != nil {
			all[r.key] = r
		}
	}
	return all, errors.Join(errs...)
}

// stageFeed returns nil when all long runs of the plan are held, and what it has
// begun along with an error.
func (s *Store) stageFeed(p *feedPlan, urgent bool) (*staged, error) {
	rec, stored, err := s.stageHead(p)
	if err != nil {
		return nil, err
	}
	var parts []hypercore.Run
	for _, run := range p.runs {
		missing := []hypercore.Span{run.Span()}
		if stored {
			if missing, err = s.missing(rec.id, run.Span(), p.clear); err != nil {
				return nil, err
			}
		}
		for _, span := range missing {
			from := span.Start - run.Start
			if blocks := run.Blocks[from : from+span.Count]; longRun(blocks, p.least) {
				parts = append(parts, hypercore.Run{Start: span.Start, Blocks: blocks})
			}
		}
	}
	if len(parts) == 0 {
		return nil, nil
	}
	w := stager{s: s, plan: p, urgent: urgent, out: &staged{key: p.key, id: rec.id, segments: rec.segments, ends: make(map[uint64]uint64)}}
	if err := w.run(parts); err != nil {
		return w.out, s.dataError(p.key, err)
	}
	return w.out, nil
}

// stageHead returns the head record of the feed, with a new id when it isn't
// stored or is dropped first.
func (s *Store) stageHead(p *feedPlan) (rec headRecord, stored bool, err error) {
	if !p.drop {
		rec, err = s.headOf(p.key)
		if err == nil || !errors.Is(err, hypercore.ErrNoFeed) {
			return rec, true, err
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	rec = headRecord{id: s.nextID}
	s.nextID++
	if !p.drop {
		s.reserved[p.key] = rec.id
	}
	return rec, false, nil
}

// unstage ends what stage began. With an error, nothing names the new files.
func (s *Store) unstage(stages map[hypercore.Key]*staged, err error) {
	if len(stages) == 0 {
		return
	}
	s.mu.Lock()
	for key := range stages {
		delete(s.reserved, key)
	}
	s.mu.Unlock()
	for _, st := range stages {
		s.tails.put(st.tails...)
	}
	if err == nil || s.failure() != nil { // a store that failed may have named them
		return
	}
	for _, st := range stages {
		for _, number := range st.created {
			s.tails.retire(fileName{st.id, number})
			if err := s.fs.Remove(s.segmentPath(st.id, number)); err != nil {
				s.log.Debug("file is not removed", "file", segmentName(st.id, number), "err", err)
			}
		}
	}
}

// missing returns the parts of span that are not held once clear is cleared.
func (s *Store) missing(id uint64, span hypercore.Span, clear spanSet) ([]hypercore.Span, error) {
	var held spanSet
	var page heldBits
	for n := span.Start / heldPage; n <= (span.End()-1)/heldPage; n++ {
		k := newDataKey(id, kindHeld, n)
		value, closer, err := s.db.Get(k[:])
		if errors.Is(err, pebble.ErrNotFound) {
			continue
		}
		if err != nil {
			return nil, err
		}
		err = errors.Join(page.parse(value), closer.Close())
		if err != nil {
			return nil, err
		}
		held = page.appendSpans(held, n)
	}
	for _, c := range clear {
		held = held.remove(c)
	}
	return held.without(span), nil
}

// dataError says which file's write failed, and whether that was for want of
// space. A store whose folder is gone is of no use any more.
func (s *Store) dataError(key hypercore.Key, err error) error {
	if errors.Is(err, fs.ErrNotExist) {
		s.fail(err)
		return s.failure()
	}
	if vfs.IsNoSpaceError(err) {
		err = fmt.Errorf("%w: %w", ErrDiskFull, err)
	}
	return fmt.Errorf("write blocks of feed %s: %w", key.Discovery(), err)
}
