package sleep

import (
	"github.com/cobox-p2p/cobox-p2p/hypercore"
	"github.com/cobox-p2p/cobox-p2p/hypercore/flattree"
)

// A page of the file bitfield: one bit for each of 8192 blocks, one for each of
// their 16384 tree nodes, and the index. Bit i of an area is in byte i/8 under
// the mask 128>>(i%8).
const (
	pageBlocks  = 8192
	pageNodes   = 2 * pageBlocks
	dataBytes   = pageBlocks / 8
	treeBytes   = pageNodes / 8
	indexBytes  = 512
	pageSize    = dataBytes + treeBytes + indexBytes
	oldPageSize = pageSize - indexBytes/2 // of old feeds: half of the index is missing
)

// bitPages reads the file bitfield.
type bitPages struct {
	*file
	page int64 // bytes of a page
}

// count returns how many whole pages there are.
func (b bitPages) count() uint64 {
	if b.size < headerSize {
		return 0
	}
	return uint64((b.size - headerSize) / b.page)
}

// torn says whether a page ends early.
func (b bitPages) torn() bool { return b.size > headerSize && (b.size-headerSize)%b.page != 0 }

// node says whether the bit of a tree node is set.
func (b bitPages) node(index uint64) bool {
	p := index / pageNodes
	if p >= b.count() {
		return false
	}
	var c [1]byte
	at := headerSize + int64(p)*b.page + dataBytes + int64(index%pageNodes/8)
	return b.entry(c[:], at) == nil && c[0]&(128>>(index%8)) != 0
}

// length returns how many blocks the tree bits span, as hypercore 9 finds the
// length of a feed when it opens it: that of the tree whose first root is the
// highest set node above block 0, followed by the largest set nodes to its right.
func (b bitPages) length() uint64 {
	end := b.count() * pageNodes
	top, found := uint64(0), b.node(0)
	for index := flattree.Parent(0); flattree.RightSpan(index) < end; index = flattree.Parent(index) {
		if b.node(index) {
			top, found = index, true
		}
	}
	if !found {
		return 0
	}
	length := flattree.RightSpan(top)/2 + 1
	for depth := flattree.Depth(top) - 1; depth >= 0; depth-- {
		root := 2*length + 1<<depth - 1
		if b.node(root) {
			length = flattree.RightSpan(root)/2 + 1
		}
	}
	return length
}

// blocks sets in held the blocks below length whose bit is set, and in unsure
// those of which the file doesn't say whether they are held: behind its end, on
// a page that can't be read, or where the index contradicts the bits. The second
// is returned as damage too.
func (b bitPages) blocks(length uint64, held, unsure *hypercore.Bitfield) (bad []hypercore.Span) {
	buf := make([]byte, b.page)
	for p := uint64(0); p*pageBlocks < length; p++ {
		start := p * pageBlocks
		if p >= b.count() {
			unsure.SetRange(start, length-start)
			break
		}
		span := hypercore.Span{Start: start, Count: min(pageBlocks, length-start)}
		if err := b.readAt(buf, headerSize+int64(p)*b.page); err != nil {
			unsure.SetRange(span.Start, span.Count)
			bad = append(bad, span)
			continue
		}
		addBits(held, buf[:dataBytes], span)
		for _, s := range contradictions(buf, span) {
			unsure.SetRange(s.Start, s.Count)
			bad = append(bad, s)
		}
	}
	return bad
}

// lastBlock returns the last block below length whose bit is set.
func (b bitPages) lastBlock(length uint64) (uint64, bool) {
	area := make([]byte, dataBytes)
	for p := min(b.count(), (length+pageBlocks-1)/pageBlocks); p > 0; p-- {
		start := (p - 1) * pageBlocks
		if b.readAt(area, headerSize+int64(p-1)*b.page) != nil {
			return 0, false
		}
		for i := min(pageBlocks, length-start); i > 0; i-- {
			if area[(i-1)/8]&(128>>((i-1)%8)) != 0 {
				return start + i - 1, true
			}
		}
	}
	return 0, false
}

// addBits adds the blocks of span whose bit is set in a page's data area.
func addBits(held *hypercore.Bitfield, area []byte, span hypercore.Span) {
	bit := func(i uint64) bool { return area[i/8]&(128>>(i%8)) != 0 }
	for i := uint64(0); i < span.Count; {
		if !bit(i) {
			i++
			continue
		}
		from := i
		for i < span.Count && bit(i) {
			i++
		}
		held.SetRange(span.Start+from, i-from)
	}
}

// contradictions returns the blocks whose bits differ from what the index says
// of them. An index without a bit says nothing, and neither does that of an old
// page, half of which is missing.
func contradictions(page []byte, span hypercore.Span) (bad []hypercore.Span) {
	index := page[dataBytes+treeBytes:]
	if len(index) < indexBytes || allZero(index) {
		return nil
	}
	for i := uint64(0); 8*i < span.Count; i++ {
		said := index[2*(i/4)] >> (6 - 2*(i%4)) & 3
		if said != indexOf(page[i]) {
			at := span.Start + 8*i
			bad = append(bad, hypercore.Span{Start: at, Count: min(8, span.End()-at)})
		}
	}
	return bad
}

func allZero(b []byte) bool {
	for _, c := range b {
		if c != 0 {
			return false
		}
	}
	return true
}
