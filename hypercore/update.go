package hypercore

import (
	"context"
	"errors"
	"fmt"
)

// ErrNoPeer says that no peer replicates the feed.
var ErrNoPeer = errors.New("hypercore: no peer to ask")

// asking is how one peer stood when Update began.
type asking struct {
	peer    *Peer
	answers uint64
	failed  int
}

// Update asks every peer of now whether the feed is longer than it is known to
// be here, and returns its length in blocks: as soon as a longer one is proved,
// or when each peer has said that it has no more, or could not prove it. When
// ctx ends first, it returns the length all the same if one peer answered, and
// else what ctx says. It returns ErrNoPeer when there is nobody to ask, or nobody
// left, and ErrClosed.
func (c *core) Update(ctx context.Context) (length uint64, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		return 0, c.ended()
	}
	before := c.head.Length
	var asked []asking
	for p := range c.peers {
		if p.download {
			p.probe = true
			asked = append(asked, asking{p, p.answers, p.failedGrowth})
			p.wake()
		}
	}
	answered := 0
	c.updating++
	defer func() { c.updating-- }()
	err = c.waitLocked(ctx, func() bool {
		open := 0
		answered = 0
		for _, a := range asked {
			if a.answeredLocked() {
				answered++
			}
			if a.pendingLocked() {
				open++
			}
		}
		return c.head.Length > before || open == 0
	})
	switch {
	case c.closed:
		return 0, c.ended()
	case c.head.Length > before || answered > 0:
		return c.head.Length, nil
	case err == nil:
		err = ErrNoPeer
	}
	return c.head.Length, fmt.Errorf("update feed %s: %w", c.discovery, err)
}

func (a *asking) answeredLocked() bool { return a.peer.answers > a.answers }

// pendingLocked says whether something may still come from the peer.
func (a *asking) pendingLocked() bool {
	p, c := a.peer, a.peer.feed
	switch {
	case p.closed:
		return false
	case !a.answeredLocked():
		return true
	case p.remoteEnd <= c.head.Length || p.failedGrowth > a.failed:
		return false
	}
	g := p.growth
	return g != nil && g.pending() && g.length == c.head.Length || p.couldGrowLocked()
}

// updatedLocked lets every Update look again.
func (c *core) updatedLocked() {
	if c.updating > 0 {
		c.changedLocked()
	}
}
