// Package storagetest checks that a hypercore.Storage keeps its contract. The
// stores of this project pass it, and any other must:
//
//	func TestStore(t *testing.T) {
//		storagetest.Run(t, func(t *testing.T) hypercore.Storage { return mystore.New() })
//	}
//
// A store that outlives its Close passes RunReopen as well. What a power cut
// leaves is for the tests of each store: it depends on the disk below.
package storagetest

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/cobox-p2p/cobox-p2p/hypercore"
	"github.com/cobox-p2p/cobox-p2p/hypercore/merkle"
)

// Run checks the store that open returns, new and empty for every test. The
// stores are closed here.
func Run(t *testing.T, open func(t *testing.T) hypercore.Storage) {
	for _, test := range []struct {
		name string
		run  func(t *testing.T, s hypercore.Storage)
	}{
		{"Feeds", testFeeds},
		{"Listing", testListing},
		{"Atomic", testAtomic},
		{"Drop", testDrop},
		{"DropInOneBatch", testDropInOneBatch},
		{"Overlap", testOverlap},
		{"Sparse", testSparse},
		{"SpanReads", testSpanReads},
		{"HostileSpans", testHostileSpans},
		{"EmptyBlocks", testEmptyBlocks},
		{"BigBlocks", testBigBlocks},
		{"Nodes", testNodes},
		{"Clear", testClear},
		{"Replace", testReplace},
		{"Truncate", testTruncate},
		{"TruncateInBatch", testTruncateInBatch},
		{"RemoveUnderUse", testRemoveUnderUse},
		{"Records", testRecords},
		{"RecordPrefixes", testRecordPrefixes},
		{"Loops", testLoops},
		{"Aliasing", testAliasing},
		{"DurableOrder", testDurableOrder},
		{"Concurrent", testConcurrent},
		{"Close", testClose},
		{"CloseUnderUse", testCloseUnderUse},
		{"Random", testRandom},
	} {
		t.Run(test.name, func(t *testing.T) {
			s := open(t)
			defer s.Close()
			test.run(t, s)
		})
	}
}

// RunReopen checks a store that outlives its Close. open opens the store that
// lies in dir, which is an empty folder at the first call.
func RunReopen(t *testing.T, open func(t *testing.T, dir string) hypercore.Storage) {
	t.Run("Reopen", func(t *testing.T) { testReopen(t, open) })
	t.Run("RandomReopen", func(t *testing.T) { testRandomReopen(t, open) })
}

// feedKey returns the key of the n-th test feed; they ascend with n.
func feedKey(n int) (key hypercore.Key) {
	binary.BigEndian.PutUint32(key[:], uint32(n))
	rand.NewChaCha8([32]byte{byte(n)}).Read(key[4:])
	return key
}

// content returns the bytes of a block, which depend on feed, seq and size.
func content(feed int, seq uint64, size int) []byte {
	b := make([]byte, size)
	var seed [32]byte
	binary.BigEndian.PutUint64(seed[:], uint64(feed))
	binary.BigEndian.PutUint64(seed[8:], seq)
	rand.NewChaCha8(seed).Read(b)
	return b
}

// run returns count blocks of size bytes from start on.
func run(feed int, start, count uint64, size int) hypercore.Run {
	r := hypercore.Run{Start: start}
	for i := range count {
		r.Blocks = append(r.Blocks, content(feed, start+i, size))
	}
	return r
}

// node returns the n-th node of a test feed.
func node(feed int, index uint64) merkle.Node {
	return merkle.Node{Index: index, Size: index * 3, Hash: merkle.Hash(content(feed, ^index, merkle.HashSize))}
}

func head(feed int, length uint64) hypercore.Head {
	h := hypercore.Head{Length: length, Size: length * 100}
	copy(h.RootHash[:], content(feed, length, len(h.RootHash)))
	copy(h.Signature[:], content(feed, length+1, len(h.Signature)))
	return h
}

func commit(t *testing.T, s hypercore.Storage, b *hypercore.Batch) {
	t.Helper()
	if err := s.Commit(b); err != nil {
		t.Fatalf("Commit: %v", err)
	}
}

// write commits one write to one feed.
func write(t *testing.T, s hypercore.Storage, w hypercore.FeedWrite) {
	t.Helper()
	commit(t, s, &hypercore.Batch{Feeds: []hypercore.FeedWrite{w}})
}

func heldSpans(s hypercore.Storage, key hypercore.Key) (spans []hypercore.Span, err error) {
	for span, err := range s.Held(key) {
		if err != nil {
			return nil, err
		}
		spans = append(spans, span)
	}
	return spans, nil
}

func checkHeld(t *testing.T, s hypercore.Storage, key hypercore.Key, want ...hypercore.Span) {
	t.Helper()
	got, err := heldSpans(s, key)
	if err != nil {
		t.Fatalf("Held: %v", err)
	}
	if fmt.Sprint(got) != fmt.Sprint(want) {
		t.Fatalf("Held = %v, want %v", got, want)
	}
}

func checkCounts(t *testing.T, s hypercore.Storage, key hypercore.Key, blocks, size uint64) {
	t.Helper()
	f, err := s.Feed(key)
	if err != nil {
		t.Fatalf("Feed: %v", err)
	}
	if f.Blocks != blocks || f.Bytes != size {
		t.Fatalf("feed holds %d blocks of %d bytes, want %d of %d", f.Blocks, f.Bytes, blocks, size)
	}
}

// checkBlocks reads the span and compares it with what run makes.
func checkBlocks(t *testing.T, s hypercore.Storage, feed int, start, count uint64, size int) {
	t.Helper()
	got, err := s.Blocks(feedKey(feed), hypercore.Span{Start: start, Count: count})
	if err != nil {
		t.Fatalf("Blocks(%d, %d): %v", start, count, err)
	}
	if uint64(len(got)) != count {
		t.Fatalf("Blocks(%d, %d) returned %d blocks", start, count, len(got))
	}
	for i, b := range got {
		if !bytes.Equal(b, content(feed, start+uint64(i), size)) {
			t.Fatalf("block %d has other bytes than were written", start+uint64(i))
		}
	}
}

// checkError fails the test unless err is want.
func checkError(t *testing.T, what string, err, want error) {
	t.Helper()
	if !errors.Is(err, want) {
		t.Fatalf("%s = %v, want %v", what, err, want)
	}
}
