package hypercore

import (
	"encoding/binary"
	"math/bits"
)

// pageBits is how many blocks share a page of a Bitfield. It is also the unit
// of ranges in Want messages.
const pageBits = 8192

// bitPage is a page of a Bitfield. Bit i is the bit 63-i%64 of word i/64, so
// that the words in big-endian order are the bytes of the wire, where bit i is
// the bit 128>>(i&7) of byte i/8.
type bitPage struct {
	words [pageBits / 64]uint64
	count uint64 // bits set
}

// noBits and allBits are never changed; all full pages are allBits itself.
var (
	noBits  bitPage
	allBits = fullPage()
)

func fullPage() *bitPage {
	p := &bitPage{count: pageBits}
	for i := range p.words {
		p.words[i] = ^uint64(0)
	}
	return p
}

func (p *bitPage) get(i uint64) bool { return p.words[i/64]<<(i%64)>>63 == 1 }

// nextSet returns the first bit from from on that is set, or pageBits.
func (p *bitPage) nextSet(from uint64) uint64 {
	for w := from / 64; w < uint64(len(p.words)); w++ {
		if v := p.words[w] << (from % 64); v != 0 {
			return from + uint64(bits.LeadingZeros64(v))
		}
		from = (w + 1) * 64
	}
	return pageBits
}

// nextClear returns the first bit from from on that isn't set, or pageBits.
func (p *bitPage) nextClear(from uint64) uint64 {
	for w := from / 64; w < uint64(len(p.words)); w++ {
		if v := ^p.words[w] << (from % 64); v != 0 {
			return from + uint64(bits.LeadingZeros64(v))
		}
		from = (w + 1) * 64
	}
	return pageBits
}

// end returns the last bit that is set plus one, 0 if none is.
func (p *bitPage) end() uint64 {
	for w := len(p.words) - 1; w >= 0; w-- {
		if v := p.words[w]; v != 0 {
			return uint64(w+1)*64 - uint64(bits.TrailingZeros64(v))
		}
	}
	return 0
}

// with returns the page with the bits [from, to) set or cleared. The page
// itself is changed unless it is one of the constants.
func (p *bitPage) with(set bool, from, to uint64) *bitPage {
	switch {
	case set && (p == allBits || to-from == pageBits):
		return allBits
	case !set && to-from == pageBits:
		return &noBits
	}
	q := p.own()
	for w := from / 64; w*64 < to; w++ {
		mask := wordMask(w, from, to)
		before := bits.OnesCount64(q.words[w])
		if set {
			q.words[w] |= mask
		} else {
			q.words[w] &^= mask
		}
		q.count += uint64(bits.OnesCount64(q.words[w]) - before)
	}
	return q.shared()
}

// or returns the page with the bits of raw set too, the first of which is bit
// 8*at. The page itself is changed unless it is one of the constants.
func (p *bitPage) or(at uint64, raw []byte) *bitPage {
	q := p.own()
	for i, v := range raw {
		place := at + uint64(i)
		q.words[place/8] |= uint64(v) << (56 - place%8*8)
	}
	return q.recounted()
}

// union returns the page with the bits of another set too. The page itself is
// changed unless it is one of the constants.
func (p *bitPage) union(other *bitPage) *bitPage {
	if p == allBits || other == allBits {
		return allBits
	}
	q := p.own()
	for w := range q.words {
		q.words[w] |= other.words[w]
	}
	return q.recounted()
}

// recounted returns the page with count set anew, or allBits.
func (p *bitPage) recounted() *bitPage {
	p.count = 0
	for _, w := range p.words {
		p.count += uint64(bits.OnesCount64(w))
	}
	return p.shared()
}

// own returns a page that may be changed.
func (p *bitPage) own() *bitPage {
	if p != allBits && p != &noBits {
		return p
	}
	q := *p
	return &q
}

// shared returns allBits for a full page.
func (p *bitPage) shared() *bitPage {
	if p.count == pageBits {
		return allBits
	}
	return p
}

// appendBytes appends the page's bytes to dst, as on the wire.
func (p *bitPage) appendBytes(dst []byte) []byte {
	for _, w := range p.words {
		dst = binary.BigEndian.AppendUint64(dst, w)
	}
	return dst
}
