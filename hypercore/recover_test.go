package hypercore_test

import (
	"context"
	"errors"
	"fmt"
	"testing"

	"github.com/cobox-p2p/cobox-p2p/hypercore"
)

// flipHead returns what flips one bit of a head as the store keeps it.
func flipHead(bit int) func(*hypercore.StoredFeed) error {
	return func(f *hypercore.StoredFeed) error {
		switch {
		case bit < 64:
			f.Head.Length ^= 1 << bit
		case bit < 128:
			f.Head.Size ^= 1 << (bit - 64)
		case bit < 128+256:
			f.Head.RootHash[(bit-128)/8] ^= 1 << (bit % 8)
		default:
			f.Head.Signature[(bit-384)/8] ^= 1 << (bit % 8)
		}
		return nil
	}
}

// TestEveryBitOfTheHead flips each of them. Whatever the signature still proves
// is put right; else nothing is changed.
func TestEveryBitOfTheHead(t *testing.T) {
	f, writer, st, full := rottenFeed(t, 11, nil)
	f.Close()
	key := f.Key()
	for bit := range 384 + 512 {
		if bit >= 128 && bit%7 != 0 {
			continue // of hash and signature some
		}
		st.head = flipHead(bit)
		st.writes = nil
		opened, err := hypercore.Open(st, key, hypercore.KeyPair{})
		if bit < 384 && !errors.Is(err, hypercore.ErrDamaged) {
			t.Fatalf("bit %d: Open = %v, want ErrDamaged", bit, err)
		}
		done, recErr := hypercore.Recover(context.Background(), st, key)
		if bit < 384 {
			if recErr != nil || !done.Rehead || done.Head != writer.Head() || done.Blocks != 11 || done.Cut != 0 {
				t.Fatalf("bit %d: Recover = %+v, %v", bit, done, recErr)
			}
			f := mustOpen(t, st, pairOf(1), false)
			checkAll(t, fmt.Sprint("bit ", bit), f, writer, st, full)
			f.Close()
			continue
		}
		if err != nil {
			t.Fatalf("bit %d of the signature: Open = %v", bit, err)
		}
		if a := mustAudit(t, opened); !errors.Is(a.Head, hypercore.ErrDamaged) || a.Valid() || a.Damaged != 0 {
			t.Fatalf("bit %d of the signature: Audit = %+v", bit, a)
		}
		if !errors.Is(recErr, hypercore.ErrDamaged) || len(st.writes) != 0 {
			t.Fatalf("bit %d of the signature: Recover = %+v, %v; wrote %v", bit, done, recErr, st.writes)
		}
		opened.Close()
	}
}

// TestRootsAreRebuilt damages the roots, one and all, in every way.
func TestRootsAreRebuilt(t *testing.T) {
	f, writer, st, full := rottenFeed(t, 11, nil) // roots 7, 17, 20
	f.Close()
	key := f.Key()
	try := func(what string) {
		t.Helper()
		if f, err := hypercore.Open(st, key, hypercore.KeyPair{}); err == nil {
			a := mustAudit(t, f)
			f.Close()
			t.Fatalf("%s: Open took it; %+v", what, a)
		} else if !errors.Is(err, hypercore.ErrDamaged) {
			t.Fatalf("%s: Open = %v, want ErrDamaged", what, err)
		}
		done, err := hypercore.Recover(context.Background(), st, key)
		if err != nil || done.Nodes == 0 || done.Rehead {
			t.Fatalf("%s: Recover = %+v, %v", what, done, err)
		}
		f := mustOpen(t, st, pairOf(1), false)
		checkAll(t, what, f, writer, st, full)
		f.Close()
	}
	for _, index := range []uint64{7, 17, 20} {
		for _, r := range someRots(nodeBits) {
			st.nodes[index] = r
			try(fmt.Sprintf("root %d, rot %d", index, r))
		}
	}
	st.nodes[7], st.nodes[17], st.nodes[20], st.nodes[3] = unread, missing, 9, 1
	if done, err := hypercore.Recover(context.Background(), st, key); err != nil || done.Nodes != 3 {
		t.Errorf("all roots: Recover = %+v, %v", done, err)
	}
	for index := range uint64(21) {
		if f, err := full.Node(key, index); err == nil && f.Index == index {
			st.nodes[index] = missing
		}
	}
	st.blocks[5] = 3
	if done, err := hypercore.Recover(context.Background(), st, key); !errors.Is(err, hypercore.ErrDamaged) {
		t.Errorf("without a node and with a bad block: Recover = %+v, %v", done, err)
	}
	delete(st.blocks, 5)
	if done, err := hypercore.Recover(context.Background(), st, key); err != nil || done.Nodes != 3 {
		t.Errorf("without a node: Recover = %+v, %v", done, err)
	}
	mended := mustOpen(t, st, pairOf(1), false)
	mustRepair(t, mended, mustAudit(t, mended))
	checkAll(t, "without a node", mended, writer, st, full)
}

