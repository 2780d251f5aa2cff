package hypercore_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"iter"
	"math/rand/v2"
	"testing"
	"testing/iotest"
	"testing/synctest"

	"github.com/cobox-p2p/cobox-p2p/hypercore"
	"github.com/cobox-p2p/cobox-p2p/hypercore/storage"
)

// yieldAll yields the blocks in one buffer that is used again, and then err if
// it isn't nil.
func yieldAll(blocks [][]byte, err error) iter.Seq2[[]byte, error] {
	return func(yield func([]byte, error) bool) {
		var buf []byte
		for _, b := range blocks {
			buf = append(buf[:0], b...)
			if !yield(buf, nil) {
				return
			}
		}
		if err != nil {
			yield(nil, err)
		}
	}
}

func randomBlocks(rng *rand.Rand, n, size int) [][]byte {
	blocks := make([][]byte, n)
	for i := range blocks {
		blocks[i] = make([]byte, rng.IntN(size+1))
		for j := range blocks[i] {
			blocks[i][j] = byte(rng.Uint32())
		}
	}
	return blocks
}

// What AppendSeq and Append make of the same blocks is the same feed.
func TestAppendSeqEqualsAppend(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	pair := hypercore.NewKeyPair([32]byte{7})
	for _, blocks := range [][][]byte{
		randomBlocks(rng, 1, 10), randomBlocks(rng, 300, 100), randomBlocks(rng, 70_000, 20), randomBlocks(rng, 200, 200_000),
		{bytes.Repeat([]byte{1}, hypercore.MaxBlock), {}, bytes.Repeat([]byte{2}, hypercore.MaxBlock), {3}},
	} {
		one, seq := openPair(t, pair), openPair(t, pair)
		first := []byte("first")
		for _, f := range []*hypercore.Feed{one, seq} {
			if _, err := f.Append(t.Context(), first); err != nil {
				t.Fatal(err)
			}
		}
		if _, err := one.Append(t.Context(), blocks...); err != nil {
			t.Fatal(err)
		}
		span, err := seq.AppendSeq(t.Context(), yieldAll(blocks, nil))
		if err != nil || span != (hypercore.Span{Start: 1, Count: uint64(len(blocks))}) {
			t.Fatalf("AppendSeq of %d blocks = %v, %v", len(blocks), span, err)
		}
		if one.Head() != seq.Head() || seq.DurableHead() != seq.Head() {
			t.Fatalf("head = %v, want %v", seq.Head(), one.Head())
		}
		wantAudit(t, seq)
	}
}

func openPair(t *testing.T, pair hypercore.KeyPair) *hypercore.Feed {
	t.Helper()
	f, err := hypercore.Open(storage.NewMemory(), pair.Public, pair)
	if err != nil {
		t.Fatal(err)
	}
	return f
}

func wantAudit(t *testing.T, f *hypercore.Feed) {
	t.Helper()
	if a, err := f.Audit(t.Context()); err != nil || !a.Valid() || a.Blocks != f.Length() {
		t.Fatalf("audit = %+v, %v", a, err)
	}
}

func TestAppendSeqSeals(t *testing.T) {
	rng := rand.New(rand.NewPCG(3, 4))
	f := openPair(t, hypercore.NewKeyPair([32]byte{8}))
	sealed := f.WithSeal(hypercore.NewSeal([32]byte{9}))
	blocks := randomBlocks(rng, 400, 60_000)
	if _, err := sealed.AppendSeq(t.Context(), yieldAll(blocks, nil)); err != nil {
		t.Fatal(err)
	}
	wantAudit(t, f)
	for i, want := range blocks {
		if got, err := sealed.Get(t.Context(), uint64(i)); err != nil || !bytes.Equal(got, want) {
			t.Fatalf("block %d differs, %v", i, err)
		}
	}
	if _, err := f.Blind().AppendSeq(t.Context(), yieldAll(blocks, nil)); !errors.Is(err, hypercore.ErrSealed) {
		t.Errorf("AppendSeq on a blind handle = %v, want ErrSealed", err)
	}
}

