package node

import (
	"context"
	"time"

	"github.com/cobox-p2p/cobox-p2p/hypercore"
)

// maxSpans is how many spans of blocks are named of one feed.
const maxSpans = 100

// VerifyOptions say what is verified, and whether it is repaired.
type VerifyOptions struct {
	Space string // empty for all spaces
	// Repair writes anew what follows from what is stored, and fetches the rest
	// from peers.
	Repair bool
	// Timeout is the longest wait for peers; 0 waits as long as ctx lets it.
	Timeout time.Duration
}

// Verified is the result of a check of everything stored.
type Verified struct {
	OK     bool            `json:"ok"`     // nothing is damaged, or not any more
	Blocks uint64          `json:"blocks"` // hashed
	Spaces []VerifiedSpace `json:"spaces"`
	// Rebuilt tells how the store's index was made anew, when it was lost or
	// damaged once; Old is the folder in the store that has the old one.
	Rebuilt string `json:"rebuilt,omitempty"`
	Old     string `json:"old,omitempty"`
}

// VerifiedSpace is the part of one space.
type VerifiedSpace struct {
	Name  string         `json:"name"`
	Error string         `json:"error,omitempty"` // why it could not be opened or read
	Feeds []VerifiedFeed `json:"feeds"`
}

// VerifiedFeed is the part of one feed.
type VerifiedFeed struct {
	Key     string `json:"key"`
	Writer  string `json:"writer"`
	Blocks  uint64 `json:"blocks"`            // hashed
	Damaged uint64 `json:"damaged"`           // of them
	Spans   []Span `json:"spans,omitempty"`   // the first maxSpans of the damaged ones
	Nodes   uint64 `json:"nodes,omitempty"`   // of the tree: damaged ones that follow from the blocks
	Head    string `json:"badHead,omitempty"` // what is wrong with head, roots or signature
	Repair  *Fixed `json:"repair,omitempty"`  // what came of the repair
}

// Span is the blocks Start to Start+Count-1.
type Span struct {
	Start uint64 `json:"start"`
	Count uint64 `json:"count"`
}

// Fixed is what the repair of one feed did.
type Fixed struct {
	Nodes   uint64   `json:"nodes"`             // tree nodes written anew, here alone
	Head    bool     `json:"head,omitempty"`    // the head was put right, here alone
	Dropped bool     `json:"dropped,omitempty"` // nothing of the feed could be used: all of it comes from peers
	Fetched uint64   `json:"fetched"`           // blocks that came from peers
	Missing uint64   `json:"missing"`           // blocks that didn't come
	Spans   []Span   `json:"spans,omitempty"`   // the first maxSpans of the missing ones
	Peers   []string `json:"peers"`             // connected ones that told they hold some of these
	Error   string   `json:"error,omitempty"`   // why the feed is damaged still
}

func (f VerifiedFeed) right() bool {
	if f.Repair != nil {
		return f.Repair.Error == "" && f.Repair.Missing == 0
	}
	return f.Damaged == 0 && f.Nodes == 0 && f.Head == ""
}

// Verify reads and hashes everything that is stored of a space, or of all spaces,
// and checks it against the signed heads. With Repair it mends what is damaged:
// see hypercore.Feed.Repair, and multifeed.Space.Recover. It then waits until
// everything is back, or the timeout is over. A feed whose head is lost is dropped
// and fetched anew only when a peer that is connected has shown one as long.
func (n *Node) Verify(ctx context.Context, o VerifyOptions) (Verified, error) {
	spaces := n.list()
	if o.Space != "" {
		s, err := n.find(o.Space)
		if err != nil {
			return Verified{}, err
		}
		spaces = []*space{s}
	}
	v := Verified{OK: true, Spaces: []VerifiedSpace{}}
	if r := n.st.Rebuilt(); r != nil {
		v.Rebuilt, v.Old = r.String(), r.Old
	}
	var repairs []*repair
	for _, s := range spaces {
		vs := VerifiedSpace{Name: s.entry.Name, Feeds: []VerifiedFeed{}}
		begun, err := n.verify(ctx, s, o, &vs)
		if ctx.Err() != nil {
			return v, ctx.Err()
		}
		if err != nil {
			vs.Error = Message(err)
		}
		repairs = append(repairs, begun...)
		v.Spaces = append(v.Spaces, vs)
	}
	waiting, stop := within(ctx, o.Timeout)
	defer stop()
	for _, r := range repairs {
		during, left := r.space.during(waiting)
		r.await(during)
		left()
		if ctx.Err() != nil {
			return v, ctx.Err()
		}
	}
	for _, vs := range v.Spaces {
		v.OK = v.OK && vs.Error == ""
		for _, f := range vs.Feeds {
			v.Blocks += f.Blocks
			v.OK = v.OK && f.right()
		}
	}
	return v, nil
}

// verify checks the feeds of one space, and begins to repair them.
func (n *Node) verify(ctx context.Context, s *space, o VerifyOptions, v *VerifiedSpace) (begun []*repair, err error) {
	if err := s.usable(); err != nil {
		return nil, err
	}
	ctx, stop := s.during(ctx)
	defer stop()
	for f := range s.All() {
		r := &repair{st: n.st, space: s, feed: f}
		vf, err := r.verify(ctx, o)
		if err != nil {
			return begun, s.why(ctx, err)
		}
		if vf.Repair != nil {
			begun = append(begun, r)
		}
		v.Feeds = append(v.Feeds, vf)
	}
	return begun, nil
}

// verify checks one feed and, if that is asked for, repairs what needs no peer.
func (r *repair) verify(ctx context.Context, o VerifyOptions) (VerifiedFeed, error) {
	v := VerifiedFeed{Key: r.feed.Key().String(), Writer: r.feed.Name()}
	if err := r.feed.Damaged(); err != nil {
		v.Head = Message(err)
		if !o.Repair {
			return v, nil
		}
		r.fixed = &Fixed{Peers: []string{}}
		v.Repair = r.fixed
		return v, r.reopen(ctx)
	}
	a, err := r.feed.Audit(ctx)
	if err != nil {
		return v, err
	}
	v.Blocks, v.Damaged, v.Nodes, v.Spans = a.Blocks, a.Damaged, a.Nodes, spansOf(a.Spans)
	if a.Head != nil {
		v.Head = Message(a.Head)
	}
	if a.Valid() || !o.Repair {
		return v, nil
	}
	r.fixed = &Fixed{Peers: []string{}}
	v.Repair = r.fixed
	return v, r.mend(ctx, a)
}

func spansOf(all []hypercore.Span) (spans []Span) {
	for _, s := range all[:min(len(all), maxSpans)] {
		spans = append(spans, Span{s.Start, s.Count})
	}
	return spans
}
