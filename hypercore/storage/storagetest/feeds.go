package storagetest

import (
	"math"
	"testing"

	"github.com/cobox-p2p/cobox-p2p/hypercore"
	"github.com/cobox-p2p/cobox-p2p/hypercore/merkle"
)

func testFeeds(t *testing.T, s hypercore.Storage) {
	key := feedKey(1)
	_, err := s.Feed(key)
	checkError(t, "Feed of an unknown feed", err, hypercore.ErrNoFeed)

	write(t, s, hypercore.FeedWrite{Key: key})
	got, err := s.Feed(key)
	if want := (hypercore.StoredFeed{Key: key}); err != nil || got != want {
		t.Fatalf("Feed of an empty feed = %+v, %v, want %+v", got, err, want)
	}
	h := head(1, 7)
	write(t, s, hypercore.FeedWrite{Key: key, Head: &h})
	write(t, s, hypercore.FeedWrite{Key: key, Runs: []hypercore.Run{run(1, 3, 2, 10)}})
	got, err = s.Feed(key)
	if want := (hypercore.StoredFeed{Key: key, Head: h, Blocks: 2, Bytes: 20}); err != nil || got != want {
		t.Fatalf("Feed = %+v, %v, want %+v", got, err, want)
	}
	h.Length = 99
	if got, _ = s.Feed(key); got.Head.Length != 7 {
		t.Fatal("the store kept the pointer to the head")
	}
}

func testListing(t *testing.T, s hypercore.Storage) {
	const feeds = 600 // more than a store may read at once
	for i := range feeds {
		n := (i * 7) % feeds
		h := head(n, uint64(n))
		write(t, s, hypercore.FeedWrite{Key: feedKey(n), Head: &h})
	}
	n := 0
	for f, err := range s.Feeds() {
		if err != nil {
			t.Fatalf("Feeds: %v", err)
		}
		if want := (hypercore.StoredFeed{Key: feedKey(n), Head: head(n, uint64(n))}); f != want {
			t.Fatalf("feed %d of the list = %+v, want %+v", n, f, want)
		}
		n++
	}
	if n != feeds {
		t.Fatalf("Feeds yielded %d feeds, want %d", n, feeds)
	}
}

// badRun ends beyond the largest number.
var badRun = hypercore.Run{Start: math.MaxUint64, Blocks: [][]byte{{1}, {2}}}

func testAtomic(t *testing.T, s hypercore.Storage) {
	write(t, s, hypercore.FeedWrite{Key: feedKey(0), Runs: []hypercore.Run{run(0, 0, 3, 10)}})
	h := head(0, 5)
	b := &hypercore.Batch{
		Records: []hypercore.Record{{Key: []byte("r"), Value: []byte("v")}},
		Durable: func(error) { t.Error("Durable of a refused batch was called") },
		Feeds:   []hypercore.FeedWrite{{Key: feedKey(0), Drop: true}, {Key: feedKey(0), Head: &h}},
	}
	for i := 1; i < 20; i++ {
		b.Feeds = append(b.Feeds, hypercore.FeedWrite{
			Key: feedKey(i), Head: &h, Nodes: []merkle.Node{node(i, 0)}, Runs: []hypercore.Run{run(i, 0, 5, 100)},
		})
	}
	b.Feeds[12].Runs = append(b.Feeds[12].Runs, badRun)
	if err := s.Commit(b); err == nil {
		t.Fatal("Commit took a run that ends beyond 2^64")
	}
	checkCounts(t, s, feedKey(0), 3, 30)
	checkBlocks(t, s, 0, 0, 3, 10)
	_, err := s.Record([]byte("r"))
	checkError(t, "Record of the refused batch", err, hypercore.ErrNoRecord)
	for i := 1; i < 20; i++ {
		_, err := s.Feed(feedKey(i))
		checkError(t, "Feed of the refused batch", err, hypercore.ErrNoFeed)
		_, err = s.Node(feedKey(i), 0)
		checkError(t, "Node of the refused batch", err, merkle.ErrNoNode)
	}
	b.Feeds[12].Runs = b.Feeds[12].Runs[:1]
	b.Durable = nil
	commit(t, s, b)
	checkCounts(t, s, feedKey(0), 0, 0)
	for i := 1; i < 20; i++ {
		checkBlocks(t, s, i, 0, 5, 100)
	}
}

