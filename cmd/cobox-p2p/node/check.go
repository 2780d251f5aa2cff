package node

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/cobox-p2p/cobox-p2p/multifeed"
)

// Lack is how many blocks of a feed somebody lacks.
type Lack struct {
	Feed   string `json:"feed"` // key
	Writer string `json:"writer"`
	Blocks uint64 `json:"blocks"`
}

// Synced is how far a space and its peers are.
type Synced struct {
	Space     string `json:"space"`
	Synced    bool   `json:"synced"`
	Exchanged bool   `json:"exchanged"` // the feed set was exchanged with a peer since the daemon started
	Peers     int    `json:"peers"`     // that told what they hold
	Missing   []Lack `json:"missing"`   // known and not durable here
	Unshared  []Lack `json:"unshared"`  // durable here and not at the peer that has the most
}

// Sync waits until everything known of the space is durable here and everything
// here is durable at one peer, by that peer's word. With offline it only looks
// at what is known to be missing here. When the timeout, if it isn't 0, is over,
// Synced is false and the error nil.
func (n *Node) Sync(ctx context.Context, name string, timeout time.Duration, offline bool) (Synced, error) {
	s, err := n.findUsable(name)
	if err != nil {
		return Synced{}, err
	}
	if offline {
		y := s.synced(s.Progress())
		y.Synced, y.Unshared = len(y.Missing) == 0, []Lack{}
		return y, nil
	}
	during, stop := s.during(ctx)
	defer stop()
	waiting, end := within(during, timeout)
	defer end()
	p, err := s.WaitSynced(waiting)
	if err = s.why(during, err); errors.Is(err, context.DeadlineExceeded) && ctx.Err() == nil {
		err = nil
	}
	if err != nil {
		return Synced{}, fmt.Errorf("space %s: %w", s.entry.Name, err)
	}
	return s.synced(p), nil
}

func (s *space) synced(p multifeed.Progress) Synced {
	return Synced{
		Space: s.entry.Name, Synced: p.Synced(), Exchanged: p.Exchanged, Peers: p.Peers,
		Missing: lacks(p.Missing), Unshared: lacks(p.Unshared),
	}
}

func lacks(list []multifeed.Lack) []Lack {
	all := []Lack{}
	for _, l := range list {
		all = append(all, Lack{l.Feed.Key().String(), l.Feed.Name(), l.Blocks})
	}
	return all
}
