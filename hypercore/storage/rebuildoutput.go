package storage

import (
	"math/bits"

	"github.com/cockroachdb/pebble/v2"

	"github.com/cobox-p2p/cobox-p2p/hypercore"
	"github.com/cobox-p2p/cobox-p2p/hypercore/merkle"
)

// rebuiltOutput writes what is kept of one feed to the new index, from left to
// right.
type rebuiltOutput struct {
	f     *feedRebuild
	batch *pebble.Batch
	rec   headRecord
	page  *feedPage // the current one, not written yet; nil before the first
	value []byte

	held     heldBits
	heldPage uint64
	heldSet  bool
	done     map[uint64]bool   // pages of held blocks that were written
	inside   map[uint64]uint64 // by segment: blocks held there

	lost  uint64 // blocks that were held and are not
	spans []hypercore.Span
}

// MaxLostSpans is how many spans of lost blocks a Rebuild names of one feed.
const MaxLostSpans = 64

func newRebuiltOutput(f *feedRebuild, head hypercore.Head) *rebuiltOutput {
	return &rebuiltOutput{f: f, batch: f.x.out.db.NewBatch(), rec: headRecord{id: f.id, head: head},
		done: make(map[uint64]bool), inside: make(map[uint64]uint64)}
}

func (o *rebuiltOutput) close() { o.batch.Close() }

func (o *rebuiltOutput) set(kind byte, n uint64, value []byte) error {
	k := newDataKey(o.f.id, kind, n)
	if err := o.batch.Set(k[:], value, nil); err != nil {
		return err
	}
	return o.f.x.out.room(o.batch)
}

// node writes a node that has a record of its own.
func (o *rebuiltOutput) node(n merkle.Node) error {
	var value [storedNodeSize]byte
	putNode(value[:], &n)
	return o.set(kindNode, n.Index, value[:])
}

// turnTo makes p the current page, unless a page of that number is, and returns
// the current one.
func (o *rebuiltOutput) turnTo(p *feedPage) (*feedPage, error) {
	if o.page != nil && o.page.number == p.number {
		return o.page, nil
	}
	err := o.flush()
	o.page = p
	return p, err
}

// flush writes the current page.
func (o *rebuiltOutput) flush() error {
	p := o.page
	if p == nil {
		return nil
	}
	if p.trusted.mask.full() {
		value := make([]byte, pageSize)
		for i := range p.trusted.nodes {
			putNode(value[i*storedNodeSize:], &p.trusted.nodes[i])
		}
		if err := o.set(kindPage, p.number, value); err != nil {
			return err
		}
	} else {
		for i := range p.trusted.nodes {
			if !p.trusted.has(i) {
				continue
			}
			if err := o.node(p.trusted.nodes[i]); err != nil {
				return err
			}
		}
	}
	return o.blocks(p)
}

// blocks writes the blocks of the page that are held, in runs of one kind.
func (o *rebuiltOutput) blocks(p *feedPage) error {
	for i := 0; i < pageBlocks; {
		if !p.held[i] {
			i++
			continue
		}
		end := i + 1
		for end < pageBlocks && p.held[end] && follows(&p.places[end-1], &p.places[end]) {
			end++
		}
		var err error
		if p.places[i].where == inFile {
			err = o.ref(p, i, end)
		} else {
			err = o.packs(p, i, end)
		}
		if err != nil {
			return err
		}
		for ; i < end; i++ {
			if err := o.hold(p.number*pageBlocks+uint64(i), p.trusted.nodes[2*i].Size); err != nil {
				return err
			}
		}
	}
	return nil
}

// follows says whether b can be in one record with a, the block before it.
func follows(a, b *place) bool {
	return a.where == b.where && (a.where == inIndex ||
		a.segment == b.segment && a.offset+uint64(a.size) == b.offset)
}

// ref writes a ref to the blocks from to to-1 of the page.
func (o *rebuiltOutput) ref(p *feedPage, from, to int) error {
	first := &p.places[from]
	r := ref{first: p.number*pageBlocks + uint64(from), segment: first.segment, offset: first.offset}
	for _, x := range p.places[from:to] {
		r.sizes, r.sums = append(r.sizes, x.size), append(r.sums, x.sum)
	}
	o.inside[r.segment] += uint64(to - from)
	o.value = r.append(o.value[:0])
	return o.set(kindBlocks, r.end()-1, o.value)
}

