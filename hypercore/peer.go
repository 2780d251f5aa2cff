package hypercore

import (
	"math"
	"time"
)

// Peer replicates one feed with one remote. It has no goroutine and no clock:
// Handle takes what the remote said, Next gives what to say. Handle is called
// by one goroutine, Next by another.
type Peer struct {
	feed *core
	wake func() // must not block
	// noHashes and pages are as PeerOptions has them.
	noHashes bool
	byRange  bool    // PeerOptions.Ranges
	window   *Window // nil unless byRange
	pages    *PageBudget
	// receiving and room are as PeerOptions has them.
	receiving func() time.Time
	room      func(now time.Time) (bytes uint64, again time.Time)
	portion   func() uint64

	counters counters

	// guarded by feed.mu
	closed    bool
	upload    bool      // we answer requests
	download  bool      // we ask
	paused    time.Time // since when the remote does not answer; zero: it does
	acks      bool      // the remote wants acks
	remote    Bitfield  // what the remote holds below the horizon, as far as it told
	remoteEnd uint64    // the remote's length, as far as it told
	beyond    Span      // the last that it told it holds from the horizon on
	heard     bool      // the remote sent a Want
	outbox    []Message // to be sent before anything else, in order
	wanted    uint64    // our wants went out for ranges of MaxWant below this one
	wantsOut  int       // of these, how many are unanswered
	wants     []Want    // of the remote, unanswered
	answered  map[uint64]Want
	again     []Want // of answered, to be answered once more
	haves     []Span
	unhaves   []Span         // to be told before haves
	requests  []Request      // of the remote; no two alike but for Nodes
	ranges    []RangeRequest // of the remote; no two of one start
	declined  bool           // Unhaves went out that a Status must follow
	asked     map[uint64]*request
	serial    uint64     // of the last request
	flying    int        // Requests in asked that have not moved
	ranged    int        // ranges in asked that have not moved
	arriving  []*request // ranges whose answers came and are not stored yet
	owed      int        // requests in asked that are owed
	progress  time.Time  // of the last answer
	resume    time.Time  // before it nothing may be asked; zero: it may
	stalled   bool       // a request timed out since
	expiry    time.Time  // when to look again for requests that are late
	looked    time.Time  // when Next was called last
	cursor    uint64
	parted    uint64 // from this block on, the remote has another branch
	doubted   uint64 // length of the remote about which it was asked; see doubtLocked

	growth       *request  // the last for the proof of a longer head
	barren       bool      // the remote could not prove a longer head
	failedGrowth int       // requests for growth that came to nothing in time, since the last that did not
	yielded      time.Time // since when a remote that failed less goes first

	probe   bool   // a Want shall be sent again, for news
	answers uint64 // of the remote to Wants

	unasked   int // blocks nobody asked for, since unaskedAt
	excused   int // second answers that may come to what was taken back and asked for again
	unaskedAt time.Time
}

// PeerOptions are the settings of one Peer.
type PeerOptions struct {
	Wake       func() // called when Next may have something; must not block or call back
	NoUpload   bool
	NoDownload bool
	// NoHashes says that the remote is never asked for a hash alone, since it
	// may end the stream when it can't prove one, as hypercore 9 does. A longer
	// head is then learned only with a block that the remote holds.
	NoHashes bool
	// Ranges says that the remote takes RangeRequests: blocks are asked for with
	// them alone.
	Ranges bool
	// Window bounds what is asked for in ranges of all feeds of a session. Without
	// it this feed has a window of its own.
	Window *Window
	// Pages bounds what is remembered of all feeds of a session. Without it
	// MaxPeerPages alone is the bound for this feed.
	Pages *PageBudget
	// Receiving returns when the remote's line last brought a part of a message
	// that isn't whole yet, zero for never: while it does, no request is late. It
	// must not block or call back. May be nil.
	Receiving func() time.Time
	// Room returns for how many bytes of blocks requests may wait for an answer
	// now, and with 0 when that is to be looked at again. It must not block or call
	// back. May be nil: for any number.
	Room func(now time.Time) (bytes uint64, again time.Time)
	// Portion returns how many bytes of blocks one answer to a RangeRequest has at
	// most, MaxRangeBytes at the most, unless its first block alone has more. It must
	// not block or call back. May be nil.
	Portion func() uint64
}

// Attach starts the replication with one remote on whose channel both sides
// have opened this feed. It returns ErrClosed for a closed feed.
func (c *core) Attach(o PeerOptions) (*Peer, error) {
	p := &Peer{
		feed: c, wake: o.Wake, upload: !o.NoUpload, download: !o.NoDownload, noHashes: o.NoHashes, pages: o.Pages,
		receiving: o.Receiving, room: o.Room, portion: o.Portion,
		asked:    map[uint64]*request{},
		answered: map[uint64]Want{},
		parted:   math.MaxUint64,
		byRange:  o.Ranges,
		window:   o.Window,
		// Whoever proved a longer head goes before who didn't yet.
		failedGrowth: 1,
	}
	if p.byRange && p.window == nil {
		p.window = NewWindow()
	}
	if p.pages == nil {
		p.pages = NewPageBudget(MaxPeerPages)
	}
	if o.NoUpload || o.NoDownload {
		p.outbox = append(p.outbox, &Status{Uploading: p.upload, Downloading: p.download})
	}
	c.mu.Lock()
	if c.closed {
		c.mu.Unlock()
		return nil, c.ended()
	}
	c.peers[p] = struct{}{}
	told := c.eventLocked(Event{Kind: PeerAdded, From: p})
	c.mu.Unlock()
	call(told)
	return p, nil
}

// Detach ends the replication, gives what was asked of this remote to the
// others, and forgets what it told. It may be called twice.
func (p *Peer) Detach() {
	p.feed.mu.Lock()
	told := p.detachLocked()
	p.feed.mu.Unlock()
	call(told)
}

// detachLocked returns the calls to make without the lock.
func (p *Peer) detachLocked() []func() {
	c := p.feed
	if p.closed {
		return nil
	}
	p.closed = true
	delete(c.peers, p)
	for _, r := range p.asked {
		p.freeLocked(r)
		r.window.give()
	}
	if p.byRange {
		p.window.leave(p)
	}
	p.pages.give(len(p.remote.pages))
	p.remote, p.growth = Bitfield{}, nil
	p.asked, p.outbox, p.requests, p.haves, p.unhaves = nil, nil, nil, nil, nil
	p.wants, p.again, p.ranges = nil, nil, nil
	c.wakeLocked()
	c.updatedLocked()
	return c.eventLocked(Event{Kind: PeerRemoved, From: p})
}

// RemoteHas says whether the remote told that it holds all blocks of the span,
// durably when it keeps the rule of interop/spec/feed.md.
func (p *Peer) RemoteHas(s Span) bool {
	p.feed.mu.Lock()
	defer p.feed.mu.Unlock()
	return p.remote.Contains(s)
}

// RemoteLength returns the remote's length in blocks as far as it told.
func (p *Peer) RemoteLength() uint64 {
	p.feed.mu.Lock()
	defer p.feed.mu.Unlock()
	return p.remoteEnd
}

// Answered says whether the remote told what it holds.
func (p *Peer) Answered() bool {
	p.feed.mu.Lock()
	defer p.feed.mu.Unlock()
	return p.wanted > 0 && p.wantsOut == 0
}

// RemoteLacks returns how many of the blocks that are durable here the remote
// did not tell that it holds.
func (p *Peer) RemoteLacks() uint64 {
	c := p.feed
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.told.CountNotIn(&p.remote, c.toldHead.Length)
}
