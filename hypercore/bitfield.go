package hypercore

import (
	"cmp"
	"iter"
	"math"
	"slices"

	"github.com/cobox-p2p/cobox-p2p/hypercore/merkle"
)

// MaxPeerPages is how many pages of 8192 blocks are remembered of what one peer
// says that it holds of one feed, beyond the blocks it holds from 0 on without
// a gap. What doesn't fit is forgotten; then the peer isn't asked for it.
const MaxPeerPages = 4096

// Bitfield is a set of block numbers: what we hold of a feed, or what a peer
// says it holds. The zero value is the empty set. Numbers from
// merkle.MaxLength on don't exist: they are never in the set.
//
// Blocks from 0 on without a gap cost nothing, and neither do pages of 8192
// blocks that are all in the set, except for their place in a list. A Bitfield
// isn't safe for concurrent use.
type Bitfield struct {
	// Invariant: block prefix isn't in the set, and no page has bits below it.
	prefix uint64      // blocks [0, prefix) are in the set
	pages  []pageEntry // ascending; none is empty
	paged  uint64      // bits set in pages

	touched uint64 // pages that changes made, changed or dropped so far: what they cost
}

type pageEntry struct {
	number uint64 // blocks number*pageBits on
	*bitPage
}

// Get says whether block i is in the set.
func (b *Bitfield) Get(i uint64) bool {
	if i < b.prefix {
		return true
	}
	at, ok := b.find(i / pageBits)
	return ok && b.pages[at].get(i%pageBits)
}

// Set adds block i.
func (b *Bitfield) Set(i uint64) { b.SetRange(i, 1) }

// SetRange adds the count blocks from start on. Its cost is that of count/8192
// pages, unless start is at most the first missing block. For ranges that a
// peer names use SetLimited.
func (b *Bitfield) SetRange(start, count uint64) { b.SetLimited(start, count, math.MaxInt) }

// SetLimited is SetRange that makes no new page once there are maxPages: blocks
// of pages beyond that are not added. Whatever start and count, it takes no more
// time and memory than maxPages pages do.
func (b *Bitfield) SetLimited(start, count uint64, maxPages int) {
	end := rangeEnd(start, count)
	switch {
	case end <= b.prefix || start >= end:
	case start <= b.prefix:
		b.grow(end)
	default:
		b.fill(start, end, maxPages)
	}
}

// ClearRange removes the count blocks from start on. For ranges that a peer
// names use ClearLimited.
func (b *Bitfield) ClearRange(start, count uint64) { b.ClearLimited(start, count, math.MaxInt) }

// ClearLimited is ClearRange that makes no new page once there are maxPages. A
// hole in the blocks from 0 on needs pages for what lies above it; blocks for
// which there is none are removed too.
func (b *Bitfield) ClearLimited(start, count uint64, maxPages int) {
	end := rangeEnd(start, count)
	if start >= end {
		return
	}
	b.erase(max(start, b.prefix), end)
	if old := b.prefix; start < old {
		b.prefix = start
		if end < old {
			b.fill(end, old, maxPages)
		}
	}
}

// Count returns the number of blocks in the set.
func (b *Bitfield) Count() uint64 { return b.prefix + b.paged }

// End returns the number of the last block in the set plus one, 0 if the set is
// empty.
func (b *Bitfield) End() uint64 {
	if len(b.pages) == 0 {
		return b.prefix
	}
	e := b.pages[len(b.pages)-1]
	return e.number*pageBits + e.end()
}

// NextSet returns the first block of the set from block from on. It is false
// when there is none.
func (b *Bitfield) NextSet(from uint64) (uint64, bool) {
	if from < b.prefix {
		return from, true
	}
	at, ok := b.find(from / pageBits)
	if ok {
		if i := b.pages[at].nextSet(from % pageBits); i < pageBits {
			return from/pageBits*pageBits + i, true
		}
		at++
	}
	if at == len(b.pages) {
		return 0, false
	}
	e := b.pages[at]
	return e.number*pageBits + e.nextSet(0), true
}

// NextClear returns the first block from block from on that isn't in the set.
func (b *Bitfield) NextClear(from uint64) uint64 {
	from = max(from, b.prefix)
	at, ok := b.find(from / pageBits)
	for ; ok; ok = at < len(b.pages) && b.pages[at].number == from/pageBits {
		if i := b.pages[at].nextClear(from % pageBits); i < pageBits {
			return from/pageBits*pageBits + i
		}
		from = (from/pageBits + 1) * pageBits
		at++
	}
	return from
}

// Spans yields the blocks of the set in [from, to) as ascending spans that do
// not touch. The set must not change meanwhile.
func (b *Bitfield) Spans(from, to uint64) iter.Seq[Span] {
	return func(yield func(Span) bool) {
		for from < to {
			start, ok := b.NextSet(from)
			if !ok || start >= to {
				return
			}
			from = min(b.NextClear(start), to)
			if !yield(Span{start, from - start}) {
				return
			}
		}
	}
}

