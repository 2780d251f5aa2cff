package multifeed

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/cobox-p2p/cobox-p2p/hypercore"
	"github.com/cobox-p2p/cobox-p2p/multifeed/wire"
)

// maxControl is how many Opens and Closes wait to be sent: enough for every feed
// of a full space, so that only a peer that makes us answer without reading
// meets it. Where WithMaxFeeds allows more than MaxFeeds, it grows by four for
// each.
const maxControl = 4*MaxFeeds + 1024

// outgoing is what waits to be written. The writer pulls: nothing here holds a
// block.
type outgoing struct {
	wakeup chan struct{} // size 1
	limit  int           // of controls

	mu       sync.Mutex // guards all below; taken with a feed's lock held
	controls []controlFrame
	ready    []*channel
	messages []extensionMessage
	queued   int  // bytes in messages, and queueCost for each
	stale    bool // the extension names changed since Options was sent
}

type controlFrame struct {
	channel uint64
	message wire.Message
}

type extensionMessage struct {
	name    string
	payload []byte
}

func (o *outgoing) init(s *Space) {
	o.wakeup = make(chan struct{}, 1)
	o.limit = maxControl + 4*max(s.maxFeeds-MaxFeeds, 0)
	o.stale = true
	if b := s.about.encode(); len(b) > 0 {
		o.messages = append(o.messages, extensionMessage{aboutName, b})
		o.queued = queueCost + len(b)
	}
}

// wake lets the writer look again.
func (o *outgoing) wake() {
	select {
	case o.wakeup <- struct{}{}:
	default:
	}
}

// wakeChannel lets the writer ask a channel.
func (o *outgoing) wakeChannel(c *channel) {
	o.mu.Lock()
	if !c.queued {
		c.queued = true
		o.ready = append(o.ready, c)
	}
	o.mu.Unlock()
	o.wake()
}

func (o *outgoing) control(channel uint64, m wire.Message) error {
	o.mu.Lock()
	full := len(o.controls) >= o.limit
	if !full {
		o.controls = append(o.controls, controlFrame{channel, m})
	}
	o.mu.Unlock()
	if full {
		return &ProtocolError{Code: CodeLimit, Reason: fmt.Sprintf("over %d answers wait for a peer that does not read", o.limit)}
	}
	o.wake()
	return nil
}

// write sends frames until ctx ends or the stream is at fault.
func (x *Session) write(ctx context.Context) error {
	w := newWriter(x)
	for ctx.Err() == nil {
		now := time.Now()
		m, err := w.gather(now)
		if err != nil {
			return err
		}
		if len(w.buf) >= min(maxFlush, x.writeSize()) || !m && len(w.buf) > 0 {
			if err := w.flush(ctx); err != nil {
				return err
			}
		}
		if m {
			continue
		}
		if err := w.rest(ctx); err != nil {
			return err
		}
	}
	return nil
}

// writer is what only the writing goroutine knows.
type writer struct {
	x     *Session
	buf   []byte
	ahead int      // bytes at the beginning of buf that go before blocks
	names []string // our extensions as last told
	due   map[*channel]time.Time
	sweep time.Time // when quiet channels are looked for; zero: there are none of ours
	last  time.Time // when something was written
}

func newWriter(x *Session) *writer { return &writer{x: x, due: map[*channel]time.Time{}} }

// gather appends one frame to buf and says whether there was one.
func (w *writer) gather(now time.Time) (bool, error) {
	o := &w.x.out
	o.mu.Lock()
	if o.stale {
		o.stale = false
		o.mu.Unlock()
		w.names = w.x.extensionNames()
		return true, w.append(0, &hypercore.Options{Extensions: w.names})
	}
	if len(o.controls) > 0 {
		f := o.controls[0]
		o.controls = o.controls[1:]
		o.mu.Unlock()
		return true, w.append(f.channel, f.message)
	}
	if len(o.messages) > 0 {
		m := o.messages[0]
		o.messages = o.messages[1:]
		o.queued -= queueCost + len(m.payload)
		o.mu.Unlock()
		return true, w.appendExtension(m.name, m.payload)
	}
	o.mu.Unlock()
	if name, payload, err := w.x.exchange.Next(now); err != nil || payload != nil {
		if err != nil {
			return false, err
		}
		return true, w.appendExtension(name, payload)
	}
	return w.gatherChannel(now)
}

// gatherChannel asks the channels in turn, one frame each.
func (w *writer) gatherChannel(now time.Time) (bool, error) {
	o := &w.x.out
	for {
		o.mu.Lock()
		if len(o.controls) > 0 { // came since gather looked: an Open goes before its channel
			o.mu.Unlock()
			return true, nil
		}
		if len(o.ready) == 0 {
			o.mu.Unlock()
			return false, nil
		}
		c := o.ready[0]
		o.ready = o.ready[1:]
		c.queued = false // before Next, so that no wake is lost
		o.mu.Unlock()
		local, p := w.x.table.ends(c)
		if p == nil {
			delete(w.due, c)
			continue
		}
		m, err := p.Next(now)
		if err != nil {
			return false, err
		}
		if m == nil {
			w.noteDue(c, p)
			if err := w.x.table.idle(c, now); err != nil {
				return false, err
			}
			continue
		}
		c.stir(now)
		o.wakeChannel(c)
		return true, w.append(local, m)
	}
}

