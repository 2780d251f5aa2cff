package hypercore

// EventKind says what happened to a feed.
type EventKind byte

// The events of a feed.
const (
	Stored      EventKind = iota + 1 // blocks of Span became durable here
	Uploaded                         // a block of Span was read for a peer
	Forked                           // the feed was found to have forked; see Feed.Forked
	Grown                            // the durable head grew by the blocks of Span, stored here or not
	Cleared                          // blocks of Span were removed by Clear
	PeerAdded                        // From was attached
	PeerRemoved                      // From was detached
	Opened                           // the feed was opened: from corestore.Store.Notify alone
	Closed                           // the feed was closed; its last event
	Damaged                          // blocks of Span, stored here, can't be read or proved any more; see Feed.Damage
	Wanted                           // somebody began to wait for blocks of Span, below the known length, that aren't stored here
	Filled                           // there is no room for more blocks, From's if not nil; see Feed.Full
	Eased                            // there may be room again
	Outrun                           // somebody else writes this feed as well, From if not nil shows it; nothing is appended here any more
)

// Event is what happened to a feed. From is the peer that sent or got the
// blocks, the head or the evidence, nil for what was appended here.
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

// call makes the calls that eventLocked returned.
func call(calls []func()) {
	for _, f := range calls {
		f()
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
