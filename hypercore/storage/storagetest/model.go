package storagetest

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"

	"github.com/cobox-p2p/cobox-p2p/hypercore"
	"github.com/cobox-p2p/cobox-p2p/hypercore/merkle"
)

// Bounds of the random operations: few feeds and blocks, so that they meet.
const (
	modelFeeds   = 6
	modelBlocks  = 400
	modelNodes   = 800
	modelRecords = 40
)

// model is a store of plain maps. Block, node and record bytes depend on where
// they are and on how often the feed was dropped, so that leftovers show.
type model struct {
	feeds   map[int]*modelFeed
	drops   map[int]int
	records map[string][]byte
}

type modelFeed struct {
	head   hypercore.Head
	blocks map[uint64]bool
	nodes  map[uint64]bool
}

func newModel() *model {
	return &model{feeds: make(map[int]*modelFeed), drops: make(map[int]int), records: make(map[string][]byte)}
}

// salt makes the bytes of one life of a feed differ from those of the others.
func (m *model) salt(feed int) int { return feed + 1000*m.drops[feed] }

func (m *model) block(feed int, seq uint64) []byte {
	size := int(seq*seq*7%97) * int(seq%3)
	if seq%41 == 0 {
		size = 9000
	}
	if seq > 100 && seq < 130 { // long runs, which a store may keep elsewhere
		size = 14 << 10
	}
	return content(m.salt(feed), seq, size)
}

// batch makes a random batch and applies it to the model.
func (m *model) batch(rng *rand.Rand) *hypercore.Batch {
	b := &hypercore.Batch{Urgent: rng.IntN(8) == 0}
	for range rng.IntN(4) {
		b.Feeds = append(b.Feeds, m.feedWrite(rng))
	}
	for range rng.IntN(4) {
		r := hypercore.Record{Key: fmt.Appendf(nil, "%d/%d", rng.IntN(4), rng.IntN(modelRecords))}
		if rng.IntN(3) > 0 {
			r.Value = content(rng.IntN(1000), 0, rng.IntN(100))
		}
		b.Records = append(b.Records, r)
		if r.Value == nil {
			delete(m.records, string(r.Key))
			continue
		}
		m.records[string(r.Key)] = bytes.Clone(r.Value)
	}
	return b
}

func (m *model) feedWrite(rng *rand.Rand) hypercore.FeedWrite {
	feed := rng.IntN(modelFeeds)
	w := hypercore.FeedWrite{Key: feedKey(feed)}
	if rng.IntN(25) == 0 {
		w.Drop = true
		delete(m.feeds, feed)
		m.drops[feed]++
		return w
	}
	f := m.feeds[feed]
	if f == nil {
		f = &modelFeed{blocks: make(map[uint64]bool), nodes: make(map[uint64]bool)}
		m.feeds[feed] = f
	}
	if rng.IntN(3) == 0 {
		h := head(feed, rng.Uint64N(1000))
		w.Head, f.head = &h, h
		if rng.IntN(6) == 0 {
			w.Truncate = true
			f.truncate(h.Length)
		}
	}
	for range max(0, rng.IntN(6)-3) {
		span := hypercore.Span{Start: rng.Uint64N(modelBlocks), Count: rng.Uint64N(60)}
		w.Clear = append(w.Clear, span)
		f.clear(span)
	}
	for range rng.IntN(4) {
		start := rng.Uint64N(modelBlocks)
		r := hypercore.Run{Start: start}
		count := rng.Uint64N(12)
		if rng.IntN(10) == 0 {
			count = rng.Uint64N(200)
		}
		if rng.IntN(12) == 0 {
			start, count = 90+rng.Uint64N(30), 20+rng.Uint64N(20)
			r.Start = start
		}
		for seq := start; seq < start+count; seq++ {
			r.Blocks = append(r.Blocks, m.block(feed, seq))
			f.blocks[seq] = true
		}
		w.Runs = append(w.Runs, r)
	}
	start, count := rng.Uint64N(modelNodes), rng.Uint64N(20)
	if rng.IntN(6) == 0 {
		count = 300
	}
	for index := start; index < start+count; index++ {
		w.Nodes = append(w.Nodes, node(m.salt(feed), index))
		f.nodes[index] = true
	}
	return w
}

// truncate removes what doesn't belong to the first length blocks.
func (f *modelFeed) truncate(length uint64) {
	maps.DeleteFunc(f.blocks, func(seq uint64, _ bool) bool { return seq >= length })
	maps.DeleteFunc(f.nodes, func(index uint64, _ bool) bool { return lastBlock(index) >= length })
}

func (f *modelFeed) clear(span hypercore.Span) {
	maps.DeleteFunc(f.blocks, func(seq uint64, _ bool) bool { return seq >= span.Start && seq < span.End() })
}

