package multifeed

import "time"

// Exchange finds out, over extensions of channel 0, which feeds the two sides of
// a session share, and opens their channels. Handle is called by the session's
// reader, Next by its writer, Added by anybody.
type Exchange interface {
	// Extensions returns the names of the extensions that it talks by.
	Extensions() []string
	// Handle takes a message of one of them. An error ends the session. The
	// payload is not kept.
	Handle(name string, payload []byte, now time.Time) error
	// Next returns the next message to send, or a nil payload when there is none
	// until the session is woken.
	Next(now time.Time) (name string, payload []byte, err error)
	// Added tells of a feed that came into the space's set. It must not block.
	Added(f *Feed)
	// Forked tells of a feed that was found to have forked. It must not block.
	Forked(f *Feed)
}

// feedAdded is called when a feed came into the set.
func (x *Session) feedAdded(f *Feed) {
	x.exchange.Added(f)
	if err := x.table.arrived(f); err != nil {
		x.end(err)
	}
	x.out.wake()
}
