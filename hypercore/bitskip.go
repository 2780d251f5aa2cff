package hypercore

import "math/bits"

// noBlocks is the empty set; it never changes.
var noBlocks Bitfield

// nextInNeither returns the first block of the set from block from on that is
// neither in x nor in y. It is false when there is none. Its cost is that of the
// pages it passes.
func (b *Bitfield) nextInNeither(x, y *Bitfield, from uint64) (uint64, bool) {
	for {
		seq, ok := b.NextNotIn(x, from)
		if !ok || !y.Get(seq) {
			return seq, ok
		}
		// The rest of this page at once: the sets may differ in every block.
		number := seq / pageBits
		bp, xp, yp := b.page(number), x.page(number), y.page(number)
		for w := seq % pageBits / 64; w < uint64(len(bp.words)); w++ {
			v := b.wordOf(bp, number, w) &^ x.wordOf(xp, number, w) &^ y.wordOf(yp, number, w)
			if at := number*pageBits + w*64; at < seq {
				v &= ^uint64(0) >> (seq - at)
			}
			if v != 0 {
				return number*pageBits + w*64 + uint64(bits.LeadingZeros64(v)), true
			}
		}
		from = max((number+1)*pageBits, min(y.prefix, b.End()))
	}
}

// wordOf returns word w of a page with the blocks that the prefix stands for.
func (b *Bitfield) wordOf(page *bitPage, number, w uint64) uint64 {
	v, at := page.words[w], number*pageBits+w*64
	switch {
	case b.prefix <= at:
		return v
	case b.prefix >= at+64:
		return ^uint64(0)
	}
	return v | ^(^uint64(0) >> (b.prefix - at))
}
