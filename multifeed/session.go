package multifeed

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"google.golang.org/protobuf/encoding/protowire"

	"github.com/cobox-p2p/cobox-p2p/hypercore"
	"github.com/cobox-p2p/cobox-p2p/multifeed/wire"
)

// ErrLeft ends the sessions of a space that was left. It has a code to tell the
// remote, but nobody is at fault.
var ErrLeft = &ProtocolError{Code: CodeLeft, Reason: "the space was left"}

// Session is the replication of one space with one peer over one stream. Its
// opening came before it; which feeds the two share is up to its Exchange.
type Session struct {
	space    *Space
	opened   *Opened
	stream   *deadlines
	exchange Exchange
	noBlocks bool
	log      *slog.Logger
	started  time.Time

	end  context.CancelCauseFunc
	done chan struct{} // closed when Replicate is about to return

	sent, received atomic.Uint64 // bytes of frames
	up, down       meter         // of them, lately
	turn           turn
	dropped        rate
	refusals       refusals

	table  *channels
	ranges bool    // both sides have featureRanges
	in     *intake // the reader's
	out    outgoing

	mu        sync.Mutex // guards all below
	names     []string   // the remote's extensions by their ID
	about     About
	exchanged bool
	compared  map[hypercore.DiscoveryKey]struct{} // own feeds whose heads went together with the remote's
	// remoteTold says that the remote has told of all feeds of which it holds
	// something.
	remoteTold bool
}

// SessionOption changes how a session runs.
type SessionOption func(*Session)

// WithExchange replaces the way in which the two sides find out which feeds they
// share.
func WithExchange(make func(*Session) Exchange) SessionOption {
	return func(x *Session) { x.exchange = make(x) }
}

// WithoutBlocks keeps the session to the feed set: no feed's channel is opened.
// It is for connections that carry little, such as relayed ones.
func WithoutBlocks() SessionOption {
	return func(x *Session) { x.noBlocks = true }
}

// Replicate runs a session on a stream that Initiate or Respond has opened for
// this space, until ctx or the space ends, the remote closes its side, or one of
// the two is at fault. It returns nil when the remote closed the stream, what
// ended ctx, a *ProtocolError or *hypercore.RemoteError when the remote is at
// fault, and else what failed here or on the stream, which includes that the
// remote was silent for longer than o.Silence. It leaves the stream to the
// caller, who closes or resets it; see CodeOf.
func (s *Space) Replicate(ctx context.Context, o *Opened, opts ...SessionOption) error {
	if o.Address != s.address {
		return errors.New("multifeed: the stream was opened for another space")
	}
	ctx, end := context.WithCancelCause(ctx)
	defer end(nil)
	x := s.newSession(o, end, opts)
	if err := x.enter(); err != nil {
		return err
	}
	err := x.run(ctx)
	x.leave(err)
	return err
}

func (s *Space) newSession(o *Opened, end context.CancelCauseFunc, opts []SessionOption) *Session {
	x := &Session{
		space: s, opened: o, stream: o.deadlines, end: end, done: make(chan struct{}), started: time.Now(),
		log:      s.log,
		dropped:  rate{limit: MaxDropped, per: time.Minute},
		compared: map[hypercore.DiscoveryKey]struct{}{},
		refusals: newRefusals(),
	}
	if x.stream == nil {
		x.stream = &deadlines{stream: o.Stream}
	}
	x.stream.listen(o.Silence)
	x.ranges = slices.Contains(o.Features, featureRanges)
	x.table = newChannels(x)
	x.out.init(s)
	for _, opt := range opts {
		opt(x)
	}
	switch {
	case x.exchange != nil:
	case slices.Contains(o.Features, featureFeeds):
		x.exchange = NewFeeds(x)
	default:
		x.exchange = NewList(x)
	}
	return x
}

// enter makes the session known to the space.
func (x *Session) enter() error {
	s := x.space
	s.mu.Lock()
	if s.closed {
		s.mu.Unlock()
		return ErrClosed
	}
	s.sessions[x] = struct{}{}
	s.mu.Unlock()
	s.event(Event{Kind: SessionStarted, Session: x})
	return nil
}

func (x *Session) leave(err error) {
	x.turn.finish(x)
	if l, ok := x.exchange.(*Feeds); ok {
		l.end()
	}
	x.table.close()
	if err := x.table.saveShown(); err != nil {
		x.log.Error("not noted what was shown of own feeds", "err", err)
	}
	s := x.space
	s.mu.Lock()
	delete(s.sessions, x)
	s.mu.Unlock()
	s.event(Event{Kind: SessionEnded, Session: x, Err: err})
	close(x.done)
}

