package hypercore_test

import (
	"testing"
	"time"

	"github.com/cobox-p2p/cobox-p2p/hypercore"
)

// slowLine carries messages from up to down at once and blocks from down to up
// one each pace. It returns how often each block was sent within the time given.
func slowLine(t *testing.T, up, down *hypercore.Feed, pace, most time.Duration) map[uint64]int {
	t.Helper()
	w := newWorld(t, 1)
	server, client := w.link("slow", up, down)
	sent := map[uint64]int{}
	var transit hypercore.Message
	free := w.now
	for end := w.now.Add(most); w.now.Before(end); w.now = w.now.Add(time.Second) {
		for idle := false; !idle; {
			idle = true
			if transit == nil {
				transit = next(t, server, w.now)
				if d, ok := transit.(*hypercore.Data); ok {
					sent[d.Index]++
					free = w.now.Add(pace)
				}
			}
			if transit != nil && !w.now.Before(free) {
				handle(t, client, transit, w.now)
				transit, idle = nil, false
			}
			if m := next(t, client, w.now); m != nil {
				handle(t, server, m, w.now)
				idle = false
			}
		}
	}
	return sent
}

func next(t *testing.T, s *side, now time.Time) hypercore.Message {
	t.Helper()
	m, err := s.peer.Next(now)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

func handle(t *testing.T, s *side, m hypercore.Message, now time.Time) {
	t.Helper()
	if err := s.peer.Handle(m, now); err != nil {
		t.Fatalf("after %v: %s finds fault with %s: %v", now.Sub(epoch), s.name, describe(m), err)
	}
}

// A slow line ends no session, and nothing is sent twice on it.
func TestSlowLineIsNoFault(t *testing.T) {
	const blocks = 2000
	writer, wst := written(t, blocks)
	reader, rst := reading(t)
	sent := slowLine(t, writer, reader, 3*time.Second, (3*blocks+60)*time.Second)
	checkAll(t, "reader", reader, writer, rst, wst)
	for seq, n := range sent {
		if n != 1 {
			t.Errorf("block %d was sent %d times", seq, n)
		}
	}
}

// Not even when each block takes longer than a request may wait.
func TestLineSlowerThanTheTimeoutIsNoFault(t *testing.T) {
	const blocks = 100
	writer, wst := written(t, blocks)
	reader, rst := reading(t)
	sent := slowLine(t, writer, reader, 25*time.Second, 2*blocks*25*time.Second)
	checkAll(t, "reader", reader, writer, rst, wst)
	total := 0
	for _, n := range sent {
		total += n
	}
	if total > blocks+blocks/2 {
		t.Errorf("%d blocks were sent for %d", total, blocks)
	}
}

// A remote that answers, but slowly, keeps nothing from one that is idle.
func TestIdleRemoteTakesOver(t *testing.T) {
	writer, wst := written(t, 40)
	reader, rst := reading(t)
	give(t, writer, reader, 0)
	all := &hypercore.Have{Start: 0, Length: 40}
	slow := speak(t, reader, hypercore.PeerOptions{})
	slow.hear()
	slow.say(all)
	asked := slow.hear()
	idle := speak(t, reader, hypercore.PeerOptions{})
	idle.hear()
	idle.say(all)
	idle.expect()
	for i := range 2 { // it makes progress, so nothing is late
		slow.now = slow.now.Add(hypercore.RequestTimeout - time.Second)
		answer(t, writer, slow, asked[i])
		slow.expect()
	}
	idle.now = slow.now
	taken := idle.hear()
	if len(taken) != len(asked)-2 {
		t.Fatalf("%d requests taken over, want %d", len(taken), len(asked)-2)
	}
	if got := slow.hear(); len(got) != len(taken) || kindOf(got[0]) != "Cancel" {
		t.Errorf("the slow remote hears %s, want Cancels", list(got))
	}
	for _, m := range taken {
		answer(t, writer, idle, m)
	}
	checkAll(t, "reader", reader, writer, rst, wst)
}

// answer lets the remote answer a request with what the writer has.
func answer(t *testing.T, writer *hypercore.Feed, r *remote, m hypercore.Message) {
	t.Helper()
	q := m.(*hypercore.Request)
	d, err := writer.Prove(q.Index, q.Nodes, q.Hash)
	if err != nil {
		t.Fatal(err)
	}
	r.say(d)
}

// What moved on may still stand in the remote's queue, so it counts until an
// answer shows that it does not.
func TestMovedRequestsCount(t *testing.T) {
	writer, _ := written(t, 1000)
	reader, _ := reading(t)
	give(t, writer, reader, 0)
	r := speak(t, reader, hypercore.PeerOptions{})
	r.hear()
	r.say(&hypercore.Have{Start: 0, Length: 1000})
	first := r.hear()
	r.now = r.now.Add(hypercore.RequestTimeout)
	var probe hypercore.Message
	for _, m := range r.hear() {
		if kindOf(m) != "Cancel" {
			probe = m
		}
	}
	if probe == nil {
		t.Fatal("a stalled remote is asked for nothing")
	}
	answer(t, writer, r, first[0])
	if got := r.hear(); len(got) != 0 {
		t.Errorf("asked for %s while 63 others may still stand in the queue", list(got))
	}
	answer(t, writer, r, probe)
	if got := r.hear(); len(got) != hypercore.MaxRequests {
		t.Errorf("%d requests once the queue is known to be empty, want %d", len(got), hypercore.MaxRequests)
	}
}

func TestUnhaveOfNothingWakesNobody(t *testing.T) {
	f, _ := reading(t)
	woken := 0
	speak(t, f, hypercore.PeerOptions{Wake: func() { woken++ }})
	r := speak(t, f, hypercore.PeerOptions{})
	for range 100 {
		r.say(&hypercore.Unhave{Start: 1, Length: 1})
	}
	if woken != 0 {
		t.Errorf("another peer was woken %d times", woken)
	}
}
