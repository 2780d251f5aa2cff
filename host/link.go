package host

import (
	"context"
	"encoding/hex"
	"sync/atomic"
	"time"

	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"

	"github.com/cobox-p2p/cobox-p2p/multifeed"
)

// link is a peer that has a session of a space, whatever streams and
// connections come and go.
type link struct {
	id    peer.ID
	since time.Time
	// Guarded by Networker.mu. Invariant: one of the three is not nil.
	cur    *run        // the stream that stays
	grace  *time.Timer // set while the other side's word for a better stream holds
	parked *parking    // set while the session makes room for another space
	stalls int         // sessions in a row that came to nothing before they were parked
	// turnedAway is when a stream was last ended in favour of the one that stays.
	// The other side opened it in vain if it had ended that one to make room.
	turnedAway time.Time
}

// run is a stream whose both ends proved to know the space.
type run struct {
	m       *Membership
	id      peer.ID
	stream  network.Stream
	opened  *multifeed.Opened
	limited bool
	byHand  bool
	began   time.Time
	ctx     context.Context
	end     context.CancelCauseFunc
	session atomic.Pointer[multifeed.Session] // nil before it began
	parting bool                              // guarded by Networker.mu: this side has ended it to make room
}

func (m *Membership) newRun(s network.Stream, o *multifeed.Opened) *run {
	r := &run{m: m, id: s.Conn().RemotePeer(), stream: s, opened: o, limited: s.Conn().Stat().Limited, began: time.Now()}
	r.ctx, r.end = context.WithCancelCause(m.ctx)
	return r
}

// beats says whether r stays and old ends, of two streams of one peer and space.
// The peer comes to the same decision. See interop/spec/spaces.md, "One stream".
func (r *run) beats(old *run) bool {
	switch {
	case r.opened.Remote.Process != old.opened.Remote.Process:
		return true // the old process is gone
	case old.stream.Conn().IsClosed():
		return true
	case r.limited != old.limited:
		return old.limited
	case r.opened.Initiator != old.opened.Initiator:
		return r.opened.Initiator == (r.m.n.host.ID() < r.id)
	}
	return true // the newer of one opener
}

// install makes r the stream of its peer and space. An error says that it isn't
// and why; errDuplicate, that a better one is.
func (m *Membership) install(r *run) error {
	n := m.n
	if !r.opened.Initiator {
		if err := n.admitTurn(m, r.id); err != nil {
			return err
		}
	}
	defer n.tell()
	n.mu.Lock()
	defer n.mu.Unlock()
	if m.left {
		return multifeed.ErrLeft
	}
	l := m.links[r.id]
	if l == nil {
		if until := m.offers.barred(r.id); until.After(time.Now()) && !r.byHand {
			return errBarred
		}
		if len(m.links) >= m.maxPeers && !r.byHand {
			return errFull
		}
		l = &link{id: r.id, since: time.Now()}
		m.links[r.id] = l
		n.host.ConnManager().Protect(r.id, m.protection())
		n.eventLocked(Event{Kind: PeerAdded, Membership: m, Peer: r.id})
	}
	if l.cur != nil {
		if !l.cur.parting && !r.beats(l.cur) {
			l.turnedAway = time.Now()
			return errDuplicate
		}
		l.cur.end(errDuplicate)
	}
	if l.grace != nil {
		l.grace.Stop()
		l.grace = nil
	}
	m.unparkLocked(l)
	l.cur = r
	n.roomLocked(r.id).runs[r] = struct{}{}
	return nil
}

// protection is the tag under which connections are kept while they serve the
// space.
func (m *Membership) protection() string { return "cobox/" + hex.EncodeToString(m.key[:]) }

// replicate runs the session of an installed stream to its end.
func (r *run) replicate() {
	defer r.end(nil)
	m := r.m
	m.n.note(r)
	opts := []multifeed.SessionOption{func(x *multifeed.Session) { r.session.Store(x) }}
	if r.limited {
		opts = append(opts, multifeed.WithoutBlocks())
	}
	err := m.space.Replicate(r.ctx, r.opened, opts...)
	finish(r.stream, err)
	m.n.tally.ended(err)
	m.ended(r, err, time.Since(r.began))
	m.n.vacate(r)
}

// finish ends a stream with the code of err, orderly when that is nil.
func finish(s network.Stream, err error) {
	if err == nil {
		s.Close()
		return
	}
	s.ResetWithError(network.StreamErrorCode(multifeed.CodeOf(err)))
}

// ended takes the session of r off, unless another stream has taken its place.
func (m *Membership) ended(r *run, err error, lasted time.Duration) {
	n := m.n
	v := judge(err)
	info := peer.AddrInfo{ID: r.id, Addrs: n.host.Peerstore().Addrs(r.id)}
	m.n.log.Debug("session ended", "peer", r.id, "space", short(m.key), "err", err, "lasted", lasted)
	n.mu.Lock()
	l := m.links[r.id]
	if l == nil || l.cur != r {
		n.mu.Unlock()
		return
	}
	if v == paceDuplicate && !m.left {
		// The peer has a better stream, whose proof may still be on its way.
		l.cur = nil
		l.grace = time.AfterFunc(duplicateGrace, func() { m.expire(l) })
		n.mu.Unlock()
		m.offers.later(r.id, duplicateGrace)
		return
	}
	if v == paceTurn && !m.left {
		m.parkLocked(l, r)
		n.mu.Unlock()
		return
	}
	why := err
	switch v {
	case paceOrderly, paceDuplicate, paceTurn:
		why = nil
	default:
		n.eventLocked(Event{Kind: ReplicationError, Membership: m, Peer: r.id, Err: err})
	}
	m.unlinkLocked(l, why)
	m.offers.ended(info, err, lasted) // with the lock: whom it bars must not come in before
	n.mu.Unlock()
	n.tell()
}

// expire takes a peer off whose better stream did not come.
func (m *Membership) expire(l *link) {
	n := m.n
	n.mu.Lock()
	gone := m.links[l.id] == l && l.cur == nil
	if gone {
		m.unlinkLocked(l, nil)
	}
	n.mu.Unlock()
	n.tell()
	if gone {
		m.offers.later(l.id, 0)
	}
}

func (m *Membership) unlinkLocked(l *link, err error) {
	m.unparkLocked(l)
	delete(m.links, l.id)
	m.n.host.ConnManager().Unprotect(l.id, m.protection())
	m.n.eventLocked(Event{Kind: PeerRemoved, Membership: m, Peer: l.id, Err: err})
}

// note writes into the book that a peer proved to know a space.
func (n *Networker) note(r *run) {
	if n.options.book == nil || r.limited {
		return
	}
	addrs := n.host.Peerstore().Addrs(r.id)
	if r.stream.Conn().Stat().Direction == network.DirOutbound {
		addrs = append(addrs, r.stream.Conn().RemoteMultiaddr())
	}
	n.options.book.Seen(r.m.key, peer.AddrInfo{ID: r.id, Addrs: addrs}, time.Now())
}
