package storage

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io/fs"
	"sync"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/cobox-p2p/cobox-p2p/hypercore"
	"github.com/cobox-p2p/cobox-p2p/hypercore/merkle"
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

// stager writes the extents of one feed.
type stager struct {
	s      *Store
	plan   *feedPlan
	urgent bool
	out    *staged

	file    segmentFile
	number  uint64           // of the segment that is open in file
	extents []unsyncedExtent // written to it
	bodies  int              // bytes of their blocks
	header  []byte           // scratch
}

// run writes the parts to segments.
func (w *stager) run(parts []hypercore.Run) (err error) {
	nodes := w.outsideNodes(parts)
	for _, part := range parts {
		for blocks := part.Blocks; len(blocks) > 0 && err == nil; {
			count := nextExtent(blocks)
			e := extent{start: part.Start + uint64(len(part.Blocks)-len(blocks)), head: w.plan.head, nodes: nodes}
			err = w.extent(&e, blocks[:count])
			blocks = blocks[count:]
		}
	}
	return w.finish(err)
}

// outsideNodes returns the nodes that can't be hashed from the parts.
func (w *stager) outsideNodes(parts []hypercore.Run) (nodes []merkle.Node) {
	var inside spanSet
	for _, part := range parts {
		inside = append(inside, part.Span())
	}
	nodes = append(nodes, w.plan.anchor...)
	for i := range w.plan.nodes {
		if len(nodes) >= extentNodes {
			break
		}
		if !inside.contains(nodeSpan(w.plan.nodes[i].Index)) {
			nodes = append(nodes, w.plan.nodes[i])
		}
	}
	return nodes[:min(len(nodes), extentNodes)]
}

// extent writes one extent to the segment that has room for it.
func (w *stager) extent(e *extent, blocks [][]byte) error {
	e.sizes, e.sums = make([]uint32, len(blocks)), make([]uint32, len(blocks))
	body := 0
	for i, b := range blocks {
		e.sizes[i] = uint32(len(b))
		e.sums[i] = crc32.Checksum(b, castagnoli)
		body += len(b)
	}
	w.header = e.append(w.header[:0])
	length := uint64(len(w.header))
	if err := w.open(length + uint64(body)); err != nil {
		return err
	}
	offset := w.file.end
	if err := w.file.write(w.header, blocks); err != nil {
		return err
	}
	w.extents = append(w.extents, unsyncedExtent{id: w.out.id, segment: w.number, offset: offset, header: length,
		body: uint64(body), sum: binary.BigEndian.Uint32(w.header[length-4:])})
	w.bodies += body
	w.out.size += body
	w.out.ends[w.number] = w.file.end
	w.out.placed = append(w.out.placed, placed{e.start, w.number, offset + length, e.sizes, e.sums})
	return nil
}

// open makes w.file a segment that takes size more bytes.
func (w *stager) open(size uint64) error {
	if w.file.tail != nil {
		if w.file.end+size <= w.s.segmentBytes {
			return nil
		}
		if err := w.finish(nil); err != nil {
			return err
		}
	}
	id := w.out.id
	if n := w.out.segments; n > 0 && w.out.ends[n-1] == 0 {
		rec, ok, err := w.s.segment(id, n-1)
		if err != nil {
			return err
		}
		if ok && rec.end+size <= w.s.segmentBytes && !w.s.isSpoiled(id, n-1) {
			w.number = n - 1
			err := w.file.reopen(w.s, fileName{id, n - 1}, rec.end)
			if err == nil || !errors.Is(err, fs.ErrNotExist) {
				return err
			}
		}
	}
	w.number = w.out.segments
	for w.s.isSpoiled(id, w.number) {
		w.number++
	}
	w.out.segments = w.number + 1
	w.out.created = append(w.out.created, w.number)
	return w.file.create(w.s, fileName{id, w.number}, appendSegmentHeader(nil, id, w.number, w.plan.key))
}

// finish ends the segment that is open: it is synced, or noted as one to be
// synced. With an error, of its writes or of the sync, the segment takes no more,
// and its tail is given back.
func (w *stager) finish(err error) error {
	f := w.file.tail
	if f == nil {
		return err
	}
	later := !w.urgent && w.s.tails.mayWait(f)
	if err == nil && !later {
		if w.file.made {
			err = w.s.tails.syncFolder()
		}
		if err == nil {
			err = f.file.SyncData()
		}
	}
	if err == nil && later {
		if w.file.made {
			w.s.tails.noteFolder()
		}
		w.out.unsynced = append(w.out.unsynced, w.extents...)
		w.out.tails = append(w.out.tails, f)
		w.out.waiting += w.bodies
	} else {
		w.s.tails.put(f)
	}
	if err != nil {
		w.s.spoil(f.name)
	}
	w.file, w.extents, w.bodies = segmentFile{}, w.extents[:0], 0
	return err
}
