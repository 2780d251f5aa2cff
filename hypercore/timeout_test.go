package hypercore_test

import (
	"testing"
	"time"

	"github.com/cobox-p2p/cobox-p2p/hypercore"
)

// A remote that claims everything and answers nothing keeps no block from us
// that another has: also the very last one moves on.
func TestSilentPeerStopsNobody(t *testing.T) {
	for seed := range 8 * uint64(*worlds) {
		writer, wst := written(t, 1+seed*7)
		reader, rst := reading(t)
		w := newWorld(t, seed)
		_, down := w.link("silent", writer, reader)
		w.settle(0)
		mustAppend(t, writer, blocksOf(writer.Length(), 1)...)
		down.other.mute = true
		down.inbox = append(down.inbox, &hypercore.Have{Start: 0, Length: writer.Length()})
		w.settle(0)
		honest, _ := w.link("honest", writer, reader)
		w.settle(hypercore.RequestTimeout + 5*time.Second)
		checkAll(t, "reader", reader, writer, rst, wst)
		if honest.sent["Data"] == 0 {
			t.Error("the honest peer sent nothing")
		}
	}
}

func TestRequestsMoveOnWhenLate(t *testing.T) {
	writer, wst := written(t, 50)
	reader, rst := reading(t)
	give(t, writer, reader, 0)
	slow := speak(t, reader, hypercore.PeerOptions{})
	slow.hear()
	slow.say(&hypercore.Have{Start: 0, Length: 50})
	asked := len(slow.hear())
	if asked != 49 {
		t.Fatalf("%d requests, want 49", asked)
	}
	other := speak(t, reader, hypercore.PeerOptions{})
	other.hear()
	other.say(&hypercore.Have{Start: 0, Length: 50})
	other.expect()
	if at, ok := slow.peer.Due(); !ok || at.After(epoch.Add(hypercore.RequestTimeout)) {
		t.Fatalf("Due = %v, %t, want %v", at, ok, epoch.Add(hypercore.RequestTimeout))
	}
	slow.now = epoch.Add(hypercore.RequestTimeout - 1)
	slow.expect()
	other.expect()
	slow.now = epoch.Add(hypercore.RequestTimeout + hypercore.ExpireEvery)
	if got := slow.hear(); len(got) != 49 || kindOf(got[0]) != "Cancel" {
		t.Fatalf("the slow remote hears %s, want 49 Cancels", list(got))
	}
	other.now = slow.now
	if got := other.hear(); len(got) != 49 {
		t.Fatalf("%d requests moved on, want 49", len(got))
	}
	for seq := range uint64(50) { // late, but welcome
		d, err := writer.Prove(seq, 0, false)
		if err != nil {
			t.Fatal(err)
		}
		if seq > 0 {
			slow.say(d)
		}
	}
	checkAll(t, "reader", reader, writer, rst, wst)
	if got := slow.peer.Stats().GotBlocks; got != 49 {
		t.Errorf("GotBlocks = %d, want 49", got)
	}
}

func TestPauseMovesRequestsOn(t *testing.T) {
	writer, _ := written(t, 10)
	reader, _ := reading(t)
	give(t, writer, reader, 0)
	r := speak(t, reader, hypercore.PeerOptions{})
	r.hear()
	r.say(&hypercore.Have{Start: 0, Length: 5}, stop)
	r.expect()
	r.say(resume)
	if got := r.hear(); len(got) != 4 {
		t.Fatalf("%d requests once it goes on, want 4", len(got))
	}
	r.say(stop)
	other := speak(t, reader, hypercore.PeerOptions{})
	other.hear()
	other.say(&hypercore.Have{Start: 0, Length: 5})
	other.expect()
	if at, ok := r.peer.Due(); !ok || at.After(epoch.Add(hypercore.MaxPause)) {
		t.Errorf("Due of a paused remote = %v, %t", at, ok)
	}
	r.now = epoch.Add(hypercore.MaxPause)
	if got := r.hear(); len(got) != 4 || kindOf(got[0]) != "Cancel" {
		t.Errorf("the paused remote hears %s, want 4 Cancels", list(got))
	}
	if got := other.hear(); len(got) != 4 {
		t.Errorf("%d requests moved on, want 4", len(got))
	}
}

func TestUnhaveMovesRequestsOn(t *testing.T) {
	writer, _ := written(t, 10)
	reader, _ := reading(t)
	give(t, writer, reader, 0)
	r := speak(t, reader, hypercore.PeerOptions{})
	r.hear()
	r.say(&hypercore.Have{Start: 0, Length: 5})
	r.hear()
	other := speak(t, reader, hypercore.PeerOptions{})
	other.hear()
	other.say(&hypercore.Have{Start: 0, Length: 5})
	r.say(&hypercore.Unhave{Start: 2, Length: 1}, stop, resume)
	r.expect()
	if got := other.hear(); len(got) != 1 || got[0].(*hypercore.Request).Index != 2 {
		t.Errorf("moved on: %s, want block 2", list(got))
	}
	r.peer.Detach()
	if got := other.hear(); len(got) != 3 {
		t.Errorf("moved on at Detach: %s, want 3 requests", list(got))
	}
}

// A block that the remote can prove under its older, shorter head only is asked
// for again when that head has grown.
func TestBlockUnderAnOlderHeadIsAskedForAgain(t *testing.T) {
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
	w.link("behind", behind, reader)
	w.settle(5 * time.Second)
	checkSame(t, "reader", reader, writer, rst, wst)
	if reader.Has(hypercore.Span{Start: 9, Count: 1}) {
		t.Fatal("the block came at once, so the test shows nothing")
	}
	give(t, writer, behind, 10)
	w.settle(hypercore.RequestTimeout + time.Second)
	if !reader.Has(hypercore.Span{Start: 9, Count: 1}) {
		t.Error("the block was never asked for again")
	}
	checkSame(t, "reader", reader, writer, rst, wst)
}

// A remote that owes us the hash of a block isn't asked for that block itself:
// its answer without the block would look like a fault.
func TestHashThatIsOwedIsNoFault(t *testing.T) {
	writer, _ := written(t, 10)
	reader, _ := reading(t)
	give(t, writer, reader, 3)
	mustAppend(t, writer, blocksOf(10, 30)...)
	r := speak(t, reader, hypercore.PeerOptions{})
	r.hear()
	r.say(&hypercore.Have{Start: 0, Length: hypercore.MaxWant, Bitfield: []byte{}}, &hypercore.Have{Start: 39, Length: 1})
	if got := r.hear(); len(got) != 1 || !got[0].(*hypercore.Request).Hash {
		t.Fatalf("asked for %s, want the hash of block 10", list(got))
	}
	give(t, writer, reader, 11)
	r.say(&hypercore.Have{Start: 10, Length: 1})
	for _, m := range r.hear() {
		if m.(*hypercore.Request).Index == 10 {
			t.Errorf("asked for %s while its hash is owed", describe(m))
		}
	}
	hash, err := writer.Prove(10, 0, true)
	if err != nil {
		t.Fatal(err)
	}
	r.say(hash)
	if got := r.hear(); len(got) != 1 || got[0].(*hypercore.Request).Index != 10 {
		t.Errorf("asked for %s, want block 10", list(got))
	}
}
