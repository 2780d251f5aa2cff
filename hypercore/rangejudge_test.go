package hypercore_test

import (
	"bytes"
	"errors"
	"math"
	"testing"
	"time"

	"github.com/cobox-p2p/cobox-p2p/hypercore"
	"github.com/cobox-p2p/cobox-p2p/hypercore/merkle"
	"github.com/cobox-p2p/cobox-p2p/hypercore/storage"
)

func copyRange(m hypercore.Message) *hypercore.RangeData {
	d := *m.(*hypercore.RangeData)
	blocks := make([][]byte, len(d.Blocks))
	for i, b := range d.Blocks {
		blocks[i] = bytes.Clone(b)
	}
	d.Blocks, d.Nodes, d.Signature = blocks, append([]merkle.Node(nil), d.Nodes...), bytes.Clone(d.Signature)
	return &d
}

// rangeAsked returns a reader of the first blocks of a feed of 90, and one remote
// that was asked for those behind with that request.
func rangeAsked(t *testing.T, held uint64) (*hypercore.Feed, *storage.Memory, *remote, *hypercore.RangeRequest) {
	t.Helper()
	writer, _ := written(t, 90)
	f, st := reading(t)
	if held > 0 {
		give(t, writer, f, 89)
	}
	for seq := range held {
		give(t, writer, f, seq)
	}
	r := speak(t, f, byRanges)
	r.hear()
	r.say(&hypercore.Have{Start: 0, Length: 90})
	got := r.hear()
	if len(got) != 1 {
		t.Fatalf("asked for %s", list(got))
	}
	return f, st, r, got[0].(*hypercore.RangeRequest)
}

// What fails and may have left out nodes is asked for once more in full; only that
// answer is judged.
func TestShortenedRangeIsAskedForInFull(t *testing.T) {
	writer, wst := written(t, 90)
	for name, change := range map[string]func(*hypercore.RangeData){
		"block":      func(d *hypercore.RangeData) { d.Blocks[7][0] ^= 1 },
		"last block": func(d *hypercore.RangeData) { d.Blocks[len(d.Blocks)-1] = []byte("other") },
		"one moved":  func(d *hypercore.RangeData) { d.Blocks[1], d.Blocks[2] = d.Blocks[2], d.Blocks[1] },
		"node to spare": func(d *hypercore.RangeData) {
			d.Nodes = append(d.Nodes, merkle.Node{Index: 1023, Size: 1})
		},
	} {
		f, st, r, q := rangeAsked(t, 20)
		if q.Left == 0 || q.Length != 90 {
			t.Fatalf("%s: asked for %s, want digests", name, describe(q))
		}
		bad := copyRange(answerTo(t, writer, q))
		change(bad)
		r.say(copyRange(bad))
		again := &hypercore.RangeRequest{Start: q.Start, Count: q.Count}
		r.expect(again)
		r.say(answerTo(t, writer, again))
		checkAll(t, name, f, writer, st, wst)
		f, _, r, _ = rangeAsked(t, 20)
		r.say(copyRange(bad))
		r.expect(again)
		held, _ := f.Held()
		var remote *hypercore.RemoteError
		if err := r.peer.Handle(copyRange(bad), r.now); !errors.As(err, &remote) || !errors.Is(err, merkle.ErrProof) {
			t.Errorf("%s, twice: %v, want a RemoteError", name, err)
		}
		if n, _ := f.Held(); n != held {
			t.Errorf("%s: %d blocks were stored", name, n-held)
		}
	}
}

// A fresh reader has nothing that could be left out: the first bad answer ends the
// session.
func TestBadFirstRangeIsAFault(t *testing.T) {
	writer, _ := written(t, 90)
	for name, change := range map[string]func(*hypercore.RangeData){
		"block":        func(d *hypercore.RangeData) { d.Blocks[0] = []byte("x") },
		"signature":    func(d *hypercore.RangeData) { d.Signature[9] ^= 1 },
		"no signature": func(d *hypercore.RangeData) { d.Signature = nil },
		"length":       func(d *hypercore.RangeData) { d.Length++ },
		"too long":     func(d *hypercore.RangeData) { d.Length = merkle.MaxLength + 1 },
		"node":         func(d *hypercore.RangeData) { d.Nodes = d.Nodes[:len(d.Nodes)-1] },
		"too large":    func(d *hypercore.RangeData) { d.Blocks[0] = make([]byte, hypercore.MaxBlock+1) },
	} {
		f, _, r, q := rangeAsked(t, 0)
		bad := copyRange(answerTo(t, writer, q))
		change(bad)
		var remote *hypercore.RemoteError
		if err := r.peer.Handle(bad, r.now); !errors.As(err, &remote) {
			t.Errorf("%s: %v, want a RemoteError", name, err)
		}
		if held, _ := f.Held(); held != 0 || f.Length() != 0 {
			t.Errorf("%s: %d blocks were stored", name, held)
		}
	}
}

