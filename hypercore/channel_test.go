package hypercore_test

import (
	"bytes"
	"reflect"
	"testing"
	"time"

	"github.com/cobox-p2p/cobox-p2p/hypercore"
)

// remote is what a peer talks to; a test speaks for it.
type remote struct {
	t    *testing.T
	peer *hypercore.Peer
	now  time.Time
}

func speak(t *testing.T, f *hypercore.Feed, o hypercore.PeerOptions) *remote {
	t.Helper()
	if o.Wake == nil {
		o.Wake = func() {}
	}
	p, err := f.Attach(o)
	if err != nil {
		t.Fatal(err)
	}
	return &remote{t, p, epoch}
}

func (r *remote) say(messages ...hypercore.Message) {
	r.t.Helper()
	for _, m := range messages {
		if err := r.peer.Handle(m, r.now); err != nil {
			r.t.Fatalf("Handle %s: %v", describe(m), err)
		}
	}
}

// hear returns all that the peer has to say now.
func (r *remote) hear() (all []hypercore.Message) {
	r.t.Helper()
	for {
		m, err := r.peer.Next(r.now)
		if err != nil {
			r.t.Fatalf("Next: %v", err)
		}
		if m == nil {
			return all
		}
		all = append(all, m)
	}
}

func (r *remote) expect(want ...hypercore.Message) {
	r.t.Helper()
	got := r.hear()
	if len(got) != len(want) {
		r.t.Fatalf("heard %d messages, want %d: %s", len(got), len(want), list(got))
	}
	for i := range got {
		if !reflect.DeepEqual(got[i], want[i]) {
			r.t.Errorf("message %d = %s, want %s", i, describe(got[i]), describe(want[i]))
		}
	}
}

func list(all []hypercore.Message) string {
	var b bytes.Buffer
	for _, m := range all {
		b.WriteString(describe(m) + "; ")
	}
	return b.String()
}

var (
	ownWant = &hypercore.Want{Start: 0, Length: hypercore.MaxWant}
	stop    = &hypercore.Status{Uploading: false, Downloading: true}
	resume  = &hypercore.Status{Uploading: true, Downloading: true}
)

func TestWantIsAnswered(t *testing.T) {
	f, _ := written(t, 20)
	r := speak(t, f, hypercore.PeerOptions{})
	r.expect(ownWant)
	r.say(&hypercore.Want{Start: 0, Length: 8191}, &hypercore.Want{Start: 1, Length: 8192}, &hypercore.Want{Start: 8192, Length: 0})
	r.expect()
	r.say(&hypercore.Want{Start: 0, Length: 8192}, &hypercore.Want{Start: 8192, Length: hypercore.MaxWant})
	r.expect(
		&hypercore.Have{Start: 19, Length: 1},
		&hypercore.Have{Start: 0, Length: 8192, Bitfield: []byte{2<<2 | 2 | 1, 1 << 1, 0xf0}},
		&hypercore.Have{Start: 8192, Length: hypercore.MaxWant, Bitfield: []byte{}},
	)
	mustAppend(t, f, blocksOf(20, 3)...)
	mustAppend(t, f, blocksOf(23, 1)...)
	r.expect(&hypercore.Have{Start: 20, Length: 4})
	r.say(&hypercore.Unwant{Start: 0, Length: 8192})
	mustAppend(t, f, blocksOf(24, 1)...)
	r.expect(&hypercore.Have{Start: 24, Length: 1})
}

func TestWithoutWantNothingIsTold(t *testing.T) {
	f, _ := written(t, 1)
	r := speak(t, f, hypercore.PeerOptions{})
	r.expect(ownWant)
	mustAppend(t, f, blocksOf(1, 3)...)
	r.expect()
}

func TestEmptyFeedAnswersWant(t *testing.T) {
	f, _ := reading(t)
	r := speak(t, f, hypercore.PeerOptions{})
	r.say(ownWant)
	r.expect(&hypercore.Have{Start: 0, Length: hypercore.MaxWant, Bitfield: []byte{}}, ownWant)
}

