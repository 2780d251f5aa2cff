package discovery

import "time"

// Round is the state of one thing that is done again and again.
type Round struct {
	Began    time.Time // when the last try began, zero before the first
	Done     time.Time // when a try last succeeded, zero for never
	Next     time.Time // when it is due, zero while it runs or when it is off
	Err      error     // of the last try, nil when it succeeded
	Failures int       // tries in a row that failed
	Tries    uint64
}

// ended notes the end of a try that began at r.Began.
func (r *Round) ended(err error, now time.Time) {
	r.Tries++
	r.Err = err
	if err != nil {
		r.Failures++
		return
	}
	r.Failures = 0
	r.Done = now
}

// Status is what a person wants to know of one topic.
type Status struct {
	Key      [32]byte
	Mode     Mode
	Announce Round
	Lookup   Round
	Offered  uint64 // candidates handed out so far, repeats included
}

// Status returns a snapshot.
func (t *Topic) Status() Status {
	t.mu.Lock()
	s := Status{Key: t.key, Mode: t.mode, Announce: t.announce, Lookup: t.lookup, Offered: t.offered}
	t.mu.Unlock()
	s.Announce.Next = t.rv.jobs.next(t.announcing)
	s.Lookup.Next = t.rv.jobs.next(t.looking)
	return s
}

// NodeStatus is what a person wants to know of the rendezvous as a whole.
type NodeStatus struct {
	Topics  int
	Routing bool // announcements and lookups have a DHT to go to
	Routers int  // DHT nodes in the routing table, -1 when unknown
	MDNS    Round
	LAN     int // peers seen on the local network in the last LANMemory
}

// Status returns a snapshot.
func (r *Rendezvous) Status() NodeStatus {
	s := NodeStatus{Topics: len(r.Topics()), Routing: r.routing != nil, Routers: -1}
	if r.tableSize != nil {
		s.Routers = r.tableSize()
	}
	if r.lan != nil {
		s.MDNS, s.LAN = r.lan.status(time.Now())
	}
	return s
}
