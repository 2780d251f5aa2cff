package storage

import (
	"sort"

	"github.com/cobox-p2p/cobox-p2p/hypercore"
)

// spanSet is a set of block numbers as ascending spans that do not touch.
type spanSet []hypercore.Span

// find returns the place of the first span that ends at seq or behind it: the
// only one that can hold seq, or that a span from seq on can touch first.
func (s spanSet) find(seq uint64) int {
	return sort.Search(len(s), func(i int) bool { return s[i].End() >= seq })
}

// contains says whether all of span is in the set.
func (s spanSet) contains(span hypercore.Span) bool {
	if span.Count == 0 {
		return true
	}
	i := sort.Search(len(s), func(i int) bool { return s[i].End() > span.Start })
	return i < len(s) && s[i].Start <= span.Start && span.Count <= s[i].End()-span.Start
}

// add returns the set with span in it. It may write to s.
func (s spanSet) add(span hypercore.Span) spanSet {
	if span.Count == 0 {
		return s
	}
	first := s.find(span.Start)
	last := first
	start, end := span.Start, span.End()
	for ; last < len(s) && s[last].Start <= end; last++ {
		start, end = min(start, s[last].Start), max(end, s[last].End())
	}
	merged := hypercore.Span{Start: start, Count: end - start}
	if first == last {
		s = append(s, hypercore.Span{})
		copy(s[first+1:], s[first:])
		s[first] = merged
		return s
	}
	s[first] = merged
	return append(s[:first+1], s[last:]...)
}

// without returns the parts of span that are not in the set, ascending.
func (s spanSet) without(span hypercore.Span) (parts []hypercore.Span) {
	at, end := span.Start, span.End()
	for i := s.find(at); i < len(s) && s[i].Start < end; i++ {
		if s[i].Start > at {
			parts = append(parts, hypercore.Span{Start: at, Count: s[i].Start - at})
		}
		at = max(at, s[i].End())
	}
	if at < end {
		parts = append(parts, hypercore.Span{Start: at, Count: end - at})
	}
	return parts
}

// remove returns the set without the blocks of span.
func (s spanSet) remove(span hypercore.Span) spanSet {
	var left spanSet
	for _, held := range s {
		left = append(left, spanSet{span}.without(held)...)
	}
	return left
}
