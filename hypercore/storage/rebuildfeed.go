package storage

import (
	"cmp"
	"errors"
	"fmt"
	"slices"

	"github.com/cockroachdb/pebble/v2"

	"github.com/cobox-p2p/cobox-p2p/hypercore"
	"github.com/cobox-p2p/cobox-p2p/hypercore/merkle"
)

// feedRebuild makes what is stored of one feed consistent again, in two passes.
// The first reads every block that is there and hashes upwards, where blocks or
// nodes are complete. The second takes the longest head whose signature covers
// roots that are known then, and follows the tree downwards from them: what
// hangs on the roots is kept. See interop/spec/feed.md, "Tree".
type feedRebuild struct {
	x     *rebuilder
	key   hypercore.Key
	id    uint64
	r     *salvageReader
	files *dataFiles

	old     headRecord // the newest that was found; zero if none
	heads   []hypercore.Head
	anchors map[uint64]merkle.Node
	upper   map[uint64]merkle.Node // nodes above the pages and their tops, as hashed from below
	pages   []uint64               // of which something is known, ascending
	recent  []*feedPage            // loaded for the second pass, the newest last
	scratch []byte
}

const (
	maxAnchors   = 1 << 20 // nodes from extent headers that are kept of a feed
	recentPages  = 4
	tablePage    = 'z' // of the scratch database: id (8), page (8) -> feedPage
	pageTop      = 63  // place of a page's highest node
	pageTopDepth = 6
)

// run writes what is left of the feed, and returns what that is.
func (f *feedRebuild) run(segments []uint64) (RebuiltFeed, error) {
	f.anchors = make(map[uint64]merkle.Node)
	f.upper = make(map[uint64]merkle.Node)
	if err := f.gather(segments); err != nil {
		return RebuiltFeed{}, err
	}
	for _, number := range f.pages {
		if err := f.hashPage(number); err != nil {
			return RebuiltFeed{}, err
		}
	}
	longest := f.sortHeads()
	if err := f.climb(longest); err != nil {
		return RebuiltFeed{}, err
	}
	head, roots, signed, err := f.chooseHead()
	if err != nil {
		return RebuiltFeed{}, err
	}
	out := newRebuiltOutput(f, head)
	defer out.close()
	for i := range roots {
		if err := f.descend(out, roots[i]); err != nil {
			return RebuiltFeed{}, err
		}
	}
	return out.finish(signed)
}

// gather reads the heads, the extents and which pages there are.
func (f *feedRebuild) gather(segments []uint64) error {
	if err := f.r.versions(feedKey(f.key), f.addHeadRecord); err != nil {
		return err
	}
	for _, number := range segments {
		if err := f.files.add(number, f.addExtent); err != nil {
			if isOurs(err) {
				return err
			}
			f.x.lose("%s: %v", segmentName(f.id, number), err)
		}
	}
	f.files.sort()
	var pages []uint64
	add := func(page uint64) {
		if n := len(pages); (n == 0 || pages[n-1] != page) && page <= MaxSeq/pageBlocks {
			pages = append(pages, page)
		}
	}
	lower, upper := newDataKey(f.id, 0, 0), newDataKey(f.id, 255, 0)
	err := f.r.scan(lower[:], upper[:], func(key, value []byte) bool {
		if value == nil {
			return true
		}
		switch n := dataNumber(key); key[9] {
		case kindNode:
			add(n / pageStride)
		case kindPage:
			add(n)
		case kindBlocks:
			add((n - min(n, packBlocks-1)) / pageBlocks)
			add(n / pageBlocks)
		}
		return true
	})
	if err != nil {
		return err
	}
	for i := range f.files.extents {
		e := &f.files.extents[i]
		for page := e.start / pageBlocks; page <= (e.start+e.count-1)/pageBlocks; page++ {
			add(page)
		}
	}
	for index := range f.anchors {
		add(index / pageStride)
	}
	slices.Sort(pages)
	f.pages = slices.Compact(pages)
	return nil
}

func (f *feedRebuild) addHeadRecord(value []byte) {
	rec, err := parseHead(value)
	if err != nil {
		return
	}
	if f.old == (headRecord{}) {
		f.old = rec
	}
	if rec.head.Length > 0 {
		f.heads = append(f.heads, rec.head)
	}
}

func (f *feedRebuild) addExtent(e *extent) {
	if e.head != nil && e.head.Length > 0 {
		f.heads = append(f.heads, *e.head)
	}
	for _, n := range e.nodes {
		if len(f.anchors) < maxAnchors && n.Index <= merkle.MaxSize && n.Size <= merkle.MaxSize {
			f.anchors[n.Index] = n
		}
	}
}

// sortHeads puts the longest head first and returns its length.
func (f *feedRebuild) sortHeads() uint64 {
	slices.SortFunc(f.heads, func(a, b hypercore.Head) int {
		return cmp.Or(-cmp.Compare(a.Length, b.Length), slices.Compare(a.Signature[:], b.Signature[:]), cmp.Compare(a.Size, b.Size))
	})
	f.heads = slices.Compact(f.heads)
	for len(f.heads) > 0 && f.heads[0].Length > merkle.MaxLength {
		f.heads = f.heads[1:]
	}
	if len(f.heads) == 0 {
		return 0
	}
	return f.heads[0].Length
}