func (w *writer) noteDue(c *channel, p *hypercore.Peer) {
	if at, ok := p.Due(); ok {
		w.due[c] = at
	} else {
		delete(w.due, c)
	}
}

// ends returns our number of the channel and its replication, nil when it is
// not open on both sides.
func (t *channels) ends(c *channel) (uint64, *hypercore.Peer) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.byKey[c.dk] != c {
		return 0, nil
	}
	return c.local, c.peer
}

func (w *writer) append(channel uint64, m wire.Message) (err error) {
	w.x.turn.stir(w.x, time.Now())
	if d, ok := m.(*hypercore.RangeData); ok && cap(w.buf) <= keptBuffer && sizeOf(d) > keptBuffer {
		w.buf = append(wire.Borrow(), w.buf...)
	}
	w.buf, err = wire.AppendFrame(w.buf, channel, m)
	return err
}

// sizeOf returns the bytes of the blocks.
func sizeOf(m *hypercore.RangeData) (size int) {
	for _, b := range m.Blocks {
		size += len(b)
	}
	return size
}

// appendExtension drops a message whose extension was taken back.
func (w *writer) appendExtension(name string, payload []byte) error {
	id := slices.Index(w.names, name)
	if id < 0 {
		return nil
	}
	return w.append(0, &hypercore.Extension{ID: uint64(id), Payload: payload})
}

// writeError is what the stream said when it was written to.
type writeError struct{ err error }

func (e *writeError) Error() string { return "multifeed: write: " + e.err.Error() }
func (e *writeError) Unwrap() error { return e.err }

// flush writes buf in parts, for a large block may take a slow line, or a limit,
// longer than WriteTimeout.
func (w *writer) flush(ctx context.Context) error {
	for rest := w.buf; len(rest) > 0; {
		part := rest[:min(len(rest), w.x.writeSize())]
		urgent := len(w.buf)-len(rest) < w.ahead
		rest = rest[len(part):]
		if err := w.x.paceWrite(ctx, len(part), urgent); err != nil {
			return err
		}
		if err := w.x.stream.beforeWrite(); err != nil {
			return &writeError{err}
		}
		n, err := w.x.opened.Stream.Write(part)
		w.x.sent.Add(uint64(n))
		w.x.up.add(n, time.Now())
		if err != nil {
			return &writeError{err}
		}
	}
	w.last = time.Now()
	if cap(w.buf) > keptBuffer {
		wire.Recycle(w.buf)
		w.buf = nil
	}
	w.buf, w.ahead = w.buf[:0], 0
	return nil
}

// rest waits until there may be something to send, and sends a keep-alive when
// the other side needs one.
func (w *writer) rest(ctx context.Context) error {
	var timer <-chan time.Time
	until, ok := w.nextDue()
	every := w.x.keepAlive()
	if every > 0 {
		if at := w.last.Add(every); !ok || at.Before(until) {
			until, ok = at, true
		}
	}
	if at, any := w.nextSweep(); any && (!ok || at.Before(until)) {
		until, ok = at, true
	}
	if ok {
		t := time.NewTimer(time.Until(until))
		defer t.Stop()
		timer = t.C
	}
	w.x.turn.resting.Store(true)
	select {
	case <-w.x.out.wakeup:
		w.x.turn.resting.Store(false)
	case <-ctx.Done():
	case <-timer:
		w.x.turn.resting.Store(false)
		now := time.Now()
		if every > 0 && !now.Before(w.last.Add(every)) {
			w.buf = wire.AppendKeepAlive(w.buf)
			w.ahead = len(w.buf)
			return w.flush(ctx)
		}
		for c, at := range w.due {
			if !at.After(now) {
				delete(w.due, c)
				w.x.out.wakeChannel(c)
			}
		}
		if !w.sweep.IsZero() && !now.Before(w.sweep) {
			w.sweep = time.Time{}
			return w.x.table.sweep(now)
		}
	}
	return nil
}

// nextSweep returns when quiet channels are to be looked for; any is false when
// there are none that we would close.
func (w *writer) nextSweep() (at time.Time, any bool) {
	if !w.x.table.opened() {
		w.sweep = time.Time{}
		return w.sweep, false
	}
	if w.sweep.IsZero() {
		w.sweep = time.Now().Add(sweepTime)
	}
	return w.sweep, true
}

func (w *writer) nextDue() (at time.Time, ok bool) {
	for _, due := range w.due {
		if !ok || due.Before(at) {
			at, ok = due, true
		}
	}
	return at, ok
}

// keepAlive returns how often the other side must hear from us, 0 for never.
func (x *Session) keepAlive() time.Duration {
	silence := x.opened.Remote.Silence
	if silence <= 0 {
		return 0
	}
	return max(silence/2, MinKeepAlive)
}
