package host

import (
	"fmt"

	"github.com/libp2p/go-libp2p/core/peer"
)

// EventKind says what happened.
type EventKind byte

// The events of a networker.
const (
	SpaceJoined      EventKind = iota + 1 // Membership began
	SpaceLeft                             // Membership ended
	PeerAdded                             // Peer has a session of Membership; once, however many streams and connections
	PeerRemoved                           // Peer has none any more; Err says why, nil for an orderly end
	ReplicationError                      // a session of Membership with Peer failed with Err
	Refused                               // Peer was refused with Err before it proved anything; Membership is nil
)

var eventNames = [...]string{
	SpaceJoined: "space joined", SpaceLeft: "space left", PeerAdded: "peer added",
	PeerRemoved: "peer removed", ReplicationError: "replication error", Refused: "refused",
}

// String returns the kind in words.
func (k EventKind) String() string {
	if int(k) < len(eventNames) && eventNames[k] != "" {
		return eventNames[k]
	}
	return fmt.Sprintf("event %d", byte(k))
}

// Event is what happened. Fields that do not apply are zero.
type Event struct {
	Kind       EventKind
	Membership *Membership
	Peer       peer.ID
	Err        error
}

type watcher struct{ f func(Event) }

// Notify calls f for every event until stop is called, one event at a time and
// in the order in which they happened. f must not block and must not call Leave
// or Close.
func (n *Networker) Notify(f func(Event)) (stop func()) {
	w := &watcher{f}
	n.mu.Lock()
	defer n.mu.Unlock()
	n.watchers[w] = struct{}{}
	return func() {
		n.mu.Lock()
		defer n.mu.Unlock()
		delete(n.watchers, w)
	}
}

// eventLocked notes an event; tell is called when the lock is free.
func (n *Networker) eventLocked(e Event) {
	if len(n.watchers) > 0 {
		n.events = append(n.events, e)
	}
}

func (n *Networker) event(e Event) {
	n.mu.Lock()
	n.eventLocked(e)
	n.mu.Unlock()
	n.tell()
}

// tell calls the watchers for the events that were noted. One goroutine does it
// at a time, for all: so the order stays, and a watcher may cause events.
func (n *Networker) tell() {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.drains {
		return
	}
	n.drains = true
	for len(n.events) > 0 {
		e := n.events[0]
		n.events = n.events[1:]
		watchers := make([]*watcher, 0, len(n.watchers))
		for w := range n.watchers {
			watchers = append(watchers, w)
		}
		n.mu.Unlock()
		for _, w := range watchers {
			w.f(e)
		}
		n.mu.Lock()
	}
	n.drains = false
	n.events = nil
}
