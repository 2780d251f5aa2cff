package node

import (
	"context"
	"errors"
	"slices"

	"github.com/libp2p/go-libp2p/core/peer"

	"github.com/cobox-p2p/cobox-p2p/hypercore"
	"github.com/cobox-p2p/cobox-p2p/multifeed"
)

// repair is the repair of one feed.
type repair struct {
	st      hypercore.Storage
	space   *space
	feed    *multifeed.Feed
	fixed   *Fixed
	removed []hypercore.Span // to be fetched
	lost    bool             // nothing stored makes the head right
}

// mend repairs until an audit says that there is no more to do without peers.
func (r *repair) mend(ctx context.Context, a hypercore.Audit) error {
	for {
		done, err := r.feed.Repair(ctx, a)
		if err != nil {
			return err
		}
		r.fixed.Nodes += done.Nodes
		r.fixed.Head = r.fixed.Head || done.Head
		r.removed = append(r.removed, done.Spans...)
		if !a.Cut && done.Blocks == count(done.Spans) {
			break
		}
		if a, err = r.feed.Audit(ctx); err != nil || a.Valid() {
			return err
		}
	}
	if a.Head != nil && !r.fixed.Head {
		r.fixed.Error = Message(a.Head)
	}
	return nil
}

func count(spans []hypercore.Span) (blocks uint64) {
	for _, s := range spans {
		blocks += s.Count
	}
	return blocks
}

// await waits until what was removed is back, and notes what isn't.
func (r *repair) await(ctx context.Context) {
	if r.lost && !r.renew(ctx) {
		return
	}
	for {
		changed := r.feed.Changed()
		if !slices.ContainsFunc(r.removed, r.lacks) {
			break
		}
		select {
		case <-changed:
			continue
		case <-ctx.Done():
		}
		missing := r.missing()
		r.fixed.Missing, r.fixed.Spans = count(missing), spansOf(missing)
		r.fixed.Peers = r.space.holders(r.feed, missing)
		break
	}
	r.fixed.Fetched = count(r.removed) - min(count(r.removed), r.fixed.Missing)
}

// lacks says whether a block of the span is not here.
func (r *repair) lacks(s hypercore.Span) bool {
	first, ok := r.feed.Missing(s.Start)
	return ok && first < s.End() || r.feed.Length() < s.End()
}

// missing returns the parts of what was removed that are not back.
func (r *repair) missing() (missing []hypercore.Span) {
	length := r.feed.Length()
	for _, s := range r.removed {
		for at := s.Start; at < min(s.End(), length); {
			first, ok := r.feed.Missing(at)
			if !ok || first >= s.End() {
				break
			}
			at = first + 1
			for at < min(s.End(), length) && !r.feed.Has(hypercore.Span{Start: at, Count: 1}) {
				at++
			}
			missing = append(missing, hypercore.Span{Start: first, Count: at - first})
		}
		if start := max(s.Start, length); start < s.End() {
			missing = append(missing, hypercore.Span{Start: start, Count: s.End() - start})
		}
	}
	return missing
}

// holders returns the peer IDs of sessions whose peer told that it holds the
// beginning of one of the spans.
func (s *space) holders(f *multifeed.Feed, spans []hypercore.Span) []string {
	all := []string{}
	for _, x := range s.Sessions() {
		p := x.PeerOf(f)
		has := func(s hypercore.Span) bool { return p.RemoteHas(hypercore.Span{Start: s.Start, Count: 1}) }
		if p == nil || !slices.ContainsFunc(spans, has) {
			continue
		}
		if id, err := peer.IDFromBytes(x.Remote().PeerID); err == nil {
			all = append(all, id.String())
		}
	}
	slices.Sort(all)
	return slices.Compact(all)
}

// reopen mends a feed that can't be opened from what is stored of it. It is lost,
// for now, when that is not enough.
func (r *repair) reopen(ctx context.Context) error {
	f, done, err := r.space.Recover(ctx, r.feed.Key(), false)
	if errors.Is(err, hypercore.ErrDamaged) {
		r.lost, r.fixed.Error = true, Message(err)
		return nil
	}
	if err != nil {
		return err
	}
	r.feed, r.fixed.Nodes, r.fixed.Head = f, done.Nodes, done.Rehead
	a, err := f.Audit(ctx)
	if err != nil || a.Valid() {
		return err
	}
	return r.mend(ctx, a)
}

// renew drops a feed that is lost, once a connected peer has shown one as long,
// so that it is fetched anew. It is false when none did before ctx ended.
func (r *repair) renew(ctx context.Context) bool {
	stored, _ := r.st.Feed(r.feed.Key()) // nothing when it can't be read
	known, ok := r.shown(ctx, stored.Head.Length)
	if !ok {
		return false
	}
	f, _, err := r.space.Recover(ctx, r.feed.Key(), true)
	if err != nil {
		r.fixed.Error = Message(err)
		return false
	}
	r.feed, r.fixed.Dropped, r.fixed.Error = f, true, ""
	r.removed = []hypercore.Span{{Count: known}}
	return true
}

// shown waits until a connected peer has shown a signed head of the feed of at
// least length blocks, and returns the length it showed.
func (r *repair) shown(ctx context.Context, length uint64) (known uint64, ok bool) {
	for {
		changed := r.space.Changed()
		if known = r.feed.KnownLength(); known > 0 && known >= length && len(r.space.Sessions()) > 0 {
			return known, true
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return 0, false
		}
	}
}
