package host

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/libp2p/go-libp2p/core/peer"

	"github.com/cobox-p2p/cobox-p2p/multifeed"
)

// errWaits says that a space gets a session with a peer as soon as there is
// room. It is no failure of anybody.
var errWaits = errors.New("host: as many sessions run with the peer as a connection has room for: the space waits for its turn")

// room is what a peer's sessions share. Guarded by Networker.mu.
type room struct {
	runs    map[*run]struct{} // installed and not over
	opening int               // handshakes that this side began
	waiting []*Membership     // for a turn, the first first; none twice
	timer   *time.Timer       // set while some wait
}

// roomLocked returns the room of a peer.
func (n *Networker) roomLocked(id peer.ID) *room {
	h := n.rooms[id]
	if h == nil {
		h = &room{runs: map[*run]struct{}{}}
		n.rooms[id] = h
	}
	return h
}

// leaveRoomLocked forgets a room in which nothing is left.
func (n *Networker) leaveRoomLocked(id peer.ID) {
	h := n.rooms[id]
	if h == nil || len(h.runs) > 0 || h.opening > 0 || len(h.waiting) > 0 {
		return
	}
	if h.timer != nil {
		h.timer.Stop()
	}
	delete(n.rooms, id)
}

// staying returns how many sessions run that nobody has ended.
func (h *room) staying() (count int) {
	for r := range h.runs {
		if !r.parting {
			count++
		}
	}
	return count
}

// has says whether the session is not over.
func (h *room) has(r *run) bool { _, ok := h.runs[r]; return ok }

// takeTurn lets this side open a session of the space with the peer: it makes room
// by ending one that rests, or returns errWaits, and the space is tried again when
// there is room. After nil, endTurn must follow when the handshake is over.
func (n *Networker) takeTurn(ctx context.Context, m *Membership, id peer.ID, byHand bool) error {
	for {
		n.mu.Lock()
		h := n.roomLocked(id)
		able := byHand || h.opening < maxPeerOpening
		if able && h.staying()+h.opening < n.options.turns.limit {
			h.opening++
			n.mu.Unlock()
			return nil
		}
		n.mu.Unlock()
		if able && ctx.Err() == nil && n.displace(id, m, byHand) {
			continue
		}
		n.mu.Lock()
		defer n.mu.Unlock()
		n.waitLocked(n.roomLocked(id), id, m)
		return errWaits
	}
}

// endTurn says that a handshake is over.
func (n *Networker) endTurn(id peer.ID) {
	n.mu.Lock()
	defer n.mu.Unlock()
	h := n.roomLocked(id)
	h.opening--
	n.serveSoonLocked(h, id, 0)
	n.leaveRoomLocked(id)
}

// vacate gives the room of a session to those that wait.
func (n *Networker) vacate(r *run) {
	n.mu.Lock()
	defer n.mu.Unlock()
	h := n.roomLocked(r.id)
	delete(h.runs, r)
	n.serveSoonLocked(h, r.id, 0)
	n.leaveRoomLocked(r.id)
}

// waitLocked puts the space into the queue for a turn with the peer.
func (n *Networker) waitLocked(h *room, id peer.ID, m *Membership) {
	if !slices.Contains(h.waiting, m) {
		h.waiting = append(h.waiting, m)
	}
	n.serveSoonLocked(h, id, serveInterval)
}

// serveSoonLocked looks after the delay whether one that waits can have a turn.
func (n *Networker) serveSoonLocked(h *room, id peer.ID, delay time.Duration) {
	switch {
	case len(h.waiting) == 0 || n.closed:
	case h.timer == nil:
		h.timer = time.AfterFunc(delay, func() { n.serve(id) })
	default:
		h.timer.Reset(delay)
	}
}

