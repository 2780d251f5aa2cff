package storage_test

import (
	"context"
	"log/slog"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/cobox-p2p/cobox-p2p/hypercore/storage"
)

// cutter takes copies of the disks as power cuts would leave them, right before
// operations on their files.
type cutter struct {
	disk    *twoDisks
	l       *ledger
	rng     *rand.Rand
	every   int // operations between two cuts, on average
	left    []*twoDisks
	durable []int // batches that were called durable before
}

func (c *cutter) cut() {
	if c.rng.IntN(c.every) == 0 {
		c.durable = append(c.durable, c.l.durable())
		c.left = append(c.left, c.disk.crash(c.rng, c.rng.IntN(5)*25, c.rng.IntN(5)*25))
	}
}

// TestPowerCutInside cuts the power within commits and syncs: before writes and
// syncs of data files, of the log, of tables, and before files are made and
// removed. What the system has written back of data files and of the index by
// then has nothing to do with each other.
func TestPowerCutInside(t *testing.T) {
	seed := rand.Uint64()
	defer func() {
		if t.Failed() {
			t.Logf("seed %d", seed)
		}
	}()
	rounds := 1
	if soak {
		rounds = 40
	}
	for round := range rounds {
		for _, urgent := range []int{3, 7, 1000} { // every so many batches one is
			rng := rand.New(rand.NewPCG(seed, uint64(1000*round+urgent)))
			cutInside(t, rng, 12+sized(24), urgent)
		}
	}
}

// cutInside commits batches of which every so many is urgent. After some cuts the
// power is cut again while the store is opened.
func cutInside(t *testing.T, rng *rand.Rand, batches, urgent int) {
	disk := newTwoDisks(t)
	openStore(t, "store", disk).Close()
	l := newLedger()
	l.long = true
	c := &cutter{disk: disk, l: l, rng: rng, every: 30}
	disk.setCut(c.cut)
	s := openStore(t, "store", disk, storage.WithMemTable(96<<10), storage.WithSegment(1<<20), storage.WithPunch(ruin))
	for i := range batches {
		if err := l.commit(s, longMax, i%urgent == urgent-1); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	disk.setCut(nil)
	undone := 0
	for i, left := range c.left {
		again := &cutter{disk: left, l: l, rng: rng, every: 8}
		if i%5 == 0 {
			left.setCut(again.cut)
		}
		s := openStore(t, "store", left, storage.WithLogger(slog.New(&undoneHandler{Handler: slog.DiscardHandler, count: &undone})))
		left.setCut(nil)
		l.check(t, s, c.durable[i])
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
		for _, left := range append(again.left, left.crash(rng, 0, 0)) {
			s := openStore(t, "store", left)
			l.check(t, s, c.durable[i])
			if err := s.Close(); err != nil {
				t.Fatal(err)
			}
		}
	}
	t.Logf("%d power cuts, of which %d undid something", len(c.left), undone)
}

// undoneHandler counts what is logged of batches that are undone.
type undoneHandler struct {
	slog.Handler
	count *int
}

func (h *undoneHandler) Enabled(context.Context, slog.Level) bool { return true }

func (h *undoneHandler) Handle(_ context.Context, r slog.Record) error {
	if strings.Contains(r.Message, "undone") {
		*h.count++
	}
	return nil
}