// lastBlock returns the last block below a tree node.
func lastBlock(index uint64) uint64 {
	level := uint64(1)
	for index%(2*level) != level-1 {
		level *= 2
	}
	return (index + level - 1) / 2
}

// spot compares one random read.
func (m *model) spot(rng *rand.Rand, s hypercore.Storage) error {
	feed := rng.IntN(modelFeeds)
	f := m.feeds[feed]
	if f == nil {
		f = &modelFeed{}
	}
	index := rng.Uint64N(modelNodes + 300)
	n, err := s.Node(feedKey(feed), index)
	if f.nodes[index] && (err != nil || n != node(m.salt(feed), index)) {
		return fmt.Errorf("Node(%d) of feed %d = %v, %v", index, feed, n, err)
	}
	if !f.nodes[index] && !errors.Is(err, merkle.ErrNoNode) {
		return fmt.Errorf("Node(%d) of feed %d = %v, want ErrNoNode", index, feed, err)
	}
	span := hypercore.Span{Start: rng.Uint64N(modelBlocks + 200), Count: 1 + rng.Uint64N(30)}
	want := true
	for seq := span.Start; seq < span.End(); seq++ {
		want = want && f.blocks[seq]
	}
	blocks, err := s.Blocks(feedKey(feed), span)
	if !want {
		if !errors.Is(err, hypercore.ErrNoBlock) {
			return fmt.Errorf("Blocks(%v) of feed %d = %v, want ErrNoBlock", span, feed, err)
		}
		return nil
	}
	return m.same(feed, span, blocks, err)
}

func (m *model) same(feed int, span hypercore.Span, blocks [][]byte, err error) error {
	if err != nil || uint64(len(blocks)) != span.Count {
		return fmt.Errorf("Blocks(%v) of feed %d: %d blocks, %v", span, feed, len(blocks), err)
	}
	for i, b := range blocks {
		if !bytes.Equal(b, m.block(feed, span.Start+uint64(i))) {
			return fmt.Errorf("block %d of feed %d has other bytes", span.Start+uint64(i), feed)
		}
	}
	return nil
}

// check compares all of the store with the model.
func (m *model) check(s hypercore.Storage) error {
	var feeds []int
	for feed := range m.feeds {
		feeds = append(feeds, feed)
	}
	slices.Sort(feeds)
	i := 0
	for f, err := range s.Feeds() {
		if err != nil {
			return err
		}
		if i == len(feeds) || f.Key != feedKey(feeds[i]) {
			return fmt.Errorf("feed %d of the list should not be there", i)
		}
		if err := m.checkFeed(s, feeds[i], f); err != nil {
			return err
		}
		i++
	}
	if i != len(feeds) {
		return fmt.Errorf("%d feeds, want %d", i, len(feeds))
	}
	return m.checkRecords(s)
}

func (m *model) checkFeed(s hypercore.Storage, feed int, got hypercore.StoredFeed) error {
	f := m.feeds[feed]
	want := hypercore.StoredFeed{Key: feedKey(feed), Head: f.head, Blocks: uint64(len(f.blocks))}
	for seq := range f.blocks {
		want.Bytes += uint64(len(m.block(feed, seq)))
	}
	if got != want {
		return fmt.Errorf("feed %d = %+v, want %+v", feed, got, want)
	}
	spans, err := heldSpans(s, feedKey(feed))
	if err != nil || !slices.Equal(spans, spansOf(f.blocks)) {
		return fmt.Errorf("spans of Held of feed %d = %v, %v, want %v", feed, spans, err, spansOf(f.blocks))
	}
	for _, span := range spans {
		blocks, err := s.Blocks(feedKey(feed), span)
		if err := m.same(feed, span, blocks, err); err != nil {
			return err
		}
	}
	for index := uint64(feed) % nodeStep; index < modelNodes+320; index += nodeStep {
		n, err := s.Node(feedKey(feed), index)
		if f.nodes[index] && (err != nil || n != node(m.salt(feed), index)) || !f.nodes[index] && !errors.Is(err, merkle.ErrNoNode) {
			return fmt.Errorf("Node(%d) of feed %d = %v, %v, stored: %v", index, feed, n, err, f.nodes[index])
		}
	}
	return nil
}

func (m *model) checkRecords(s hypercore.Storage) error {
	var want, got []hypercore.Record
	for key, value := range m.records {
		want = append(want, hypercore.Record{Key: []byte(key), Value: value})
	}
	slices.SortFunc(want, func(a, b hypercore.Record) int { return cmp.Compare(string(a.Key), string(b.Key)) })
	for r, err := range s.Records(nil) {
		if err != nil {
			return err
		}
		got = append(got, r)
	}
	if !slices.EqualFunc(got, want, func(a, b hypercore.Record) bool {
		return bytes.Equal(a.Key, b.Key) && bytes.Equal(a.Value, b.Value)
	}) {
		return fmt.Errorf("records = %q, want %q", got, want)
	}
	return nil
}
