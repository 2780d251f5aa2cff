package hypercore_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/cobox-p2p/cobox-p2p/hypercore"
	"github.com/cobox-p2p/cobox-p2p/hypercore/storage"
)

func mustClear(t testing.TB, f *hypercore.Feed, spans ...hypercore.Span) {
	t.Helper()
	if err := f.Clear(context.Background(), spans...); err != nil {
		t.Fatalf("Clear %v: %v", spans, err)
	}
}

// wantCleared fails unless exactly the blocks of span are gone, from the store
// too.
func wantCleared(t testing.TB, f *hypercore.Feed, st hypercore.Storage, span hypercore.Span) {
	t.Helper()
	var bytes uint64
	for seq := range f.Length() {
		one := hypercore.Span{Start: seq, Count: 1}
		gone := seq >= span.Start && seq < span.End()
		_, err := st.Blocks(f.Key(), one)
		if f.Has(one) == gone || errors.Is(err, hypercore.ErrNoBlock) != gone {
			t.Errorf("block %d: held %t, %v, want gone %t", seq, f.Has(one), err, gone)
		}
		if !gone {
			bytes += uint64(len(blockOf(seq)))
		}
	}
	if blocks, size := f.Held(); blocks != f.Length()-span.Count || size != bytes || f.Durable() != blocks {
		t.Errorf("Held = %d blocks of %d bytes, %d durable, want %d of %d", blocks, size, f.Durable(), f.Length()-span.Count, bytes)
	}
	if got := f.Cleared(); got != span.Count {
		t.Errorf("Cleared = %d, want %d", got, span.Count)
	}
}

func TestClearRemovesBlocks(t *testing.T) {
	ctx := context.Background()
	f, st := written(t, 40)
	var events []hypercore.Event
	defer f.Notify(func(e hypercore.Event) { events = append(events, e) })()
	span := hypercore.Span{Start: 7, Count: 5}
	mustClear(t, f, span)
	wantCleared(t, f, st, span)
	if len(events) != 1 || events[0].Kind != hypercore.Cleared || events[0].Span != span {
		t.Errorf("events = %+v", events)
	}
	if _, err := f.Local(8); !errors.Is(err, hypercore.ErrNoBlock) {
		t.Errorf("Local of a cleared block: %v, want ErrNoBlock", err)
	}
	if b, err := f.Local(12); err != nil || !bytes.Equal(b, blockOf(12)) {
		t.Errorf("Local of its neighbour = %x, %v", b, err)
	}
	if seq, ok := f.Missing(0); ok {
		t.Errorf("cleared block %d counts as missing", seq)
	}
	mustAppend(t, f, blocksOf(40, 3)...)
	again := mustOpen(t, st, pairOf(1), true)
	wantCleared(t, again, st, span)
	if seq, ok := again.Missing(0); ok {
		t.Errorf("opened again, cleared block %d counts as missing", seq)
	}
	if err := again.Restore(ctx, hypercore.Span{Start: 8, Count: 2}); err != nil {
		t.Fatal(err)
	}
	if seq, ok := again.Missing(0); !ok || seq != 8 || again.Cleared() != 3 {
		t.Errorf("after Restore: Missing = %d, %t, %d cleared, want 8 and 3", seq, ok, again.Cleared())
	}
	if third := mustOpen(t, st, pairOf(1), true); third.Cleared() != 3 {
		t.Errorf("opened again after Restore: %d cleared, want 3", third.Cleared())
	}
}

func TestClearLimits(t *testing.T) {
	ctx := context.Background()
	f, _ := written(t, 10)
	mustClear(t, f)
	mustClear(t, f, hypercore.Span{Start: 10, Count: 5}, hypercore.Span{Start: 3})
	mustClear(t, f, hypercore.Span{Start: 8, Count: hypercore.Endless})
	if got := f.Cleared(); got != 2 {
		t.Errorf("Cleared = %d, want 2", got)
	}
	many := make([]hypercore.Span, hypercore.MaxClearSpans+1)
	if err := f.Clear(ctx, many...); !errors.Is(err, hypercore.ErrTooManyCleared) {
		t.Errorf("Clear of too many spans: %v, want ErrTooManyCleared", err)
	}
	mustClear(t, f, many[1:]...)
	ended, cancel := context.WithCancel(ctx)
	cancel()
	f.LockWriting(t)
	if err := f.Clear(ended, hypercore.Span{Count: 1}); !errors.Is(err, context.Canceled) {
		t.Errorf("Clear with an ended ctx: %v, want Canceled", err)
	}
	f.UnlockWriting()
	f.Close()
	if err := f.Clear(ctx, hypercore.Span{Count: 1}); !errors.Is(err, hypercore.ErrClosed) {
		t.Errorf("Clear after Close: %v, want ErrClosed", err)
	}
}

