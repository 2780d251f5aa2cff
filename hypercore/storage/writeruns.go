package storage

import (
	"errors"
	"sort"

	"github.com/cockroachdb/pebble/v2"

	"github.com/cobox-p2p/cobox-p2p/hypercore"
)

// heldPages is the pages of held blocks that a batch changes. All but those that
// removeParts has changed are read, changed and written one behind the other.
type heldPages struct {
	active  bool // number and bits are set
	number  uint64
	bits    heldBits
	cleared map[uint64]*heldBits // changed by removeParts, not written yet
}

// page makes the page the current one, after writing the one that was.
func (w *writer) page(f *feedWriter, number uint64) (*heldBits, error) {
	h := &f.held
	if h.active && h.number == number {
		return &h.bits, nil
	}
	if h.active {
		if err := w.writePage(f, h.number, &h.bits); err != nil {
			return nil, err
		}
	}
	h.active, h.number = true, number
	if bits := h.cleared[number]; bits != nil {
		h.bits = *bits
		delete(h.cleared, number)
		return &h.bits, nil
	}
	if f.hot != nil && f.hot.paged && f.hot.number == number {
		h.bits = f.hot.bits
		return &h.bits, nil
	}
	h.bits = heldBits{}
	if f.new {
		return &h.bits, nil
	}
	k := newDataKey(f.rec.id, kindHeld, number)
	value, closer, err := w.s.db.Get(k[:])
	if errors.Is(err, pebble.ErrNotFound) {
		return &h.bits, nil
	}
	if err != nil {
		return nil, err
	}
	return &h.bits, errors.Join(h.bits.parse(value), closer.Close())
}

// writePage writes the record of a page, or deletes it when nothing is held.
func (w *writer) writePage(f *feedWriter, number uint64, bits *heldBits) error {
	k := newDataKey(f.rec.id, kindHeld, number)
	if bits.next(0, true) == heldPage {
		return w.batch.Delete(k[:], nil)
	}
	w.value = bits.append(w.value[:0])
	return w.batch.Set(k[:], w.value, nil)
}

// writeRuns writes the blocks of the runs that are not held, and what is held
// then. It takes the pages in ascending order, so that each is met once.
func (w *writer) writeRuns(f *feedWriter) error {
	var gaps []hypercore.Span
	for _, run := range f.plan.runs {
		span := run.Span()
		if span.Count == 0 {
			continue
		}
		gaps = gaps[:0]
		for n := span.Start / heldPage; n <= (span.End()-1)/heldPage; n++ {
			page, err := w.page(f, n)
			if err != nil {
				return err
			}
			from, to := pagePart(span, n)
			for at := from; at < to; {
				gap := page.next(at, false)
				at = min(page.next(min(gap, heldPage-1)+1, true), to)
				if gap < to {
					gaps = appendSpan(gaps, hypercore.Span{Start: n*heldPage + uint64(gap), Count: uint64(at - gap)})
				}
			}
			page.fill(from, to, true)
		}
		for _, gap := range gaps {
			from := gap.Start - run.Start
			if err := w.writeBlocks(f, gap.Start, run.Blocks[from:from+gap.Count]); err != nil {
				return err
			}
		}
	}
	return w.flushPages(f)
}

// flushPages writes the pages that were changed and not written yet.
func (w *writer) flushPages(f *feedWriter) error {
	h := &f.held
	if h.active {
		if err := w.writePage(f, h.number, &h.bits); err != nil {
			return err
		}
	}
	for number, bits := range h.cleared {
		if err := w.writePage(f, number, bits); err != nil {
			return err
		}
	}
	return nil
}

// writeBlocks writes blocks that are not held, from seq on: as refs where they
// were staged, else as packs.
func (w *writer) writeBlocks(f *feedWriter, seq uint64, blocks [][]byte) error {
	f.rec.blocks += uint64(len(blocks))
	for _, b := range blocks {
		f.rec.bytes += uint64(len(b))
	}
	if f.staged == nil {
		return w.writePacks(f, seq, blocks)
	}
	extents := f.staged.placed
	i := sort.Search(len(extents), func(i int) bool { return extents[i].end() > seq })
	for ; len(blocks) > 0 && i < len(extents); i++ {
		e := &extents[i]
		if e.start > seq {
			count := min(uint64(len(blocks)), e.start-seq)
			if err := w.writePacks(f, seq, blocks[:count]); err != nil {
				return err
			}
			seq, blocks = seq+count, blocks[count:]
		}
		count := min(uint64(len(blocks)), e.end()-seq)
		if err := w.writeRefs(f, e, seq, count); err != nil {
			return err
		}
		seq, blocks = seq+count, blocks[count:]
	}
	return w.writePacks(f, seq, blocks)
}

// writePacks writes blocks as packs.
func (w *writer) writePacks(f *feedWriter, seq uint64, blocks [][]byte) error {
	for len(blocks) > 0 {
		count, length := nextPack(blocks)
		op := w.batch.SetDeferred(dataKeySize, length)
		putDataKey(op.Key, f.rec.id, kindBlocks, seq+uint64(count)-1)
		putPack(op.Value, blocks[:count])
		if err := op.Finish(); err != nil {
			return err
		}
		blocks, seq = blocks[count:], seq+uint64(count)
	}
	return nil
}

// writeRefs writes refs to count blocks of the extent from seq on.
func (w *writer) writeRefs(f *feedWriter, e *placed, seq, count uint64) error {
	if count == 0 {
		return nil
	}
	rec, err := w.segment(f, e.segment)
	if err != nil {
		return err
	}
	rec.end = f.staged.ends[e.segment]
	rec.blocks += count
	whole := ref{e.start, e.segment, e.offset, e.sizes, e.sums}
	offset, _ := whole.span(int(seq-e.start), int(seq-e.start))
	for end := seq + count; seq < end; {
		to := min(end, (seq/packBlocks+1)*packBlocks)
		r := ref{seq, e.segment, offset, e.sizes[seq-e.start : to-e.start], e.sums[seq-e.start : to-e.start]}
		if err := w.writeRef(f, &r); err != nil {
			return err
		}
		_, size := r.span(0, len(r.sizes))
		offset, seq = offset+size, to
	}
	return nil
}

func (w *writer) writeRef(f *feedWriter, r *ref) error {
	k := newDataKey(f.rec.id, kindBlocks, r.end()-1)
	w.value = r.append(w.value[:0])
	return w.batch.Set(k[:], w.value, nil)
}
