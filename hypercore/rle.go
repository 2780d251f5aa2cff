package hypercore

import (
	"encoding/binary"
	"fmt"
	"math/bits"
)

// MaxRLEBytes is the largest size in bytes to which SetRLE unpacks a bitfield:
// that of the largest range of blocks that peers ask about at once, 1,048,576.
const MaxRLEBytes = 128 << 10

// ErrRLE is returned for a run-length encoded bitfield that is malformed, or
// larger than its limit. It wraps ErrMalformed.
var ErrRLE = fmt.Errorf("%w: bad run-length encoded bitfield", ErrMalformed)

// AppendRLE appends the blocks [start, start+count) of the set to dst as a
// run-length encoded bitfield, the form in which hypercore 9 tells what it
// holds. The encoding is a sequence of uvarints v: with v&1 set, v>>2 bytes
// follow that are all 0xff if v&2 is set and else all 0; otherwise v>>1 bytes
// follow as they are. Zero bytes at the end are left out. See
// interop/spec/feed.md.
//
// start and count are multiples of 8192; others are rounded outwards. Time and
// memory depend on the pages of the set, not on count.
func AppendRLE(dst []byte, b *Bitfield, start, count uint64) []byte {
	e := runEncoder{dst: dst}
	number := start / pageBits
	end := (rangeEnd(start, count) + pageBits - 1) / pageBits
	if full := min(b.prefix/pageBits, end); number < full {
		e.run(0xff, (full-number)*pageBits/8)
		number = full
	}
	at, found := b.find(number)
	var buf [pageBits / 8]byte
	if part := b.prefix % pageBits; number < end && number == b.prefix/pageBits && part > 0 {
		page := noBits
		if found {
			page = *b.pages[at].bitPage
			at++
		}
		e.bytes(page.with(true, 0, part).appendBytes(buf[:0]))
		number++
	}
	for ; at < len(b.pages) && b.pages[at].number < end; at++ {
		p := b.pages[at]
		e.run(0, (p.number-number)*pageBits/8)
		if p.bitPage == allBits {
			e.run(0xff, pageBits/8)
		} else {
			e.bytes(p.appendBytes(buf[:0]))
		}
		number = p.number + 1
	}
	return e.finish()
}

// encodeRLE returns raw bytes in the encoding of AppendRLE.
func encodeRLE(raw []byte) []byte {
	var e runEncoder
	e.bytes(raw)
	return e.finish()
}

// runEncoder writes the encoding of AppendRLE. Its choice between a run and
// literal bytes is that of the npm package bitfield-rle, byte for byte.
type runEncoder struct {
	dst     []byte
	literal []byte // bytes not written yet, before the run
	value   byte   // of the run: 0 or 0xff
	length  uint64 // of the run, in bytes
}

// run adds n bytes of value, which is 0 or 0xff.
func (e *runEncoder) run(value byte, n uint64) {
	if n == 0 {
		return
	}
	if e.value != value {
		e.flush()
		e.value = value
	}
	e.length += n
}

// bytes adds bytes of any value.
func (e *runEncoder) bytes(raw []byte) {
	for _, v := range raw {
		if v == 0 || v == 0xff {
			e.run(v, 1)
			continue
		}
		e.flush()
		e.literal = append(e.literal, v)
	}
}

// flush ends the run: it is written if that is shorter than literal bytes, and
// becomes literal bytes otherwise. Then it is at most a few bytes long.
func (e *runEncoder) flush() {
	if e.length == 0 {
		return
	}
	pending := uint64(len(e.literal))
	code := e.length<<2 | uint64(e.value&2) | 1
	asRun := uvarintLen(code)
	if pending > 0 {
		asRun += uvarintLen(2*pending) + pending
	}
	if all := pending + e.length; asRun < uvarintLen(2*all)+all {
		e.flushLiteral()
		e.dst = binary.AppendUvarint(e.dst, code)
	} else {
		for range e.length {
			e.literal = append(e.literal, e.value)
		}
	}
	e.length = 0
}

func (e *runEncoder) flushLiteral() {
	if len(e.literal) > 0 {
		e.dst = binary.AppendUvarint(e.dst, 2*uint64(len(e.literal)))
		e.dst = append(e.dst, e.literal...)
		e.literal = e.literal[:0]
	}
}

// finish returns what was written, without the zero bytes at the end.
func (e *runEncoder) finish() []byte {
	if e.value != 0 {
		e.flush()
	}
	e.flushLiteral()
	return e.dst
}

func uvarintLen(v uint64) uint64 { return uint64(bits.Len64(v|1)+6) / 7 }

// DecodeRLE returns the bytes of a run-length encoded bitfield; bit i is the bit
// 128>>(i&7) of byte i/8. It returns ErrRLE, before it allocates anything, when
// they are more than maxBytes, when an item is cut off or empty, or when a
// number is longer than needed.
func DecodeRLE(src []byte, maxBytes int) ([]byte, error) {
	size, err := sizeRLE(src, maxBytes)
	if err != nil {
		return nil, err
	}
	raw := make([]byte, 0, size)
	for rest := src; len(rest) > 0; {
		var item runItem
		item, rest, _ = nextRun(rest, maxBytes)
		if item.literal != nil {
			raw = append(raw, item.literal...)
			continue
		}
		run := raw[len(raw) : len(raw)+item.length]
		raw = raw[:len(raw)+item.length]
		for i := range run {
			run[i] = item.value
		}
	}
	return raw, nil
}

// sizeRLE returns how many bytes src stands for, or ErrRLE as DecodeRLE does.
func sizeRLE(src []byte, maxBytes int) (size int, err error) {
	for rest := src; len(rest) > 0; {
		item, tail, err := nextRun(rest, maxBytes-size)
		if err != nil {
			return 0, fmt.Errorf("%w: at byte %d", err, len(src)-len(rest))
		}
		size += item.length
		rest = tail
	}
	return size, nil
}

// runItem is length bytes: literal, or if that is nil, all of value.
type runItem struct {
	length  int
	value   byte
	literal []byte
}

// nextRun splits the first item off src. It returns ErrRLE when the item is
// malformed or stands for more than limit bytes.
func nextRun(src []byte, limit int) (runItem, []byte, error) {
	v, n := binary.Uvarint(src)
	if n <= 0 || uvarintLen(v) != uint64(n) {
		return runItem{}, nil, ErrRLE
	}
	src = src[n:]
	size := v >> 1
	if v&1 == 1 {
		size = v >> 2
	}
	if size == 0 || limit < 0 || size > uint64(limit) {
		return runItem{}, nil, ErrRLE
	}
	item := runItem{length: int(size)}
	switch {
	case v&1 == 0 && size > uint64(len(src)):
		return runItem{}, nil, ErrRLE
	case v&1 == 0:
		item.literal, src = src[:size:size], src[size:]
	case v&2 != 0:
		item.value = 0xff
	}
	return item, src, nil
}
