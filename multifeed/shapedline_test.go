package multifeed

import (
	"bytes"
	"context"
	"io"
	"os"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// shape is what one direction of a simulated line is like. Time is that of a
// synctest bubble.
type shape struct {
	rate   int           // bytes a second
	delay  time.Duration // from one end to the other
	window int           // bytes that are on the way or not yet read; a writer waits for room
}

// maxPiece is how many bytes cross as one piece: what is written in one call
// arrives bit by bit.
const maxPiece = 16 << 10

// line carries bytes one way.
type line struct {
	mu     sync.Mutex // guards all below
	shape  shape
	pieces []piece
	held   int       // bytes in pieces
	free   time.Time // when the sending end can send on
	dead   bool      // what is on the way never arrives
	closed bool
	change chan struct{} // closed at the next change
}

type piece struct {
	data []byte
	at   time.Time // of its arrival
}

func newLine(s shape) *line { return &line{shape: s, change: make(chan struct{})} }

func (l *line) changedLocked() {
	close(l.change)
	l.change = make(chan struct{})
}

// alter changes the line from now on; what is on the way is not affected.
func (l *line) alter(f func(l *line)) {
	l.mu.Lock()
	defer l.mu.Unlock()
	f(l)
	l.changedLocked()
}

func (l *line) close() { l.alter(func(l *line) { l.closed = true }) }

// put sends as much of b as there is room for.
func (l *line) put(b []byte) (n int, err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed {
		return 0, io.ErrClosedPipe
	}
	b = b[:min(len(b), l.shape.window-l.held, maxPiece)]
	if len(b) == 0 {
		return 0, nil
	}
	if now := time.Now(); l.free.Before(now) {
		l.free = now
	}
	l.free = l.free.Add(time.Duration(len(b)) * time.Second / time.Duration(l.shape.rate))
	l.pieces = append(l.pieces, piece{bytes.Clone(b), l.free.Add(l.shape.delay)})
	l.held += len(b)
	l.changedLocked()
	return len(b), nil
}

// take returns what has arrived, and else when the next piece will, zero for
// nobody knows.
func (l *line) take(b []byte) (n int, next time.Time, err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	now := time.Now()
	for n < len(b) && len(l.pieces) > 0 && !l.dead {
		p := &l.pieces[0]
		if p.at.After(now) {
			next = p.at
			break
		}
		m := copy(b[n:], p.data)
		n, p.data = n+m, p.data[m:]
		l.held -= m
		if len(p.data) == 0 {
			l.pieces = l.pieces[1:]
		}
	}
	if n > 0 {
		l.changedLocked()
		return n, time.Time{}, nil
	}
	if l.closed && len(l.pieces) == 0 {
		return 0, next, io.EOF
	}
	return 0, next, nil
}

// lineEnd is one end of two lines, a Stream.
type lineEnd struct {
	in, out       *line
	read, written lineDeadline
}

func newLines(there, back shape) (a, b *lineEnd) {
	ab, ba := newLine(there), newLine(back)
	return &lineEnd{in: ba, out: ab}, &lineEnd{in: ab, out: ba}
}

// lineDeadline is a time that may be moved while somebody waits for it.
type lineDeadline struct {
	mu sync.Mutex
	at time.Time
}

func (d *lineDeadline) get() time.Time {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.at
}

func (d *lineDeadline) set(l *line, at time.Time) {
	d.mu.Lock()
	d.at = at
	d.mu.Unlock()
	l.alter(func(*line) {}) // who waits looks again
}

// wait calls try until it is done, at each change of the line and when it said.
func (d *lineDeadline) wait(l *line, try func() (done bool, next time.Time)) error {
	for {
		l.mu.Lock()
		change := l.change
		l.mu.Unlock()
		deadline := d.get()
		if !deadline.IsZero() && !time.Now().Before(deadline) {
			return os.ErrDeadlineExceeded
		}
		done, next := try()
		if done {
			return nil
		}
		if next.IsZero() || !deadline.IsZero() && deadline.Before(next) {
			next = deadline
		}
		var due <-chan time.Time
		if !next.IsZero() {
			due = time.After(time.Until(next))
		}
		select {
		case <-change:
		case <-due:
		}
	}
}

func (e *lineEnd) Read(b []byte) (n int, err error) {
	waitErr := e.read.wait(e.in, func() (bool, time.Time) {
		var next time.Time
		n, next, err = e.in.take(b)
		return n > 0 || err != nil || len(b) == 0, next
	})
	if waitErr != nil {
		return 0, waitErr
	}
	return n, err
}

func (e *lineEnd) Write(b []byte) (n int, err error) {
	for n < len(b) && err == nil {
		waitErr := e.written.wait(e.out, func() (bool, time.Time) {
			var m int
			m, err = e.out.put(b[n:])
			n += m
			return m > 0 || err != nil, time.Time{}
		})
		if waitErr != nil {
			return n, waitErr
		}
	}
	return n, err
}

func (e *lineEnd) Close() error { e.in.close(); e.out.close(); return nil }

func (e *lineEnd) SetReadDeadline(t time.Time) error  { e.read.set(e.in, t); return nil }
func (e *lineEnd) SetWriteDeadline(t time.Time) error { e.written.set(e.out, t); return nil }
func (e *lineEnd) SetDeadline(t time.Time) error {
	e.SetReadDeadline(t)
	return e.SetWriteDeadline(t)
}

// shapedPeers lets two spaces have a session over a line, with the peer IDs given
// and all features, and returns the ends of the line: that of a, and that of b.
func shapedPeers(t *testing.T, idA string, a *Space, idB string, b *Space, toB, toA shape) (ea, eb *lineEnd) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	ea, eb = newLines(toB, toA)
	var both sync.WaitGroup
	both.Go(func() {
		defer ea.Close()
		if o, err := Initiate(ctx, ea, Party{PeerID: []byte(idA), Features: Features()}, []byte(idB), a.Address()); err == nil {
			a.Replicate(ctx, o)
		}
	})
	both.Go(func() {
		defer eb.Close()
		known := func(tag [32]byte) (Address, bool) {
			return b.Address(), tag == b.Address().Tag([]byte(idA), []byte(idB))
		}
		if o, err := Respond(ctx, eb, Party{PeerID: []byte(idB), Features: Features()}, []byte(idA), known); err == nil {
			b.Replicate(ctx, o)
		}
	})
	t.Cleanup(func() { cancel(); both.Wait() })
	return ea, eb
}

