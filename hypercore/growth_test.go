package hypercore_test

import (
	"testing"
	"time"

	"github.com/cobox-p2p/cobox-p2p/hypercore"
)

func TestLiarAboutItsLengthStopsNoGrowth(t *testing.T) {
	writer, wst := written(t, 5)
	reader, rst := reading(t)
	w := newWorld(t, 4)
	w.link("honest", writer, reader)
	_, liar := w.link("liar", writer, reader)
	w.settle(time.Minute)
	liar.other.mute = true
	liar.inbox = append(liar.inbox, &hypercore.Have{Start: 0, Length: 1 << 40})
	w.settle(0)
	for seq := uint64(5); seq < 25; seq++ {
		mustAppend(t, writer, blockOf(seq))
		w.settle(hypercore.GrowPatience)
		checkAll(t, "reader", reader, writer, rst, wst)
	}
}

// liars links mute remotes that claim to be endlessly long, whose link was
// honest at first.
func liars(w *world, count int, writer, reader *hypercore.Feed) {
	w.t.Helper()
	for range count {
		_, down := w.link("liar", writer, reader)
		w.settle(0)
		down.other.mute = true
		down.inbox = append(down.inbox, &hypercore.Have{Start: 0, Length: 1 << 40})
		w.settle(0)
	}
}

// However many liars there are, they cost growPatience once.
func TestLiarsDelayGrowthOnce(t *testing.T) {
	for _, count := range []int{0, 1, 3, 8} {
		for seed := range 4 * uint64(*worlds) {
			writer, _ := written(t, 1)
			reader, _ := reading(t)
			w := newWorld(t, seed)
			liars(w, count, writer, reader)
			w.link("honest", writer, reader)
			start := w.now
			for range 30 {
				mustAppend(t, writer, blocksOf(writer.Length(), 1)...)
				for reader.Length() < writer.Length() && w.now.Sub(start) < time.Hour {
					w.tick()
				}
			}
			if took := w.now.Sub(start); took > hypercore.GrowPatience {
				t.Errorf("seed %d: with %d liars, 30 appends took %v, want at most %v", seed, count, took, hypercore.GrowPatience)
			}
		}
	}
}

// A remote that could grow us but is never pulled stops nobody for long.
func TestRemoteThatIsNeverPulledStopsNoGrowth(t *testing.T) {
	writer, _ := written(t, 3)
	reader, _ := reading(t)
	give(t, writer, reader, 0)
	idle := &hypercore.Have{Start: 0, Length: hypercore.MaxWant, Bitfield: []byte{}}
	more := &hypercore.Have{Start: 0, Length: 9}
	failed, second, stuck := speak(t, reader, hypercore.PeerOptions{}), speak(t, reader, hypercore.PeerOptions{}), speak(t, reader, hypercore.PeerOptions{})
	for _, r := range []*remote{failed, second, stuck} {
		r.hear()
		r.say(idle, more)
		if r == failed {
			r.hear()
		}
	}
	second.now, failed.now = epoch.Add(hypercore.GrowPatience), epoch.Add(hypercore.GrowPatience)
	second.hear() // is asked as well, so the first has failed once
	second.peer.Detach()
	mustAppend(t, writer, blocksOf(3, 1)...)
	give(t, writer, reader, 3)
	asks := func() bool {
		for _, m := range failed.hear() {
			if q, ok := m.(*hypercore.Request); ok && q.Index >= 4 {
				return true
			}
		}
		return false
	}
	if asks() {
		t.Fatal("the remote that failed is asked first")
	}
	at, ok := failed.peer.Due()
	if !ok || at.After(failed.now.Add(hypercore.GrowPatience)) {
		t.Fatalf("Due = %v, %t, want within %v", at, ok, hypercore.GrowPatience)
	}
	failed.now = failed.now.Add(hypercore.GrowPatience)
	if !asks() {
		t.Error("nobody is asked for growth")
	}
}

