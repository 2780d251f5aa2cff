package hypercore_test

import (
	"errors"
	"testing"
	"time"

	"github.com/cobox-p2p/cobox-p2p/hypercore"
)

// sizeOf returns the bytes of the first count blocks.
func sizeOf(count uint64) (size uint64) {
	for _, b := range blocksOf(0, count) {
		size += uint64(len(b))
	}
	return size
}

// kinds counts the events of a feed.
func kinds(f *hypercore.Feed) map[hypercore.EventKind]int {
	n := map[hypercore.EventKind]int{}
	f.Notify(func(e hypercore.Event) { n[e.Kind]++ })
	return n
}

func heldBytes(f *hypercore.Feed) uint64 {
	_, bytes := f.Held()
	return bytes
}

func TestRationIsNeverOverdrawn(t *testing.T) {
	all := sizeOf(40)
	for seed := range uint64(10) {
		for _, limit := range []uint64{1, all / 3, all - 1, all, all + 1} {
			writer, wst := written(t, 40)
			reader, rst := reading(t)
			root := hypercore.NewRation(nil, limit)
			reader.SetRation(hypercore.NewRation(root, 0))
			seen := kinds(reader)
			w := newWorld(t, seed)
			w.ranges = seed%2 == 1
			w.link("a", writer, reader)
			w.link("b", writer, reader)
			w.settle(10 * hypercore.RefusalPause)
			held := heldBytes(reader)
			if held > limit || root.Used() != held {
				t.Fatalf("seed %d, limit %d: %d bytes held, %d counted", seed, limit, held, root.Used())
			}
			if full := reader.Full(); (full != nil) != (limit < all) || full != nil && !errors.Is(full, hypercore.ErrFull) {
				t.Errorf("seed %d, limit %d of %d: Full = %v", seed, limit, all, full)
			}
			if limit < all && seen[hypercore.Filled] != 1 || limit >= all && seen[hypercore.Filled] != 0 {
				t.Errorf("seed %d, limit %d of %d: told %d times that it is full", seed, limit, all, seen[hypercore.Filled])
			}
			// What doesn't fit is fetched at most once for each peer that was asked.
			if s := reader.Stats(); s.Refused > 2*hypercore.MaxRequests || limit >= all && s.Refused > 0 {
				t.Errorf("seed %d, limit %d: %d blocks fetched in vain", seed, limit, s.Refused)
			}
			checkSame(t, "reader", reader, writer, rst, wst)
			root.SetLimit(all)
			w.settle(time.Second)
			checkAll(t, "reader", reader, writer, rst, wst)
			if reader.Full() != nil || root.Used() != all {
				t.Errorf("seed %d: with room full %v, %d of %d counted", seed, reader.Full(), root.Used(), all)
			}
		}
	}
}

func TestRationOfAFeedThatHasSome(t *testing.T) {
	writer, _ := written(t, 10)
	reader, _ := reading(t)
	w := newWorld(t, 1)
	w.link("wr", writer, reader)
	w.settle(0)
	root := hypercore.NewRation(nil, 0)
	space := hypercore.NewRation(root, 0)
	own := hypercore.NewRation(space, 0)
	stop := reader.SetRation(own)
	if own.Used() != sizeOf(10) || space.Used() != 0 {
		t.Fatalf("used %d of the feed's own and %d, want %d and 0", own.Used(), space.Used(), sizeOf(10))
	}
	space.Charge(sizeOf(10))
	mustAppend(t, writer, blocksOf(10, 5)...)
	w.settle(0)
	for i, r := range []*hypercore.Ration{own, space, root} {
		if r.Used() != sizeOf(15) {
			t.Errorf("ration %d: %d used, want %d", i, r.Used(), sizeOf(15))
		}
	}
	mustClear(t, reader, hypercore.Span{Start: 0, Count: 12})
	if want := sizeOf(15) - sizeOf(12); root.Used() != want || own.Used() != want {
		t.Errorf("after a Clear %d and %d used, want %d", root.Used(), own.Used(), want)
	}
	stop()
	mustAppend(t, writer, blocksOf(15, 5)...)
	w.settle(0)
	if want := sizeOf(15) - sizeOf(12); own.Used() != want {
		t.Errorf("after the end %d used, want %d", own.Used(), want)
	}
	space.Close()
	space.Close()
	if root.Used() != 0 {
		t.Errorf("%d used when all is given back", root.Used())
	}
}

// Own blocks count and are never refused. They take the room of others.
func TestOwnBlocksCountInTheRation(t *testing.T) {
	root := hypercore.NewRation(nil, sizeOf(20))
	own, _ := written(t, 0)
	own.SetRation(hypercore.NewRation(root, 0))
	mustAppend(t, own, blocksOf(0, 15)...)
	if root.Used() != sizeOf(15) {
		t.Fatalf("%d used, want %d", root.Used(), sizeOf(15))
	}
	mustAppend(t, own, blocksOf(15, 15)...)
	if root.Used() != sizeOf(30) || own.Full() != nil {
		t.Fatalf("%d used, want %d; full: %v", root.Used(), sizeOf(30), own.Full())
	}
}