// stored reads what the damaged index has of a page.
func (f *feedRebuild) stored(p *feedPage) error {
	first := p.number * pageStride
	k := newDataKey(f.id, kindPage, p.number)
	value, state, err := f.r.get(k[:])
	if err != nil {
		return err
	}
	if state == found && len(value) == pageSize {
		for place := range pageNodes {
			n, _ := parsePageNode(first+uint64(place), place, value)
			p.stored.put(place, n)
		}
	}
	lower, upper := newDataKey(f.id, kindNode, first), newDataKey(f.id, kindNode, first+pageNodes)
	err = f.r.scan(lower[:], upper[:], func(key, value []byte) bool {
		index := dataNumber(key)
		if n, err := parseNode(index, value); err == nil {
			p.stored.put(int(index-first), n)
		}
		return true
	})
	if err != nil || len(f.anchors) == 0 {
		return err
	}
	for place := range pageNodes {
		if n, ok := f.anchors[first+uint64(place)]; ok {
			p.anchors.put(place, n)
		}
	}
	return nil
}

// hashPage is the first pass over a page.
func (f *feedRebuild) hashPage(number uint64) error {
	p := &feedPage{number: number}
	if err := f.stored(p); err != nil {
		return err
	}
	blocks, err := f.blocks(p)
	if err != nil {
		return err
	}
	p.hash(blocks)
	if top, ok := p.best(pageTop); ok {
		f.upper[top.Index] = top
	}
	if p.hashed.empty() {
		return nil
	}
	f.scratch = p.append(f.scratch[:0])
	return f.x.work.db.Set(newScratchKey(f.id, number), f.scratch, pebble.NoSync)
}

// newScratchKey is the key of a feedPage. It can't meet that of a salvaged record.
func newScratchKey(id, page uint64) []byte {
	k := newDataKey(id, kindPage, page)
	k[0] = tablePage
	return k[:]
}

// page returns a page for the second pass; nil when nothing is known of it.
func (f *feedRebuild) page(number uint64) (*feedPage, error) {
	for _, p := range f.recent {
		if p.number == number {
			return p, nil
		}
	}
	if _, ok := slices.BinarySearch(f.pages, number); !ok {
		return nil, nil
	}
	p := &feedPage{number: number}
	if err := f.stored(p); err != nil {
		return nil, err
	}
	value, closer, err := f.x.work.db.Get(newScratchKey(f.id, number))
	if err == nil {
		p.parse(value)
		err = closer.Close()
	}
	if err != nil && !errors.Is(err, pebble.ErrNotFound) {
		return nil, err
	}
	p.climb()
	if len(f.recent) == recentPages {
		f.recent = append(f.recent[:0], f.recent[1:]...)
	}
	f.recent = append(f.recent, p)
	return p, nil
}

// blocks reads the blocks of a page from wherever they are, and notes where. What
// the index named comes first, then the newest extent.
func (f *feedRebuild) blocks(p *feedPage) (*[pageBlocks][]byte, error) {
	var blocks [pageBlocks][]byte
	span := hypercore.Span{Start: p.number * pageBlocks, Count: pageBlocks}
	refs, err := f.packs(p, span, &blocks)
	if err != nil {
		return nil, err
	}
	near, err := f.files.near(span)
	if err != nil {
		return nil, err
	}
	slices.Reverse(near)
	for _, r := range append(refs, near...) {
		missing := false
		for seq := max(r.first, span.Start); seq < min(r.end(), span.End()); seq++ {
			missing = missing || blocks[seq-span.Start] == nil
		}
		if !missing {
			continue
		}
		err := f.files.read(&r, func(i int, block []byte) {
			seq := r.first + uint64(i)
			if seq < span.Start || seq >= span.End() || blocks[seq-span.Start] != nil {
				return
			}
			offset, _ := r.span(i, i)
			blocks[seq-span.Start] = block
			p.places[seq-span.Start] = place{inFile, r.segment, offset, r.sizes[i], r.sums[i]}
		})
		if isOurs(err) {
			return nil, err
		}
	}
	return &blocks, nil
}

// packs reads the packs of the damaged index that reach into span, and returns
// the refs among them.
func (f *feedRebuild) packs(p *feedPage, span hypercore.Span, blocks *[pageBlocks][]byte) (refs []ref, err error) {
	lower, upper := newDataKey(f.id, kindBlocks, span.Start), newDataKey(f.id, kindBlocks, span.End()+packBlocks)
	err = f.r.scan(lower[:], upper[:], func(key, value []byte) bool {
		end := dataNumber(key) + 1
		if isRef(value) {
			if r, err := parseRef(value, end); err == nil && r.first < span.End() {
				refs = append(refs, *r)
			}
			return true
		}
		x, err := parsePack(value)
		if err != nil || uint64(x.count) > end {
			return true
		}
		for i, block := range x.appendBlocks(nil, 0, x.count) {
			seq := end - uint64(x.count) + uint64(i)
			if seq < span.Start || seq >= span.End() || blocks[seq-span.Start] != nil {
				continue
			}
			if block == nil {
				block = []byte{}
			}
			blocks[seq-span.Start] = block
			p.places[seq-span.Start].where = inIndex
		}
		return true
	})
	return refs, err
}

// lose notes a loss in words.
func (x *rebuilder) lose(format string, args ...any) {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.losses.add(format, args...)
	x.log.Warn("rebuild", "loss", fmt.Sprintf(format, args...))
}
