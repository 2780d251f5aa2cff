package hypercore_test

import (
	"bytes"
	"context"
	"errors"
	"slices"
	"sync"
	"testing"
	"testing/synctest"

	"github.com/cobox-p2p/cobox-p2p/hypercore"
	"github.com/cobox-p2p/cobox-p2p/hypercore/storage"
)

func TestAppendRefuses(t *testing.T) {
	ctx := context.Background()
	f, _ := written(t, 3)
	reader, _ := reading(t)
	over := make([]byte, hypercore.MaxBlock+1)
	sealed := f.WithSeal(hypercore.NewSeal([32]byte{7}))
	for name, c := range map[string]struct {
		f      *hypercore.Feed
		blocks [][]byte
		want   error
	}{
		"read-only":         {reader, [][]byte{{1}}, hypercore.ErrNotWritable},
		"blind":             {f.Blind(), [][]byte{{1}}, hypercore.ErrSealed},
		"no blocks":         {f, nil, hypercore.ErrNoBlocks},
		"a block too large": {f, [][]byte{{1}, over}, hypercore.ErrBlockSize},
		"too large sealed":  {sealed, [][]byte{over[hypercore.SealOverhead:]}, hypercore.ErrBlockSize},
	} {
		before := c.f.Head()
		if _, err := c.f.Append(ctx, c.blocks...); !errors.Is(err, c.want) {
			t.Errorf("%s: %v, want %v", name, err, c.want)
		}
		if c.f.Head() != before {
			t.Errorf("%s: the head changed", name)
		}
	}
}

func TestAppendTakesBlocksUpToTheLimit(t *testing.T) {
	f, _ := written(t, 0)
	largest := bytes.Repeat([]byte{5}, hypercore.MaxBlock)
	mustAppend(t, f, largest)
	mustAppend(t, f, nil, []byte{})
	sealed := f.WithSeal(hypercore.NewSeal([32]byte{7}))
	mustAppend(t, sealed, largest[hypercore.SealOverhead:])
	for seq, want := range [][]byte{largest, {}, {}} {
		if got, err := f.Get(context.Background(), uint64(seq)); err != nil || !bytes.Equal(got, want) {
			t.Errorf("Get %d = %d bytes, %v, want %d", seq, len(got), err, len(want))
		}
	}
	if got, err := sealed.Get(context.Background(), 3); err != nil || len(got) != hypercore.MaxBlock-hypercore.SealOverhead {
		t.Errorf("Get of the largest sealed block = %d bytes, %v", len(got), err)
	}
	if got := f.ByteLength(); got != 2*hypercore.MaxBlock {
		t.Errorf("ByteLength = %d, want %d", got, 2*hypercore.MaxBlock)
	}
}

// 64 appends at once get dense numbers, and each block lies where its append
// said.
func TestConcurrentAppends(t *testing.T) {
	st := &faulty{Memory: storage.NewMemory()}
	f := mustOpen(t, st, pairOf(1), true)
	var mu sync.Mutex
	at := map[uint64]byte{}
	var wg sync.WaitGroup
	for i := range byte(64) {
		wg.Go(func() {
			seq, err := f.Append(context.Background(), []byte{i, 0}, []byte{i, 1})
			if err != nil {
				t.Errorf("Append: %v", err)
			}
			mu.Lock()
			defer mu.Unlock()
			at[seq] = i
		})
	}
	wg.Wait()
	if len(at) != 64 || f.Length() != 128 {
		t.Fatalf("%d numbers and a length of %d, want 64 and 128", len(at), f.Length())
	}
	for seq, i := range at {
		blocks, err := st.Blocks(f.Key(), hypercore.Span{Start: seq, Count: 2})
		if err != nil || !slices.Equal(blocks[0], []byte{i, 0}) || !slices.Equal(blocks[1], []byte{i, 1}) {
			t.Errorf("blocks at %d = %x, %v, want those of append %d", seq, blocks, err, i)
		}
	}
	h := f.Head()
	if err := f.Key().Verify(hypercore.Signable(h.RootHash, h.Length), h.Signature); err != nil {
		t.Errorf("signature of the head: %v", err)
	}
}

// What waits while one commit is under way goes into the next one together.
func TestAppendsThatWaitShareACommit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		st := &faulty{Memory: storage.NewMemory(), entered: make(chan struct{}), gate: make(chan struct{})}
		f := mustOpen(t, st, pairOf(1), true)
		var wg sync.WaitGroup
		add := func(blocks ...[]byte) {
			wg.Go(func() {
				if _, err := f.Append(context.Background(), blocks...); err != nil {
					t.Errorf("Append: %v", err)
				}
			})
		}
		add([]byte("first"))
		<-st.entered
		for range 63 {
			add([]byte("next"))
		}
		synctest.Wait()
		st.gate <- struct{}{}
		<-st.entered
		st.gate <- struct{}{}
		wg.Wait()
		if st.count() != 2 || f.Length() != 64 {
			t.Errorf("%d commits for %d blocks, want 2 for 64", st.count(), f.Length())
		}
	})
}