func testDrop(t *testing.T, s hypercore.Storage) {
	h := head(1, 3)
	full := func(feed int) hypercore.FeedWrite {
		return hypercore.FeedWrite{
			Key: feedKey(feed), Head: &h, Nodes: []merkle.Node{node(feed, 0), node(feed, 1)},
			Runs: []hypercore.Run{run(feed, 0, 3, 50), run(feed, 9, 1, 50)},
		}
	}
	for feed := range 3 {
		write(t, s, full(feed))
	}
	write(t, s, hypercore.FeedWrite{Key: feedKey(7), Drop: true})
	write(t, s, hypercore.FeedWrite{Key: feedKey(1), Drop: true, Runs: []hypercore.Run{run(1, 20, 1, 10)}})
	key := feedKey(1)
	_, err := s.Feed(key)
	checkError(t, "Feed of a dropped feed", err, hypercore.ErrNoFeed)
	_, err = s.Node(key, 0)
	checkError(t, "Node of a dropped feed", err, merkle.ErrNoNode)
	_, err = s.Blocks(key, hypercore.Span{Start: 0, Count: 1})
	checkError(t, "Blocks of a dropped feed", err, hypercore.ErrNoBlock)
	checkHeld(t, s, key)

	write(t, s, hypercore.FeedWrite{Key: key, Runs: []hypercore.Run{run(1, 2, 2, 60)}})
	got, err := s.Feed(key)
	if want := (hypercore.StoredFeed{Key: key, Blocks: 2, Bytes: 120}); err != nil || got != want {
		t.Fatalf("Feed after drop and new blocks = %+v, %v, want %+v", got, err, want)
	}
	checkHeld(t, s, key, hypercore.Span{Start: 2, Count: 2})
	checkBlocks(t, s, 1, 2, 2, 60)
	_, err = s.Node(key, 0)
	checkError(t, "Node from before the drop", err, merkle.ErrNoNode)
	for _, feed := range []int{0, 2} {
		checkCounts(t, s, feedKey(feed), 4, 200)
		checkBlocks(t, s, feed, 0, 3, 50)
	}
}

func testDropInOneBatch(t *testing.T, s hypercore.Storage) {
	key := feedKey(1)
	write(t, s, hypercore.FeedWrite{Key: key, Runs: []hypercore.Run{run(1, 0, 5, 10)}, Nodes: []merkle.Node{node(1, 0)}})
	commit(t, s, &hypercore.Batch{Feeds: []hypercore.FeedWrite{
		{Key: key, Runs: []hypercore.Run{run(1, 5, 5, 10)}, Nodes: []merkle.Node{node(1, 2)}},
		{Key: key, Drop: true},
		{Key: key, Runs: []hypercore.Run{run(1, 4, 3, 20)}, Nodes: []merkle.Node{node(1, 4)}},
		{Key: feedKey(2), Runs: []hypercore.Run{run(2, 0, 1, 10)}},
		{Key: feedKey(2), Drop: true},
	}})
	checkCounts(t, s, key, 3, 60)
	checkHeld(t, s, key, hypercore.Span{Start: 4, Count: 3})
	checkBlocks(t, s, 1, 4, 3, 20)
	for _, index := range []uint64{0, 2} {
		_, err := s.Node(key, index)
		checkError(t, "Node from before the drop", err, merkle.ErrNoNode)
	}
	if n, err := s.Node(key, 4); err != nil || n != node(1, 4) {
		t.Fatalf("Node(4) = %v, %v, want %v", n, err, node(1, 4))
	}
	_, err := s.Feed(feedKey(2))
	checkError(t, "Feed made and dropped by one batch", err, hypercore.ErrNoFeed)
}

func testNodes(t *testing.T, s hypercore.Storage) {
	key := feedKey(1)
	_, err := s.Node(key, 0)
	checkError(t, "Node of an unknown feed", err, merkle.ErrNoNode)
	var indices []uint64
	for i := uint64(128); i < 400; i++ { // aligned trees and pieces of them
		indices = append(indices, i)
	}
	indices = append(indices, 2, 1023, 1<<53-1, math.MaxUint64)
	var nodes []merkle.Node
	for i := range indices {
		nodes = append(nodes, node(1, indices[len(indices)-1-i]))
	}
	write(t, s, hypercore.FeedWrite{Key: key, Nodes: nodes})
	check := func() {
		t.Helper()
		for _, index := range indices {
			if n, err := s.Node(key, index); err != nil || n != node(1, index) {
				t.Fatalf("Node(%d) = %v, %v, want %v", index, n, err, node(1, index))
			}
		}
		for _, index := range []uint64{0, 1, 3, 127, 400, 1 << 40} {
			_, err := s.Node(key, index)
			checkError(t, "Node of an index not stored", err, merkle.ErrNoNode)
		}
	}
	check()
	for _, index := range indices {
		write(t, s, hypercore.FeedWrite{Key: key, Nodes: []merkle.Node{node(1, index)}})
	}
	check()
	write(t, s, hypercore.FeedWrite{Key: key, Nodes: append(nodes, nodes...)})
	check()
}