// Too many separate spans at once are told by bitfield, and the last block with
// them, also when it lies behind every want.
func TestManyNewSpansAreToldByBitfield(t *testing.T) {
	for extra := range 2 {
		length := uint64(2*(hypercore.MaxHaves+extra) + 1)
		writer, _ := written(t, length)
		relay, _ := reading(t)
		relay.SetSparse(true)
		give(t, writer, relay, length-1)
		r := speak(t, relay, hypercore.PeerOptions{})
		r.say(ownWant)
		r.hear()
		for seq := uint64(0); seq < length-1; seq += 2 {
			give(t, writer, relay, seq)
		}
		got := r.hear()
		if want := []int{hypercore.MaxHaves, 2}[extra]; len(got) != want {
			t.Errorf("%d spans told in %d messages, want %d", hypercore.MaxHaves+extra, len(got), want)
		}
		var b hypercore.Bitfield
		for _, m := range got {
			h := m.(*hypercore.Have)
			if h.Bitfield == nil {
				b.SetRange(h.Start, h.Length)
			} else if err := b.SetRLE(h.Start, h.Bitfield, h.Length, 10); err != nil {
				t.Fatal(err)
			}
		}
		if held, _ := relay.Held(); b.Count() != held-uint64(1-extra) {
			t.Errorf("%d blocks told, want %d", b.Count(), held)
		}
	}
}

func TestRequestForMissingBlock(t *testing.T) {
	f, _ := written(t, 4)
	for _, index := range []uint64{4, 1 << 50} {
		r := speak(t, f, hypercore.PeerOptions{})
		r.expect(ownWant)
		r.say(&hypercore.Request{Index: index})
		r.expect(&hypercore.Unhave{Start: index, Length: 1}, stop, resume)
		r.say(&hypercore.Request{Index: index, Hash: true})
		r.expect(&hypercore.Unhave{Start: index, Length: 1}, stop, resume)
	}
}

// A run of Unhaves is followed by one pair of Status messages, and that comes
// before anything else of the channel.
func TestRunOfUnhavesEndsWithOneStatusToggle(t *testing.T) {
	f, _ := written(t, 4)
	r := speak(t, f, hypercore.PeerOptions{})
	r.expect(ownWant)
	block, _ := f.Prove(3, 0, false)
	r.say(&hypercore.Request{Index: 7}, &hypercore.Request{Index: 8}, &hypercore.Request{Index: 3}, &hypercore.Request{Index: 9})
	r.expect(
		&hypercore.Unhave{Start: 7, Length: 1}, &hypercore.Unhave{Start: 8, Length: 1}, stop, resume, block,
		&hypercore.Unhave{Start: 9, Length: 1}, stop, resume)
	r.expect()
}

func TestRequestsAreAnswered(t *testing.T) {
	f, _ := written(t, 40)
	r := speak(t, f, hypercore.PeerOptions{})
	r.hear()
	block, _ := f.Prove(7, 0, false)
	hash, _ := f.Prove(7, 0, true)
	bare, _ := f.Prove(7, 1, false)
	if len(bare.Nodes) != 0 || bare.Signature != nil || hash.Value != nil || hash.Nodes[0].Index != 14 {
		t.Fatalf("proofs are %s and %s", describe(bare), describe(hash))
	}
	r.say(&hypercore.Request{Index: 7}, &hypercore.Request{Index: 7, Hash: true})
	r.expect(block, hash)
	r.say(&hypercore.Request{Index: 7}, &hypercore.Request{Index: 7, Nodes: 1}) // the later one counts
	r.expect(bare)
	offset := uint64(0)
	for seq := range uint64(7) {
		offset += uint64(len(blockOf(seq)))
	}
	r.say(&hypercore.Request{Index: 3, Bytes: offset, Nodes: 5})
	r.expect(block)
	empty, _ := f.Prove(16, 0, false)
	if empty.Value == nil {
		t.Error("the value of an empty block is absent")
	}
	r.say(&hypercore.Request{Index: 5}, &hypercore.Request{Index: 16}, &hypercore.Cancel{Index: 5}, &hypercore.Cancel{Index: 16, Hash: true})
	r.expect(empty)
	if s := r.peer.Stats(); s.SentBlocks != 4 {
		t.Errorf("SentBlocks = %d, want 4", s.SentBlocks)
	}
}

