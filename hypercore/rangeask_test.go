package hypercore_test

import (
	"context"
	"errors"
	"fmt"
	"math"
	"testing"
	"testing/synctest"
	"time"

	"github.com/cobox-p2p/cobox-p2p/hypercore"
	"github.com/cobox-p2p/cobox-p2p/hypercore/merkle"
)

var byRanges = hypercore.PeerOptions{Ranges: true}

// answerTo returns what the feed answers to a request for a range.
func answerTo(t *testing.T, f *hypercore.Feed, m hypercore.Message) hypercore.Message {
	t.Helper()
	r := speak(t, f, hypercore.PeerOptions{Ranges: true, NoDownload: true})
	defer r.peer.Detach()
	r.hear()
	r.say(m)
	got := r.hear()
	if len(got) != 1 {
		t.Fatalf("%d answers to %s: %s", len(got), describe(m), list(got))
	}
	return got[0]
}

// spanOf returns the blocks that a request for a range names.
func spanOf(t *testing.T, m hypercore.Message) hypercore.Span {
	t.Helper()
	q, ok := m.(*hypercore.RangeRequest)
	if !ok {
		t.Fatalf("%s, want a RangeRequest", describe(m))
	}
	return hypercore.Span{Start: q.Start, Count: q.Count}
}

// A dead remote keeps a range from an idle one for a second, and its late answer
// is welcome.
func TestIdleRemoteTakesRangesOver(t *testing.T) {
	writer, wst := written(t, 3000)
	reader, rst := reading(t)
	give(t, writer, reader, 0)
	all := &hypercore.Have{Start: 0, Length: 3000}
	dead := speak(t, reader, byRanges)
	dead.hear()
	dead.say(all)
	owed := dead.hear()
	idle := speak(t, reader, byRanges)
	idle.hear()
	idle.say(all)
	if got := idle.hear(); len(owed) != 1 || len(got) != 0 || spanOf(t, owed[0]) != (hypercore.Span{Start: 1, Count: 2999}) {
		t.Fatalf("asked one for %s and the other for %s", list(owed), list(got))
	}
	at, ok := idle.peer.Due()
	if want := epoch.Add(hypercore.RangePatience); !ok || !at.Equal(want) {
		t.Fatalf("Due = %v, %t, want %v", at, ok, want)
	}
	idle.now = at.Add(-1)
	idle.expect()
	idle.now = at
	taken := idle.hear()
	if len(taken) != 1 || spanOf(t, taken[0]) != spanOf(t, owed[0]) {
		t.Fatalf("took over %s", list(taken))
	}
	dead.now = at
	dead.expect(&hypercore.Cancel{Index: 1})
	dead.say(answerTo(t, writer, owed[0])) // had it on its way
	checkAll(t, "reader", reader, writer, rst, wst)
	idle.expect(&hypercore.Cancel{Index: 1})
	idle.say(answerTo(t, writer, taken[0]))
	checkAll(t, "reader", reader, writer, rst, wst)
}

// What one remote leaves out of its answer is asked of whoever has room.
func TestShortAnswerFreesTheRest(t *testing.T) {
	writer, wst := written(t, 200)
	reader, rst := reading(t)
	give(t, writer, reader, 0)
	r := speak(t, reader, byRanges)
	r.hear()
	r.say(&hypercore.Have{Start: 0, Length: 200})
	got := r.hear()
	q := got[0].(*hypercore.RangeRequest)
	other := speak(t, reader, byRanges)
	other.hear()
	other.say(&hypercore.Have{Start: 0, Length: 200})
	other.expect()
	few := answerTo(t, writer, &hypercore.RangeRequest{Start: q.Start, Count: 20, Length: q.Length, Left: q.Left})
	r.say(few)
	rest := other.hear()
	if len(rest) != 1 || spanOf(t, rest[0]) != (hypercore.Span{Start: 21, Count: 179}) {
		t.Fatalf("asked for %s, want the rest", list(rest))
	}
	other.say(answerTo(t, writer, rest[0]))
	checkAll(t, "reader", reader, writer, rst, wst)
}

