package host

import (
	"fmt"
	"sync"
	"time"

	"github.com/libp2p/go-libp2p/core/peer"

	"github.com/cobox-p2p/cobox-p2p/multifeed"
)

// What a peer is told that passes one of the gate's limits.
var (
	errUnproved = &multifeed.ProtocolError{Code: multifeed.CodeLimit,
		Reason: fmt.Sprintf("over %d streams of the peer wait for its proof", MaxUnproved)}
	errUnprovedAll = &multifeed.ProtocolError{Code: multifeed.CodeLimit,
		Reason: fmt.Sprintf("over %d streams wait for a proof", MaxUnprovedAll)}
	errUnknownTags = &multifeed.ProtocolError{Code: multifeed.CodeLimit,
		Reason: fmt.Sprintf("over %d handshakes of the peer in a minute were refused", MaxUnknownTags)}
	errSearches = &multifeed.ProtocolError{Code: multifeed.CodeLimit,
		Reason: fmt.Sprintf("over %d exchanges of tags in a minute", MaxSearches)}
)

// gate counts what peers begin before they proved anything.
type gate struct {
	mu    sync.Mutex // guards all below
	all   int        // streams that wait for a proof
	peers map[peer.ID]*caller
	swept time.Time // when those of whom nothing holds were last forgotten
}

// caller is one peer at the gate.
type caller struct {
	waiting  int // streams that wait for a proof
	refused  window
	searches window
}

// window counts within a time.
type window struct {
	since time.Time
	count int
}

// at returns the count of the window that now is in.
func (w *window) at(now time.Time, per time.Duration) int {
	if now.Sub(w.since) >= per {
		w.since, w.count = now, 0
	}
	return w.count
}

func newGate() *gate { return &gate{peers: map[peer.ID]*caller{}} }

// enter lets a stream wait for its proof, or returns which limit is against it.
// After nil, leave must follow.
func (g *gate) enter(id peer.ID, now time.Time) error {
	g.mu.Lock()
	defer g.mu.Unlock()
	c := g.callerLocked(id, now)
	switch {
	case c.refused.at(now, unknownTagWindow) >= MaxUnknownTags:
		return errUnknownTags
	case c.waiting >= MaxUnproved:
		return errUnproved
	case g.all >= MaxUnprovedAll:
		return errUnprovedAll
	}
	c.waiting++
	g.all++
	return nil
}

// leave ends the wait of one stream, which failed to prove anything or not.
func (g *gate) leave(id peer.ID, refused bool, now time.Time) {
	g.mu.Lock()
	defer g.mu.Unlock()
	c := g.callerLocked(id, now)
	c.waiting--
	g.all--
	if refused {
		c.refused.at(now, unknownTagWindow)
		c.refused.count++
	}
}

// search lets a peer begin an exchange of tags, or returns errSearches.
func (g *gate) search(id peer.ID, now time.Time) error {
	g.mu.Lock()
	defer g.mu.Unlock()
	c := g.callerLocked(id, now)
	if c.searches.at(now, searchWindow) >= MaxSearches {
		return errSearches
	}
	c.searches.count++
	return nil
}

// callerLocked returns what is counted of a peer. When there are too many, those
// of whom nothing holds are forgotten, though not at each call, and then anyone
// who has no stream here.
func (g *gate) callerLocked(id peer.ID, now time.Time) *caller {
	if c := g.peers[id]; c != nil {
		return c
	}
	if len(g.peers) >= maxGatePeers && now.Sub(g.swept) >= unknownTagWindow {
		g.swept = now
		for other, c := range g.peers {
			if c.waiting == 0 && c.refused.at(now, unknownTagWindow) == 0 && c.searches.at(now, searchWindow) == 0 {
				delete(g.peers, other)
			}
		}
	}
	for other, c := range g.peers {
		if len(g.peers) < maxGatePeers {
			break
		}
		if c.waiting == 0 {
			delete(g.peers, other)
		}
	}
	c := &caller{}
	g.peers[id] = c
	return c
}
