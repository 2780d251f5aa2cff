package storage_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"maps"
	"slices"
	"testing"

	"github.com/cobox-p2p/cobox-p2p/hypercore"
	"github.com/cobox-p2p/cobox-p2p/hypercore/merkle"
	"github.com/cobox-p2p/cobox-p2p/hypercore/storage"
)

// story is what a feed of long runs holds after some number of batches: runs for
// data files are appended, parts of them cleared and written again, the feed
// truncated, dropped and begun anew. Batch i always does the same.
type story struct {
	length uint64
	held   map[uint64]int    // seq -> batch that wrote it
	nodes  map[uint64]uint64 // index -> size
	made   bool
}

const storyBlock = 33 << 10 // bytes of the blocks of long runs

// storyOf returns the story after n batches.
func storyOf(n int) story {
	var s story
	for i := range n {
		s.next(i)
	}
	return s
}

func (s *story) block(seq uint64) []byte {
	i := s.held[seq]
	b := make([]byte, storyBlock-i%7)
	for j := 0; j+8 <= len(b); j += 1 << 10 {
		binary.LittleEndian.PutUint64(b[j:], uint64(i)<<32+seq)
	}
	return b
}

// next returns what batch i does and adds it to the story.
func (s *story) next(i int) hypercore.FeedWrite {
	w := hypercore.FeedWrite{Key: ledgerLong}
	if i%17 == 16 {
		*s = story{}
		w.Drop = true
		return w
	}
	if s.held == nil {
		s.held, s.nodes = map[uint64]int{}, map[uint64]uint64{}
	}
	s.made = true
	w.Head = &hypercore.Head{Size: uint64(i)}
	switch i % 6 {
	case 2:
		if s.length > 6 {
			s.clear(&w, hypercore.Span{Start: s.length / 3, Count: 5})
		}
	case 4:
		s.length -= s.length / 4
		w.Truncate = true
		maps.DeleteFunc(s.held, func(seq uint64, _ int) bool { return seq >= s.length })
		maps.DeleteFunc(s.nodes, func(index, _ uint64) bool { return index >= 2*s.length })
	case 5:
		if s.length > 12 { // clear and write again in one batch
			s.clear(&w, hypercore.Span{Start: 1, Count: 10})
			s.write(&w, i, 1, 10)
		}
	default:
		s.write(&w, i, s.length, 9)
		s.length += 9
	}
	w.Head.Length = s.length
	return w
}

func (s *story) clear(w *hypercore.FeedWrite, span hypercore.Span) {
	w.Clear = append(w.Clear, span)
	for seq := span.Start; seq < span.End(); seq++ {
		delete(s.held, seq)
	}
}

func (s *story) write(w *hypercore.FeedWrite, i int, start, count uint64) {
	run := hypercore.Run{Start: start}
	for seq := start; seq < start+count; seq++ {
		s.held[seq], s.nodes[2*seq] = i, seq
		run.Blocks = append(run.Blocks, s.block(seq))
		w.Nodes = append(w.Nodes, merkle.Node{Index: 2 * seq, Size: seq})
	}
	w.Runs = append(w.Runs, run)
}

// check compares what the store holds of the feed.
func (s *story) check(t *testing.T, st *storage.Store) {
	t.Helper()
	f, err := st.Feed(ledgerLong)
	if !s.made {
		if !errors.Is(err, hypercore.ErrNoFeed) {
			t.Fatalf("feed that was dropped = %+v, %v", f, err)
		}
		return
	}
	if err != nil || f.Head.Length != s.length || f.Blocks != uint64(len(s.held)) {
		t.Fatalf("feed of %d blocks, %d held = %+v, %v", s.length, len(s.held), f, err)
	}
	for _, seq := range slices.Sorted(maps.Keys(s.held)) {
		got, err := st.Blocks(ledgerLong, hypercore.Span{Start: seq, Count: 1})
		if err != nil || !bytes.Equal(got[0], s.block(seq)) {
			t.Fatalf("block %d of long runs isn't what was written: %v", seq, err)
		}
	}
	for seq := range s.length + 12 {
		if _, ok := s.held[seq]; !ok {
			if _, err := st.Blocks(ledgerLong, hypercore.Span{Start: seq, Count: 1}); !errors.Is(err, hypercore.ErrNoBlock) {
				t.Fatalf("block %d, which is not held: %v", seq, err)
			}
		}
		n, err := st.Node(ledgerLong, 2*seq)
		if size, ok := s.nodes[2*seq]; ok && (err != nil || n.Size != size) || !ok && !errors.Is(err, merkle.ErrNoNode) {
			t.Fatalf("node %d = %v, %v, stored: %v", 2*seq, n, err, ok)
		}
	}
}