func TestRoomThatIsGivenBackGoesToWhoWaits(t *testing.T) {
	root := hypercore.NewRation(nil, sizeOf(20))
	root.Charge(1) // not for all
	writer, wst := written(t, 20)
	reader, rst := reading(t)
	reader.SetRation(hypercore.NewRation(root, 0))
	seen := kinds(reader)
	w := newWorld(t, 3)
	w.link("wr", writer, reader)
	w.settle(time.Second)
	if reader.Full() == nil || seen[hypercore.Filled] != 1 {
		t.Fatalf("Full = %v, told %d times", reader.Full(), seen[hypercore.Filled])
	}
	w.settle(time.Second)
	root.Give(1)
	if seen[hypercore.Eased] != 1 {
		t.Errorf("told %d times that there is room", seen[hypercore.Eased])
	}
	w.settle(time.Second)
	checkAll(t, "reader", reader, writer, rst, wst)
}

// A commit that fails gives back what was counted for it.
func TestRationOfBlocksThatAreNotStored(t *testing.T) {
	writer, _ := written(t, 3)
	_, mem := reading(t)
	st := &faulty{Memory: mem}
	reader := mustOpen(t, st, pairOf(1), false)
	r := hypercore.NewRation(nil, 1000)
	reader.SetRation(r)
	st.fail(errors.New("disk on fire"))
	d, err := writer.Prove(1, 0, false)
	if err != nil {
		t.Fatal(err)
	}
	if err := reader.Apply(t.Context(), d); err == nil || r.Used() != 0 {
		t.Errorf("Apply = %v with %d used, want a failure and 0", err, r.Used())
	}
	st.fail(nil)
	if err := reader.Apply(t.Context(), d); err != nil || r.Used() != uint64(len(d.Value)) {
		t.Errorf("Apply = %v with %d used, want %d", err, r.Used(), len(d.Value))
	}
	r.SetLimit(r.Used())
	if d, err = writer.Prove(2, 0, false); err != nil {
		t.Fatal(err)
	}
	if err := reader.Apply(t.Context(), d); !errors.Is(err, hypercore.ErrRefused) || !errors.Is(err, hypercore.ErrFull) {
		t.Errorf("Apply without room = %v", err)
	}
}

// Under a limit of what comes, no more is asked for than its hook lets in.
func TestAskingFollowsTheRoom(t *testing.T) {
	writer, wst := written(t, 200)
	reader, rst := reading(t)
	w := newWorld(t, 1)
	now := w.now
	allowed, most := uint64(0), 0
	again := now.Add(time.Minute)
	up, down := w.link("wr", writer, reader)
	down.peer.Detach()
	p, err := reader.Attach(hypercore.PeerOptions{
		Wake: func() { down.woken.Store(true) },
		Room: func(time.Time) (uint64, time.Time) { return allowed, again },
	})
	if err != nil {
		t.Fatal(err)
	}
	down.peer = p
	down.woken.Store(true)
	w.log = func(s *side, m hypercore.Message) {
		if s == down {
			most = max(most, down.sent["Request"]-up.sent["Data"]-up.sent["Hash"])
		}
	}
	w.settle(time.Second)
	if down.sent["Request"] > 0 {
		t.Errorf("%d requests without room", down.sent["Request"])
	}
	if at, ok := p.Due(); !ok || !at.Equal(again) {
		t.Errorf("Due = %v, %t, want %v", at, ok, again)
	}
	allowed = 4 * sizeOf(200) / 200
	w.settle(2 * time.Minute)
	checkAll(t, "reader", reader, writer, rst, wst)
	if most > 5 {
		t.Errorf("%d requests waited at once in the room of 4", most)
	}
}

// Answers to ranges have no more bytes than the portion, unless one block alone has.
func TestAnswersStayWithinThePortion(t *testing.T) {
	writer, wst := written(t, 200)
	reader, rst := reading(t)
	w := newWorld(t, 1)
	w.ranges = true
	up, _ := w.link("wr", writer, reader)
	const portion = 30
	up.peer.Detach()
	p, err := writer.Attach(hypercore.PeerOptions{
		Wake: func() { up.woken.Store(true) }, Ranges: true, Portion: func() uint64 { return portion },
	})
	if err != nil {
		t.Fatal(err)
	}
	up.peer = p
	answers := 0
	w.log = func(s *side, m hypercore.Message) {
		d, ok := m.(*hypercore.RangeData)
		if !ok {
			return
		}
		answers++
		size := 0
		for _, b := range d.Blocks {
			size += len(b)
		}
		if size > portion && len(d.Blocks) > 1 {
			t.Errorf("an answer has %d blocks of %d bytes, over %d", len(d.Blocks), size, portion)
		}
	}
	w.settle(time.Minute)
	checkAll(t, "reader", reader, writer, rst, wst)
	if answers < 50 {
		t.Errorf("%d answers for %d bytes in portions of %d", answers, sizeOf(200), portion)
	}
}