// A feed that claims to be endless costs nothing to clear.
func TestClearOfAHugeFeed(t *testing.T) {
	ctx := context.Background()
	f, _ := written(t, 3)
	f.PretendLength(1 << 40)
	if err := f.Clear(ctx, hypercore.Span{Start: 1, Count: hypercore.MaxClear + 1}); !errors.Is(err, hypercore.ErrTooManyCleared) {
		t.Errorf("Clear of 2^28+1 blocks: %v, want ErrTooManyCleared", err)
	}
	mustClear(t, f, hypercore.Span{Start: 1, Count: hypercore.MaxClear})
	if got := f.Cleared(); got != hypercore.MaxClear {
		t.Errorf("Cleared = %d, want 2^28", got)
	}
}

func TestClearThatTheStoreRefuses(t *testing.T) {
	st := &faulty{Memory: storage.NewMemory()}
	f := mustOpen(t, st, pairOf(1), true)
	mustAppend(t, f, blocksOf(0, 10)...)
	reader, _ := reading(t)
	w := newWorld(t, 1)
	w.link("wr", f, reader)
	w.settle(0)
	st.fail(errDisk)
	span := hypercore.Span{Start: 2, Count: 3}
	if err := f.Clear(context.Background(), span); !errors.Is(err, errDisk) {
		t.Fatalf("Clear: %v, want the store's error", err)
	}
	st.fail(nil)
	wantCleared(t, f, st, hypercore.Span{})
	mustClear(t, reader, span)
	if err := reader.Restore(context.Background(), span); err != nil {
		t.Fatal(err)
	}
	w.settle(0)
	if seq, missing := reader.Missing(0); missing {
		t.Errorf("block %d isn't fetched after a Clear that did nothing", seq)
	}
}

// Peers hear of what was cleared, also when they were not told yet that it is
// there, and don't ask for it.
func TestPeersHearOfClearedBlocks(t *testing.T) {
	for seed := range uint64(20) {
		writer, wst := written(t, 60)
		reader, rst := reading(t)
		reader.SetSparse(true)
		w := newWorld(t, seed)
		ws, rs := w.link("wr", writer, reader)
		for range w.rng.IntN(12) {
			w.step()
		}
		mustAppend(t, writer, blocksOf(60, 20)...)
		span := hypercore.Span{Start: uint64(w.rng.IntN(70)), Count: 1 + uint64(w.rng.IntN(10))}
		mustClear(t, writer, span)
		w.settle(0)
		for seq := range uint64(80) {
			one := hypercore.Span{Start: seq, Count: 1}
			if got, want := rs.peer.RemoteHas(one), writer.Has(one); got != want {
				t.Fatalf("seed %d: the reader believes block %d is there: %t, want %t", seed, seq, got, want)
			}
		}
		reader.SetSparse(false)
		w.settle(0)
		if ws.sent["Unhave"] > 1 {
			t.Errorf("seed %d: %d Unhaves for one Clear", seed, ws.sent["Unhave"])
		}
		if held, _ := reader.Held(); held != 80-span.Count {
			t.Errorf("seed %d: reader holds %d blocks, want all but %d", seed, held, span.Count)
		}
		checkSame(t, fmt.Sprintf("seed %d", seed), reader, writer, rst, wst)
	}
}

// More Clears than a peer reads about are told as a whole.
func TestUnhavesAreBounded(t *testing.T) {
	writer, _ := written(t, 4*hypercore.MaxHaves)
	reader, _ := reading(t)
	reader.SetSparse(true)
	w := newWorld(t, 1)
	ws, rs := w.link("wr", writer, reader)
	w.settle(0)
	for i := range uint64(hypercore.MaxHaves + 10) {
		mustClear(t, writer, hypercore.Span{Start: 2 * i, Count: 1})
		if _, _, _, n := ws.peer.Owed(); n > hypercore.MaxHaves+1 {
			t.Fatalf("%d messages are owed to one peer", n)
		}
	}
	w.settle(0)
	for seq := range writer.Length() {
		one := hypercore.Span{Start: seq, Count: 1}
		if got, want := rs.peer.RemoteHas(one), writer.Has(one); got != want {
			t.Fatalf("the reader believes block %d is there: %t, want %t", seq, got, want)
		}
	}
}

