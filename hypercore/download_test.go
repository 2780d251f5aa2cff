package hypercore_test

import (
	"context"
	"errors"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/cobox-p2p/cobox-p2p/hypercore"
)

// requests logs the blocks that a world's sides ask for, in order.
func requests(w *world) *[]uint64 {
	var seqs []uint64
	w.log = func(_ *side, m hypercore.Message) {
		if r, ok := m.(*hypercore.Request); ok && !r.Hash {
			seqs = append(seqs, r.Index)
		}
	}
	return &seqs
}

// sparse returns a sparse reader that knows the writer's length and nothing
// else, in a world in which all has come to rest.
func sparse(t testing.TB, writer *hypercore.Feed) (*hypercore.Feed, *world) {
	t.Helper()
	reader, _ := reading(t)
	reader.SetSparse(true)
	w := newWorld(t, 1)
	w.link("wr", writer, reader)
	w.settle(0)
	return reader, w
}

func isDone(d *hypercore.Download) bool {
	select {
	case <-d.Done():
		return true
	default:
		return false
	}
}

func TestDownloadInASparseFeed(t *testing.T) {
	ctx := context.Background()
	writer, _ := written(t, 60)
	reader, w := sparse(t, writer)
	before, _ := reader.Held()
	span := hypercore.Span{Start: 20, Count: 10}
	d := reader.Download(span, hypercore.DownloadOptions{})
	if isDone(d) {
		t.Fatal("done before anything came")
	}
	w.settle(0)
	if err := d.Wait(ctx); err != nil || !reader.Has(span) {
		t.Fatalf("Wait = %v, held %t", err, reader.Has(span))
	}
	if held, _ := reader.Held(); held > before+span.Count {
		t.Errorf("%d blocks were fetched for a download of %d", held-before, span.Count)
	}
	d.Cancel() // of what is done: nothing
	if err := d.Wait(ctx); err != nil {
		t.Errorf("Wait after Done and Cancel = %v", err)
	}
	if d := reader.Download(span, hypercore.DownloadOptions{}); !isDone(d) {
		t.Error("a download of blocks that are here isn't done")
	}
	if d := reader.Download(hypercore.Span{Start: 3}, hypercore.DownloadOptions{}); !isDone(d) {
		t.Error("an empty download isn't done")
	}
}

func TestDownloadsByPriority(t *testing.T) {
	writer, _ := written(t, 400)
	reader, w := sparse(t, writer)
	seqs := requests(w)
	first := reader.Download(hypercore.Span{Start: 300, Count: 20}, hypercore.DownloadOptions{Priority: 1, Linear: true})
	reader.Download(hypercore.Span{Start: 200, Count: 20}, hypercore.DownloadOptions{Priority: -1, Linear: true})
	reader.Download(hypercore.Span{Start: 100, Count: 20}, hypercore.DownloadOptions{Priority: 7, Linear: true})
	second := reader.Download(hypercore.Span{Start: 310, Count: 20}, hypercore.DownloadOptions{Priority: 1, Linear: true})
	w.settle(0)
	var want []uint64
	for _, s := range []hypercore.Span{{Start: 100, Count: 20}, {Start: 300, Count: 30}, {Start: 200, Count: 20}} {
		for seq := s.Start; seq < s.End(); seq++ {
			if !slices.Contains(want, seq) {
				want = append(want, seq)
			}
		}
	}
	if !slices.Equal(*seqs, want) {
		t.Errorf("requested %v, want %v", *seqs, want)
	}
	if !isDone(first) || !isDone(second) {
		t.Error("downloads that overlap are not both done")
	}
}

// Before all of a feed comes what was downloaded with priority 0 or more, behind
// it what has less.
func TestDownloadBeforeTheWholeFeed(t *testing.T) {
	writer, _ := written(t, 400)
	reader, w := sparse(t, writer)
	seqs := requests(w)
	reader.Download(hypercore.Span{Start: 390, Count: 10}, hypercore.DownloadOptions{})
	reader.SetSparse(false)
	w.settle(0)
	if len(*seqs) < 10 || slices.Min((*seqs)[:9]) < 390 {
		t.Errorf("first requests %v, want 390 to 399", (*seqs)[:10])
	}
	if _, missing := reader.Missing(0); missing {
		t.Error("the rest was not fetched")
	}
}

func TestEndlessDownloadFollowsGrowth(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(context.Background())
		writer, _ := written(t, 10)
		reader, w := sparse(t, writer)
		d := reader.Download(hypercore.Span{Start: 5, Count: hypercore.Endless}, hypercore.DownloadOptions{})
		w.settle(0)
		for range 3 {
			mustAppend(t, writer, blocksOf(writer.Length(), 7)...)
			w.settle(0)
			if s := (hypercore.Span{Start: 5, Count: writer.Length() - 5}); !reader.Has(s) || isDone(d) {
				t.Fatalf("blocks to %d: held %t, done %t", s.End(), reader.Has(s), isDone(d))
			}
		}
		cancel()
		if err := d.Wait(ctx); !errors.Is(err, context.Canceled) {
			t.Errorf("Wait whose ctx ended = %v", err)
		}
		reader.Close()
		if err := d.Wait(context.Background()); !errors.Is(err, hypercore.ErrClosed) {
			t.Errorf("Wait after Close = %v, want ErrClosed", err)
		}
		if err := reader.Download(hypercore.Span{Count: 1}, hypercore.DownloadOptions{}).Wait(context.Background()); !errors.Is(err, hypercore.ErrClosed) {
			t.Errorf("Download after Close = %v, want ErrClosed", err)
		}
	})
}

