package storagetest

import (
	"bytes"
	"math"
	"testing"

	"github.com/cobox-p2p/cobox-p2p/hypercore"
)

func testOverlap(t *testing.T, s hypercore.Storage) {
	key := feedKey(1)
	runs := func(runs ...hypercore.Run) {
		t.Helper()
		write(t, s, hypercore.FeedWrite{Key: key, Runs: runs})
	}
	runs(run(1, 10, 10, 7))
	runs(run(1, 10, 10, 7))
	checkCounts(t, s, key, 10, 70)
	runs(run(1, 5, 100, 7)) // around what is held
	checkHeld(t, s, key, hypercore.Span{Start: 5, Count: 100})
	checkCounts(t, s, key, 100, 700)
	runs(run(1, 150, 10, 7), run(1, 155, 10, 7), run(1, 140, 11, 7), run(1, 158, 1, 7)) // each other
	checkHeld(t, s, key, hypercore.Span{Start: 5, Count: 100}, hypercore.Span{Start: 140, Count: 25})
	checkCounts(t, s, key, 125, 875)
	commit(t, s, &hypercore.Batch{Feeds: []hypercore.FeedWrite{
		{Key: key, Runs: []hypercore.Run{run(1, 165, 5, 7)}},
		{Key: feedKey(2), Runs: []hypercore.Run{run(2, 0, 4, 7)}},
		{Key: key, Runs: []hypercore.Run{run(1, 100, 70, 7), {Start: 3}}},
	}})
	checkHeld(t, s, key, hypercore.Span{Start: 5, Count: 165})
	checkCounts(t, s, key, 165, 165*7)
	checkBlocks(t, s, 1, 5, 165, 7)
	checkCounts(t, s, feedKey(2), 4, 28)
}

// testSparse writes single blocks in orders that join spans from all sides.
func testSparse(t *testing.T, s hypercore.Storage) {
	for feed, order := range [][]uint64{
		{0, 1, 2, 3, 4, 5, 6, 7}, {7, 6, 5, 4, 3, 2, 1, 0}, {0, 2, 4, 6, 1, 3, 5, 7},
		{1, 3, 5, 7, 6, 4, 2, 0}, {0, 7, 1, 6, 2, 5, 3, 4}, {3, 5, 4, 0, 7, 2, 6, 1},
	} {
		key := feedKey(feed)
		held := make(map[uint64]bool)
		for _, seq := range order {
			write(t, s, hypercore.FeedWrite{Key: key, Runs: []hypercore.Run{run(feed, seq, 1, 9)}})
			held[seq] = true
			checkHeld(t, s, key, spansOf(held)...)
		}
		checkBlocks(t, s, feed, 0, 8, 9)
		checkCounts(t, s, key, 8, 72)
	}
	// One batch that fills gaps between spans and touches some of them only.
	var odd, even []hypercore.Run
	for i := range uint64(50) {
		odd = append(odd, run(20, 10*i, 3, 5))
		even = append(even, run(20, 10*(49-i)+3, 1+(49-i)%8, 5))
	}
	write(t, s, hypercore.FeedWrite{Key: feedKey(20), Runs: odd})
	write(t, s, hypercore.FeedWrite{Key: feedKey(20), Runs: even})
	held := make(map[uint64]bool)
	for _, r := range append(odd, even...) {
		for i := range r.Blocks {
			held[r.Start+uint64(i)] = true
		}
	}
	checkHeld(t, s, feedKey(20), spansOf(held)...)
	for _, span := range spansOf(held) {
		checkBlocks(t, s, 20, span.Start, span.Count, 5)
	}
}

// testSpanReads reads every span of a feed that was written in pieces of all
// kinds of size.
func testSpanReads(t *testing.T, s hypercore.Storage) {
	const length = 80
	key := feedKey(1)
	var all [][]byte
	for piece := 1; len(all) < length; piece = piece*3%11 + 1 {
		r := hypercore.Run{Start: uint64(len(all))}
		for range piece * 5 {
			r.Blocks = append(r.Blocks, content(1, uint64(len(all)), len(all)*len(all)%700))
			all = append(all, r.Blocks[len(r.Blocks)-1])
		}
		write(t, s, hypercore.FeedWrite{Key: key, Runs: []hypercore.Run{r}})
	}
	for start := range all {
		for end := start; end <= len(all); end++ {
			got, err := s.Blocks(key, hypercore.Span{Start: uint64(start), Count: uint64(end - start)})
			if err != nil || len(got) != end-start {
				t.Fatalf("Blocks from %d to %d: %d blocks, %v", start, end, len(got), err)
			}
			for i, b := range got {
				if !bytes.Equal(b, all[start+i]) {
					t.Fatalf("block %d of the span from %d to %d has other bytes", start+i, start, end)
				}
			}
		}
	}
	_, err := s.Blocks(key, hypercore.Span{Start: uint64(len(all)) - 1, Count: 2})
	checkError(t, "Blocks over the end", err, hypercore.ErrNoBlock)
}