// Another branch in a range is a fork, with evidence.
func TestForkInARange(t *testing.T) {
	writer, _ := written(t, 30)
	other, _ := written(t, 0)
	mustAppend(t, other, append(blocksOf(0, 25), []byte("another"))...)
	mustAppend(t, other, blocksOf(26, 14)...)
	reader, _ := reading(t)
	for seq := range uint64(30) {
		give(t, writer, reader, seq)
	}
	r := speak(t, reader, byRanges)
	r.hear()
	r.say(&hypercore.Have{Start: 0, Length: 40})
	var err error
	for range 3 {
		for _, m := range r.hear() {
			if q, ok := m.(*hypercore.RangeRequest); ok && err == nil {
				err = r.peer.Handle(answerTo(t, other, q), r.now)
			}
		}
	}
	if !errors.Is(err, hypercore.ErrForked) || reader.Evidence() == nil {
		t.Fatalf("%v, want ErrForked with evidence", err)
	}
	if err := reader.Evidence().Verify(reader.Key()); err != nil {
		t.Error(err)
	}
}

func TestRangesOfAHostileRemote(t *testing.T) {
	f, _ := written(t, 100)
	r := speak(t, f, byRanges)
	for i := range uint64(hypercore.MaxRemoteRanges) {
		r.say(&hypercore.RangeRequest{Start: i, Count: 1 << 52}, &hypercore.RangeRequest{Start: i, Count: 1 << 50})
	}
	over := &hypercore.RangeRequest{Start: hypercore.MaxRemoteRanges, Count: 1}
	if err := r.peer.Handle(over, r.now); !errors.Is(err, hypercore.ErrTooManyRequests) {
		t.Errorf("%d requests: %v, want ErrTooManyRequests", hypercore.MaxRemoteRanges+1, err)
	}
	for name, m := range map[string]hypercore.Message{
		"start":     &hypercore.RangeRequest{Start: merkle.MaxSize + 1, Count: 1},
		"count":     &hypercore.RangeRequest{Start: 1, Count: merkle.MaxSize},
		"none":      &hypercore.RangeRequest{Start: 1},
		"overflow":  &hypercore.RangeRequest{Start: 2, Count: math.MaxUint64},
		"digest":    &hypercore.RangeRequest{Start: 1, Count: 1, Left: merkle.MaxSize + 1},
		"no blocks": &hypercore.RangeData{Start: 1},
		"blocks":    &hypercore.RangeData{Start: 1, Blocks: make([][]byte, hypercore.MaxRangeBlocks+1)},
	} {
		if err := r.peer.Handle(m, r.now); !errors.Is(err, hypercore.ErrRange) {
			t.Errorf("%s: %v, want ErrRange", name, err)
		}
	}
	for i := range uint64(hypercore.MaxRemoteRanges) {
		r.say(&hypercore.Cancel{Index: i})
	}
	for _, m := range r.hear() {
		if kindOf(m) == "RangeData" || kindOf(m) == "Unhave" {
			t.Fatalf("%s, though all was taken back", describe(m))
		}
	}
}

// What nobody asked for is counted, whatever it holds, and not stored.
func TestUnaskedRanges(t *testing.T) {
	writer, _ := written(t, 100)
	reader, _ := reading(t)
	r := speak(t, reader, byRanges)
	d := answerTo(t, writer, &hypercore.RangeRequest{Start: 10, Count: 50})
	for range hypercore.MaxUnasked {
		r.say(d)
	}
	if err := r.peer.Handle(d, r.now); !errors.Is(err, hypercore.ErrLimit) {
		t.Errorf("one more: %v, want ErrLimit", err)
	}
	if held, _ := reader.Held(); held != 0 {
		t.Errorf("%d blocks were stored", held)
	}
	// More blocks than were asked for count as unasked, too.
	_, _, r, q := rangeAsked(t, 0)
	r.say(answerTo(t, writer, &hypercore.RangeRequest{Start: q.Start, Count: q.Count + 1}))
	if n := r.peer.Stats().Unasked; n != 1 {
		t.Errorf("Unasked = %d, want 1", n)
	}
}

// A damaged block ends an answer, and is told of when it comes first.
func TestDamagedBlockInARange(t *testing.T) {
	st := newRotten(storage.NewMemory())
	f := mustOpen(t, st, pairOf(1), true)
	mustAppend(t, f, blocksOf(0, 100)...)
	st.blocks[30] = unread
	d := answerTo(t, f, &hypercore.RangeRequest{Start: 10, Count: 50}).(*hypercore.RangeData)
	if len(d.Blocks) != 20 {
		t.Errorf("%d blocks before the damaged one, want 20", len(d.Blocks))
	}
	if u, ok := answerTo(t, f, &hypercore.RangeRequest{Start: 30, Count: 50}).(*hypercore.Unhave); !ok || *u != (hypercore.Unhave{Start: 30, Length: 1}) {
		t.Errorf("%+v, want Unhave of block 30", u)
	}
}

// A remote with blocks under an older head only is asked again later.
func TestRangeUnderAnOlderHead(t *testing.T) {
	writer, wst := written(t, 10)
	behind, _ := reading(t)
	behind.SetSparse(true)
	give(t, writer, behind, 9)
	give(t, writer, behind, 0)
	reader, rst := reading(t)
	mustAppend(t, writer, blocksOf(10, 10)...)
	reader.SetSparse(true)
	give(t, writer, reader, 0)
	reader.SetSparse(false)
	w := newWorld(t, 2)
	w.ranges = true
	w.link("behind", behind, reader)
	w.settle(5 * time.Second)
	checkSame(t, "reader", reader, writer, rst, wst)
	give(t, writer, behind, 10)
	w.settle(hypercore.RequestTimeout + time.Second)
	if !reader.Has(hypercore.Span{Start: 9, Count: 1}) {
		t.Error("the block was never asked for again")
	}
	checkSame(t, "reader", reader, writer, rst, wst)
}