// Contains says whether all blocks of the span are in the set. It holds for an
// empty span.
func (b *Bitfield) Contains(s Span) bool {
	return s.Count == 0 || s.Count <= merkle.MaxLength && b.NextClear(s.Start)-s.Start >= s.Count
}

// rangeEnd returns the end of the range as far as blocks exist.
func rangeEnd(start, count uint64) uint64 {
	if start >= merkle.MaxLength || count > merkle.MaxLength-start {
		return merkle.MaxLength
	}
	return start + count
}

// find returns where page number stands in the list, or where it belongs.
func (b *Bitfield) find(number uint64) (int, bool) {
	return slices.BinarySearchFunc(b.pages, number, func(e pageEntry, number uint64) int {
		return cmp.Compare(e.number, number)
	})
}

// grow extends the prefix to end at least, and takes up what then touches it.
func (b *Bitfield) grow(end uint64) {
	b.erase(b.prefix, end)
	b.prefix = end
	b.absorb()
}

// absorb moves blocks from pages to the prefix that they touch.
func (b *Bitfield) absorb() {
	done := 0
	for done < len(b.pages) && b.pages[done].number == b.prefix/pageBits {
		from := b.prefix % pageBits
		run := b.pages[done].nextClear(from) - from
		if run == 0 {
			break
		}
		b.prefix += run
		b.paged -= run
		if run < b.pages[done].count {
			b.pages[done].bitPage = b.pages[done].with(false, from, from+run)
			break
		}
		done++
	}
	b.touched += uint64(done)
	b.pages = slices.Delete(b.pages, 0, done)
}

// fill sets the blocks [start, end), which lie above the prefix, in pages.
func (b *Bitfield) fill(start, end uint64, maxPages int) {
	number, last := start/pageBits, (end-1)/pageBits
	lo, found := b.find(number)
	if number == last && found {
		b.touched++
		before := b.pages[lo].count
		b.pages[lo].bitPage = b.pages[lo].with(true, start%pageBits, (end-1)%pageBits+1)
		b.paged += b.pages[lo].count - before
		return
	}
	room := uint64(max(maxPages-len(b.pages), 0))
	made := make([]pageEntry, 0, min(last-number+1, room+uint64(len(b.pages)-lo)))
	hi := lo
	for number <= last {
		page := &noBits
		if hi < len(b.pages) && b.pages[hi].number == number {
			page = b.pages[hi].bitPage
			hi++
		} else if len(b.pages)+len(made)-(hi-lo) >= maxPages {
			// No room for new pages: go on with those there are.
			if hi == len(b.pages) || b.pages[hi].number > last {
				break
			}
			number = b.pages[hi].number
			continue
		}
		from, to := max(start, number*pageBits), min(end, (number+1)*pageBits)
		before := page.count // with may change the page itself
		next := page.with(true, from-number*pageBits, to-number*pageBits)
		b.paged += next.count - before
		made = append(made, pageEntry{number, next})
		number++
	}
	b.touched += uint64(len(made))
	b.pages = slices.Replace(b.pages, lo, hi, made...)
}

// erase clears the blocks [start, end), which lie above the prefix.
func (b *Bitfield) erase(start, end uint64) {
	if start >= end || len(b.pages) == 0 {
		return
	}
	lo, _ := b.find(start / pageBits)
	hi, kept := lo, lo
	for ; hi < len(b.pages) && b.pages[hi].number*pageBits < end; hi++ {
		e := b.pages[hi]
		base := e.number * pageBits
		from, to := max(start, base), min(end, base+pageBits)
		before := e.count // with may change the page itself
		next := e.with(false, from-base, to-base)
		b.paged -= before - next.count
		if next.count > 0 {
			b.pages[kept] = pageEntry{e.number, next}
			kept++
		}
	}
	b.touched += uint64(hi - lo)
	b.pages = slices.Delete(b.pages, kept, hi)
}

// merge adds the blocks of raw, which lie in one page; its first bit is block
// start, a multiple of 8.
func (b *Bitfield) merge(start uint64, raw []byte, maxPages int) {
	number := start / pageBits
	if (number+1)*pageBits <= b.prefix {
		return
	}
	if _, found := b.find(number); !found && len(b.pages) >= maxPages && number*pageBits > b.prefix {
		return
	}
	b.touched++
	add := new(bitPage).or(start%pageBits/8, raw)
	if base := number * pageBits; b.prefix >= base {
		if end := base + add.nextClear(b.prefix-base); end > b.prefix {
			b.grow(end)
		}
		add = add.with(false, 0, min(b.prefix-base, pageBits))
	}
	at, found := b.find(number)
	switch {
	case add.count == 0:
		return
	case found:
		before := b.pages[at].count
		b.pages[at].bitPage = b.pages[at].union(add)
		b.paged += b.pages[at].count - before
	case len(b.pages) < maxPages:
		b.pages = slices.Insert(b.pages, at, pageEntry{number, add})
		b.paged += add.count
	}
	b.absorb()
}