// While somebody is late with a longer head, a second remote is asked for no more
// than a hash.
func TestSecondRemoteIsAskedForAHash(t *testing.T) {
	writer, _ := written(t, 9)
	reader, _ := reading(t)
	all := &hypercore.Have{Start: 0, Length: 9}
	first := speak(t, reader, hypercore.PeerOptions{})
	second := speak(t, reader, hypercore.PeerOptions{})
	bare := speak(t, reader, hypercore.PeerOptions{NoHashes: true})
	for _, r := range []*remote{first, second, bare} {
		r.hear()
		r.say(all)
	}
	first.expect(&hypercore.Request{Index: 0})
	second.expect()
	bare.expect()
	second.now, bare.now = epoch.Add(hypercore.GrowPatience), epoch.Add(hypercore.GrowPatience)
	second.expect(&hypercore.Request{Index: 0, Hash: true})
	bare.expect(&hypercore.Request{Index: 0})
	second.expect()
	hash, err := writer.Prove(0, 0, true)
	if err != nil {
		t.Fatal(err)
	}
	second.say(hash)
	if reader.Length() != 9 {
		t.Errorf("length = %d, want 9", reader.Length())
	}
}

// hypercore 9 ends the stream when it can't prove a hash.
func TestNoHashIsAskedOfThoseWhoMayNotHaveIt(t *testing.T) {
	writer, _ := written(t, 12)
	reader, _ := reading(t)
	give(t, writer, reader, 3)
	mustAppend(t, writer, blocksOf(12, 30)...)
	r := speak(t, reader, hypercore.PeerOptions{NoHashes: true})
	r.hear()
	r.say(&hypercore.Have{Start: 0, Length: hypercore.MaxWant, Bitfield: []byte{}}, &hypercore.Have{Start: 41, Length: 1})
	r.expect()
	if at, ok := r.peer.Due(); ok {
		t.Errorf("Due = %v while nothing can be asked", at)
	}
	r.say(&hypercore.Have{Start: 13, Length: 1}) // below the sibling of our last root
	if got := r.hear(); len(got) != 1 || got[0].(*hypercore.Request).Index != 13 || got[0].(*hypercore.Request).Hash {
		t.Errorf("asked for %s, want block 13", list(got))
	}
}

// The last block of a long remote is usable for growth, however far it is.
func TestFarBlockGrowsAnEmptyFeed(t *testing.T) {
	reader, _ := reading(t)
	r := speak(t, reader, hypercore.PeerOptions{NoHashes: true})
	r.hear()
	r.say(&hypercore.Have{Start: 1 << 40, Length: 1}, &hypercore.Have{Start: 0, Length: hypercore.MaxWant, Bitfield: []byte{}})
	r.expect(&hypercore.Request{Index: 1 << 40})
	r.say(&hypercore.Unhave{Start: 1 << 40, Length: 1}, stop, resume, &hypercore.Have{Start: 1 << 41, Length: 1})
	r.expect(&hypercore.Request{Index: 1 << 41})
}

// A hash that never comes keeps nobody from asking for the block, and is no fault
// when it comes after all.
func TestLateHashIsForgotten(t *testing.T) {
	writer, wst := written(t, 10)
	reader, rst := reading(t)
	give(t, writer, reader, 3)
	mustAppend(t, writer, blocksOf(10, 30)...)
	r := speak(t, reader, hypercore.PeerOptions{})
	r.hear()
	r.say(&hypercore.Have{Start: 0, Length: hypercore.MaxWant, Bitfield: []byte{}}, &hypercore.Have{Start: 39, Length: 1})
	if got := r.hear(); len(got) != 1 || !got[0].(*hypercore.Request).Hash {
		t.Fatalf("asked for %s, want the hash of block 10", list(got))
	}
	give(t, writer, reader, 11)
	reader.SetSparse(true)
	got := make(chan []byte, 1)
	waitFor(t, reader, 10, got)
	r.say(&hypercore.Have{Start: 10, Length: 1})
	r.expect()
	for range 3 {
		r.now = r.now.Add(hypercore.RequestTimeout)
		for _, m := range r.hear() {
			if q, ok := m.(*hypercore.Request); ok && q.Index == 10 && !q.Hash {
				hash, err := writer.Prove(10, 0, true)
				if err != nil {
					t.Fatal(err)
				}
				block, err := writer.Prove(10, q.Nodes, false)
				if err != nil {
					t.Fatal(err)
				}
				r.say(hash, block)
				<-got
				checkSame(t, "reader", reader, writer, rst, wst)
				if err := r.peer.Handle(hash, r.now); err != nil {
					t.Errorf("a hash that nobody asked for: %v", err)
				}
				return
			}
		}
	}
	reader.Close()
	t.Error("block 10 was never asked for")
}