// Cancel takes back the requests that nobody else has a use for.
func TestCancelTakesBack(t *testing.T) {
	writer, _ := written(t, 200)
	reader, w := sparse(t, writer)
	rs := w.sides[1]
	whole := reader.Download(hypercore.Span{Start: 100, Count: 30}, hypercore.DownloadOptions{Linear: true})
	other := reader.Download(hypercore.Span{Start: 120, Count: 30}, hypercore.DownloadOptions{Linear: true})
	for rs.woken.Load() {
		w.pull(rs)
	}
	sent := rs.sent["Request"]
	whole.Cancel()
	whole.Cancel()
	if err := whole.Wait(context.Background()); !errors.Is(err, context.Canceled) {
		t.Errorf("Wait after Cancel = %v, want Canceled", err)
	}
	for rs.woken.Load() {
		w.pull(rs)
	}
	if rs.sent["Cancel"] != 20 || sent < 50 {
		t.Errorf("%d Cancels for %d requests, want 20 for 50", rs.sent["Cancel"], sent)
	}
	for ws := w.sides[0]; len(ws.inbox) > 0; {
		w.deliver(ws)
	}
	w.settle(time.Minute)
	if !isDone(other) {
		t.Error("a download that overlaps isn't done")
	}
	if reader.Has(hypercore.Span{Start: 100, Count: 1}) {
		t.Error("a block that was taken back before it was sent came all the same")
	}
}

// A Get that gives up in a sparse feed takes its request back, and so does
// SetSparse.
func TestGivingUpTakesBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		writer, _ := written(t, 200)
		reader, w := sparse(t, writer)
		rs := w.sides[1]
		ctx, cancel := context.WithCancel(context.Background())
		go reader.Get(ctx, 150)
		synctest.Wait()
		for rs.woken.Load() {
			w.pull(rs)
		}
		cancel()
		synctest.Wait()
		for rs.woken.Load() {
			w.pull(rs)
		}
		if rs.sent["Cancel"] != 1 {
			t.Errorf("%d Cancels after a Get gave up, want 1", rs.sent["Cancel"])
		}
		reader.SetSparse(false)
		for rs.woken.Load() {
			w.pull(rs)
		}
		reader.SetSparse(true)
		for rs.woken.Load() {
			w.pull(rs)
		}
		if rs.sent["Cancel"] < hypercore.MaxRequests/2 {
			t.Errorf("%d Cancels after SetSparse", rs.sent["Cancel"])
		}
	})
}

// Whatever downloads begin and end, when they come to rest what is wanted is
// here.
func TestDownloadsModel(t *testing.T) {
	for seed := range uint64(8) {
		writer, _ := written(t, 300)
		reader, _ := reading(t)
		reader.SetSparse(true)
		w := newWorld(t, seed)
		w.link("a", writer, reader)
		w.link("b", writer, reader)
		type wish struct {
			d    *hypercore.Download
			span hypercore.Span
		}
		var open []wish
		for range 40 {
			for range w.rng.IntN(30) {
				w.step()
			}
			switch w.rng.IntN(4) {
			case 0, 1:
				s := hypercore.Span{Start: w.rng.Uint64N(300), Count: 1 + w.rng.Uint64N(40)}
				s.Count = min(s.Count, 300-s.Start)
				o := hypercore.DownloadOptions{Priority: w.rng.IntN(5) - 2, Linear: w.rng.IntN(2) == 0}
				open = append(open, wish{reader.Download(s, o), s})
			case 2:
				if len(open) > 0 {
					at := w.rng.IntN(len(open))
					open[at].d.Cancel()
					open = slices.Delete(open, at, at+1)
				}
			case 3:
				s := hypercore.Span{Start: w.rng.Uint64N(300), Count: 1 + w.rng.Uint64N(20)}
				mustClear(t, reader, s)
				open = slices.DeleteFunc(open, func(x wish) bool { return isDone(x.d) })
			}
		}
		w.settle(time.Minute)
		for _, x := range open {
			if !isDone(x.d) || !reader.Has(x.span) {
				t.Fatalf("seed %d: download of %+v: done %t, held %t", seed, x.span, isDone(x.d), reader.Has(x.span))
			}
		}
	}
}

// Who takes requests back and asks again gets some blocks twice. The remote is
// not blamed for that.
func TestAskingAgainBlamesNobody(t *testing.T) {
	writer, _ := written(t, 100)
	reader, w := sparse(t, writer)
	ws, rs := w.sides[0], w.sides[1]
	span := hypercore.Span{Start: 40, Count: 40}
	flush := func(s *side) {
		for s.woken.Load() {
			w.pull(s)
		}
		for len(s.other.inbox) > 0 {
			w.deliver(s.other)
		}
	}
	for range 2 * hypercore.MaxUnasked / 40 {
		d := reader.Download(span, hypercore.DownloadOptions{})
		flush(rs)
		for ws.woken.Load() {
			w.pull(ws) // answers, on their way
		}
		d.Cancel()
		d = reader.Download(span, hypercore.DownloadOptions{})
		flush(rs)
		flush(ws)
		if !isDone(d) {
			t.Fatal("not done")
		}
		mustClear(t, reader, span)
	}
}
