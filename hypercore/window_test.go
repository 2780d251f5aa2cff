package hypercore

import (
	"testing"
	"time"
)

// windowPeers returns peers that count how often they are woken.
func windowPeers(w *Window, n int) (peers []*Peer, woken []int) {
	woken = make([]int, n)
	for i := range n {
		peers = append(peers, &Peer{window: w, wake: func() { woken[i]++ }})
	}
	return peers, woken
}

func TestWindowFollowsWhatComes(t *testing.T) {
	w := NewWindow()
	p, _ := windowPeers(w, 1)
	ask := func(bytes uint64, took time.Duration) {
		r := w.take(p[0], bytes)
		w.answered(&r, took)
	}
	if got := w.budget(p[0], 1, 1<<60); got != padded(firstWindow/windowParts) {
		t.Errorf("first budget = %d", got)
	}
	for range 8 {
		ask(w.size, 10*time.Millisecond)
	}
	if w.size != maxWindow || w.out != 0 {
		t.Errorf("size = %d with %d under way after quick answers, want %d, 0", w.size, w.out, maxWindow)
	}
	if got := w.budget(p[0], 1, 1<<60); got != padded(1<<20) {
		t.Errorf("budget = %d, want 1 MiB with room for seals", got)
	}
	if got := w.budget(p[0], 1, 1000); got != padded(250) {
		t.Errorf("budget within a limit of 1000 = %d", got)
	}
	ask(100, 10*time.Millisecond)
	if w.size != maxWindow {
		t.Errorf("size = %d after a small answer", w.size)
	}
	ask(1<<20, 20*time.Second)
	if w.size != minWindow {
		t.Errorf("size = %d after a slow answer, want %d", w.size, minWindow)
	}
	ask(100, time.Millisecond)
	if w.size != minWindow {
		t.Errorf("size = %d after an answer that did not fill it", w.size)
	}
	if got := w.budget(p[0], 8<<20, 1<<60); got != 8<<20 {
		t.Errorf("budget for a large block = %d, want the block", got)
	}
}

// A remote far away isn't taken for a slow one.
func TestWindowOfALongWay(t *testing.T) {
	w := NewWindow()
	p, _ := windowPeers(w, 1)
	for range 6 {
		r := w.take(p[0], w.size)
		w.answered(&r, 900*time.Millisecond)
	}
	if w.size != maxWindow {
		t.Errorf("size = %d, want %d", w.size, maxWindow)
	}
}

func TestWindowTurns(t *testing.T) {
	w := NewWindow()
	p, woken := windowPeers(w, 3)
	first := w.take(p[0], firstWindow)
	for _, q := range p {
		if got := w.budget(q, 1000, 1<<60); got != 0 {
			t.Fatalf("budget of a full window = %d", got)
		}
		w.budget(q, 1000, 1<<60) // waits once all the same
	}
	first.give()
	first.give()
	if woken[0] != 1 || woken[1] != 0 || w.out != 0 {
		t.Fatalf("woken %v with %d under way, want the first alone", woken, w.out)
	}
	w.pass(p[0]) // has nothing to ask
	if woken[1] != 1 {
		t.Fatalf("woken %v, want the second", woken)
	}
	r := w.take(p[1], firstWindow-500)
	if woken[2] != 1 {
		t.Fatalf("woken %v, want the third", woken)
	}
	if w.budget(p[2], 1000, 1<<60) != 0 {
		t.Fatal("there is room for what there is none")
	}
	w.pass(p[2])
	if woken[2] != 1 {
		t.Fatalf("woken %v by itself", woken)
	}
	r.give()
	if woken[2] != 2 || len(w.waiting) != 0 {
		t.Fatalf("woken %v, %d wait", woken, len(w.waiting))
	}
	full := w.take(p[2], firstWindow)
	w.budget(p[0], 1, 1<<60)
	w.budget(p[1], 1, 1<<60)
	w.leave(p[0])
	full.give()
	if woken[0] != 1 || woken[1] != 2 {
		t.Errorf("woken %v after the first left", woken)
	}
	w.leave(p[1])
	if len(w.waiting)+len(w.called) != 0 {
		t.Errorf("%d wait, %d are called", len(w.waiting), len(w.called))
	}
}
