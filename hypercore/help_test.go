package hypercore_test

import (
	"context"
	"crypto/sha512"
	"errors"
	"runtime"
	"sync"
	"testing"

	"github.com/cobox-p2p/cobox-p2p/hypercore"
	"github.com/cobox-p2p/cobox-p2p/hypercore/storage"
)

// give copies one block with its whole proof.
func give(t testing.TB, from, to *hypercore.Feed, seq uint64) {
	t.Helper()
	d, err := from.Prove(seq, 0, false)
	if err != nil {
		t.Fatalf("Prove %d: %v", seq, err)
	}
	if err := to.Apply(context.Background(), d); err != nil {
		t.Fatalf("Apply %d: %v", seq, err)
	}
}

// waitFor begins a Get and returns when it waits. Its block goes to got.
func waitFor(t testing.TB, f *hypercore.Feed, seq uint64, got chan<- []byte) {
	t.Helper()
	before := f.Wanted()
	go func() {
		b, err := f.Get(context.Background(), seq)
		if err != nil {
			t.Errorf("Get %d: %v", seq, err)
		}
		got <- b
	}()
	for f.Wanted() == before {
		runtime.Gosched()
	}
}

// faulty is a store that counts commits and fails as told.
type faulty struct {
	*storage.Memory
	mu      sync.Mutex
	commits int
	err     error         // of every Commit
	entered chan struct{} // if set, each Commit sends here first
	gate    chan struct{} // and then waits for this
}

var errDisk = errors.New("disk full")

func (s *faulty) Commit(b *hypercore.Batch) error {
	if s.entered != nil {
		s.entered <- struct{}{}
		<-s.gate
	}
	s.mu.Lock()
	err := s.err
	s.commits++
	s.mu.Unlock()
	if err != nil {
		return err
	}
	return s.Memory.Commit(b)
}

func (s *faulty) fail(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.err = err
}

func (s *faulty) count() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.commits
}

func sha512Of(parts ...[]byte) []byte {
	h := sha512.New()
	for _, p := range parts {
		h.Write(p)
	}
	return h.Sum(nil)
}

func wantHeld(t testing.TB, f *hypercore.Feed, seq uint64) {
	t.Helper()
	if !f.Has(hypercore.Span{Start: seq, Count: 1}) {
		t.Fatalf("block %d did not arrive", seq)
	}
}

// frugal is a store that returns nil for an empty block.
type frugal struct{ *storage.Memory }

func (s frugal) Blocks(key hypercore.Key, span hypercore.Span) ([][]byte, error) {
	blocks, err := s.Memory.Blocks(key, span)
	for i, b := range blocks {
		if len(b) == 0 {
			blocks[i] = nil
		}
	}
	return blocks, err
}
