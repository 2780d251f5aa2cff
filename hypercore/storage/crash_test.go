package storage_test

import (
	"bytes"
	"math/rand/v2"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/cobox-p2p/cobox-p2p/hypercore/storage"
)

// TestPowerCut cuts the power at many points while batches are committed. What
// lies on the disk then is what was synced and a random part of the rest. The
// store must open, hold every batch that was called durable, and of the others
// whole ones only, without a gap.
func TestPowerCut(t *testing.T) {
	seed := rand.Uint64()
	defer func() {
		if t.Failed() {
			t.Logf("seed %d", seed)
		}
	}()
	rng := rand.New(rand.NewPCG(seed, 0))
	rounds, batches := 1, 4+sized(26)
	if soak {
		rounds, batches = 8, 150
	}
	for _, max := range []int{300, 4 << 10, 30 << 10, longMax} {
		for range rounds {
			powerCuts(t, rng, max, batches)
		}
	}
}

// longMax, as the largest size of a block, stands for a ledger with long runs.
const longMax = 2 << 10

// ruin plays a file system that frees bytes, where they are no zeros later.
func ruin(f vfs.File, offset, size int64) error {
	if _, err := f.WriteAt(bytes.Repeat([]byte{0xdd}, int(size)), offset); err != nil {
		return err
	}
	return f.SyncData()
}

// powerCuts commits batches and takes copies of the disk as a power cut would
// leave it, before, between and during the commits.
func powerCuts(t *testing.T, rng *rand.Rand, max, batches int) {
	disk := vfs.NewCrashableMem()
	s := openStore(t, "store", disk, storage.WithMemTable(96<<10), storage.WithSegment(1<<20), storage.WithPunch(ruin))
	l := newLedger()
	l.long = max == longMax
	for range batches {
		if err := l.commit(s, max, rng.IntN(4) == 0); err != nil {
			t.Fatal(err)
		}
		if rng.IntN(14) == 0 {
			cutPower(t, rng, disk, l)
		}
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if got := l.wait(t); got != batches {
		t.Fatalf("%d of %d batches became durable", got, batches)
	}
	cutPower(t, rng, disk, l)
}

// cutPower checks what a power cut would leave now. The syncs of earlier batches
// may be under way.
func cutPower(t *testing.T, rng *rand.Rand, disk *vfs.MemFS, l *ledger) {
	t.Helper()
	durable := l.durable() // before the copy, so all of it must be there
	left := disk.CrashClone(vfs.CrashCloneCfg{UnsyncedDataPercent: rng.IntN(3) * 50, RNG: rng})
	s := openStore(t, "store", left)
	l.check(t, s, durable)
	// The store must be of use after the cut, and survive a second one.
	next := newLedger()
	next.long = l.long
	if f, err := s.Feed(ledgerKey); err == nil {
		next.committed, next.calls, next.good = int(f.Head.Length), int(f.Head.Length), int(f.Head.Length)
		next.story = storyOf(next.committed)
	}
	max := 500
	if f, err := s.Feed(ledgerKey); err == nil {
		max = int(f.Head.Size)
	}
	if err := next.commit(s, max, true); err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	again := openStore(t, "store", left.CrashClone(vfs.CrashCloneCfg{}))
	next.check(t, again, next.wait(t))
	again.Close()
}

// TestPowerCutAtOpen cuts the power right after Open and in a new folder.
func TestPowerCutAtOpen(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 1))
	for range 20 {
		disk := vfs.NewCrashableMem()
		s := openStore(t, "some/deep/store", disk)
		left := disk.CrashClone(vfs.CrashCloneCfg{UnsyncedDataPercent: rng.IntN(100), RNG: rng})
		s.Close()
		l := newLedger()
		again := openStore(t, "some/deep/store", left)
		if err := l.commit(again, 100, true); err != nil {
			t.Fatal(err)
		}
		if err := again.Close(); err != nil {
			t.Fatal(err)
		}
	}
}
