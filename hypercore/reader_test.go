package hypercore_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"testing"
	"testing/iotest"
	"testing/synctest"

	"github.com/cobox-p2p/cobox-p2p/hypercore"
)

// contentOf returns the contents of the blocks end to end.
func contentOf(span hypercore.Span) (all []byte) {
	for seq := span.Start; seq < span.End(); seq++ {
		all = append(all, blockOf(seq)...)
	}
	return all
}

func TestReaderReadsTheContentOfASpan(t *testing.T) {
	for _, sealed := range []bool{false, true} {
		f, _ := written(t, 0)
		if sealed {
			f = f.WithSeal(hypercore.NewSeal([32]byte{1}))
		}
		mustAppend(t, f, blocksOf(0, 300)...)
		for _, span := range []hypercore.Span{{}, {Start: 300}, {Count: 300}, {Start: 16, Count: 1}, {Start: 33, Count: 200}, {Start: 299, Count: 1}} {
			t.Run(fmt.Sprintf("sealed %t, %+v", sealed, span), func(t *testing.T) {
				want := contentOf(span)
				r := f.Reader(context.Background(), span)
				if err := iotest.TestReader(r, want); err != nil {
					t.Error(err)
				}
				if _, err := r.Seek(0, io.SeekStart); err != nil {
					t.Fatal(err)
				}
				var b bytes.Buffer
				if n, err := r.WriteTo(&b); err != nil || n != int64(len(want)) || !bytes.Equal(b.Bytes(), want) {
					t.Errorf("WriteTo = %d, %v, want %d bytes", n, err, len(want))
				}
				if err := r.Close(); err != nil {
					t.Error(err)
				}
				if _, err := r.Read(make([]byte, 1)); !errors.Is(err, hypercore.ErrClosed) {
					t.Errorf("Read after Close = %v, want ErrClosed", err)
				}
			})
		}
	}
}

func TestReaderSeeks(t *testing.T) {
	f, _ := written(t, 120)
	span := hypercore.Span{Start: 5, Count: 100}
	all := contentOf(span)
	r := f.Reader(context.Background(), span)
	defer r.Close()
	for at := range int64(len(all)) {
		if got, err := r.Seek(at, io.SeekStart); got != at || err != nil {
			t.Fatalf("Seek %d = %d, %v", at, got, err)
		}
		b := make([]byte, 20)
		n, err := io.ReadFull(r, b)
		if want := all[at:min(at+20, int64(len(all)))]; !bytes.Equal(b[:n], want) || len(want) == 20 && err != nil {
			t.Fatalf("read at %d = %x, %v, want %x", at, b[:n], err, want)
		}
	}
	if at, err := r.Seek(-3, io.SeekEnd); at != int64(len(all))-3 || err != nil {
		t.Errorf("Seek to the end = %d, %v", at, err)
	}
	if at, err := r.Seek(10, io.SeekCurrent); at != int64(len(all))+7 || err != nil {
		t.Errorf("Seek beyond the end = %d, %v", at, err)
	}
	if n, err := r.Read(make([]byte, 1)); n != 0 || err != io.EOF {
		t.Errorf("Read beyond the end = %d, %v, want EOF", n, err)
	}
	if _, err := r.Seek(-1, io.SeekStart); err == nil {
		t.Error("Seek to a negative offset succeeded")
	}
	if _, err := r.Seek(0, 9); err == nil {
		t.Error("Seek from nowhere succeeded")
	}
	if _, err := r.ReadAt(nil, -1); err == nil {
		t.Error("ReadAt a negative offset succeeded")
	}
	blind := f.Blind().Reader(context.Background(), span)
	if _, err := blind.Read(make([]byte, 1)); !errors.Is(err, hypercore.ErrSealed) {
		t.Errorf("Read without the key = %v, want ErrSealed", err)
	}
	if _, err := blind.ReadAt(make([]byte, 1), 0); !errors.Is(err, hypercore.ErrSealed) {
		t.Errorf("ReadAt without the key = %v, want ErrSealed", err)
	}
	// Blocks too short to be sealed.
	short := f.WithSeal(hypercore.NewSeal([32]byte{1})).Reader(context.Background(), span)
	if _, err := short.Seek(0, io.SeekEnd); !errors.Is(err, hypercore.ErrWrongKey) {
		t.Errorf("Seek among blocks that aren't sealed = %v, want ErrWrongKey", err)
	}
}