// serve lets those spaces be tried again for which there is room with the peer, or
// could be made.
func (n *Networker) serve(id peer.ID) {
	able := len(n.resting(id, maxPeerOpening))
	n.mu.Lock()
	h := n.rooms[id]
	if h == nil || n.closed {
		n.mu.Unlock()
		return
	}
	free := max(n.options.turns.limit-h.staying()-h.opening, 0) + able
	free = max(min(free, maxPeerOpening-h.opening, len(h.waiting)), 0)
	served := slices.Clone(h.waiting[:free])
	h.waiting = slices.Delete(h.waiting, 0, free)
	served = slices.DeleteFunc(served, func(m *Membership) bool { return m.left })
	n.serveSoonLocked(h, id, serveInterval)
	n.leaveRoomLocked(id)
	n.mu.Unlock()
	for _, m := range served {
		m.offers.want(peer.AddrInfo{ID: id}, sourceSession, 0)
	}
}

// displace ends the session with the peer that has rested longest, to make room
// for the space, and says whether there was one. By force it ends the one that was
// silent longest even if it doesn't rest.
func (n *Networker) displace(id peer.ID, m *Membership, force bool) bool {
	rest := n.resting(id, maxPeerOpening)
	if len(rest) == 0 && force {
		rest = n.byStir(id)
	}
	for _, r := range rest {
		n.mu.Lock()
		first := r.m != m && !r.parting && n.rooms[id] != nil && n.rooms[id].has(r)
		r.parting = r.parting || first
		n.mu.Unlock()
		if first {
			r.end(errTurn)
			return true
		}
	}
	return false
}

// resting returns up to max sessions with the peer that may be ended to make room,
// the first first: those that are settled and quiet, then those in which nothing
// moves, and last those that had their turn.
func (n *Networker) resting(id peer.ID, max int) []*run {
	now, rules := time.Now(), n.options.turns
	var rest, stalled, served []*run
	for _, r := range n.byStir(id) {
		x := r.session.Load()
		if x == nil {
			continue
		}
		switch quiet := now.Sub(x.Stirred()); {
		case quiet >= rules.quiet && !r.m.newsSince(x) && x.Settled():
			if rest = append(rest, r); len(rest) == max {
				return rest
			}
		case quiet >= rules.stalled:
			stalled = append(stalled, r)
		case now.Sub(x.Started()) >= rules.served:
			served = append(served, r)
		}
	}
	slices.SortFunc(served, func(a, b *run) int {
		return a.session.Load().Started().Compare(b.session.Load().Started())
	})
	rest = append(append(rest, stalled...), served...)
	return rest[:min(len(rest), max)]
}

// byStir returns the sessions with the peer that nobody has ended, the one that
// was silent longest first; those that just begin come last.
func (n *Networker) byStir(id peer.ID) []*run {
	n.mu.Lock()
	var all []*run
	if h := n.rooms[id]; h != nil {
		for r := range h.runs {
			if !r.parting {
				all = append(all, r)
			}
		}
	}
	n.mu.Unlock()
	now := time.Now()
	stirred := make(map[*run]time.Time, len(all))
	for _, r := range all {
		stirred[r] = now
		if x := r.session.Load(); x != nil {
			stirred[r] = x.Stirred()
		}
	}
	slices.SortFunc(all, func(a, b *run) int { return stirred[a].Compare(stirred[b]) })
	return all
}

// admitTurn lets a session in that the peer opened, in the place of one of the
// same space or in a new one: beyond what this side allows itself there is room for
// some more, so that both may open at once; then another must rest.
func (n *Networker) admitTurn(m *Membership, id peer.ID) error {
	n.mu.Lock()
	h, l := n.rooms[id], m.links[id]
	over := h != nil && h.staying() >= n.options.turns.limit+n.options.turns.slack && (l == nil || l.cur == nil)
	n.mu.Unlock()
	if over && !n.displace(id, m, false) {
		return errTurn
	}
	return nil
}

// errTurn ends a session that makes room for another.
var errTurn = &multifeed.ProtocolError{Code: multifeed.CodeTurn, Reason: "another space needs the room"}