// An answer is bounded in bytes and in blocks, and has one block at least.
func TestAnswersAreBounded(t *testing.T) {
	sizes := map[string]struct {
		size   int
		blocks uint64
		want   int
	}{
		"empty": {0, 5000, hypercore.MaxRangeBlocks}, "small": {10, 5000, hypercore.MaxRangeBlocks}, "one over": {hypercore.MaxRangeBytes + 1, 3, 1},
		"exact": {hypercore.MaxRangeBytes, 3, 1}, "sealed 64 KiB": {64<<10 + hypercore.SealOverhead, 40, 16}, "third": {hypercore.MaxRangeBytes / 3, 10, 3},
	}
	for name, c := range sizes {
		f, _ := written(t, 0)
		block := make([]byte, c.size)
		var blocks [][]byte
		for range c.blocks {
			blocks = append(blocks, block)
		}
		mustAppend(t, f, blocks...)
		for _, start := range []uint64{0, 1} {
			d := answerTo(t, f, &hypercore.RangeRequest{Start: start, Count: math.MaxInt32}).(*hypercore.RangeData)
			if want := min(c.want, int(c.blocks-start)); len(d.Blocks) != want || d.Start != start {
				t.Errorf("%s: %d blocks from %d, want %d", name, len(d.Blocks), d.Start, want)
			}
		}
	}
}

// What isn't here is answered with Unhave of the whole gap, without Status.
func TestRangeThatIsNotHere(t *testing.T) {
	writer, _ := written(t, 50)
	relay, _ := reading(t)
	relay.SetSparse(true)
	for _, seq := range []uint64{49, 10, 11} {
		give(t, writer, relay, seq)
	}
	for _, c := range []struct {
		start, count uint64
		want         hypercore.Message
	}{
		{0, 5, &hypercore.Unhave{Start: 0, Length: 5}},
		{0, 50, &hypercore.Unhave{Start: 0, Length: 10}},
		{12, 1 << 50, &hypercore.Unhave{Start: 12, Length: 37}},
		{60, 1 << 50, &hypercore.Unhave{Start: 60, Length: 1 << 50}},
	} {
		got := answerTo(t, relay, &hypercore.RangeRequest{Start: c.start, Count: c.count})
		if u, ok := got.(*hypercore.Unhave); !ok || *u != *c.want.(*hypercore.Unhave) {
			t.Errorf("%d blocks from %d: %s, want %s", c.count, c.start, describe(got), describe(c.want))
		}
	}
	d := answerTo(t, relay, &hypercore.RangeRequest{Start: 10, Count: 40}).(*hypercore.RangeData)
	if len(d.Blocks) != 2 {
		t.Errorf("%d blocks up to the gap, want 2", len(d.Blocks))
	}
}

// What somebody waits for is asked for beyond a full window, and answered first.
func TestUrgentRangesGoFirst(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		writer, _ := written(t, 0)
		var blocks [][]byte
		for range 4000 {
			blocks = append(blocks, make([]byte, 4<<10))
		}
		mustAppend(t, writer, blocks...)
		reader, _ := reading(t)
		give(t, writer, reader, 0)
		up, down := speak(t, writer, byRanges), speak(t, reader, byRanges)
		down.hear()
		down.say(&hypercore.Have{Start: 0, Length: 4000})
		bulk := down.hear()
		for _, m := range bulk {
			up.say(m)
		}
		ctx, cancel := context.WithCancel(context.Background())
		got := make(chan error, 1)
		go func() {
			_, err := reader.Get(ctx, 3000)
			got <- err
		}()
		synctest.Wait()
		urgent := down.hear()
		if len(urgent) != 1 || !urgent[0].(*hypercore.RangeRequest).Urgent || spanOf(t, urgent[0]) != (hypercore.Span{Start: 3000, Count: 8}) {
			t.Fatalf("asked for %s behind %d, want block 3000 with the rest of its page", list(urgent), len(bulk))
		}
		up.say(urgent[0])
		var answers []*hypercore.RangeData
		for _, m := range up.hear() {
			if d, ok := m.(*hypercore.RangeData); ok {
				answers = append(answers, d)
			}
		}
		if len(answers) != len(bulk)+1 || answers[0].Start != 3000 {
			t.Fatalf("%d answers, the first from %d on", len(answers), answers[0].Start)
		}
		down.say(answers[0])
		if err := <-got; err != nil {
			t.Error(err)
		}
		cancel()
	})
}