// A commit takes no more from the queue than a store takes: many tiny blocks
// count as much as a few large ones.
func TestSharedCommitIsBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		st := &faulty{Memory: storage.NewMemory(), entered: make(chan struct{}), gate: make(chan struct{})}
		f := mustOpen(t, st, pairOf(1), true)
		var wg sync.WaitGroup
		add := func(blocks [][]byte) {
			wg.Go(func() {
				if _, err := f.Append(context.Background(), blocks...); err != nil {
					t.Errorf("Append: %v", err)
				}
			})
		}
		add([][]byte{{1}})
		<-st.entered
		add([][]byte{make([]byte, hypercore.MaxBlock)})
		add(make([][]byte, (8<<20-hypercore.MaxBlock)/hypercore.BlockCost))
		synctest.Wait()
		for range 2 {
			st.gate <- struct{}{}
			<-st.entered
		}
		st.gate <- struct{}{}
		wg.Wait()
		if st.count() != 3 {
			t.Errorf("%d commits, want 3", st.count())
		}
	})
}

func TestAppendIsTakenBackWhileItWaits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		st := &faulty{Memory: storage.NewMemory(), entered: make(chan struct{}), gate: make(chan struct{})}
		f := mustOpen(t, st, pairOf(1), true)
		ctx, cancel := context.WithCancel(context.Background())
		var first, second error
		var wg sync.WaitGroup
		wg.Go(func() { _, first = f.Append(ctx, []byte("under way")) })
		<-st.entered
		wg.Go(func() { _, second = f.Append(ctx, []byte("waiting")) })
		synctest.Wait()
		if f.Waiting() != 1 {
			t.Errorf("%d appends wait, want 1", f.Waiting())
		}
		cancel()
		synctest.Wait()
		if !errors.Is(second, context.Canceled) {
			t.Errorf("Append that waited: %v, want Canceled", second)
		}
		st.gate <- struct{}{}
		wg.Wait()
		if first != nil || f.Length() != 1 {
			t.Errorf("Append under way: %v with length %d, want none and 1", first, f.Length())
		}
	})
}

func TestCloseEndsAppendsThatWait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		st := &faulty{Memory: storage.NewMemory(), entered: make(chan struct{}), gate: make(chan struct{})}
		f := mustOpen(t, st, pairOf(1), true)
		var first, second error
		closed := false
		var wg sync.WaitGroup
		wg.Go(func() { _, first = f.Append(context.Background(), []byte("under way")) })
		<-st.entered
		wg.Go(func() { _, second = f.Append(context.Background(), []byte("waiting")) })
		synctest.Wait()
		wg.Go(func() { f.Close(); closed = true })
		synctest.Wait()
		if closed {
			t.Error("Close returned while a commit was under way")
		}
		st.gate <- struct{}{}
		wg.Wait()
		if first != nil || !errors.Is(second, hypercore.ErrClosed) {
			t.Errorf("Appends ended with %v and %v, want none and ErrClosed", first, second)
		}
		if _, err := f.Append(context.Background(), []byte("late")); !errors.Is(err, hypercore.ErrClosed) {
			t.Errorf("Append after Close: %v, want ErrClosed", err)
		}
		if again := mustOpen(t, st.Memory, pairOf(1), true); again.Length() != 1 {
			t.Errorf("length when opened again = %d, want 1", again.Length())
		}
	})
}

func TestAppendThatTheStoreRefusesLeavesNothing(t *testing.T) {
	st := &faulty{Memory: storage.NewMemory()}
	f := mustOpen(t, st, pairOf(1), true)
	mustAppend(t, f, blocksOf(0, 5)...)
	before := f.Head()
	st.fail(errDisk)
	if _, err := f.Append(context.Background(), []byte("x")); !errors.Is(err, errDisk) {
		t.Fatalf("Append: %v, want %v", err, errDisk)
	}
	if f.Head() != before || f.DurableHead() != before || f.Has(hypercore.Span{Start: 5, Count: 1}) {
		t.Errorf("head = %+v after a failed append, want %+v", f.Head(), before)
	}
	st.fail(nil)
	mustAppend(t, f, blocksOf(5, 3)...)
	reader, rst := reading(t)
	w := newWorld(t, 1)
	w.link("wr", f, reader)
	w.settle(0)
	checkAll(t, "reader", reader, f, rst, st)
}

func TestAppendWhoseSyncFails(t *testing.T) {
	f, st := written(t, 2)
	told := f.DurableHead()
	st.HoldSync()
	done := make(chan error, 1)
	go func() {
		_, err := f.Append(context.Background(), []byte("lost"))
		done <- err
	}()
	if err := f.WaitLength(context.Background(), 3); err != nil {
		t.Fatal(err)
	}
	st.FailSync(errDisk)
	if err := <-done; !errors.Is(err, hypercore.ErrStorageFailed) || !errors.Is(err, errDisk) {
		t.Errorf("Append: %v, want ErrStorageFailed with %v", err, errDisk)
	}
	if _, err := f.Append(context.Background(), []byte("next")); !errors.Is(err, hypercore.ErrStorageFailed) {
		t.Errorf("next Append: %v, want ErrStorageFailed", err)
	}
	if f.DurableHead() != told || f.Durable() != 2 {
		t.Errorf("durable head = %+v, want %+v", f.DurableHead(), told)
	}
}