// The line is as slow as it says, and no slower: 100 ms for the first byte, and
// then its rate, while the window has room.
func TestLine(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const size, rate = 1 << 20, 1 << 20
		a, b := newLines(shape{rate, 100 * time.Millisecond, 256 << 10}, shape{rate, 0, 1})
		begun := time.Now()
		go func() {
			a.Write(make([]byte, size))
			a.Close()
		}()
		first := make([]byte, 1)
		if _, err := b.Read(first); err != nil {
			t.Fatal(err)
		}
		if got, most := time.Since(begun), 100*time.Millisecond+maxPiece*time.Second/rate; got < 100*time.Millisecond || got > most {
			t.Errorf("the first byte took %v, want 100ms to %v", got, most)
		}
		rest, err := io.ReadAll(b)
		if err != nil || len(rest) != size-1 {
			t.Errorf("%d bytes came, %v, want %d", len(rest), err, size-1)
		}
		// Each piece may be rounded down by a nanosecond.
		if got, want := time.Since(begun), time.Second+100*time.Millisecond; got > want || got < want-time.Millisecond {
			t.Errorf("all took %v, want %v", got, want)
		}
		b.SetReadDeadline(time.Now().Add(time.Second))
		if _, err := b.Read(first); err != io.EOF {
			t.Errorf("after the end: %v, want %v", err, io.EOF)
		}
	})
}

// A dead line swallows what is on it, and deadlines end what waits for it.
func TestDeadLine(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, b := newLines(shape{1 << 20, time.Millisecond, 16}, shape{1 << 20, 0, 16})
		a.out.alter(func(l *line) { l.dead = true })
		a.SetDeadline(time.Now().Add(time.Second))
		begun := time.Now()
		if n, err := a.Write(make([]byte, 17)); n != 16 || err != os.ErrDeadlineExceeded {
			t.Errorf("Write = %d, %v, want 16, %v", n, err, os.ErrDeadlineExceeded)
		}
		b.SetReadDeadline(time.Now().Add(time.Second))
		if n, err := b.Read(make([]byte, 1)); n != 0 || err != os.ErrDeadlineExceeded {
			t.Errorf("Read = %d, %v, want 0, %v", n, err, os.ErrDeadlineExceeded)
		}
		if got := time.Since(begun); got != 2*time.Second {
			t.Errorf("two deadlines took %v, want 2s", got)
		}
	})
}
