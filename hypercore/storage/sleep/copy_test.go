package sleep

import (
	"bytes"
	"context"
	"errors"
	"testing"

	"github.com/cobox-p2p/cobox-p2p/hypercore"
	"github.com/cobox-p2p/cobox-p2p/hypercore/storage"
)

// ways are the two ways to take a feed over.
var ways = map[string]func(t testing.TB, st hypercore.Storage, src *Feed) (Report, error){
	"copy": func(t testing.TB, st hypercore.Storage, src *Feed) (Report, error) {
		dst, err := hypercore.Open(st, src.Key(), hypercore.KeyPair{})
		if err != nil {
			t.Fatal(err)
		}
		defer dst.Close()
		return Copy(background, dst, src, nil)
	},
	"import": func(t testing.TB, st hypercore.Storage, src *Feed) (Report, error) {
		return Import(background, st, src, nil)
	},
}

// reopened returns the feed of key as it is in st.
func reopened(t testing.TB, st hypercore.Storage, key hypercore.Key) *hypercore.Feed {
	t.Helper()
	f, err := hypercore.Open(st, key, hypercore.KeyPair{})
	if err != nil {
		t.Fatal(err)
	}
	return f
}

func TestFeedsOfAnyLength(t *testing.T) {
	for _, length := range []uint64{0, 1, 2, 3, 4, 7, 8, 9, 63, 64, 65, 300} {
		dir := written(t, pairOf(1), length, nil)
		for way, take := range ways {
			src := mustOpen(t, dir)
			st := storage.NewMemory()
			r, err := take(t, st, src)
			if err != nil || !r.Complete() || r.Blocks != length || r.Head.Length != length {
				t.Fatalf("%s of %d blocks: %+v, %v", way, length, r, err)
			}
			checkBlocks(t, reopened(t, st, src.Key()), length, all)
		}
	}
}

func TestSparseFeeds(t *testing.T) {
	spans := []hypercore.Span{{Start: 3, Count: 1}, {Start: 70, Count: 30}, {Start: 299, Count: 1}}
	want := func(seq uint64) bool { return seq == 3 || seq >= 70 && seq < 100 || seq == 299 }
	dir := written(t, pairOf(1), 300, func(w *Writing) { w.Held = only(spans...) })
	for way, take := range ways {
		t.Run(way, func(t *testing.T) {
			src := mustOpen(t, dir)
			if got := src.Held(); len(got) != 3 || got[1] != spans[1] {
				t.Errorf("held %v, want %v", got, spans)
			}
			if _, err := src.Block(4); !errors.Is(err, hypercore.ErrNoBlock) {
				t.Errorf("block that isn't held: %v, want ErrNoBlock", err)
			}
			st := storage.NewMemory()
			if r, err := take(t, st, src); err != nil || !r.Complete() || r.Blocks != 32 {
				t.Fatalf("%+v, %v", r, err)
			}
			dst := reopened(t, st, src.Key())
			checkBlocks(t, dst, 300, want)

			// And out again, and in.
			again, err := Stored(st, src.Key())
			if err != nil {
				t.Fatal(err)
			}
			out := t.TempDir() + "/again"
			if r, err := Write(background, out, again, nil); err != nil || r.Blocks != 32 || !r.Complete() {
				t.Fatalf("Write: %+v, %v", r, err)
			}
			for seq := range uint64(300) {
				got, err := mustOpen(t, out).Block(seq)
				if want(seq) != (err == nil) || err == nil && !bytes.Equal(got, blockOf(seq)) {
					t.Fatalf("block %d written out: %x, %v", seq, got, err)
				}
			}
		})
	}
}

func TestHeadWithoutBlocks(t *testing.T) {
	dir := written(t, pairOf(1), 20, func(w *Writing) { w.Held = nil })
	src := mustOpen(t, dir)
	st := storage.NewMemory()
	if r, err := Import(background, st, src, nil); err != nil || !r.Complete() {
		t.Fatalf("Import: %+v, %v", r, err)
	}
	if f := reopened(t, st, src.Key()); f.Length() != 20 {
		t.Errorf("length %d, want 20", f.Length())
	}
}

func TestLargeBlocks(t *testing.T) {
	pair := pairOf(1)
	for _, size := range []int{hypercore.MaxBlock, hypercore.MaxBlock + 1, MaxBlock, MaxBlock + 1} {
		block := bytes.Repeat([]byte{7}, size)
		w := newList(pair, [][]byte{{1}, block, {2}})
		dir := t.TempDir() + "/feed"
		if _, err := Write(background, dir, w, nil); err != nil {
			t.Fatal(err)
		}
		src := mustOpen(t, dir)
		if got, err := src.Block(1); size <= MaxBlock && (err != nil || !bytes.Equal(got, block)) || size > MaxBlock && err == nil {
			t.Errorf("block of %d bytes: %d, %v", size, len(got), err)
		}
		st := storage.NewMemory()
		r, err := Import(background, st, src, nil)
		if err != nil {
			t.Fatal(err)
		}
		fits := size <= hypercore.MaxBlock
		if fits != r.Complete() || !fits && (r.Lost != 1 || r.Damage[0].Reason != TooLarge || r.Damage[0].Span.Start != 1) {
			t.Errorf("block of %d bytes: %+v", size, r)
		}
		if dst := reopened(t, st, pair.Public); dst.Has(hypercore.Span{Count: 3}) != fits || !dst.Has(hypercore.Span{Start: 2, Count: 1}) {
			t.Errorf("block of %d bytes: wrong blocks were taken over", size)
		}
	}
}

