package storagetest

import (
	"bytes"
	"errors"
	"fmt"
	"sync"
	"testing"

	"github.com/cobox-p2p/cobox-p2p/hypercore"
	"github.com/cobox-p2p/cobox-p2p/hypercore/merkle"
)

// testClear clears spans of small blocks and of long runs, and writes some of
// them again.
func testClear(t *testing.T, s hypercore.Storage) {
	for feed, size := range []int{7, 20 << 10} {
		key := feedKey(feed)
		clear := func(spans ...hypercore.Span) {
			t.Helper()
			write(t, s, hypercore.FeedWrite{Key: key, Clear: spans})
		}
		h := head(feed, 100)
		write(t, s, hypercore.FeedWrite{Key: key, Head: &h, Nodes: []merkle.Node{node(feed, 6)}, Runs: []hypercore.Run{run(feed, 0, 100, size)}})
		clear(hypercore.Span{Start: 200, Count: 10}, hypercore.Span{Start: 3})
		checkCounts(t, s, key, 100, 100*uint64(size))
		clear(hypercore.Span{Start: 10, Count: 5}, hypercore.Span{Start: 12, Count: 6}, hypercore.Span{Start: 63, Count: 2})
		checkHeld(t, s, key, hypercore.Span{Count: 10}, hypercore.Span{Start: 18, Count: 45}, hypercore.Span{Start: 65, Count: 35})
		checkCounts(t, s, key, 90, 90*uint64(size))
		checkBlocks(t, s, feed, 0, 10, size)
		checkBlocks(t, s, feed, 18, 45, size)
		checkBlocks(t, s, feed, 65, 35, size)
		for seq := uint64(10); seq < 18; seq++ {
			_, err := s.Blocks(key, hypercore.Span{Start: seq, Count: 1})
			checkError(t, "Blocks of a cleared block", err, hypercore.ErrNoBlock)
		}
		got, err := s.Feed(key)
		if err != nil || got.Head != h {
			t.Fatalf("Feed after Clear = %+v, %v", got, err)
		}
		if n, err := s.Node(key, 6); err != nil || n != node(feed, 6) {
			t.Fatalf("Node after Clear = %v, %v", n, err)
		}
		write(t, s, hypercore.FeedWrite{Key: key, Runs: []hypercore.Run{run(feed, 5, 10, size)}})
		checkBlocks(t, s, feed, 0, 15, size)
		clear(hypercore.Span{Count: 1 << 40})
		checkHeld(t, s, key)
		checkCounts(t, s, key, 0, 0)
	}
}

// testReplace writes blocks of another content over held ones: they replace them
// only where the same write clears them.
func testReplace(t *testing.T, s hypercore.Storage) {
	for feed, size := range []int{9, 20 << 10} {
		key := feedKey(feed)
		write(t, s, hypercore.FeedWrite{Key: key, Runs: []hypercore.Run{run(feed, 0, 40, size)}})
		write(t, s, hypercore.FeedWrite{Key: key, Runs: []hypercore.Run{run(feed+50, 0, 40, size)}})
		checkBlocks(t, s, feed, 0, 40, size)
		write(t, s, hypercore.FeedWrite{Key: key, Clear: []hypercore.Span{{Start: 4, Count: 30}}, Runs: []hypercore.Run{run(feed+50, 0, 40, size)}})
		checkBlocks(t, s, feed, 0, 4, size)
		checkBlocks(t, s, feed, 34, 6, size)
		got, err := s.Blocks(key, hypercore.Span{Start: 4, Count: 30})
		if err != nil {
			t.Fatal(err)
		}
		for i, b := range got {
			if !bytes.Equal(b, content(feed+50, uint64(4+i), size)) {
				t.Fatalf("block %d was cleared and written, and is as before", 4+i)
			}
		}
		checkCounts(t, s, key, 40, 40*uint64(size))
		// A later write of the batch clears what an earlier one wrote.
		commit(t, s, &hypercore.Batch{Feeds: []hypercore.FeedWrite{
			{Key: key, Runs: []hypercore.Run{run(feed, 40, 20, size)}},
			{Key: key, Clear: []hypercore.Span{{Start: 35, Count: 10}}},
			{Key: key, Runs: []hypercore.Run{run(feed, 36, 1, size)}},
		}})
		checkHeld(t, s, key, hypercore.Span{Count: 35}, hypercore.Span{Start: 36, Count: 1}, hypercore.Span{Start: 45, Count: 15})
		checkBlocks(t, s, feed, 36, 1, size)
		checkBlocks(t, s, feed, 45, 15, size)
	}
}

