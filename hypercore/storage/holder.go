package storage

import (
	"encoding/binary"

	"github.com/cockroachdb/pebble/v2"

	"github.com/cobox-p2p/cobox-p2p/hypercore"
)

// holder merges runs into the stored spans of one feed. Runs come in ascending
// order and do not overlap. The span that grows is kept back until a run comes
// that doesn't touch it, so stored spans are read once and written once however
// many runs of the batch touch them.
type holder struct {
	w *writer
	f *feedWriter

	it      *pebble.Iterator // over the feed's stored spans; nil for a new feed
	cur     hypercore.Span   // held, or held when the batch is applied
	written hypercore.Span   // what is stored under cur.Start; Count 0 if nothing
	active  bool             // cur is set
}

func (h *holder) open() error {
	if h.f.new {
		return nil
	}
	lower, upper := kindBounds(h.f.rec.id, kindSpan)
	if h.w.spans == nil {
		it, err := h.w.s.db.NewIter(&pebble.IterOptions{LowerBound: lower, UpperBound: upper})
		if err != nil {
			return err
		}
		h.w.spans = it
	}
	h.it = h.w.spans
	h.it.SetBounds(lower, upper)
	return nil
}

// add writes the blocks of the run that are not held.
func (h *holder) add(run hypercore.Run) error {
	if !h.active || run.Start > h.cur.End() {
		if err := h.begin(run.Start); err != nil {
			return err
		}
	}
	next, ok, err := h.following()
	if err != nil {
		return err
	}
	end := run.Span().End()
	for {
		if ok && next.Start == h.cur.End() {
			if next, ok, err = h.swallow(next); err != nil {
				return err
			}
			continue
		}
		from := h.cur.End()
		if from >= end {
			return nil
		}
		to := end
		if ok {
			to = min(to, next.Start)
		}
		if err := h.w.writePacks(h.f, from, run.Blocks[from-run.Start:to-run.Start]); err != nil {
			return err
		}
		h.cur.Count += to - from
	}
}

// begin makes cur the stored span that holds or touches start from the left, or
// an empty one at start.
func (h *holder) begin(start uint64) error {
	if err := h.flush(); err != nil {
		return err
	}
	h.active = true
	h.cur, h.written = hypercore.Span{Start: start}, hypercore.Span{}
	if h.it == nil {
		return nil
	}
	// Where blocks come in order, the span that grew last grows again. Looking
	// for it backwards would pass all the versions of its record.
	if last := h.w.s.grown[h.f.rec.id]; last.Start <= start && start <= last.End() && last.Count > 0 {
		h.cur, h.written = last, last
		return nil
	}
	k := newDataKey(h.f.rec.id, kindSpan, start+1)
	if !h.it.SeekLT(k[:]) {
		return h.it.Error()
	}
	span, err := parseSpan(h.it.Key(), h.it.Value())
	if err != nil {
		return err
	}
	if span.End() >= start {
		h.cur, h.written = span, span
	}
	return nil
}

// following returns the first stored span from the end of cur on. None that the
// batch has swallowed or changed is there.
func (h *holder) following() (hypercore.Span, bool, error) {
	if h.it == nil {
		return hypercore.Span{}, false, nil
	}
	k := newDataKey(h.f.rec.id, kindSpan, h.cur.End())
	if !h.it.SeekGE(k[:]) {
		return hypercore.Span{}, false, h.it.Error()
	}
	span, err := parseSpan(h.it.Key(), h.it.Value())
	return span, err == nil, err
}

// swallow joins the stored span, which begins where cur ends, to cur and returns
// the one behind it.
func (h *holder) swallow(span hypercore.Span) (hypercore.Span, bool, error) {
	k := newDataKey(h.f.rec.id, kindSpan, span.Start)
	if err := h.w.batch.Delete(k[:], nil); err != nil {
		return hypercore.Span{}, false, err
	}
	h.cur.Count += span.Count
	return h.following()
}

// flush writes cur unless it is stored as it is.
func (h *holder) flush() error {
	if !h.active || h.cur == h.written || h.cur.Count == 0 {
		return nil
	}
	k := newDataKey(h.f.rec.id, kindSpan, h.cur.Start)
	var value [binary.MaxVarintLen64]byte
	return h.w.batch.Set(k[:], value[:binary.PutUvarint(value[:], h.cur.Count)], nil)
}