// In a sparse feed nothing of the way to an offset is stored: it is fetched, and
// little beside it.
func TestReaderSeeksInASparseFeed(t *testing.T) {
	for _, sealed := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			const seed = 5
			rng := rand.New(rand.NewPCG(seed, 0))
			writer, _ := written(t, 0)
			own, key := writer, hypercore.NewSeal([32]byte{1})
			if sealed {
				own = writer.WithSeal(key)
			}
			mustAppend(t, own, blocksOf(0, 5000)...)
			span := hypercore.Span{Start: 11, Count: 4980}
			all := contentOf(span)
			for range 8 {
				reader, w := sparse(t, writer)
				before, _ := reader.Held()
				if sealed {
					reader = reader.WithSeal(key)
				}
				at := rng.IntN(len(all) - 40)
				b := make([]byte, 40)
				var n int
				var err error
				go func() {
					r := reader.Reader(context.Background(), span)
					defer r.Close()
					if _, err = r.Seek(int64(at-len(all)), io.SeekEnd); err == nil {
						n, err = io.ReadFull(r, b)
					}
				}()
				drive(w)
				if err != nil || !bytes.Equal(b[:n], all[at:at+40]) {
					t.Fatalf("seed %d: read at %d = %x, %v, want %x", seed, at, b[:n], err, all[at:at+40])
				}
				if held, _ := reader.Held(); held-before > 60 {
					t.Errorf("seed %d: %d blocks were fetched to read 40 bytes at %d", seed, held-before, at)
				}
			}
		})
	}
}

// A reader waits for blocks to come, and its context ends the waiting.
func TestReaderWaitsForGrowth(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(context.Background())
		writer, _ := written(t, 20)
		reader, w := sparse(t, writer)
		want := contentOf(hypercore.Span{Count: 40})
		var live, whole bytes.Buffer
		var liveErr, wholeErr error
		go func() {
			r := reader.Reader(ctx, hypercore.Span{Count: hypercore.Endless})
			defer r.Close()
			_, liveErr = io.Copy(&live, r)
		}()
		go func() {
			r := reader.Reader(ctx, hypercore.Span{Count: 40})
			defer r.Close()
			var size int64
			if size, wholeErr = r.Seek(0, io.SeekEnd); wholeErr == nil && size != int64(len(want)) {
				t.Errorf("size = %d, want %d", size, len(want))
			}
			if _, wholeErr = r.Seek(0, io.SeekStart); wholeErr == nil {
				_, wholeErr = io.Copy(&whole, r)
			}
		}()
		drive(w)
		if n := len(contentOf(hypercore.Span{Count: 20})); live.Len() != n || whole.Len() != 0 {
			t.Errorf("%d and %d bytes, want %d and 0", live.Len(), whole.Len(), n)
		}
		mustAppend(t, writer, blocksOf(20, 20)...)
		drive(w)
		if !bytes.Equal(live.Bytes(), want) || !bytes.Equal(whole.Bytes(), want) || wholeErr != nil {
			t.Errorf("%d and %d bytes, %v, want %d", live.Len(), whole.Len(), wholeErr, len(want))
		}
		cancel()
		synctest.Wait()
		if !errors.Is(liveErr, context.Canceled) {
			t.Errorf("endless reader ended with %v, want Canceled", liveErr)
		}
	})
}

// Seeking fetches from a peer that holds part of the feed.
func TestReaderSeeksAmongWhatPeersHold(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		writer, _ := written(t, 2000)
		all := contentOf(hypercore.Span{Count: 2000})
		middle, w := sparse(t, writer)
		span := hypercore.Span{Start: 1500, Count: 30}
		d := middle.Download(span, hypercore.DownloadOptions{})
		w.settle(0)
		if !isDone(d) {
			t.Fatal("not downloaded")
		}
		reader, w := sparse(t, middle)
		at := int64(len(contentOf(hypercore.Span{Count: 1510})))
		b := make([]byte, 30)
		err := errors.New("not done")
		go func() { _, err = reader.Reader(context.Background(), hypercore.Span{Count: 2000}).ReadAt(b, at) }()
		drive(w)
		if err != nil || !bytes.Equal(b, all[at:at+30]) {
			t.Errorf("ReadAt %d = %x, %v, want %x", at, b, err, all[at:at+30])
		}
	})
}

// When the peer goes that holds the block next to the offset, another one's is
// taken.
func TestReaderSeeksWithAnotherPeer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		writer, _ := written(t, 2000)
		all := contentOf(hypercore.Span{Count: 2000})
		at := int64(len(contentOf(hypercore.Span{Count: 1510})))
		reader, w := sparse(t, writer)
		b := make([]byte, 30)
		err := errors.New("not done")
		go func() { _, err = reader.Reader(context.Background(), hypercore.Span{Count: 2000}).ReadAt(b, at) }()
		synctest.Wait()
		w.cut(w.sides[0]) // before it was asked for anything
		drive(w)
		middle, m := sparse(t, writer)
		d := middle.Download(hypercore.Span{Start: 1500, Count: 30}, hypercore.DownloadOptions{})
		m.settle(0)
		if !isDone(d) || err == nil {
			t.Fatal("not downloaded, or done too early")
		}
		w.link("mr", middle, reader)
		drive(w)
		if err != nil || !bytes.Equal(b, all[at:at+30]) {
			t.Errorf("ReadAt %d = %x, %v, want %x", at, b, err, all[at:at+30])
		}
	})
}