// What was cleared comes back for a Get, a Download and after Restore, and for
// nothing else; not after the feed was opened again either.
func TestClearedBlocksComeBackWhenAskedFor(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx := context.Background()
		writer, _ := written(t, 50)
		reader, st := reading(t)
		w := newWorld(t, 1)
		x, _ := w.link("wr", writer, reader)
		w.settle(0)
		mustClear(t, reader, hypercore.Span{Start: 10, Count: 30})
		w.settle(time.Minute)
		wantCleared(t, reader, st, hypercore.Span{Start: 10, Count: 30})
		w.cut(x)
		reader.Close()
		reader = mustOpen(t, st, pairOf(1), false)
		w.link("wr", writer, reader)
		w.settle(time.Minute)
		wantCleared(t, reader, st, hypercore.Span{Start: 10, Count: 30})

		got := make(chan []byte, 1)
		waitFor(t, reader, 10, got)
		w.settle(0)
		if b := <-got; !bytes.Equal(b, blockOf(10)) {
			t.Errorf("Get = %x", b)
		}
		d := reader.Download(hypercore.Span{Start: 38, Count: 2}, hypercore.DownloadOptions{})
		w.settle(0)
		if err := d.Wait(ctx); err != nil {
			t.Errorf("Download: %v", err)
		}
		wantCleared(t, reader, st, hypercore.Span{Start: 11, Count: 27})
		if again := mustOpen(t, st, pairOf(1), false); again.Cleared() != 27 {
			t.Errorf("opened again: %d cleared, want 27", again.Cleared())
		}
		if err := reader.Restore(ctx, hypercore.Span{Start: 0, Count: 37}); err != nil {
			t.Fatal(err)
		}
		w.settle(0)
		wantCleared(t, reader, st, hypercore.Span{Start: 37, Count: 1})
	})
}

// A Get that waits for a block keeps it coming when it is cleared.
func TestClearOfAWantedBlock(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		writer, _ := written(t, 20)
		reader, _ := reading(t)
		w := newWorld(t, 1)
		w.link("wr", writer, reader)
		got := make(chan []byte, 1)
		waitFor(t, reader, 5, got)
		for reader.Length() == 0 {
			w.tick()
		}
		if !reader.Has(hypercore.Span{Start: 5, Count: 1}) {
			mustClear(t, reader, hypercore.Span{Count: 20})
		}
		w.settle(0)
		if b := <-got; !bytes.Equal(b, blockOf(5)) {
			t.Errorf("Get = %x", b)
		}
	})
}

// Clears, appends, reads, replication and restores at once, checked against the
// writer; run with -race.
func TestClearInParallel(t *testing.T) {
	const seed = 3
	ctx := context.Background()
	f, st := written(t, 200)
	done := make(chan struct{})
	go func() {
		defer close(done)
		rng := rand.New(rand.NewPCG(seed, 1))
		for range 200 {
			s := hypercore.Span{Start: rng.Uint64N(200), Count: 1 + rng.Uint64N(8)}
			mustClear(t, f, s)
		}
	}()
	rng := rand.New(rand.NewPCG(seed, 2))
	for appended := uint64(200); ; {
		select {
		case <-done:
		default:
			mustAppend(t, f, blockOf(appended))
			appended++
			seq := rng.Uint64N(appended)
			b, err := f.Local(seq)
			if err != nil && !errors.Is(err, hypercore.ErrNoBlock) || err == nil && !bytes.Equal(b, blockOf(seq)) {
				t.Fatalf("seed %d: block %d = %x, %v", seed, seq, b, err)
			}
			if d, err := f.Prove(seq, 0, false); err == nil && !bytes.Equal(d.Value, blockOf(seq)) || err != nil && !errors.Is(err, hypercore.ErrNoBlock) {
				t.Fatalf("seed %d: Prove %d: %v", seed, seq, err)
			}
			if d := f.Damage(); d.Blocks > 0 {
				t.Fatalf("seed %d: cleared blocks count as damaged: %+v", seed, d)
			}
			continue
		}
		break
	}
	spans := slices.Collect(func(yield func(hypercore.Span) bool) {
		for s, err := range st.Held(f.Key()) {
			if err != nil || !yield(s) {
				return
			}
		}
	})
	var held uint64
	for _, s := range spans {
		held += s.Count
		if !f.Has(s) {
			t.Errorf("seed %d: the store holds %v and the feed doesn't know", seed, s)
		}
	}
	if blocks, _ := f.Held(); blocks != held || held+f.Cleared() != f.Length() {
		t.Errorf("seed %d: %d blocks held, %d in the store, %d cleared of %d", seed, blocks, held, f.Cleared(), f.Length())
	}
	if a, err := f.Audit(ctx); err != nil || !a.Valid() {
		t.Errorf("seed %d: Audit = %+v, %v", seed, a, err)
	}
}