func TestCopyGoesOnWhereItEnded(t *testing.T) {
	dir := written(t, pairOf(1), 200, nil)
	for way, take := range ways {
		t.Run(way, func(t *testing.T) {
			src := mustOpen(t, dir)
			st := storage.NewMemory()
			ctx, cancel := context.WithCancel(background)
			dst := reopened(t, st, src.Key())
			part := &stopping{feedSink: feedSink{ctx: ctx, feed: dst, head: src.head}, after: 50, stop: cancel}
			if _, err := copyTo(ctx, part, src, nil); !errors.Is(err, context.Canceled) {
				t.Fatalf("interrupted copy: %v", err)
			}
			dst.Close()
			r, err := take(t, st, src)
			if err != nil || !r.Complete() || r.Present != 51 || r.Blocks != 149 {
				t.Fatalf("%+v, %v; want 51 present and 149 copied", r, err)
			}
			checkBlocks(t, reopened(t, st, src.Key()), 200, all)
			if r, err := take(t, st, src); err != nil || r.Present != 200 || r.Blocks != 0 {
				t.Errorf("copied once more: %+v, %v", r, err)
			}
		})
	}
}

// stopping ends a copy after some blocks.
type stopping struct {
	feedSink
	after int
	stop  func()
}

func (s *stopping) put(at *cursor, seq uint64, block []byte) (bool, error) {
	refused, err := s.feedSink.put(at, seq, block)
	if s.after--; s.after == 0 {
		s.stop()
	}
	return refused, err
}

// shorter returns a store with the first length blocks of a feed of pair.
func shorter(t *testing.T, pair hypercore.KeyPair, length uint64) *storage.Memory {
	return stored(t, pair, length)
}

func TestCopyIntoAnOlderFeed(t *testing.T) {
	dir := written(t, pairOf(1), 100, nil)
	for _, have := range []uint64{1, 2, 3, 31, 32, 33, 64, 99} {
		for way, take := range ways {
			src, st := mustOpen(t, dir), shorter(t, pairOf(1), have)
			r, err := take(t, st, src)
			if err != nil || !r.Complete() || r.Present != have || r.Blocks != 100-have {
				t.Errorf("%s into %d blocks: %+v, %v", way, have, r, err)
			}
			checkBlocks(t, reopened(t, st, src.Key()), 100, all)
		}
	}
}

func TestCopyIntoANewerFeed(t *testing.T) {
	// A sparse feed of 100 blocks takes those that a folder of 40 holds.
	st := storage.NewMemory()
	src := mustOpen(t, written(t, pairOf(1), 100, func(w *Writing) { w.Held = only(hypercore.Span{Start: 98, Count: 2}) }))
	if _, err := Import(background, st, src, nil); err != nil {
		t.Fatal(err)
	}
	old := mustOpen(t, written(t, pairOf(1), 40, nil))
	r, err := Import(background, st, old, nil)
	if err != nil {
		t.Fatal(err)
	}
	dst := reopened(t, st, src.Key())
	if held := checkBlocks(t, dst, 100, nil); held != 2+r.Blocks || r.Blocks+r.Lost != 40 {
		t.Errorf("%d held, report %+v", held, r)
	}
	for _, d := range r.Damage {
		if d.Reason != OtherTree {
			t.Errorf("damage %s, want only what can't be tied in", d)
		}
	}
}

func TestOtherHistoryIsRefused(t *testing.T) {
	pair := pairOf(1)
	for _, lengths := range [][2]uint64{{5, 9}, {9, 9}, {9, 5}, {9, 1}} {
		st := storage.NewMemory()
		f, err := hypercore.Open(st, pair.Public, pair)
		if err != nil {
			t.Fatal(err)
		}
		for range lengths[0] {
			if _, err := f.Append(background, []byte("another")); err != nil {
				t.Fatal(err)
			}
		}
		f.Close()
		before, _ := st.Feed(pair.Public)
		src := mustOpen(t, written(t, pair, lengths[1], nil))
		r, err := Import(background, st, src, nil)
		if r.Blocks != 0 || err == nil && r.Complete() {
			t.Errorf("history of %d over one of %d: %+v, %v", lengths[1], lengths[0], r, err)
		}
		if after, _ := st.Feed(pair.Public); after.Head != before.Head {
			t.Errorf("the head changed from length %d to %d", before.Head.Length, after.Head.Length)
		}
	}
}

func TestEmptyFolderChangesNothing(t *testing.T) {
	for way, take := range ways {
		st := shorter(t, pairOf(1), 9)
		if r, err := take(t, st, mustOpen(t, written(t, pairOf(1), 0, nil))); err != nil || !r.Complete() || r.Blocks+r.Present > 0 {
			t.Errorf("%s: %+v, %v", way, r, err)
		}
		checkBlocks(t, reopened(t, st, pairOf(1).Public), 9, all)
	}
}

func TestOtherFeedIsRefused(t *testing.T) {
	dst, _ := emptyFeed(t, pairOf(2).Public)
	if _, err := Copy(background, dst, mustOpen(t, written(t, pairOf(1), 3, nil)), nil); !errors.Is(err, ErrOtherFeed) {
		t.Errorf("error %v, want ErrOtherFeed", err)
	}
}

func TestProgress(t *testing.T) {
	src := mustOpen(t, written(t, pairOf(1), 50000, nil))
	var told []Progress
	r, err := Import(background, storage.NewMemory(), src, func(p Progress) { told = append(told, p) })
	if err != nil || len(told) < 2 {
		t.Fatalf("%d progresses, %v", len(told), err)
	}
	for i, p := range told {
		if p.Of != 50000 || i > 0 && p.Blocks <= told[i-1].Blocks && i < len(told)-1 {
			t.Errorf("progress %d: %+v", i, p)
		}
	}
	if last := told[len(told)-1]; last.Blocks != 50000 || last.Bytes != r.Bytes {
		t.Errorf("last progress %+v, report %+v", last, r)
	}
}