// TestSpansBehindTheHeadAreCut lets the list of blocks go on behind the head.
func TestSpansBehindTheHeadAreCut(t *testing.T) {
	f, writer, st, full := rottenFeed(t, 11, nil)
	f.Close()
	st.held = []hypercore.Span{{Start: 0, Count: 14}, {Start: 20, Count: 1}}
	if _, err := hypercore.Open(st, f.Key(), hypercore.KeyPair{}); !errors.Is(err, hypercore.ErrDamaged) {
		t.Fatalf("Open = %v, want ErrDamaged", err)
	}
	done, err := hypercore.Recover(context.Background(), st, f.Key())
	if err != nil || done.Cut != 4 || done.Nodes != 0 || done.Rehead || done.Blocks != 11 {
		t.Fatalf("Recover = %+v, %v, want 4 blocks cut", done, err)
	}
	f = mustOpen(t, st, pairOf(1), false)
	checkAll(t, "cut", f, writer, st, full)
}

// TestRecoverChangesNothingGood takes feeds that are right, or aren't there.
func TestRecoverChangesNothingGood(t *testing.T) {
	f, _, st, _ := rottenFeed(t, 11, func(seq uint64) bool { return seq%3 == 0 })
	f.Close()
	st.writes = nil
	done, err := hypercore.Recover(context.Background(), st, f.Key())
	if err != nil || done.Nodes != 0 || done.Rehead || done.Cut != 0 || len(st.writes) != 0 {
		t.Errorf("Recover = %+v, %v; wrote %v", done, err, st.writes)
	}
	if done, err := hypercore.Recover(context.Background(), st, pairOf(9).Public); err != nil || done != (hypercore.Recovered{}) {
		t.Errorf("Recover of a feed that isn't there = %+v, %v", done, err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	st.nodes[7] = unread
	if _, err := hypercore.Recover(ctx, st, f.Key()); !errors.Is(err, context.Canceled) && !errors.Is(err, hypercore.ErrDamaged) {
		t.Errorf("Recover with its ctx ended = %v", err)
	}
}

// TestDiscardedWriterSignsNoSecondHistory discards the feed of a writer whose
// head is lost: it comes back from a seeder, read-only.
func TestDiscardedWriterSignsNoSecondHistory(t *testing.T) {
	writer, full := written(t, 9)
	seeder, sst := reading(t)
	for seq := range uint64(9) {
		give(t, writer, seeder, seq)
	}
	writer.Close()
	st := newRotten(full)
	st.head = func(*hypercore.StoredFeed) error { return errRot }
	key := writer.Key()
	if _, err := hypercore.Open(st, key, pairOf(1)); err == nil {
		t.Fatal("Open took a feed whose head can't be read")
	}
	if _, err := hypercore.Recover(context.Background(), st, key); !errors.Is(err, hypercore.ErrDamaged) {
		t.Fatalf("Recover = %v, want ErrDamaged", err)
	}
	if _, err := hypercore.Discard(context.Background(), st, key); err != nil {
		t.Fatalf("Discard: %v", err)
	}
	for range 2 {
		writer = mustOpen(t, st, pairOf(1), true)
		if _, err := writer.Append(context.Background(), []byte("second history")); !errors.Is(err, hypercore.ErrOldCopy) {
			t.Fatalf("Append = %v, want ErrOldCopy", err)
		}
		w := newWorld(t, 5)
		w.link("seeder", seeder, writer)
		w.settle(0)
		checkAll(t, "fetched anew", writer, seeder, st, sst)
		writer.Close()
	}
}
