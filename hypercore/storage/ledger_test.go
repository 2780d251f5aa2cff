package storage_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"math/rand/v2"
	"sync"
	"testing"

	"github.com/cobox-p2p/cobox-p2p/hypercore"
	"github.com/cobox-p2p/cobox-p2p/hypercore/merkle"
	"github.com/cobox-p2p/cobox-p2p/hypercore/storage"
)

// ledger commits numbered batches, notes which became durable, and checks what
// a store holds of them: batch i writes the i-th block, node, record and head,
// to two feeds.
type ledger struct {
	committed int   // batches whose Commit returned nil
	long      bool  // batches write long runs, too
	story     story // of the feed of long runs, after the committed batches

	mu     sync.Mutex // guards below
	calls  int        // of Durable
	good   int        // of them with nil
	broken bool       // a Durable came out of order
}

var ledgerKey, ledgerTwin, ledgerLong = hypercore.Key{1}, hypercore.Key{2}, hypercore.Key{3}

func newLedger() *ledger { return &ledger{} }

// block returns the i-th block, whose size is between 0 and max.
func (l *ledger) block(i, max int) []byte {
	rng := rand.New(rand.NewPCG(uint64(i), 7))
	b := make([]byte, rng.IntN(max))
	for j := 0; j+8 <= len(b); j += 8 {
		binary.LittleEndian.PutUint64(b[j:], uint64(i*j))
	}
	return b
}

func (l *ledger) batch(i, max int) *hypercore.Batch {
	block := l.block(i, max)
	w := hypercore.FeedWrite{
		Key: ledgerKey, Head: &hypercore.Head{Length: uint64(i) + 1, Size: uint64(max)},
		Nodes: []merkle.Node{{Index: uint64(i), Size: uint64(i)}},
		Runs:  []hypercore.Run{{Start: uint64(i), Blocks: [][]byte{block}}},
	}
	twin := w
	twin.Key = ledgerTwin
	feeds := []hypercore.FeedWrite{w, twin}
	if l.long {
		feeds = append(feeds, l.story.next(i))
	}
	return &hypercore.Batch{
		Feeds:   feeds,
		Records: []hypercore.Record{{Key: []byte("last"), Value: binary.BigEndian.AppendUint64(nil, uint64(i)+1)}},
	}
}

// commit commits the next batch.
func (l *ledger) commit(s *storage.Store, max int, urgent bool) error {
	i := l.committed
	b := l.batch(i, max)
	b.Urgent = urgent
	b.Durable = func(err error) {
		l.mu.Lock()
		defer l.mu.Unlock()
		l.broken = l.broken || l.calls != i || err == nil && l.good != i
		l.calls++
		if err == nil {
			l.good++
		}
	}
	err := s.Commit(b)
	if err == nil {
		l.committed++
	} else if l.long {
		l.story = storyOf(i)
	}
	return err
}

// durable returns how many batches, from the first on, were called durable.
func (l *ledger) durable() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.good
}

// wait returns durable after the store was closed: then every Durable must have
// been called.
func (l *ledger) wait(t *testing.T) int {
	t.Helper()
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.calls != l.committed || l.broken {
		t.Errorf("Durable was called %d times for %d batches, out of order: %v", l.calls, l.committed, l.broken)
	}
	return l.good
}

// check fails the test unless the store holds some number of whole batches, from
// the first on, and at least so many.
func (l *ledger) check(t *testing.T, s *storage.Store, least int) {
	t.Helper()
	f, err := s.Feed(ledgerKey)
	if errors.Is(err, hypercore.ErrNoFeed) {
		err = nil
	}
	if err != nil {
		t.Fatal(err)
	}
	n := f.Head.Length
	if n < uint64(least) || n > uint64(l.committed)+1 {
		t.Fatalf("store holds %d batches, %d were durable, %d committed", n, least, l.committed)
	}
	if n == 0 {
		return
	}
	if v, err := s.Record([]byte("last")); err != nil || binary.BigEndian.Uint64(v) != n {
		t.Fatalf("record = %x, %v, want %d", v, err, n)
	}
	for _, key := range []hypercore.Key{ledgerKey, ledgerTwin} {
		l.checkFeed(t, s, key, n, int(f.Head.Size))
	}
	if l.long {
		want := storyOf(int(n))
		want.check(t, s)
	}
}

func (l *ledger) checkFeed(t *testing.T, s *storage.Store, key hypercore.Key, n uint64, max int) {
	t.Helper()
	f, err := s.Feed(key)
	if err != nil || f.Head.Length != n || f.Blocks != n {
		t.Fatalf("feed of %d batches = %+v, %v", n, f, err)
	}
	for span, err := range s.Held(key) {
		if err != nil || span.Start != 0 || span.Count != n {
			t.Fatalf("held after %d batches: %v, %v", n, span, err)
		}
	}
	size := uint64(0)
	for i := range n {
		blocks, err := s.Blocks(key, hypercore.Span{Start: i, Count: 1})
		if err != nil || !bytes.Equal(blocks[0], l.block(int(i), max)) {
			t.Fatalf("block %d of %d is not what was written: %v", i, n, err)
		}
		size += uint64(len(blocks[0]))
		if node, err := s.Node(key, i); err != nil || node.Size != i {
			t.Fatalf("node %d of %d = %v, %v", i, n, node, err)
		}
	}
	if f.Bytes != size {
		t.Fatalf("feed counts %d bytes, holds %d", f.Bytes, size)
	}
}