// run reads in the caller's goroutine and writes in one of its own.
func (x *Session) run(ctx context.Context) error {
	stop := context.AfterFunc(ctx, x.stream.end)
	defer stop()
	x.stream.passed = func(n int) {
		x.down.add(n, time.Now())
		x.paceRead(ctx, n) // an end of ctx ends the next Read
	}
	written := make(chan error, 1)
	go func() {
		err := x.write(ctx)
		switch _, gone := errors.AsType[*writeError](err); {
		case ctx.Err() != nil:
			err = nil // the end of the session is what failed it
		case gone:
			// What the remote sent before it went tells more than that it went.
			x.stream.hearLastWords()
		case err != nil:
			x.end(err)
		}
		written <- err
	}()
	err := x.read(ctx)
	x.end(err)
	writeErr := <-written
	switch cause := context.Cause(ctx); {
	case !errors.Is(cause, err):
		return cause // ended from outside, or by our own failure
	case isFault(err):
		return err
	case errors.Is(err, io.EOF):
		return nil
	case writeErr != nil:
		return writeErr
	default:
		return err
	}
}

// isFault says whether the error is the remote's fault, not the stream's.
func isFault(err error) bool {
	switch CodeOf(err) {
	case CodeNone, CodeInternal, CodeTimeout:
		return false
	}
	return true
}

// read handles frames until one of them, or the stream, is at fault, and returns
// when nothing of them is on its way to a store any more.
func (x *Session) read(ctx context.Context) error {
	x.in = newIntake(ctx, x)
	err := x.readFrames()
	if failed := x.in.close(); failed != nil {
		return failed
	}
	return err
}

func (x *Session) readFrames() error {
	for {
		f, err := x.opened.Reader.ReadFrame()
		if err != nil {
			return err
		}
		x.received.Add(frameSize(f))
		x.stream.whole()
		if f.KeepAlive {
			continue
		}
		if err := x.handle(f, time.Now()); err != nil {
			return err
		}
	}
}

// frameSize returns the bytes of a frame whose writer used the shortest form.
func frameSize(f wire.Frame) uint64 {
	if f.KeepAlive {
		return 1
	}
	return uint64(protowire.SizeBytes(protowire.SizeVarint(f.Channel<<4|uint64(f.Type)) + len(f.Body)))
}

func (x *Session) handle(f wire.Frame, now time.Time) error {
	x.turn.stir(x, now)
	switch isRange := f.Type == wire.TypeRangeRequest || f.Type == wire.TypeRangeData; {
	case isRange && (!x.ranges || f.Channel == 0):
		return x.drop(now)
	case f.Type == wire.TypeRangeData:
		return x.in.take(f, now)
	}
	m, err := wire.Decode(f)
	if err != nil {
		return err
	}
	switch m := m.(type) {
	case *wire.Open:
		return x.table.remoteOpen(f.Channel, m.DiscoveryKey, now)
	case *wire.Close:
		return x.table.remoteClose(f.Channel, m.DiscoveryKey, now)
	case *wire.Unknown:
		return x.drop(now)
	case hypercore.Message:
		if f.Channel == 0 {
			return x.handleSpace(m, now)
		}
		return x.table.handle(f.Channel, m, now)
	}
	return fmt.Errorf("multifeed: no handler for a %T", m)
}

// handleSpace takes a message on channel 0.
func (x *Session) handleSpace(m hypercore.Message, now time.Time) error {
	switch m := m.(type) {
	case *hypercore.Options:
		x.mu.Lock()
		x.names = m.Extensions
		x.mu.Unlock()
		return nil
	case *hypercore.Extension:
		x.mu.Lock()
		name := ""
		if m.ID < uint64(len(x.names)) {
			name = x.names[m.ID]
		}
		x.mu.Unlock()
		return x.handleExtension(name, m.Payload, now)
	}
	return x.drop(now)
}

// drop counts a frame that means nothing here. They are legal, within a rate.
func (x *Session) drop(now time.Time) error {
	if !x.dropped.take(1, now) {
		return &ProtocolError{Code: CodeLimit, Reason: fmt.Sprintf("over %d frames in a minute that mean nothing", MaxDropped)}
	}
	return nil
}

// Space returns the session's space.
func (x *Session) Space() *Space { return x.space }

// Remote returns what the handshake told of the peer.
func (x *Session) Remote() Party { return x.opened.Remote }

// Features returns the features that both sides named, sorted.
func (x *Session) Features() []string { return x.opened.Features }

// Initiator says whether this side opened the stream.
func (x *Session) Initiator() bool { return x.opened.Initiator }

// Started returns when the session began.
func (x *Session) Started() time.Time { return x.started }

// About returns what the peer told of itself, which nobody verified.
func (x *Session) About() About {
	x.mu.Lock()
	defer x.mu.Unlock()
	return x.about
}

// Exchanged says whether both sides have told each other their feeds.
func (x *Session) Exchanged() bool {
	x.mu.Lock()
	defer x.mu.Unlock()
	return x.exchanged
}

// Traffic returns the bytes of frames sent and received.
func (x *Session) Traffic() (sent, received uint64) { return x.sent.Load(), x.received.Load() }

// noteExchanged is called by the exchange, once, when each side knows the
// other's feeds.
func (x *Session) noteExchanged() {
	x.mu.Lock()
	x.exchanged = true
	x.mu.Unlock()
	x.space.mu.Lock()
	x.space.exchanged = true
	x.space.mu.Unlock()
	x.space.event(Event{Kind: Exchanged, Session: x})
}
