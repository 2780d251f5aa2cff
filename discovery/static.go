package discovery

import (
	"context"
	"time"

	"github.com/libp2p/go-libp2p/core/peer"
)

// StaticInterval is how often a static peer that isn't connected is handed
// out again.
const StaticInterval = time.Minute

// BookInterval is how often a changed book is saved.
const BookInterval = 5 * time.Minute

// offerStatic hands out the static peers that aren't connected.
func (r *Rendezvous) offerStatic(ctx context.Context) time.Time {
	for _, p := range r.static {
		if ctx.Err() != nil {
			return time.Time{}
		}
		if p.ID != r.host.ID() && !r.connected(p.ID) {
			r.offer(p, SourceStatic)
		}
	}
	return time.Now().Add(jitter(StaticInterval))
}

// offer tells found of a peer that was found for no key in particular.
func (r *Rendezvous) offer(p peer.AddrInfo, from Source) {
	r.foundMu.Lock()
	defer r.foundMu.Unlock()
	if r.ended {
		return
	}
	r.found(Candidate{AddrInfo: peer.AddrInfo{ID: p.ID, Addrs: trimAddrs(p.ID, p.Addrs)}, Source: from})
}

// saveBook saves the book if it changed.
func (r *Rendezvous) saveBook(context.Context) time.Time {
	if err := r.book.Flush(); err != nil {
		r.log.Warn("book of peers not saved", "err", err)
	}
	return time.Now().Add(BookInterval)
}
