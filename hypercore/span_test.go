package hypercore_test

import (
	"bytes"
	"context"
	"errors"
	"testing"
	"testing/synctest"

	"github.com/cobox-p2p/cobox-p2p/hypercore"
)

func TestGetSpan(t *testing.T) {
	ctx := context.Background()
	f, _ := written(t, 700)
	for _, s := range []hypercore.Span{{}, {Start: 0, Count: 700}, {Start: 5, Count: 300}, {Start: 511, Count: 2}, {Start: 699, Count: 1}} {
		blocks, err := f.GetSpan(ctx, s)
		if err != nil || uint64(len(blocks)) != s.Count {
			t.Fatalf("GetSpan %+v = %d blocks, %v", s, len(blocks), err)
		}
		for i, b := range blocks {
			if want := blockOf(s.Start + uint64(i)); !bytes.Equal(b, want) {
				t.Fatalf("GetSpan %+v: block %d = %x, want %x", s, i, b, want)
			}
		}
	}
	if _, err := f.GetSpan(ctx, hypercore.Span{Count: hypercore.MaxSpanBlocks + 1}); !errors.Is(err, hypercore.ErrSpan) {
		t.Errorf("GetSpan of too many = %v, want ErrSpan", err)
	}
	ended, cancel := context.WithCancel(ctx)
	cancel()
	if _, err := f.GetSpan(ended, hypercore.Span{Start: 650, Count: hypercore.MaxSpanBlocks}); !errors.Is(err, context.Canceled) {
		t.Errorf("GetSpan beyond the end with an ended ctx = %v, want Canceled", err)
	}
	if _, err := f.Blind().GetSpan(ctx, hypercore.Span{Count: 1}); !errors.Is(err, hypercore.ErrSealed) {
		t.Errorf("GetSpan without the key = %v, want ErrSealed", err)
	}
	sealed := f.WithSeal(hypercore.NewSeal([32]byte{1}))
	mustAppend(t, sealed, []byte("a"), []byte("b"))
	if b, err := sealed.GetSpan(ctx, hypercore.Span{Start: 700, Count: 2}); err != nil || string(b[1]) != "b" {
		t.Errorf("GetSpan of sealed blocks = %q, %v", b, err)
	}
	if b, err := f.Blocks(ctx, hypercore.Span{Start: 699, Count: 2}); err != nil || len(b[1]) != 1+hypercore.SealOverhead {
		t.Errorf("Blocks = %d, %v", len(b), err)
	}
	if _, err := sealed.GetSpan(ctx, hypercore.Span{Start: 698, Count: 3}); !errors.Is(err, hypercore.ErrWrongKey) {
		t.Errorf("GetSpan of blocks that don't open = %v, want ErrWrongKey", err)
	}
}

func TestAllIsASnapshotOrATail(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(context.Background())
		writer, _ := written(t, 300)
		reader, w := sparse(t, writer)
		var seen, live uint64
		var end error
		go func() {
			for b, err := range reader.All(ctx, hypercore.Span{Start: 280, Count: hypercore.Endless}) {
				if end = err; err != nil {
					break
				}
				if !bytes.Equal(b, blockOf(280+live)) {
					t.Errorf("block %d = %x", 280+live, b)
				}
				live++
			}
		}()
		go func() {
			for b, err := range reader.All(ctx, hypercore.Span{Count: reader.Length()}) {
				if err != nil || !bytes.Equal(b, blockOf(seen)) {
					t.Errorf("block %d = %x, %v", seen, b, err)
				}
				seen++
			}
		}()
		drive(w)
		if seen != 300 || live != 20 {
			t.Errorf("%d and %d blocks, want 300 and 20", seen, live)
		}
		mustAppend(t, writer, blocksOf(300, 10)...)
		drive(w)
		if live != 30 {
			t.Errorf("%d blocks after growth, want 30", live)
		}
		cancel()
		synctest.Wait()
		if !errors.Is(end, context.Canceled) {
			t.Errorf("All ended with %v, want Canceled", end)
		}
	})
}

// drive lets a world and the goroutines of a synctest bubble go on by turns
// until both are at rest.
func drive(w *world) {
	synctest.Wait()
	for w.step() {
		for range 20 {
			w.step()
		}
		synctest.Wait()
	}
}

// A sequential read doesn't cost a round trip for every block.
func TestReadingAhead(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		writer, _ := written(t, 500)
		reader, w := sparse(t, writer)
		seen := 0
		go func() {
			for _, err := range reader.All(context.Background(), hypercore.Span{Count: 480}) {
				if err != nil {
					t.Error(err)
				}
				seen++
			}
		}()
		trips := 0
		for synctest.Wait(); seen < 480; trips++ {
			// All that was asked for is answered at once: one round trip.
			w.settle(0)
			synctest.Wait()
			if trips > 480 {
				t.Fatal("never done")
			}
		}
		if trips > 480/8 {
			t.Errorf("%d round trips for 480 blocks", trips)
		}
		if held, _ := reader.Held(); held > 482 {
			t.Errorf("%d blocks were fetched to read 480", held)
		}
	})
}

func TestAllEndsWhenTheLoopDoes(t *testing.T) {
	writer, _ := written(t, 100)
	for b, err := range writer.All(context.Background(), hypercore.Span{Start: 3, Count: 50}) {
		if err != nil || !bytes.Equal(b, blockOf(3)) {
			t.Errorf("first block = %x, %v", b, err)
		}
		break
	}
	if !writer.Quiet() {
		t.Error("something is still asked for")
	}
	for _, err := range writer.Blind().All(context.Background(), hypercore.Span{Count: 1}) {
		if !errors.Is(err, hypercore.ErrSealed) {
			t.Errorf("All without the key = %v, want ErrSealed", err)
		}
	}
}

func TestLastAndAvailable(t *testing.T) {
	ctx := context.Background()
	empty, _ := written(t, 0)
	if _, _, err := empty.Last(ctx); !errors.Is(err, hypercore.ErrNoBlock) {
		t.Errorf("Last of an empty feed = %v, want ErrNoBlock", err)
	}
	writer, _ := written(t, 30)
	if seq, b, err := writer.Last(ctx); seq != 29 || err != nil || !bytes.Equal(b, blockOf(29)) {
		t.Errorf("Last = %d, %x, %v", seq, b, err)
	}
	mustClear(t, writer, hypercore.Span{Start: 10, Count: 1})
	reader, _ := sparse(t, writer)
	for _, c := range []struct {
		span hypercore.Span
		want bool
	}{{hypercore.Span{Count: 10}, true}, {hypercore.Span{Count: 11}, false}, {hypercore.Span{Start: 11, Count: 19}, true}, {hypercore.Span{Start: 11, Count: 20}, false}} {
		if got := reader.Available(c.span); got != c.want {
			t.Errorf("Available %+v = %t", c.span, got)
		}
	}
}
