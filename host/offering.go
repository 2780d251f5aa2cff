package host

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/core/protocol"
	"github.com/libp2p/go-libp2p/p2p/net/swarm"
	"github.com/multiformats/go-multistream"

	"github.com/cobox-p2p/cobox-p2p/discovery"
	"github.com/cobox-p2p/cobox-p2p/multifeed"
)

// The names under which the resource manager counts our streams.
const (
	serviceMultifeed = "cobox.multifeed"
	serviceSpaces    = "cobox.spaces"
)

// overLimited lets streams and dials use connections through a relay.
func overLimited(ctx context.Context) context.Context {
	return network.WithAllowLimitedConn(ctx, "cobox")
}

// checkPeer returns why the peer is never dialled.
func (n *Networker) checkPeer(id peer.ID) error {
	if err := id.Validate(); err != nil {
		return fmt.Errorf("host: peer ID: %w", err)
	}
	if id == n.host.ID() {
		return ErrSelf
	}
	return n.allowed(id)
}

func (n *Networker) allowed(id peer.ID) error {
	if err := n.options.authenticate(id); err != nil {
		return fmt.Errorf("%w: %w", ErrNotAllowed, err)
	}
	return nil
}

// dial connects to a peer unless it is connected, through a relay if there is no
// other way.
func (n *Networker) dial(ctx context.Context, p peer.AddrInfo) error {
	if n.host.Network().Connectedness(p.ID) == network.Connected {
		return nil
	}
	ctx, cancel := context.WithTimeout(overLimited(ctx), DialTimeout)
	defer cancel()
	if err := n.host.Connect(ctx, p); err != nil {
		return &dialError{err}
	}
	return nil
}

// maxDialDetails is how many of the addresses that failed a dialError names.
const maxDialDetails = 3

// dialError is what libp2p says of a dial that failed, in one line: libp2p names
// each address in a line of its own.
type dialError struct{ err error }

func (e *dialError) Error() string {
	lines := strings.Split(e.err.Error(), "\n")
	for i := range lines {
		lines[i] = strings.TrimPrefix(strings.TrimSpace(lines[i]), "* ")
	}
	text := "dial: " + lines[0]
	for i, line := range lines[1:] {
		if i == maxDialDetails {
			return fmt.Sprintf("%s and %d more", text, len(lines)-1-i)
		}
		if i > 0 {
			text += ";"
		}
		text += " " + line
	}
	return text
}

func (e *dialError) Unwrap() error { return e.err }

// clearDialBackoff makes the swarm dial addresses again that failed shortly
// before: a person asks for it.
func (n *Networker) clearDialBackoff(id peer.ID) {
	if s, ok := n.host.Network().(interface{ Backoff() *swarm.DialBackoff }); ok {
		s.Backoff().Clear(id)
	}
}

// open opens a stream to a connected peer on behalf of a service.
func (n *Networker) open(ctx context.Context, id peer.ID, service string) (network.Stream, error) {
	speak := ProtocolMultifeed
	if service == serviceSpaces {
		speak = ProtocolSpaces
	}
	ctx, cancel := context.WithTimeout(overLimited(ctx), multifeed.HandshakeTimeout)
	defer cancel()
	s, err := n.host.NewStream(ctx, id, speak)
	if err != nil {
		return nil, spoken(fmt.Errorf("open stream: %w", err))
	}
	if err := s.Scope().SetService(service); err != nil {
		s.ResetWithError(network.StreamResourceLimitExceeded)
		return nil, fmt.Errorf("open stream: %w", err)
	}
	return s, nil
}

// spoken returns err, with ErrNotSpoken in it when the peer said so. It may say so
// only at the first read, for what was known of it can be out of date.
func spoken(err error) error {
	if _, ok := errors.AsType[multistream.ErrNotSupported[protocol.ID]](err); ok {
		return fmt.Errorf("%w: %w", ErrNotSpoken, err)
	}
	return err
}

// offer dials a peer and offers it the space. It returns nil when there is a
// session, whoever opened it.
func (m *Membership) offer(ctx context.Context, p peer.AddrInfo, byHand bool) error {
	err := m.openSession(ctx, p, byHand)
	if err != nil && !errors.Is(err, errWaits) {
		m.lost(p.ID, err)
	}
	return err
}

func (m *Membership) openSession(ctx context.Context, p peer.AddrInfo, byHand bool) error {
	n := m.n
	if err := n.checkPeer(p.ID); err != nil {
		return err
	}
	if err := n.dial(ctx, p); err != nil {
		return err
	}
	if err := n.takeTurn(ctx, m, p.ID, byHand); err != nil {
		return err
	}
	defer n.endTurn(p.ID)
	s, err := n.open(ctx, p.ID, serviceMultifeed)
	if err != nil {
		return err
	}
	o, err := multifeed.Initiate(ctx, s, n.self, []byte(p.ID), m.space.Address())
	if err != nil {
		finish(s, err)
		n.tally.ended(err)
		return spoken(err)
	}
	r := m.newRun(s, o)
	r.byHand = byHand
	if err := m.install(r); err != nil {
		r.end(nil)
		finish(s, err)
		if errors.Is(err, errDuplicate) {
			return nil
		}
		return err
	}
	m.wg.Go(r.replicate) // offers.run, which waits for us, holds wg
	return nil
}

// Found takes a peer that was found for no space in particular: it is dialled
// and asked which spaces it shares. It does not block, so it can be given to
// discovery.WithFound.
func (n *Networker) Found(c discovery.Candidate) {
	if c.ID == n.host.ID() || n.ctx.Err() != nil {
		return
	}
	n.contacts.add(c.AddrInfo, string(c.Source))
}

func (n *Networker) lacksContact(id peer.ID, _ bool) bool {
	return n.host.Network().Connectedness(id) != network.Connected
}

// contact dials a peer. What the two share is found out when the peer has said
// which protocols it speaks.
func (n *Networker) contact(ctx context.Context, p peer.AddrInfo, _ bool) error {
	if err := n.checkPeer(p.ID); err != nil {
		return err
	}
	return n.dial(ctx, p)
}

// Connect dials a peer and finds out which spaces the two share. It returns when
// they have told each other; the sessions follow, from the side with the smaller
// peer ID. It returns ErrNotSpoken when the peer has no such networker.
func (n *Networker) Connect(ctx context.Context, p peer.AddrInfo) error {
	if !n.enter() {
		return ErrClosed
	}
	defer n.wg.Done()
	if err := n.checkPeer(p.ID); err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(n.ctx, cancel)()
	n.clearDialBackoff(p.ID)
	if err := n.dial(ctx, p); err != nil {
		return err
	}
	return n.exchangeTags(ctx, p.ID)
}
