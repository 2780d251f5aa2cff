package storage

import (
	"errors"

	"github.com/cockroachdb/pebble/v2"

	"github.com/cobox-p2p/cobox-p2p/hypercore"
)

// removeParts applies Truncate and Clear of the plan to what is stored.
func (w *writer) removeParts(f *feedWriter) error {
	if f.new || f.plan.drop {
		return nil
	}
	if f.plan.truncate {
		if err := w.truncateNodes(f.rec.id, f.plan.keep); err != nil {
			return err
		}
	}
	if len(f.plan.clear) == 0 {
		return nil
	}
	w.removes = true
	if err := w.clearHeld(f); err != nil {
		return err
	}
	return w.clearPacks(f)
}

// clearHeld notes in the stored pages that blocks are not held any more.
func (w *writer) clearHeld(f *feedWriter) error {
	f.held.cleared = make(map[uint64]*heldBits)
	for _, span := range f.plan.clear {
		lower := newDataKey(f.rec.id, kindHeld, span.Start/heldPage)
		_, upper := kindBounds(f.rec.id, kindHeld)
		err := w.s.scan(lower[:], upper, func(key, value []byte) (bool, error) {
			number := dataNumber(key)
			if number > (span.End()-1)/heldPage {
				return false, nil
			}
			bits := f.held.cleared[number]
			if bits == nil {
				bits = new(heldBits)
				if err := bits.parse(value); err != nil {
					return false, err
				}
				f.held.cleared[number] = bits
			}
			from, to := pagePart(span, number)
			bits.fill(from, to, false)
			return true, nil
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// clearPacks removes the cleared blocks from the stored packs. A pack of which
// something is left is written anew, in pieces.
func (w *writer) clearPacks(f *feedWriter) error {
	lower, upper := kindBounds(f.rec.id, kindBlocks)
	it, err := w.s.db.NewIter(&pebble.IterOptions{LowerBound: lower, UpperBound: upper})
	if err != nil {
		return err
	}
	next := uint64(0) // packs up to here are done
	for _, span := range f.plan.clear {
		k := newDataKey(f.rec.id, kindBlocks, max(span.Start, next))
		for ok := it.SeekGE(k[:]); ok; ok = it.Next() {
			more, err := w.clearPack(f, span.End(), dataNumber(it.Key())+1, it.Value())
			if err != nil {
				return errors.Join(err, it.Close())
			}
			if !more {
				break
			}
			next = dataNumber(it.Key()) + 1
		}
	}
	return it.Close()
}

// clearPack removes the cleared blocks from the pack whose last block is end-1.
// It does nothing and returns false when the pack begins at limit or behind it.
func (w *writer) clearPack(f *feedWriter, limit, end uint64, value []byte) (more bool, err error) {
	if isRef(value) {
		r, err := parseRef(value, end)
		if err != nil || r.first >= limit {
			return false, err
		}
		return true, w.clearRef(f, r)
	}
	p, err := parsePack(value)
	if err != nil || uint64(p.count) > end {
		return false, ErrDamaged
	}
	first := end - uint64(p.count)
	if first >= limit {
		return false, nil
	}
	blocks := p.appendBlocks(nil, 0, p.count)
	kept := f.plan.clear.without(hypercore.Span{Start: first, Count: uint64(p.count)})
	w.cleared += uint64(len(p.body))
	f.rec.blocks -= uint64(p.count)
	f.rec.bytes -= uint64(len(p.body))
	if err := w.deletePack(f, end, kept); err != nil {
		return false, err
	}
	for _, part := range kept {
		left := blocks[part.Start-first : part.End()-first]
		f.rec.blocks += uint64(len(left))
		for _, b := range left {
			f.rec.bytes += uint64(len(b))
		}
		if err := w.writePacks(f, part.Start, left); err != nil {
			return false, err
		}
	}
	return true, nil
}

// clearRef removes the cleared blocks from a ref. Their bytes become garbage.
func (w *writer) clearRef(f *feedWriter, r *ref) error {
	whole := hypercore.Span{Start: r.first, Count: uint64(len(r.sizes))}
	kept := f.plan.clear.without(whole)
	rec, err := w.segment(f, r.segment)
	if err != nil {
		return err
	}
	for _, part := range spanSet(kept).without(whole) {
		offset, size := r.span(int(part.Start-r.first), int(part.End()-r.first))
		f.rec.blocks -= part.Count
		f.rec.bytes -= size
		rec.blocks -= min(rec.blocks, part.Count)
		w.addGarbage(garbage{f.rec.id, r.segment, offset, size})
	}
	if err := w.deletePack(f, r.end(), kept); err != nil {
		return err
	}
	for _, part := range kept {
		left := r.part(int(part.Start-r.first), int(part.End()-r.first))
		if err := w.writeRef(f, &left); err != nil {
			return err
		}
	}
	return nil
}

// deletePack deletes the pack whose last block is end-1, unless the last of the
// pieces that are kept takes its place.
func (w *writer) deletePack(f *feedWriter, end uint64, kept []hypercore.Span) error {
	if n := len(kept); n > 0 && kept[n-1].End() == end {
		return nil
	}
	k := newDataKey(f.rec.id, kindBlocks, end-1)
	return w.batch.Delete(k[:], nil)
}

// addGarbage notes bytes of a data file, and joins them to those before.
func (w *writer) addGarbage(g garbage) {
	if g.size == 0 {
		return
	}
	if n := len(w.garbage); n > 0 {
		last := &w.garbage[n-1]
		if last.id == g.id && last.number == g.number && last.size > 0 && last.offset+last.size == g.offset {
			last.size += g.size
			return
		}
	}
	w.garbage = append(w.garbage, g)
}
