package hypercore

import "fmt"

// SetRLE adds what a peer says that it holds in the count blocks from start on,
// as AppendRLE encodes it. Bits behind count are passed over, and so are pages
// beyond maxPages; see SetLimited. It returns ErrRLE, with the set unchanged,
// when start isn't a multiple of 8, when src is malformed, or when it stands for
// more than MaxRLEBytes. Its cost is that of src and of the pages in which src
// has blocks, not of the range.
func (b *Bitfield) SetRLE(start uint64, src []byte, count uint64, maxPages int) error {
	if start%8 != 0 {
		return fmt.Errorf("%w: starts at block %d", ErrRLE, start)
	}
	size, err := sizeRLE(src, MaxRLEBytes)
	if err != nil {
		return err
	}
	s := runSetter{set: b, maxPages: maxPages, at: start, end: rangeEnd(start, min(count, 8*uint64(size)))}
	for len(src) > 0 && s.at < s.end {
		var item runItem
		item, src, _ = nextRun(src, MaxRLEBytes)
		switch {
		case item.literal != nil:
			s.literal(item.literal)
		case item.value != 0:
			s.ones(8 * uint64(item.length))
		default:
			s.at += 8 * uint64(item.length)
		}
	}
	s.flush()
	return nil
}

// runSetter adds the items of an encoded bitfield to a set. What falls into a
// page in part is gathered, so that a page is changed once, however many items it
// has.
type runSetter struct {
	set      *Bitfield
	maxPages int
	at, end  uint64 // the next block, a multiple of 8 while below end, and the range's end

	page   [pageBits / 8]byte // of number; all zero unless dirty
	number uint64
	dirty  bool
}

// room returns the bytes of the page that the next block is in, from that block
// on and not past the range's end.
func (s *runSetter) room() []byte {
	if number := s.at / pageBits; number != s.number {
		s.flush()
		s.number = number
	}
	base := s.number * pageBits
	return s.page[(s.at-base)/8 : (min(s.end-base, pageBits)+7)/8]
}

func (s *runSetter) literal(raw []byte) {
	for len(raw) > 0 && s.at < s.end {
		n := copy(s.room(), raw)
		s.dirty = true
		s.at, raw = s.at+8*uint64(n), raw[n:]
	}
}

// ones adds count blocks, whole pages at once.
func (s *runSetter) ones(count uint64) {
	count = min(count, s.end-s.at)
	for count > 0 {
		if whole := count &^ (pageBits - 1); s.at%pageBits == 0 && whole > 0 {
			s.flush()
			s.set.SetLimited(s.at, whole, s.maxPages)
			s.at, count = s.at+whole, count-whole
			continue
		}
		room := s.room()
		n := min(uint64(len(room)), (count+7)/8)
		for i := range room[:n] {
			room[i] = 0xff
		}
		s.dirty = true
		s.at += 8 * n
		count -= min(count, 8*n)
	}
}

// flush adds the gathered page, without the bits behind the range's end.
func (s *runSetter) flush() {
	if !s.dirty {
		return
	}
	base := s.number * pageBits
	if s.end < base+pageBits && s.end%8 != 0 {
		s.page[(s.end-base)/8] &= 0xff << (8 - s.end%8)
	}
	s.set.merge(base, s.page[:], s.maxPages)
	s.page, s.dirty = [pageBits / 8]byte{}, false
}