// testTruncate truncates full trees at every length around pages, and checks
// every node.
func testTruncate(t *testing.T, s hypercore.Storage) {
	const length = 200
	key := feedKey(1)
	var nodes []merkle.Node
	for index := range uint64(2 * length) {
		if lastBlock(index) < length {
			nodes = append(nodes, node(1, index))
		}
	}
	for _, keep := range []uint64{200, 199, 193, 192, 191, 150, 129, 128, 127, 65, 64, 63, 33, 32, 31, 7, 2, 1, 0} {
		h := head(1, length)
		write(t, s, hypercore.FeedWrite{Key: key, Drop: true})
		write(t, s, hypercore.FeedWrite{Key: key, Head: &h, Nodes: nodes, Runs: []hypercore.Run{run(1, 0, length, 2<<10)}})
		h = head(2, keep)
		write(t, s, hypercore.FeedWrite{Key: key, Head: &h, Truncate: true})
		got, err := s.Feed(key)
		if want := (hypercore.StoredFeed{Key: key, Head: h, Blocks: keep, Bytes: keep * 2 << 10}); err != nil || got != want {
			t.Fatalf("Feed truncated to %d = %+v, %v", keep, got, err)
		}
		checkBlocks(t, s, 1, 0, keep, 2<<10)
		for _, n := range nodes {
			got, err := s.Node(key, n.Index)
			if keeps := lastBlock(n.Index) < keep; keeps && (err != nil || got != n) || !keeps && !errors.Is(err, merkle.ErrNoNode) {
				t.Fatalf("Node(%d) of a feed truncated to %d = %v, %v", n.Index, keep, got, err)
			}
		}
	}
}

// testTruncateInBatch checks the order within a write and a batch: what follows
// the truncation stays.
func testTruncateInBatch(t *testing.T, s hypercore.Storage) {
	key := feedKey(1)
	h := head(1, 5)
	write(t, s, hypercore.FeedWrite{Key: key, Runs: []hypercore.Run{run(1, 0, 10, 8)}, Nodes: []merkle.Node{node(1, 18)}})
	commit(t, s, &hypercore.Batch{Feeds: []hypercore.FeedWrite{
		{Key: key, Runs: []hypercore.Run{run(1, 10, 5, 8)}, Nodes: []merkle.Node{node(1, 20), node(1, 2)}},
		{Key: key, Truncate: true, Head: &h, Runs: []hypercore.Run{run(2, 7, 2, 8)}, Nodes: []merkle.Node{node(1, 14)}},
	}})
	checkHeld(t, s, key, hypercore.Span{Count: 5}, hypercore.Span{Start: 7, Count: 2})
	checkCounts(t, s, key, 7, 56)
	checkBlocks(t, s, 1, 0, 5, 8)
	got, err := s.Blocks(key, hypercore.Span{Start: 7, Count: 2})
	if err != nil || !bytes.Equal(got[0], content(2, 7, 8)) {
		t.Fatalf("block written with the truncation = %x, %v", got, err)
	}
	for index, want := range map[uint64]bool{2: true, 14: true, 18: false, 20: false} {
		_, err := s.Node(key, index)
		if want != (err == nil) {
			t.Fatalf("Node(%d) after truncation: %v, want it: %v", index, err, want)
		}
	}
	bad := &hypercore.Batch{Feeds: []hypercore.FeedWrite{{Key: key, Truncate: true}}}
	if s.Commit(bad) == nil {
		t.Fatal("Commit took a truncation without a head")
	}
}

// testRemoveUnderUse clears, replaces, truncates and drops long runs while others
// read them. A read gives what some batch has left, or ErrNoBlock.
func testRemoveUnderUse(t *testing.T, s hypercore.Storage) {
	const blocks, size, rounds = 40, 12 << 10, 60
	key := feedKey(1)
	h := head(1, 5)
	done := make(chan struct{})
	var readers sync.WaitGroup
	for i := range 3 {
		readers.Go(func() {
			for n := uint64(i); ; n++ {
				select {
				case <-done:
					return
				default:
				}
				span := hypercore.Span{Start: n * 7 % blocks, Count: 1 + n%3}
				if err := readRemoved(s, key, span, size); err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	for i := range rounds {
		w := hypercore.FeedWrite{Key: key}
		switch i % 5 {
		case 0, 2:
			w.Runs = []hypercore.Run{run(1, 0, blocks, size)}
		case 1:
			w.Clear = []hypercore.Span{{Start: uint64(i % 9), Count: 20}}
		case 3:
			w.Truncate, w.Head = true, &h
		case 4:
			w.Drop = i%2 == 0
			w.Clear, w.Runs = []hypercore.Span{{Count: blocks}}, []hypercore.Run{run(1, 0, blocks, size)}
		}
		commit(t, s, &hypercore.Batch{Feeds: []hypercore.FeedWrite{w}, Urgent: i%3 == 0})
	}
	close(done)
	readers.Wait()
}

func readRemoved(s hypercore.Storage, key hypercore.Key, span hypercore.Span, size int) error {
	got, err := s.Blocks(key, span)
	if errors.Is(err, hypercore.ErrNoBlock) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("read of %v under removal: %w", span, err)
	}
	for i, b := range got {
		if !bytes.Equal(b, content(1, span.Start+uint64(i), size)) {
			return fmt.Errorf("read of %v under removal: block %d has other bytes", span, span.Start+uint64(i))
		}
	}
	return nil
}