func TestNoUploadAndNoDownload(t *testing.T) {
	f, _ := written(t, 4)
	r := speak(t, f, hypercore.PeerOptions{NoUpload: true})
	r.say(ownWant, &hypercore.Request{Index: 1})
	r.expect(&hypercore.Status{Uploading: false, Downloading: true}, ownWant)
	reader, _ := reading(t)
	r = speak(t, reader, hypercore.PeerOptions{NoDownload: true})
	r.say(&hypercore.Have{Start: 0, Length: 4})
	r.expect(&hypercore.Status{Uploading: true, Downloading: false})
	if at, ok := r.peer.Due(); ok {
		t.Errorf("Due of a peer that asks for nothing = %v", at)
	}
}

func TestAcks(t *testing.T) {
	writer, _ := written(t, 1)
	reader, _ := reading(t)
	r := speak(t, reader, hypercore.PeerOptions{})
	r.say(&hypercore.Options{Ack: true}, ownWant)
	r.hear()
	r.say(&hypercore.Have{Start: 0, Length: 1}, &hypercore.Have{Start: 0, Length: hypercore.MaxWant, Bitfield: []byte{}})
	r.expect(&hypercore.Request{Index: 0})
	d, _ := writer.Prove(0, 0, false)
	r.say(d)
	r.expect(&hypercore.Have{Start: 0, Length: 1, Ack: true}, &hypercore.Have{Start: 0, Length: 1})
}

func TestGrowthAsksForTheBlockAtOurLength(t *testing.T) {
	writer, _ := written(t, 10)
	reader, _ := reading(t)
	give(t, writer, reader, 3)
	mustAppend(t, writer, blocksOf(10, 30)...)
	for name, c := range map[string]struct {
		have hypercore.Have
		want hypercore.Request
	}{
		"it has that block":            {hypercore.Have{Start: 0, Length: 40}, hypercore.Request{Index: 10}},
		"it has the one beside it":     {hypercore.Have{Start: 11, Length: 29}, hypercore.Request{Index: 11}},
		"it has only blocks far above": {hypercore.Have{Start: 12, Length: 28}, hypercore.Request{Index: 10, Hash: true}},
	} {
		r := speak(t, reader, hypercore.PeerOptions{})
		r.hear()
		r.say(&hypercore.Have{Start: 0, Length: hypercore.MaxWant, Bitfield: []byte{}}, &c.have)
		first, err := r.peer.Next(r.now)
		got, ok := first.(*hypercore.Request)
		if err != nil || !ok || got.Index != c.want.Index || got.Hash != c.want.Hash {
			t.Errorf("%s: asked for %s, %v, want %+v", name, describe(first), err, c.want)
		}
		r.peer.Detach()
	}
	r := speak(t, reader, hypercore.PeerOptions{})
	r.hear()
	r.say(&hypercore.Have{Start: 39, Length: 1})
	r.expect()
	r.say(&hypercore.Have{Start: 0, Length: hypercore.MaxWant, Bitfield: []byte{}})
	if got := r.hear(); len(got) != 1 || !got[0].(*hypercore.Request).Hash {
		t.Errorf("once the want is answered it asks %s, want a hash", list(got))
	}
}

// A remote that holds no block of ours may still prove a longer head.
func TestSparseRelayPassesGrowthOn(t *testing.T) {
	for _, held := range []uint64{5, 29} {
		writer, wst := written(t, 30)
		relay, _ := reading(t)
		relay.SetSparse(true)
		give(t, writer, relay, held)
		reader, rst := reading(t)
		w := newWorld(t, 1)
		w.link("relay", relay, reader)
		w.settle(time.Minute)
		if reader.Length() != 30 || !reader.Has(hypercore.Span{Start: held, Count: 1}) {
			t.Errorf("length = %d with block %d %t, want 30 and the block", reader.Length(), held, reader.Has(hypercore.Span{Start: held, Count: 1}))
		}
		checkSame(t, "reader", reader, writer, rst, wst)
	}
}
