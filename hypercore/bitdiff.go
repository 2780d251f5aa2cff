package hypercore

import "math/bits"

// NextNotIn returns the first block of the set from block from on that isn't in
// other. It is false when there is none. Its cost is that of the pages it
// passes, not of the blocks.
func (b *Bitfield) NextNotIn(other *Bitfield, from uint64) (uint64, bool) {
	from = max(from, other.prefix)
	if from < b.prefix {
		if i := other.NextClear(from); i < b.prefix {
			return i, true
		}
		from = b.prefix
	}
	at, _ := b.find(from / pageBits)
	for _, e := range b.pages[at:] {
		base := e.number * pageBits
		from = max(from, base)
		if i := e.nextNotIn(other.page(e.number), from-base); i < pageBits {
			return base + i, true
		}
	}
	return 0, false
}

// CountNotIn returns how many blocks of the set below block end are not in other.
// Its cost is that of the pages of both sets.
func (b *Bitfield) CountNotIn(other *Bitfield, end uint64) (count uint64) {
	if full := min(b.prefix, end); other.prefix < full {
		count = full - other.prefix
		for _, e := range other.pages {
			base := e.number * pageBits
			if base >= full {
				break
			}
			count -= e.countNotIn(&noBits, 0, min(full-base, pageBits))
		}
	}
	at, _ := b.find(other.prefix / pageBits)
	for _, e := range b.pages[at:] {
		base := e.number * pageBits
		if base >= end {
			break
		}
		count += e.countNotIn(other.page(e.number), max(other.prefix, base)-base, min(end-base, pageBits))
	}
	return count
}

// page returns page number as it stands in the list: without what belongs to the
// prefix. It is not to be changed.
func (b *Bitfield) page(number uint64) *bitPage {
	if at, ok := b.find(number); ok {
		return b.pages[at].bitPage
	}
	return &noBits
}

// nextNotIn returns the first bit from from on that is set and not set in other,
// or pageBits.
func (p *bitPage) nextNotIn(other *bitPage, from uint64) uint64 {
	for w := from / 64; w < uint64(len(p.words)); w++ {
		if v := (p.words[w] &^ other.words[w]) << (from % 64); v != 0 {
			return from + uint64(bits.LeadingZeros64(v))
		}
		from = (w + 1) * 64
	}
	return pageBits
}

// countNotIn returns how many of the bits [from, to) are set and not set in
// other.
func (p *bitPage) countNotIn(other *bitPage, from, to uint64) (count uint64) {
	if other == allBits || from >= to {
		return 0
	}
	if other == &noBits && from == 0 && to == pageBits {
		return p.count
	}
	for w := from / 64; w*64 < to; w++ {
		count += uint64(bits.OnesCount64(p.words[w] &^ other.words[w] & wordMask(w, from, to)))
	}
	return count
}

// wordMask returns which bits of word w are in [from, to), of which it has some.
func wordMask(w, from, to uint64) uint64 {
	mask := ^uint64(0)
	if w*64 < from {
		mask >>= from % 64
	}
	if w*64+64 > to {
		mask &= ^uint64(0) << (64 - to%64)
	}
	return mask
}
