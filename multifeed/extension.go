package multifeed

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"
)

// Errors of extensions.
var (
	ErrExtensionName  = fmt.Errorf("multifeed: an extension's name has 1 to %d bytes, does not begin with cobox/ and is used once", MaxName)
	ErrExtensionSize  = fmt.Errorf("multifeed: extension message over %d bytes", MaxExtensionMessage)
	ErrExtensionQueue = fmt.Errorf("multifeed: over %d bytes of extension messages wait for the peer", MaxExtensionQueue)
	ErrNoSession      = errors.New("multifeed: session has ended, or is of another space")
)

// Extension is a message channel of the application beside the feeds: messages
// to the peers of one space who registered the same name. They are not kept for
// absent peers.
type Extension struct {
	space  *Space
	name   string
	handle func(from *Session, message []byte)
}

// RegisterExtension makes messages of that name reach handle, from the peers of
// now and those to come. handle is called by the session's reader: what it does
// holds up that session only, it may keep the message, and it must not close the
// space. It returns ErrExtensionName, or an error past MaxExtensions.
func (s *Space) RegisterExtension(name string, handle func(from *Session, message []byte)) (*Extension, error) {
	if checkName(name) != nil || strings.HasPrefix(name, "cobox/") {
		return nil, ErrExtensionName
	}
	e := &Extension{s, name, handle}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.extensions[name] != nil {
		return nil, ErrExtensionName
	}
	if len(s.extensions) >= MaxExtensions {
		return nil, fmt.Errorf("multifeed: over %d extensions", MaxExtensions)
	}
	s.extensions[name] = e
	s.extensionsChangedLocked()
	return e, nil
}

// Close takes the extension back. It may be called twice.
func (e *Extension) Close() error {
	e.space.mu.Lock()
	defer e.space.mu.Unlock()
	if e.space.extensions[e.name] == e {
		delete(e.space.extensions, e.name)
		e.space.extensionsChangedLocked()
	}
	return nil
}

func (s *Space) extensionsChangedLocked() {
	for x := range s.sessions {
		x.out.mu.Lock()
		x.out.stale = true
		x.out.mu.Unlock()
		x.out.wake()
	}
}

// Send sends a message to one peer and returns when it is queued. It does not
// keep the slice. It returns ErrExtensionSize, ErrExtensionQueue or
// ErrNoSession.
func (e *Extension) Send(to *Session, message []byte) error {
	if len(message) > MaxExtensionMessage {
		return ErrExtensionSize
	}
	if to.space != e.space {
		return ErrNoSession
	}
	select {
	case <-to.done:
		return ErrNoSession
	default:
	}
	o := &to.out
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.queued+queueCost+len(message) > MaxExtensionQueue {
		return ErrExtensionQueue
	}
	o.queued += queueCost + len(message)
	o.messages = append(o.messages, extensionMessage{e.name, slices.Clone(message)})
	o.wake()
	return nil
}

// Broadcast sends a message to all peers of now and returns how many it was
// queued for.
func (e *Extension) Broadcast(message []byte) (n int) {
	for _, x := range e.space.Sessions() {
		if e.Send(x, message) == nil {
			n++
		}
	}
	return n
}

// extensionNames returns the names of all our extensions, sorted. A message's
// ID is the place of its name in it.
func (x *Session) extensionNames() []string {
	names := append([]string{aboutName, refusedName}, x.exchange.Extensions()...)
	x.space.mu.Lock()
	for name := range x.space.extensions {
		names = append(names, name)
	}
	x.space.mu.Unlock()
	slices.Sort(names)
	return slices.Compact(names)
}

// handleExtension takes a message on channel 0. An unknown name is no fault.
func (x *Session) handleExtension(name string, payload []byte, now time.Time) error {
	if name == aboutName {
		return x.handleAbout(payload, now)
	}
	if name == refusedName {
		return x.handleRefused(payload, now)
	}
	if slices.Contains(x.exchange.Extensions(), name) {
		return x.exchange.Handle(name, payload, now)
	}
	x.space.mu.Lock()
	e := x.space.extensions[name]
	x.space.mu.Unlock()
	if e == nil {
		return x.drop(now)
	}
	if len(payload) > MaxExtensionMessage {
		return &ProtocolError{Code: CodeLimit, Err: ErrExtensionSize}
	}
	e.handle(x, payload)
	return nil
}

func (x *Session) handleAbout(payload []byte, now time.Time) error {
	a, err := decodeAbout(payload)
	if err != nil {
		return &ProtocolError{Code: CodeProtocol, Reason: aboutName, Err: err}
	}
	x.mu.Lock()
	same := a.Name == x.about.Name && bytes.Equal(a.Fields, x.about.Fields)
	x.about = a
	x.mu.Unlock()
	if err := x.drop(now); err != nil || same {
		return err
	}
	x.space.event(Event{Kind: AboutReceived, Session: x})
	return nil
}
