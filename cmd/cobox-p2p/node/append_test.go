package node

import (
	"bytes"
	"context"
	"errors"
	"io"
	"testing"
	"testing/synctest"
	"time"

	"github.com/cobox-p2p/cobox-p2p/hypercore/corestore"
	"github.com/cobox-p2p/cobox-p2p/hypercore/storage"
	"github.com/cobox-p2p/cobox-p2p/multifeed"
)

// testFeed returns a writer's feed in memory.
func testFeed(t *testing.T) *multifeed.Feed {
	t.Helper()
	st := storage.NewMemory()
	store := corestore.New(st, corestore.MasterKey{1})
	secret := multifeed.NewSecret()
	s, err := multifeed.Open(store, secret.Address(), multifeed.WithSecret(secret))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close(); store.Close(); st.Close() })
	f, err := s.Writer("w")
	if err != nil {
		t.Fatal(err)
	}
	return f
}

// content returns the blocks of a feed.
func content(t *testing.T, f *multifeed.Feed) (blocks [][]byte) {
	t.Helper()
	for seq := range f.Length() {
		b, err := f.Get(t.Context(), seq)
		if err != nil {
			t.Fatal(err)
		}
		blocks = append(blocks, b)
	}
	return blocks
}

func TestAppendCutsBlocks(t *testing.T) {
	for _, c := range []struct{ size, block, blocks int }{
		{0, 10, 0}, {1, 10, 1}, {9, 10, 1}, {10, 10, 1}, {11, 10, 2},
		{appendBatch, 64 << 10, 64}, {appendBatch + 1, 1 << 20, 5}, {MaxBlockSize + 1, MaxBlockSize, 2},
	} {
		// In a bubble no time passes while somebody works, on a slow machine too.
		synctest.Test(t, func(t *testing.T) { cutBlocks(t, c.size, c.block, c.blocks) })
	}
}

func cutBlocks(t *testing.T, size, block, want int) {
	f := testFeed(t)
	input := make([]byte, size)
	for i := range input {
		input[i] = byte(i * 7 / 3)
	}
	a := appending{feed: f, blockSize: block}
	if err := a.copy(t.Context(), bytes.NewReader(input), func() {}); err != nil {
		t.Fatal(err)
	}
	blocks := content(t, f)
	if len(blocks) != want || a.done.Blocks != uint64(want) || a.done.Bytes != uint64(size) || !bytes.Equal(bytes.Join(blocks, nil), input) {
		t.Errorf("%d bytes in blocks of %d: %d blocks, want %d, and the same bytes; %+v", size, block, len(blocks), want, a.done)
	}
}

// TestAppendPause holds that what pauses doesn't wait for a full block.
func TestAppendPause(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := testFeed(t)
		r, w := io.Pipe()
		a := appending{feed: f, blockSize: 100}
		ended := make(chan error, 1)
		go func() { ended <- a.copy(t.Context(), r, func() { r.Close() }) }()
		w.Write([]byte("first"))
		time.Sleep(flushAfter / 2)
		synctest.Wait()
		if n := f.Length(); n != 0 {
			t.Errorf("%d blocks before the pause was over", n)
		}
		w.Write([]byte(" line"))
		time.Sleep(flushAfter)
		synctest.Wait()
		if got := content(t, f); len(got) != 1 || string(got[0]) != "first line" {
			t.Errorf("after the pause: %q", got)
		}
		w.Write([]byte("end"))
		w.Close()
		if err := <-ended; err != nil {
			t.Fatal(err)
		}
		if got := content(t, f); len(got) != 2 || string(got[1]) != "end" {
			t.Errorf("at the end: %q", got)
		}
	})
}

// TestAppendBrokenInput holds that what came before a failure is durable and
// counted.
func TestAppendBrokenInput(t *testing.T) {
	f := testFeed(t)
	broken := errors.New("broken")
	a := appending{feed: f, blockSize: 4}
	err := a.copy(t.Context(), io.MultiReader(bytes.NewReader([]byte("123456")), failing{broken}), func() {})
	if !errors.Is(err, broken) || a.done.Bytes != 6 || a.done.Blocks != 2 || f.Length() != 2 {
		t.Errorf("%v, %+v, %d blocks, want 6 bytes in 2 blocks", err, a.done, f.Length())
	}
}

type failing struct{ err error }

func (f failing) Read([]byte) (int, error) { return 0, f.err }

// TestAppendInterrupted holds that a waiting read is interrupted when the append
// ends early, and that its goroutine is gone then.
func TestAppendInterrupted(t *testing.T) {
	f := testFeed(t)
	r, w := io.Pipe()
	ctx, stop := context.WithCancel(t.Context())
	a := appending{feed: f, blockSize: 4}
	ended := make(chan error, 1)
	go func() { ended <- a.copy(ctx, r, func() { r.Close() }) }()
	w.Write([]byte("1234"))
	stop()
	if err := <-ended; !errors.Is(err, context.Canceled) {
		t.Errorf("got %v, want that the context ended", err)
	}
}
