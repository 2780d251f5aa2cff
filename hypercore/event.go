package hypercore

// EventKind says what happened to a feed.
type EventKind byte

// The events of a feed.
const (
	Stored   EventKind = iota + 1 // blocks of Span became durable here
	Uploaded                      // a block of Span was read for a peer
	Forked                        // the feed was found to have forked; see Feed.Forked
)

// Event is what happened to a feed. From is the peer that sent or got the
// blocks or the evidence, nil for blocks appended here.
type Event struct {
	Kind EventKind
	Span Span
	From *Peer
}

type watcher struct{ f func(Event) }

// Notify calls f for every event from now on until stop is called. f is called
// from the goroutine in which the event happened; it must not block or call the
// feed's blocking methods.
func (c *core) Notify(f func(Event)) (stop func()) {
	w := &watcher{f}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.watchers[w] = struct{}{}
	return func() {
		c.mu.Lock()
		defer c.mu.Unlock()
		delete(c.watchers, w)
	}
}

// eventLocked returns the calls to make without the lock.
func (c *core) eventLocked(e Event) []func() {
	var calls []func()
	for w := range c.watchers {
		calls = append(calls, func() { w.f(e) })
	}
	return calls
}