// What came before an error is appended.
func TestAppendSeqErrors(t *testing.T) {
	f := openPair(t, hypercore.NewKeyPair([32]byte{8}))
	broken := errors.New("broken source")
	span, err := f.AppendSeq(t.Context(), yieldAll([][]byte{{1}, {2}}, broken))
	if !errors.Is(err, broken) || span.Count != 2 || f.Length() != 2 {
		t.Errorf("AppendSeq of a broken source = %v, %v, length %d", span, err, f.Length())
	}
	span, err = f.AppendSeq(t.Context(), yieldAll([][]byte{{3}, make([]byte, hypercore.MaxBlock+1), {4}}, nil))
	if !errors.Is(err, hypercore.ErrBlockSize) || span != (hypercore.Span{Start: 2, Count: 1}) {
		t.Errorf("AppendSeq of a block that is too large = %v, %v", span, err)
	}
	if span, err = f.AppendSeq(t.Context(), yieldAll(nil, nil)); err != nil || span.Count != 0 {
		t.Errorf("AppendSeq of nothing = %v, %v", span, err)
	}
	reader := openFor(t, f.Key())
	if _, err := reader.AppendSeq(t.Context(), yieldAll([][]byte{{1}}, nil)); !errors.Is(err, hypercore.ErrNotWritable) {
		t.Errorf("AppendSeq to a reader's feed = %v, want ErrNotWritable", err)
	}
	f.Close()
	if _, err := f.AppendSeq(t.Context(), yieldAll([][]byte{{1}}, nil)); !errors.Is(err, hypercore.ErrClosed) {
		t.Errorf("AppendSeq to a closed feed = %v, want ErrClosed", err)
	}
	wantAudit(t, openPair(t, hypercore.NewKeyPair([32]byte{8})))
}

func openFor(t *testing.T, key hypercore.Key) *hypercore.Feed {
	t.Helper()
	f, err := hypercore.Open(storage.NewMemory(), key, hypercore.KeyPair{})
	if err != nil {
		t.Fatal(err)
	}
	return f
}

// A store that fails in the middle ends the sequence, and the span tells what is
// durable.
func TestAppendSeqStoreFails(t *testing.T) {
	mem := storage.NewMemory()
	pair := hypercore.NewKeyPair([32]byte{8})
	f, err := hypercore.Open(mem, pair.Public, pair)
	if err != nil {
		t.Fatal(err)
	}
	lost := errors.New("disk is gone")
	n := 0
	span, err := f.AppendSeq(t.Context(), func(yield func([]byte, error) bool) {
		block := make([]byte, 1<<20)
		for yield(block, nil) {
			if n++; n == 20 {
				mem.FailSync(lost)
			}
		}
	})
	if !errors.Is(err, lost) || n > 20+4*8 {
		t.Errorf("AppendSeq = %v, %v after %d blocks", span, err, n)
	}
}

// Nothing is told to be durable before the sync.
func TestAppendSeqWaitsForTheSync(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		mem := storage.NewMemory()
		pair := hypercore.NewKeyPair([32]byte{8})
		f, err := hypercore.Open(mem, pair.Public, pair)
		if err != nil {
			t.Fatal(err)
		}
		mem.HoldSync()
		done := make(chan error, 1)
		go func() {
			_, err := f.AppendSeq(t.Context(), yieldAll([][]byte{{1}, {2}}, nil))
			done <- err
		}()
		synctest.Wait()
		if len(done) > 0 || f.Length() != 2 || f.DurableHead().Length != 0 {
			t.Errorf("before the sync: returned %v, length %d, durable %d", len(done) > 0, f.Length(), f.DurableHead().Length)
		}
		mem.ReleaseSync()
		if err := <-done; err != nil || f.DurableHead().Length != 2 {
			t.Errorf("after the sync: %v, durable %d", err, f.DurableHead().Length)
		}
	})
}

func TestAppendSeqContext(t *testing.T) {
	f := openPair(t, hypercore.NewKeyPair([32]byte{8}))
	ctx, cancel := context.WithCancel(t.Context())
	n := uint64(0)
	span, err := f.AppendSeq(ctx, func(yield func([]byte, error) bool) {
		block := make([]byte, 4<<20)
		for yield(block, nil) {
			if n++; n == 3 {
				cancel()
			}
		}
	})
	if !errors.Is(err, context.Canceled) || span.Count != f.Length() || f.Length() > n {
		t.Errorf("AppendSeq = %v, %v after %d blocks; length %d", span, err, n, f.Length())
	}
}

func TestChunks(t *testing.T) {
	data := []byte("abcdefghij")
	for size, want := range map[int]int{1: 10, 3: 4, 5: 2, 10: 1, 11: 1} {
		n, got := 0, []byte(nil)
		for b, err := range hypercore.Chunks(iotest.OneByteReader(bytes.NewReader(data)), size) {
			if err != nil {
				t.Fatal(err)
			}
			n, got = n+1, append(got, b...)
		}
		if n != want || !bytes.Equal(got, data) {
			t.Errorf("chunks of %d: %d with %q", size, n, got)
		}
	}
	for range hypercore.Chunks(bytes.NewReader(nil), 4) {
		t.Error("an empty reader has a chunk")
	}
	var last error
	for _, err := range hypercore.Chunks(io.MultiReader(bytes.NewReader(data), iotest.ErrReader(io.ErrClosedPipe)), 4) {
		last = err
	}
	if !errors.Is(last, io.ErrClosedPipe) {
		t.Errorf("last error = %v, want that of the reader", last)
	}
}
