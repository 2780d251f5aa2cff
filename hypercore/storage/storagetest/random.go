package storagetest

import (
	"math/rand/v2"
	"os"
	"strconv"
	"testing"

	"github.com/cobox-p2p/cobox-p2p/hypercore"
)

// COBOX_SOAK=1 in the environment makes the random tests longer, COBOX_SEED
// repeats one of them.
const (
	soakVariable = "COBOX_SOAK"
	seedVariable = "COBOX_SEED"
)

func newRand(t *testing.T) *rand.Rand {
	seed := rand.Uint64()
	if text := os.Getenv(seedVariable); text != "" {
		n, err := strconv.ParseUint(text, 10, 64)
		if err != nil {
			t.Fatalf("%s: %v", seedVariable, err)
		}
		seed = n
	}
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("repeat with %s=%d", seedVariable, seed)
		}
	})
	return rand.New(rand.NewPCG(seed, 0))
}

// operations returns how many random batches a test commits.
func operations() int {
	if os.Getenv(soakVariable) == "1" {
		return 20000
	}
	return randomOperations
}

// testRandom compares the store with a model of plain maps over random batches.
func testRandom(t *testing.T, s hypercore.Storage) {
	rng := newRand(t)
	m := newModel()
	for i := range operations() {
		commit(t, s, m.batch(rng))
		if err := m.spot(rng, s); err != nil {
			t.Fatalf("after %d batches: %v", i+1, err)
		}
		if i%100 == 99 {
			if err := m.check(s); err != nil {
				t.Fatalf("after %d batches: %v", i+1, err)
			}
		}
	}
	if err := m.check(s); err != nil {
		t.Fatal(err)
	}
}

func testRandomReopen(t *testing.T, open func(t *testing.T, dir string) hypercore.Storage) {
	rng := newRand(t)
	m := newModel()
	dir := t.TempDir()
	for range 4 {
		s := open(t, dir)
		if err := m.check(s); err != nil {
			t.Fatalf("after opening: %v", err)
		}
		for range operations() / 8 {
			commit(t, s, m.batch(rng))
		}
		if err := m.check(s); err != nil {
			t.Fatal(err)
		}
		if err := s.Close(); err != nil {
			t.Fatalf("Close: %v", err)
		}
	}
}

// testReopen checks that a dropped feed stays away and new blocks join old ones.
func testReopen(t *testing.T, open func(t *testing.T, dir string) hypercore.Storage) {
	dir := t.TempDir()
	s := open(t, dir)
	h := head(1, 8)
	write(t, s, hypercore.FeedWrite{Key: feedKey(1), Head: &h, Runs: []hypercore.Run{run(1, 0, 8, 10)}})
	write(t, s, hypercore.FeedWrite{Key: feedKey(2), Runs: []hypercore.Run{run(2, 0, 8, 10)}})
	write(t, s, hypercore.FeedWrite{Key: feedKey(2), Drop: true})
	if err := s.Close(); err != nil {
		t.Fatalf("Close: %v", err)
	}
	s = open(t, dir)
	defer s.Close()
	write(t, s, hypercore.FeedWrite{Key: feedKey(1), Runs: []hypercore.Run{run(1, 8, 4, 10)}})
	write(t, s, hypercore.FeedWrite{Key: feedKey(3), Runs: []hypercore.Run{run(3, 1, 1, 10)}})
	got, err := s.Feed(feedKey(1))
	if want := (hypercore.StoredFeed{Key: feedKey(1), Head: h, Blocks: 12, Bytes: 120}); err != nil || got != want {
		t.Fatalf("Feed after reopening = %+v, %v, want %+v", got, err, want)
	}
	checkHeld(t, s, feedKey(1), hypercore.Span{Count: 12})
	checkBlocks(t, s, 1, 0, 12, 10)
	_, err = s.Feed(feedKey(2))
	checkError(t, "Feed dropped before reopening", err, hypercore.ErrNoFeed)
	checkHeld(t, s, feedKey(3), hypercore.Span{Start: 1, Count: 1})
}