// testHostileSpans asks for spans that nobody can hold.
func testHostileSpans(t *testing.T, s hypercore.Storage) {
	write(t, s, hypercore.FeedWrite{Key: feedKey(1), Runs: []hypercore.Run{run(1, 0, 3, 5), run(1, 5, 3, 5)}})
	for _, span := range []hypercore.Span{
		{Start: 3, Count: 1}, {Start: 2, Count: 2}, {Start: 0, Count: 8}, {Start: 4, Count: 2}, {Start: 8, Count: 1},
		{Start: 0, Count: math.MaxUint64}, {Start: 1, Count: math.MaxUint64}, {Start: math.MaxUint64, Count: 1},
		{Start: math.MaxUint64, Count: math.MaxUint64}, {Start: 1 << 53, Count: 1}, {Start: 5, Count: 1 << 62},
	} {
		for _, feed := range []int{1, 2} {
			_, err := s.Blocks(feedKey(feed), span)
			checkError(t, "Blocks not held", err, hypercore.ErrNoBlock)
		}
	}
	for _, feed := range []int{1, 2} {
		got, err := s.Blocks(feedKey(feed), hypercore.Span{Start: 3})
		if err != nil || len(got) != 0 {
			t.Fatalf("Blocks of an empty span = %v, %v", got, err)
		}
	}
}

func testEmptyBlocks(t *testing.T, s hypercore.Storage) {
	key := feedKey(1)
	r := hypercore.Run{Start: 1, Blocks: [][]byte{{}, nil, {5}, {}}}
	write(t, s, hypercore.FeedWrite{Key: key, Runs: []hypercore.Run{r}})
	write(t, s, hypercore.FeedWrite{Key: key, Runs: []hypercore.Run{{Start: 7, Blocks: [][]byte{nil}}}})
	checkCounts(t, s, key, 5, 1)
	checkHeld(t, s, key, hypercore.Span{Start: 1, Count: 4}, hypercore.Span{Start: 7, Count: 1})
	got, err := s.Blocks(key, r.Span())
	if err != nil {
		t.Fatal(err)
	}
	for i, b := range got {
		if b == nil || !bytes.Equal(b, r.Blocks[i]) {
			t.Fatalf("block %d = %#v, want %#v, not nil", i, b, r.Blocks[i])
		}
	}
	for _, seq := range []uint64{0, 5, 6, 8} {
		_, err := s.Blocks(key, hypercore.Span{Start: seq, Count: 1})
		checkError(t, "Blocks of an absent block", err, hypercore.ErrNoBlock)
	}
}

func testBigBlocks(t *testing.T, s hypercore.Storage) {
	const big = 8<<20 - 64<<10 // the largest sealed block
	key := feedKey(1)
	write(t, s, hypercore.FeedWrite{Key: key, Runs: []hypercore.Run{{Start: 0, Blocks: [][]byte{
		content(1, 0, 100), content(1, 1, big), content(1, 2, 0), content(1, 3, 300<<10), content(1, 4, 200<<10),
	}}}})
	checkCounts(t, s, key, 5, 100+big+500<<10)
	checkBlocks(t, s, 1, 1, 1, big)
	checkBlocks(t, s, 1, 0, 1, 100)
	checkBlocks(t, s, 1, 4, 1, 200<<10)
	got, err := s.Blocks(key, hypercore.Span{Start: 0, Count: 5})
	if err != nil || !bytes.Equal(got[3], content(1, 3, 300<<10)) || len(got[2]) != 0 {
		t.Fatalf("Blocks of all: %v", err)
	}
}

// spansOf returns what Held must yield.
func spansOf(held map[uint64]bool) (spans []hypercore.Span) {
	end := uint64(0)
	for seq := range held {
		end = max(end, seq+1)
	}
	for seq := range end {
		switch {
		case !held[seq]:
		case seq > 0 && held[seq-1]:
			spans[len(spans)-1].Count++
		default:
			spans = append(spans, hypercore.Span{Start: seq, Count: 1})
		}
	}
	return spans
}
