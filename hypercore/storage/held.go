package storage

import (
	"encoding/binary"
	"math/bits"

	"github.com/cobox-p2p/cobox-p2p/hypercore"
)

// Which blocks are held lies in pages of heldPage blocks, under the number of the
// page: so a commit reads and writes the page it touches by its key, however
// many versions of it or of others there are, and looks for no neighbours. A
// page in which nothing is held has no record. A record is the shorter of
//
//	heldRuns, then for each run of held blocks: uvarint blocks before it that
//	are not held, uvarint blocks of the run
//	heldMap, then a bit for each block, the least of the first byte first
const (
	heldPage = 4096 // blocks

	heldRuns = 1
	heldMap  = 2

	heldMapSize = 1 + heldPage/8 // bytes
)

// heldBits is a page: a bit for each block.
type heldBits [heldPage / 64]uint64

// fill sets the bits from to to-1 to held.
func (h *heldBits) fill(from, to int, held bool) {
	for from < to {
		word, end := from/64, min(to, (from/64+1)*64)
		mask := (^uint64(0) >> (64 - (end - from))) << (from % 64)
		if held {
			h[word] |= mask
		} else {
			h[word] &^= mask
		}
		from = end
	}
}

// next returns the first place from at on whose bit is held, or heldPage.
func (h *heldBits) next(at int, held bool) int {
	flip := ^uint64(0)
	if held {
		flip = 0
	}
	for at < heldPage {
		if w := (h[at/64] ^ flip) >> (at % 64); w != 0 {
			return at + bits.TrailingZeros64(w)
		}
		at = (at/64 + 1) * 64
	}
	return heldPage
}

// append appends the page's record.
func (h *heldBits) append(b []byte) []byte {
	start := len(b)
	b = append(b, heldRuns)
	for at := 0; ; {
		from := h.next(at, true)
		if from == heldPage {
			return b
		}
		to := h.next(from, false)
		b = binary.AppendUvarint(b, uint64(from-at))
		b = binary.AppendUvarint(b, uint64(to-from))
		if len(b)-start > heldMapSize {
			break
		}
		at = to
	}
	b = append(b[:start], heldMap)
	for _, word := range h {
		b = binary.LittleEndian.AppendUint64(b, word)
	}
	return b
}

// parse reads the page's record, or returns ErrDamaged.
func (h *heldBits) parse(b []byte) error {
	*h = heldBits{}
	switch {
	case len(b) == heldMapSize && b[0] == heldMap:
		for i := range h {
			h[i] = binary.LittleEndian.Uint64(b[1+8*i:])
		}
		return nil
	case len(b) == 0 || b[0] != heldRuns:
		return ErrDamaged
	}
	b = b[1:]
	for at := uint64(0); len(b) > 0; {
		gap, n := binary.Uvarint(b)
		if n <= 0 || gap > heldPage || at > 0 && gap == 0 {
			return ErrDamaged
		}
		b = b[n:]
		count, n := binary.Uvarint(b)
		if n <= 0 || count == 0 || count > heldPage || at+gap+count > heldPage {
			return ErrDamaged
		}
		b = b[n:]
		h.fill(int(at+gap), int(at+gap+count), true)
		at += gap + count
	}
	return nil
}

// appendSpans appends the held blocks of the page with the given number. The
// first span is joined to the last one of spans where they touch.
func (h *heldBits) appendSpans(spans []hypercore.Span, page uint64) []hypercore.Span {
	for at := 0; ; {
		from := h.next(at, true)
		if from == heldPage {
			return spans
		}
		at = h.next(from, false)
		spans = appendSpan(spans, hypercore.Span{Start: page*heldPage + uint64(from), Count: uint64(at - from)})
	}
}

// appendSpan appends span, which lies behind all others, and joins it to the
// last one where they touch.
func appendSpan(spans []hypercore.Span, span hypercore.Span) []hypercore.Span {
	if n := len(spans); n > 0 && spans[n-1].End() == span.Start {
		spans[n-1].Count += span.Count
		return spans
	}
	return append(spans, span)
}

// pagePart returns the places in a page that span covers: none when from >= to.
func pagePart(span hypercore.Span, page uint64) (from, to int) {
	first := page * heldPage
	if span.Start > first {
		from = int(min(span.Start-first, heldPage))
	}
	if span.End() > first {
		to = int(min(span.End()-first, heldPage))
	}
	return from, to
}
