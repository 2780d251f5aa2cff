package hypercore_test

import (
	"context"
	"errors"
	"slices"
	"testing"
	"time"

	"github.com/cobox-p2p/cobox-p2p/hypercore"
)

var errPolicy = errors.New("not this one")

func TestGuardRefusesBlocksWithoutBlame(t *testing.T) {
	for seed := range uint64(10) {
		writer, wst := written(t, 40)
		reader, rst := reading(t)
		var refuse = func(seq uint64) bool { return seq%3 == 0 }
		asked := map[uint64]int{}
		reader.SetGuard(func(seq uint64, block []byte, from *hypercore.Peer) error {
			asked[seq]++
			if from == nil || string(block) != string(blockOf(seq)) {
				t.Errorf("guard of block %d: %x from %v", seq, block, from)
			}
			if refuse(seq) {
				return errPolicy
			}
			return nil
		})
		w := newWorld(t, seed)
		w.link("a", writer, reader)
		w.link("b", writer, reader)
		w.settle(0)
		mustAppend(t, writer, blocksOf(40, 2)...)
		w.settle(hypercore.RefusalPause / 2)
		if reader.Length() != 42 {
			t.Fatalf("seed %d: length %d, want 42: refused blocks must not stop the growth", seed, reader.Length())
		}
		for s := range uint64(42) {
			if got := reader.Has(hypercore.Span{Start: s, Count: 1}); got == refuse(s) {
				t.Errorf("seed %d: block %d held %t", seed, s, got)
			}
			if asked[s] != 1 {
				t.Errorf("seed %d: the guard saw block %d %d times, want once", seed, s, asked[s])
			}
		}
		if s := reader.Stats(); s.Refused != 14 || s.GotBlocks < 28 {
			t.Errorf("seed %d: stats = %+v, want 14 refused of 42", seed, s)
		}
		checkSame(t, "reader", reader, writer, rst, wst)
		// Later they are asked for again, and taken if the guard likes them now.
		refuse = func(uint64) bool { return false }
		w.settle(2 * hypercore.RefusalPause)
		checkAll(t, "reader", reader, writer, rst, wst)
	}
}

func TestRefusedBlockComesBackAfterThePause(t *testing.T) {
	writer, _ := written(t, 4)
	reader, _ := reading(t)
	var at []time.Time
	w := newWorld(t, 1)
	reader.SetGuard(func(seq uint64, _ []byte, _ *hypercore.Peer) error {
		if seq != 2 {
			return nil
		}
		at = append(at, w.now)
		return errPolicy
	})
	w.link("wr", writer, reader)
	w.settle(5 * hypercore.RefusalPause)
	if len(at) < 3 || len(at) > 6 {
		t.Fatalf("asked %d times in five pauses", len(at))
	}
	for i, x := range at[1:] {
		if pause := x.Sub(at[i]); pause < hypercore.RefusalPause || pause > 2*hypercore.RefusalPause {
			t.Errorf("pause %d = %v, want one to two of %v", i, pause, hypercore.RefusalPause)
		}
	}
	// Given up for good.
	mustClear(t, reader, hypercore.Span{Start: 2, Count: 1})
	n := len(at)
	w.settle(5 * hypercore.RefusalPause)
	if len(at) != n {
		t.Error("a block that was cleared is still asked for")
	}
}

func TestGuardOfApply(t *testing.T) {
	ctx := context.Background()
	writer, _ := written(t, 4)
	reader, _ := reading(t)
	var seen []uint64
	reader.SetGuard(func(seq uint64, _ []byte, from *hypercore.Peer) error {
		if from != nil {
			t.Errorf("block %d from %v", seq, from)
		}
		seen = append(seen, seq)
		return errPolicy
	})
	d, err := writer.Prove(1, 0, false)
	if err != nil {
		t.Fatal(err)
	}
	if err := reader.Apply(ctx, d); !errors.Is(err, hypercore.ErrRefused) || !errors.Is(err, errPolicy) {
		t.Errorf("Apply = %v, want ErrRefused and the guard's error", err)
	}
	if reader.Length() != 4 || reader.Has(hypercore.Span{Start: 1, Count: 1}) {
		t.Errorf("length %d, held %t", reader.Length(), reader.Has(hypercore.Span{Start: 1, Count: 1}))
	}
	reader.SetGuard(nil)
	if err := reader.Apply(ctx, d); err != nil || !slices.Equal(seen, []uint64{1}) {
		t.Errorf("Apply without a guard = %v, guard saw %v", err, seen)
	}
	own, _ := written(t, 0)
	own.SetGuard(func(uint64, []byte, *hypercore.Peer) error { return errPolicy })
	mustAppend(t, own, []byte("own blocks pass no guard"))
}
