package hypercore

import (
	"slices"
	"sync"
	"time"
)

// Sizes of a Window in bytes, and how long what is asked for may take.
const (
	minWindow   = 32 << 10
	firstWindow = 256 << 10
	maxWindow   = 4 << 20
	windowTime  = 500 * time.Millisecond
	// windowParts is how many ranges fill a window.
	windowParts = 4
	// maxQuickest bounds what counts as the way there and back.
	maxQuickest = time.Second
)

// Window bounds how many bytes of blocks may be asked of one remote and not have
// come, in ranges of all feeds of a session together. It follows what the remote
// delivers: it grows as long as answers come soon, up to 4 MiB, and becomes small
// where they don't. It may be used by several goroutines.
type Window struct {
	mu       sync.Mutex // guards all below; the last lock to be taken but for those of wake
	size     uint64
	out      uint64        // asked for and not come
	quickest time.Duration // the shortest time that an answer took; 0: none came
	waiting  []*Peer       // for room, each once, the longest first
	called   map[*Peer]struct{}
}

// NewWindow returns the window of a session.
func NewWindow() *Window { return &Window{size: firstWindow, called: map[*Peer]struct{}{}} }

// reserve is what one request takes of a window.
type reserve struct {
	w     *Window
	bytes uint64
	stood uint64 // taken in all when it was, with it
}

// budget returns how many bytes the next range of p should have, least at the
// least, when no more than most may be under way, or 0. Then p is woken when there
// is room for it.
func (w *Window) budget(p *Peer, least, most uint64) uint64 {
	w.mu.Lock()
	defer w.mu.Unlock()
	size := min(w.size, most)
	share := max(padded(size/windowParts), least)
	room := padded(size - min(w.out, size))
	if w.out > 0 && room < max(share/2, least) {
		w.waitLocked(p)
		return 0
	}
	return min(share, max(room, least))
}

// padded is so much more than bytes that blocks with seals fit where they would
// without.
func padded(bytes uint64) uint64 { return bytes + bytes/16 }

// waitLocked lets p wait for room: behind all others, unless it was its turn and
// there is too little.
func (w *Window) waitLocked(p *Peer) {
	_, called := w.called[p]
	delete(w.called, p)
	switch {
	case slices.Contains(w.waiting, p):
	case called:
		w.waiting = slices.Insert(w.waiting, 0, p)
	default:
		w.waiting = append(w.waiting, p)
	}
}

// take counts bytes that p asks for. When it was its turn, that of the next one
// begins.
func (w *Window) take(p *Peer, bytes uint64) reserve {
	w.mu.Lock()
	w.out += bytes
	stood := w.out
	w.mu.Unlock()
	w.pass(p)
	return reserve{w, bytes, stood}
}

// give gives back what was taken, once.
func (r *reserve) give() {
	w := r.w
	if w == nil {
		return
	}
	r.w = nil
	w.mu.Lock()
	w.out -= r.bytes
	next := w.callLocked()
	w.mu.Unlock()
	if next != nil {
		next.wake()
	}
}

// callLocked returns who has waited the longest, to be woken without the lock.
func (w *Window) callLocked() *Peer {
	if len(w.waiting) == 0 || w.out >= w.size {
		return nil
	}
	next := w.waiting[0]
	w.waiting = slices.Delete(w.waiting, 0, 1)
	w.called[next] = struct{}{}
	return next
}

// pass ends the turn of p, if it has it, and lets the next one have what is left.
func (w *Window) pass(p *Peer) {
	w.mu.Lock()
	_, called := w.called[p]
	delete(w.called, p)
	var next *Peer
	if called {
		next = w.callLocked()
	}
	w.mu.Unlock()
	if next != nil {
		next.wake()
	}
}

// leave forgets p.
func (w *Window) leave(p *Peer) {
	w.mu.Lock()
	if at := slices.Index(w.waiting, p); at >= 0 {
		w.waiting = slices.Delete(w.waiting, at, at+1)
	}
	w.mu.Unlock()
	w.pass(p)
}

// answered notes that what r was taken for came after so long, and gives it back.
func (w *Window) answered(r *reserve, took time.Duration) {
	w.mu.Lock()
	if w.quickest == 0 || took < w.quickest {
		w.quickest = took
	}
	target := windowTime + 2*min(w.quickest, maxQuickest)
	switch {
	case took > target:
		fit := uint64(float64(r.stood) * float64(target) / float64(took))
		w.size = max(min(fit, w.size), minWindow)
	case 2*r.stood >= w.size: // it was the window that kept more from being asked for
		w.size = min(w.size+r.bytes, maxWindow)
	}
	w.mu.Unlock()
	r.give()
}
