package storage

import (
	"encoding/binary"
	"errors"

	"github.com/cockroachdb/pebble/v2"

	"github.com/cobox-p2p/cobox-p2p/hypercore"
)

// writer turns the plans and records of one hypercore.Batch into one batch of
// the database. The store's mu is held while it works.
type writer struct {
	s       *Store
	batch   *pebble.Batch
	feeds   []feedWriter
	garbage []garbage // what may be given back once the batch is durable
	removes bool      // blocks are removed
	cleared uint64    // bytes of blocks in packs that are removed, about
	value   []byte    // scratch
}

// feedWriter is what a batch does to one stored feed.
type feedWriter struct {
	plan     *feedPlan
	staged   *staged // nil: the feed has no new extents
	rec      headRecord
	new      bool                      // nothing is stored under its id yet
	segments map[uint64]*segmentRecord // by number: those that the batch changes
	held     heldPages
	hot      *hotFeed // what is stored, nil when that has to be read
}

func newWriter(s *Store) *writer { return &writer{s: s, batch: s.db.NewBatch()} }

func (w *writer) close() { w.batch.Close() }

// build fills the batch. After an error the writer is of no use.
func (w *writer) build(plans []feedPlan, stages map[hypercore.Key]*staged, records []hypercore.Record) error {
	w.feeds = make([]feedWriter, len(plans))
	for i := range plans {
		f := &w.feeds[i]
		f.plan, f.staged = &plans[i], stages[plans[i].key]
		if err := w.feed(f); err != nil {
			return err
		}
	}
	if w.s.nextID != w.s.storedID {
		if err := w.batch.Set(nextKey, binary.BigEndian.AppendUint64(nil, w.s.nextID), nil); err != nil {
			return err
		}
	}
	for _, r := range records {
		if err := w.record(r); err != nil {
			return err
		}
	}
	for _, g := range w.garbage {
		if err := w.batch.Set(g.key(), binary.AppendUvarint(nil, g.size), nil); err != nil {
			return err
		}
	}
	return nil
}

// note begins the batch with a note about the extents that were not synced, if
// there are any.
func (w *writer) note(stages map[hypercore.Key]*staged) error {
	n := unsyncedNote{number: w.s.unsynced + 1}
	for _, st := range stages {
		n.extents = append(n.extents, st.unsynced...)
	}
	if len(n.extents) == 0 {
		return nil
	}
	w.s.unsynced = n.number
	w.value = n.append(w.value[:0])
	return w.batch.LogData(w.value, nil)
}

func (w *writer) record(r hypercore.Record) error {
	op := w.batch.DeleteDeferred
	if r.Value != nil {
		op = func(key int) *pebble.DeferredBatchOp { return w.batch.SetDeferred(key, len(r.Value)) }
	}
	o := op(1 + len(r.Key))
	o.Key[0] = tableRecord
	copy(o.Key[1:], r.Key)
	copy(o.Value, r.Value)
	return o.Finish()
}

// feed applies one plan.
func (w *writer) feed(f *feedWriter) error {
	if err := w.load(f); err != nil {
		return err
	}
	if f.plan.drop && !f.new {
		if err := w.drop(f); err != nil {
			return err
		}
	}
	if !f.plan.write {
		return nil
	}
	if f.new || f.plan.drop {
		w.create(f)
	}
	if err := w.removeParts(f); err != nil {
		return err
	}
	if err := w.writeNodes(f.rec.id, f.plan.nodes); err != nil {
		return err
	}
	if err := w.writeRuns(f); err != nil {
		return err
	}
	if err := w.writeSegments(f); err != nil {
		return err
	}
	if f.plan.head != nil {
		f.rec.head = *f.plan.head
	}
	w.value = f.rec.append(w.value[:0])
	op := w.batch.SetDeferred(1+hypercore.KeySize, len(w.value))
	op.Key[0] = tableFeed
	copy(op.Key[1:], f.plan.key[:])
	copy(op.Value, w.value)
	return op.Finish()
}

// load reads the head record of the feed; f.new says that there is none.
func (w *writer) load(f *feedWriter) (err error) {
	if f.hot = w.s.hot[f.plan.key]; f.hot != nil {
		f.rec = f.hot.rec
		return nil
	}
	f.rec, err = w.s.headOf(f.plan.key)
	if errors.Is(err, hypercore.ErrNoFeed) {
		f.new = true
		return nil
	}
	return err
}

// create gives the feed an id: that under which blocks were staged, if any.
func (w *writer) create(f *feedWriter) {
	id, reserved := w.s.reserved[f.plan.key]
	switch {
	case f.staged != nil:
		id = f.staged.id
	case f.plan.drop || !reserved:
		id = w.s.nextID
		w.s.nextID++
	}
	f.rec, f.new, f.hot = headRecord{id: id}, true, nil
}

// drop removes all that is stored of the feed.
func (w *writer) drop(f *feedWriter) error {
	w.removes = true
	w.cleared += f.rec.bytes
	lower, upper := feedBounds(f.rec.id)
	if err := w.batch.DeleteRange(lower, upper, nil); err != nil {
		return err
	}
	if f.rec.segments > 0 {
		lower, upper = segmentBounds(f.rec.id)
		err := w.s.scan(lower, upper, func(key, _ []byte) (bool, error) {
			id, number, err := parseSegmentKey(key)
			w.garbage = append(w.garbage, garbage{id: id, number: number})
			return true, errors.Join(err, w.batch.Delete(key, nil))
		})
		if err != nil {
			return err
		}
	}
	return w.batch.Delete(feedKey(f.plan.key), nil)
}

// writeSegments writes the segment records that changed. A segment in which
// nothing is held any more goes.
func (w *writer) writeSegments(f *feedWriter) error {
	if f.staged != nil {
		f.rec.segments = f.staged.segments
	}
	for number, rec := range f.segments {
		key := segmentKey(f.rec.id, number)
		if rec.blocks > 0 {
			if err := w.batch.Set(key, rec.append(nil), nil); err != nil {
				return err
			}
			continue
		}
		w.dropSegment(f.rec.id, number)
		if err := w.batch.Delete(key, nil); err != nil {
			return err
		}
	}
	return nil
}

// dropSegment makes the whole segment garbage, in place of parts of it.
func (w *writer) dropSegment(id, number uint64) {
	left := w.garbage[:0]
	for _, g := range w.garbage {
		if g.id != id || g.number != number {
			left = append(left, g)
		}
	}
	w.garbage = append(left, garbage{id: id, number: number})
}

// segment returns the record of a segment that the batch changes.
func (w *writer) segment(f *feedWriter, number uint64) (*segmentRecord, error) {
	if rec := f.segments[number]; rec != nil {
		return rec, nil
	}
	rec, _, err := w.s.segment(f.rec.id, number)
	if err != nil {
		return nil, err
	}
	if f.segments == nil {
		f.segments = make(map[uint64]*segmentRecord)
	}
	f.segments[number] = &rec
	return &rec, nil
}
