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

// maxDamaged is how many damaged blocks of a feed are named.
const maxDamaged = 100

// Verified is the result of a check of everything stored.
type Verified struct {
	OK     bool            `json:"ok"`
	Blocks uint64          `json:"blocks"` // hashed
	Spaces []VerifiedSpace `json:"spaces"`
}

// VerifiedSpace is the part of one space.
type VerifiedSpace struct {
	Name  string         `json:"name"`
	Error string         `json:"error,omitempty"` // why it could not be opened or read
	Feeds []VerifiedFeed `json:"feeds"`
}

// VerifiedFeed is the part of one feed.
type VerifiedFeed struct {
	Key     string   `json:"key"`
	Writer  string   `json:"writer"`
	Blocks  uint64   `json:"blocks"`            // hashed
	Damaged uint64   `json:"damaged"`           // of them
	First   []uint64 `json:"first,omitempty"`   // the first maxDamaged damaged ones
	Head    string   `json:"badHead,omitempty"` // what is wrong with roots or signature
}

// Verify reads and hashes everything that is stored of a space, or of all spaces
// when name is empty, and checks it against the signed heads.
func (n *Node) Verify(ctx context.Context, name string) (Verified, error) {
	spaces := n.list()
	if name != "" {
		s, err := n.find(name)
		if err != nil {
			return Verified{}, err
		}
		spaces = []*space{s}
	}
	v := Verified{OK: true, Spaces: []VerifiedSpace{}}
	for _, s := range spaces {
		vs := s.verify(ctx)
		if ctx.Err() != nil {
			return v, ctx.Err()
		}
		v.OK = v.OK && vs.Error == ""
		for _, f := range vs.Feeds {
			v.Blocks += f.Blocks
			v.OK = v.OK && f.Damaged == 0 && f.Head == ""
		}
		v.Spaces = append(v.Spaces, vs)
	}
	return v, nil
}

func (s *space) verify(ctx context.Context) VerifiedSpace {
	v := VerifiedSpace{Name: s.entry.Name, Feeds: []VerifiedFeed{}}
	if err := s.usable(); err != nil {
		v.Error = err.Error()
		return v
	}
	for _, f := range s.Feeds() {
		a, err := f.Audit(ctx)
		if err != nil {
			v.Error = err.Error()
			return v
		}
		vf := VerifiedFeed{
			Key: f.Key().String(), Writer: f.Name(), Blocks: a.Blocks,
			Damaged: uint64(len(a.Damaged)), First: a.Damaged[:min(len(a.Damaged), maxDamaged)],
		}
		if a.Head != nil {
			vf.Head = a.Head.Error()
		}
		v.Feeds = append(v.Feeds, vf)
	}
	return v
}