// packs writes the blocks from to to-1 of the page, which lie in packs.
func (o *rebuiltOutput) packs(p *feedPage, from, to int) error {
	var all [pageBlocks][]byte
	span := hypercore.Span{Start: p.number * pageBlocks, Count: pageBlocks}
	if _, err := o.f.packs(&feedPage{number: p.number}, span, &all); err != nil {
		return err
	}
	seq := span.Start + uint64(from)
	for blocks := all[from:to]; len(blocks) > 0; {
		count, length := nextPack(blocks)
		o.value = append(o.value[:0], make([]byte, length)...)
		putPack(o.value, blocks[:count])
		if err := o.set(kindBlocks, seq+uint64(count)-1, o.value); err != nil {
			return err
		}
		blocks, seq = blocks[count:], seq+uint64(count)
	}
	return nil
}

// hold notes that a block is held.
func (o *rebuiltOutput) hold(seq, size uint64) error {
	if page := seq / heldPage; !o.heldSet || o.heldPage != page {
		if err := o.flushHeld(); err != nil {
			return err
		}
		o.heldSet, o.heldPage, o.held = true, page, heldBits{}
	}
	at := int(seq % heldPage)
	o.held.fill(at, at+1, true)
	o.rec.blocks++
	o.rec.bytes += size
	return nil
}

// flushHeld writes the current page of held blocks and counts what was held in
// it before.
func (o *rebuiltOutput) flushHeld() error {
	if !o.heldSet {
		return nil
	}
	k := newDataKey(o.f.id, kindHeld, o.heldPage)
	value, state, err := o.f.r.get(k[:])
	if err != nil {
		return err
	}
	var old heldBits
	if state == found && old.parse(value) == nil {
		for i := range old {
			old[i] &^= o.held[i]
		}
		o.missing(&old, o.heldPage)
	}
	o.done[o.heldPage] = true
	o.value = o.held.append(o.value[:0])
	return o.set(kindHeld, o.heldPage, o.value)
}

// missing counts the blocks of a page that were held and are not any more.
func (o *rebuiltOutput) missing(gone *heldBits, page uint64) {
	for _, word := range gone {
		o.lost += uint64(bits.OnesCount64(word))
	}
	if len(o.spans) < MaxLostSpans {
		o.spans = gone.appendSpans(o.spans, page)
		o.spans = o.spans[:min(len(o.spans), MaxLostSpans)]
	}
}

// finish writes the records of the feed as a whole. signed is the length of the
// longest signed head that was found.
func (o *rebuiltOutput) finish(signed uint64) (RebuiltFeed, error) {
	f := o.f
	err := o.flush()
	if err == nil {
		err = o.flushHeld()
	}
	if err == nil {
		err = o.missingPages()
	}
	if err == nil {
		err = o.segments()
	}
	if err != nil {
		return RebuiltFeed{}, err
	}
	o.value = o.rec.append(o.value[:0])
	if err := o.batch.Set(feedKey(f.key), o.value, nil); err != nil {
		return RebuiltFeed{}, err
	}
	done := RebuiltFeed{Key: f.key, Length: o.rec.head.Length, Signed: max(signed, o.rec.head.Length),
		Blocks: o.rec.blocks, Bytes: o.rec.bytes, Lost: o.lost, LostSpans: o.spans}
	if f.x.lossy() || done.Signed > done.Length {
		old := append([]byte(oldCopyPrefix), f.key[:]...)
		if err := o.batch.Set(recordKey(old), []byte{oldCopyVersion}, nil); err != nil {
			return RebuiltFeed{}, err
		}
	}
	return done, f.x.out.apply(o.batch)
}

// oldCopyPrefix and the feed's key make the key of the record by which package
// hypercore knows that a copy of a writer may be older than what peers have, so
// that nothing is appended to it. A rebuilt feed may have lost its end. See
// interop/spec/keys.md, "Copies of a writer".
const (
	oldCopyPrefix  = "old/"
	oldCopyVersion = 1
)

// missingPages counts the blocks of pages of which nothing is held any more.
func (o *rebuiltOutput) missingPages() error {
	lower, upper := newDataKey(o.f.id, kindHeld, 0), newDataKey(o.f.id, kindHeld+1, 0)
	return o.f.r.scan(lower[:], upper[:], func(key, value []byte) bool {
		var old heldBits
		if page := dataNumber(key); !o.done[page] && page <= MaxSeq/heldPage && old.parse(value) == nil {
			o.missing(&old, page)
		}
		return true
	})
}

// segments writes the records of the data files. None of them takes more blocks:
// what lies behind the extents that were found may be of use to somebody.
func (o *rebuiltOutput) segments() error {
	o.rec.segments = o.f.old.segments
	for number, size := range o.f.files.sizes {
		o.rec.segments = max(o.rec.segments, number+2)
		rec := segmentRecord{end: max(size, segmentBytes), blocks: o.inside[number]}
		if err := o.batch.Set(segmentKey(o.f.id, number), rec.append(nil), nil); err != nil {
			return err
		}
	}
	return nil
}
