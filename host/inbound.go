package host

import (
	"context"
	"crypto/subtle"
	"errors"
	"time"

	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"

	"github.com/cobox-p2p/cobox-p2p/multifeed"
)

// admit decides on a stream of a peer before a byte of it is read. When it
// returns false the stream was reset and the caller is done; else it must tell
// n.wg when the stream is over.
func (n *Networker) admit(s network.Stream, service string) bool {
	id := s.Conn().RemotePeer()
	if !n.enter() {
		finish(s, errShutdown)
		return false
	}
	err := n.allowed(id)
	if err != nil {
		n.refuse(s, &multifeed.ProtocolError{Code: multifeed.CodePolicy, Err: err})
	} else if err = s.Scope().SetService(service); err != nil {
		n.tally.refused(refusedResources)
		s.ResetWithError(network.StreamResourceLimitExceeded)
	}
	if err != nil {
		n.wg.Done()
		return false
	}
	return true
}

// refuse resets a stream that proved nothing and tells of it.
func (n *Networker) refuse(s network.Stream, err *multifeed.ProtocolError) {
	id := s.Conn().RemotePeer()
	n.tally.refused(classOf(err)) // before the peer can know
	finish(s, err)
	n.log.Debug("stream refused", "peer", id, "err", err)
	n.event(Event{Kind: Refused, Peer: id, Err: err})
}

// handleMultifeed answers a peer that opens a space.
func (n *Networker) handleMultifeed(s network.Stream) {
	if !n.admit(s, serviceMultifeed) {
		return
	}
	defer n.wg.Done()
	m, o, err := n.respond(s)
	if err != nil {
		if p, ok := errors.AsType[*multifeed.ProtocolError](err); ok {
			n.refuse(s, p)
			return
		}
		finish(s, err)
		return
	}
	if !m.enter() {
		finish(s, multifeed.ErrLeft)
		return
	}
	defer m.wg.Done()
	r := m.newRun(s, o)
	if err := m.install(r); err != nil {
		r.end(nil)
		finish(s, err)
		return
	}
	r.replicate()
}

// respond lets the peer prove that it knows a joined space, and returns which.
func (n *Networker) respond(s network.Stream) (m *Membership, o *multifeed.Opened, err error) {
	id := s.Conn().RemotePeer()
	if err := n.gate.enter(id, time.Now()); err != nil {
		return nil, nil, err
	}
	o, err = multifeed.Respond(n.ctx, s, n.self, []byte(id), func(tag [32]byte) (multifeed.Address, bool) {
		if m = n.byTag(id, tag); m == nil {
			return multifeed.Address{}, false
		}
		return m.space.Address(), true
	})
	n.gate.leave(id, err != nil && multifeed.CodeOf(err) == multifeed.CodeRefused, time.Now())
	if err != nil && context.Cause(n.ctx) != nil {
		err = errShutdown
	}
	return m, o, err
}

// byTag returns the membership whose tag from the peer this is, nil when there
// is none. It takes as long for a known tag as for an unknown one.
func (n *Networker) byTag(id peer.ID, tag [32]byte) (found *Membership) {
	for _, m := range n.Spaces() {
		t := m.space.Address().Tag([]byte(id), n.self.PeerID)
		if subtle.ConstantTimeCompare(t[:], tag[:]) == 1 {
			found = m
		}
	}
	return found
}
