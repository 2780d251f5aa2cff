package sleep

import "github.com/cobox-p2p/cobox-p2p/hypercore/flattree"

// bitmap is the content of a bitfield file as hypercore 9 would have written it,
// had it set the same bits in the same order. The index, by which it finds bits
// that are not set, is not a function of the bits alone: a parent that lay behind
// the last page when its child changed keeps its old value.
type bitmap struct {
	pages [][]byte // each pageSize long; nil: never touched
}

// indexOf returns the two bits that stand for a byte of data bits in the index.
func indexOf(data byte) byte {
	switch data {
	case 0xff:
		return 3
	case 0:
		return 0
	}
	return 1
}

// halves returns the four bits that stand for an index byte in its parent: two
// for each half.
func halves(b byte) byte {
	half := func(n byte) byte {
		switch n {
		case 0xf:
			return 3
		case 0:
			return 0
		}
		return 1
	}
	return half(b>>4)<<2 | half(b&0xf)
}

// page returns a page, which is made when it is missing.
func (m *bitmap) page(n uint64) []byte {
	for uint64(len(m.pages)) <= n {
		m.pages = append(m.pages, nil)
	}
	if m.pages[n] == nil {
		m.pages[n] = make([]byte, pageSize)
	}
	return m.pages[n]
}

// setBlock sets the bit of a block, and the index above it.
func (m *bitmap) setBlock(seq uint64) {
	p := m.page(seq / pageBlocks)
	i := seq % pageBlocks / 8
	p[i] |= 128 >> (seq % 8)
	byteNumber := seq / 8
	shift := 6 - 2*(byteNumber%4)
	index := 2 * (byteNumber / 4)
	value := m.index(index)&^(3<<shift) | indexOf(p[i])<<shift
	for index < uint64(len(m.pages))*indexBytes && m.setIndex(index, value) {
		sibling := flattree.Sibling(index)
		if index < sibling {
			value = halves(value)<<4 | halves(m.index(sibling))
		} else {
			value = halves(m.index(sibling))<<4 | halves(value)
		}
		index = flattree.Parent(index)
	}
}

// index returns a byte of the index, 0 when its page is missing.
func (m *bitmap) index(i uint64) byte {
	if n := i / indexBytes; n < uint64(len(m.pages)) && m.pages[n] != nil {
		return m.pages[n][dataBytes+treeBytes+i%indexBytes]
	}
	return 0
}

// setIndex says whether the byte changed.
func (m *bitmap) setIndex(i uint64, value byte) bool {
	p := m.page(i / indexBytes)
	at := dataBytes + treeBytes + i%indexBytes
	if p[at] == value {
		return false
	}
	p[at] = value
	return true
}

// setNode sets the bit of a tree node, and those of the parents of which both
// children are set.
func (m *bitmap) setNode(index uint64) {
	for m.setNodeBit(index) && m.nodeBit(flattree.Sibling(index)) {
		index = flattree.Parent(index)
	}
}

func (m *bitmap) nodeBit(index uint64) bool {
	n := index / pageNodes
	return n < uint64(len(m.pages)) && m.pages[n] != nil && m.pages[n][dataBytes+index%pageNodes/8]&(128>>(index%8)) != 0
}

func (m *bitmap) setNodeBit(index uint64) bool {
	p, mask := m.page(index/pageNodes), byte(128>>(index%8))
	at := dataBytes + index%pageNodes/8
	if p[at]&mask != 0 {
		return false
	}
	p[at] |= mask
	return true
}
