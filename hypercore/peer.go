package hypercore

import (
	"sync/atomic"
	"time"
)

// Limits of the replication of one feed with one peer.
const (
	// MaxRequests is how many of our own requests may wait for an answer.
	MaxRequests = 64
	// MaxRemoteRequests is how many of the peer's requests are remembered.
	// hypercore 9 has 32 at the most in flight.
	MaxRemoteRequests = 256
	// MaxRemoteWants is how many of the peer's wants wait for an answer or are
	// kept to be answered again. hypercore 9 has 16 at the most in flight.
	MaxRemoteWants = 64
	// MaxWant is the longest range in blocks that a Want may name, and the one
	// that hypercore 9 uses always.
	MaxWant = 1 << 20
	// RequestTimeout is how long a request waits before it moves on.
	RequestTimeout = 10 * time.Second

	// wantAlign is what start and length of a Want are multiples of.
	wantAlign = 8192
	// maxWantsOut is how many of our wants wait for an answer.
	maxWantsOut = 16
	// maxWanted is how many wants one peer gets in all. Past them its blocks
	// are known from its Haves alone.
	maxWanted = 4096
	// maxHaves is how many separate spans wait to be told. Past that the peer
	// gets the bitfields of its wants again.
	maxHaves = 256
	// maxMoved is how many requests that moved on to another peer are
	// remembered.
	maxMoved = 256
	// maxUnasked is how many blocks that nobody asked for a peer may send a
	// minute.
	maxUnasked = 1024
	// growPatience is how long one peer has to prove a longer head before
	// another is asked as well.
	growPatience = time.Second
	// expireEvery is how often late requests are looked for.
	expireEvery = time.Second
	// maxPause is how long a remote may say that it does not answer before its
	// requests move on.
	maxPause = time.Second
)

// Peer replicates one feed with one remote. It has no goroutine and no clock:
// Handle takes what the remote said, Next gives what to say. Handle is called
// by one goroutine, Next by another.
type Peer struct {
	feed *core
	wake func() // must not block

	sentBlocks, sentBytes, gotBlocks, gotBytes atomic.Uint64

	// guarded by feed.mu
	closed    bool
	upload    bool      // we answer requests
	download  bool      // we ask
	paused    time.Time // since when the remote does not answer; zero: it does
	acks      bool      // the remote wants acks
	remote    Bitfield  // what the remote holds, as far as it told
	remoteEnd uint64    // the remote's length, as far as it told
	heard     bool      // the remote sent a Want
	outbox    []Message // to be sent before anything else, in order
	wanted    uint64    // our wants went out for ranges of MaxWant below this one
	wantsOut  int       // of these, how many are unanswered
	wants     []Want    // of the remote, unanswered
	answered  map[uint64]Want
	again     []Want // of answered, to be answered once more
	haves     []Span
	requests  []Request // of the remote
	asked     map[uint64]*request
	flying    int       // requests in asked that have not moved
	stalled   bool      // the last request timed out
	barren    bool      // the remote could not prove a longer head
	expiry    time.Time // when to look again for requests that are late
	cursor    uint64
	unasked   int // blocks nobody asked for, since unaskedAt
	unaskedAt time.Time
}

// request is one of our own that waits for its answer.
type request struct {
	peer  *Peer
	seq   uint64
	hash  bool
	at    time.Time
	moved bool // others may be asked; a late answer is still welcome
	// retry is, once moved, the time before which this peer isn't asked again,
	// so that others get their turn; zero when there is none.
	retry time.Time
}

// PeerOptions are the settings of one Peer.
type PeerOptions struct {
	Wake       func() // called when Next may have something; must not block or call back
	NoUpload   bool
	NoDownload bool
}

// Attach starts the replication with one remote on whose channel both sides
// have opened this feed. It returns ErrClosed for a closed feed.
func (c *core) Attach(o PeerOptions) (*Peer, error) {
	p := &Peer{
		feed: c, wake: o.Wake, upload: !o.NoUpload, download: !o.NoDownload,
		asked:    map[uint64]*request{},
		answered: map[uint64]Want{},
	}
	if o.NoUpload || o.NoDownload {
		p.outbox = append(p.outbox, &Status{Uploading: p.upload, Downloading: p.download})
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		return nil, ErrClosed
	}
	c.peers[p] = struct{}{}
	return p, nil
}

// Detach ends the replication and gives what was asked of this remote to the
// others. It may be called twice.
func (p *Peer) Detach() {
	p.feed.mu.Lock()
	defer p.feed.mu.Unlock()
	p.detachLocked()
}

func (p *Peer) detachLocked() {
	c := p.feed
	if p.closed {
		return
	}
	p.closed = true
	delete(c.peers, p)
	for _, r := range p.asked {
		p.freeLocked(r)
	}
	p.asked, p.outbox, p.requests, p.haves = nil, nil, nil, nil
	p.wants, p.again = nil, nil
	c.wakeLocked()
}

// freeLocked lets others be asked for what r asks.
func (p *Peer) freeLocked(r *request) {
	c := p.feed
	if r.moved {
		return
	}
	r.moved = true
	p.flying--
	if c.asked[r.seq] == r {
		delete(c.asked, r.seq)
	}
	if c.growing == r {
		c.growing = nil
	}
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

// PeerStats are counts of blocks and of their bytes.
type PeerStats struct {
	SentBlocks, SentBytes, GotBlocks, GotBytes uint64
}

// Stats returns what was exchanged with this remote.
func (p *Peer) Stats() PeerStats {
	return PeerStats{p.sentBlocks.Load(), p.sentBytes.Load(), p.gotBlocks.Load(), p.gotBytes.Load()}
}

// RemoteLacks returns how many of the blocks that are durable here the remote
// did not tell that it holds.
func (p *Peer) RemoteLacks() uint64 {
	c := p.feed
	c.mu.Lock()
	defer c.mu.Unlock()
	n := uint64(0)
	for s := range c.told.Spans(0, c.toldHead.Length) {
		n += s.Count
		for r := range p.remote.Spans(s.Start, s.End()) {
			n -= r.Count
		}
	}
	return n
}