// A Get in a sparse feed asks for nothing that nobody wants, and takes it back.
func TestSparseGetAsksForOneBlock(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		writer, _ := written(t, 200)
		reader, _ := reading(t)
		reader.SetSparse(true)
		give(t, writer, reader, 199)
		r := speak(t, reader, byRanges)
		r.hear()
		r.say(&hypercore.Have{Start: 0, Length: 200})
		r.expect()
		ctx, cancel := context.WithCancel(context.Background())
		go reader.Get(ctx, 70)
		synctest.Wait()
		if got := r.hear(); len(got) != 1 || spanOf(t, got[0]) != (hypercore.Span{Start: 70, Count: 1}) {
			t.Fatalf("asked for %s, want block 70", list(got))
		}
		cancel()
		synctest.Wait()
		r.expect(&hypercore.Cancel{Index: 70})
		d := reader.Download(hypercore.Span{Start: 10, Count: 30}, hypercore.DownloadOptions{})
		if got := r.hear(); len(got) != 1 || spanOf(t, got[0]) != (hypercore.Span{Start: 10, Count: 30}) {
			t.Fatalf("asked for %s, want blocks 10 to 39", list(got))
		}
		d.Cancel()
		r.expect(&hypercore.Cancel{Index: 10})
	})
}

// Blocks that the guard refuses stay out, the others of the range are stored.
func TestGuardWithinARange(t *testing.T) {
	writer, wst := written(t, 300)
	reader, rst := reading(t)
	refuse := map[uint64]bool{0: true, 5: true, 6: true, 299: true}
	reader.SetGuard(func(seq uint64, _ []byte, _ *hypercore.Peer) error {
		if refuse[seq] {
			return errors.New("no")
		}
		return nil
	})
	w := newWorld(t, 1)
	w.ranges = true
	_, down := w.link("wr", writer, reader)
	w.settle(time.Second)
	for seq := range writer.Length() {
		if held := reader.Has(hypercore.Span{Start: seq, Count: 1}); held == refuse[seq] {
			t.Errorf("block %d: held %t", seq, held)
		}
	}
	if n := down.peer.Stats().Refused; n != uint64(len(refuse)) {
		t.Errorf("Refused = %d, want %d", n, len(refuse))
	}
	clear(refuse)
	w.settle(2 * hypercore.RefusalPause)
	checkAll(t, "reader", reader, writer, rst, wst)
}

// One commit and one event for a range.
func TestRangeIsStoredAtOnce(t *testing.T) {
	writer, _ := written(t, 500)
	reader, _ := reading(t)
	give(t, writer, reader, 0)
	var stored, sent []hypercore.Span
	reader.Notify(func(e hypercore.Event) {
		if e.Kind == hypercore.Stored {
			stored = append(stored, e.Span)
		}
	})
	writer.Notify(func(e hypercore.Event) {
		if e.Kind == hypercore.Uploaded {
			sent = append(sent, e.Span)
		}
	})
	r := speak(t, reader, byRanges)
	r.hear()
	r.say(&hypercore.Have{Start: 0, Length: 500})
	r.say(answerTo(t, writer, r.hear()[0]))
	want := fmt.Sprint([]hypercore.Span{{Start: 1, Count: 499}})
	if fmt.Sprint(stored) != want || fmt.Sprint(sent) != want {
		t.Errorf("stored %v, sent %v, want %v", stored, sent, want)
	}
}

// A head that was verified elsewhere isn't verified again.
func TestNoteVerifiedHead(t *testing.T) {
	writer, _ := written(t, 10)
	for _, noted := range []bool{true, false} {
		reader, _ := reading(t)
		r := speak(t, reader, byRanges)
		r.hear()
		r.say(&hypercore.Have{Start: 0, Length: 10})
		d := answerTo(t, writer, r.hear()[0]).(*hypercore.RangeData)
		head := writer.Head().Signed()
		d.Signature = append([]byte(nil), d.Signature...)
		d.Signature[0] ^= 1
		head.Signature = hypercore.Signature(d.Signature)
		if noted {
			reader.NoteVerifiedHead(head)
		}
		err := r.peer.Handle(d, r.now)
		if noted && err != nil || !noted && !errors.Is(err, merkle.ErrProof) {
			t.Errorf("noted %t: %v", noted, err)
		}
	}
}
