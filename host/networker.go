// Package host brings spaces onto a libp2p host: it finds peers of each space,
// runs one session with each of them, and answers those that come. It also
// makes a host with good settings for who has none. See interop/spec/spaces.md.
package host

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/libp2p/go-libp2p/core/host"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/core/protocol"

	"github.com/cobox-p2p/cobox-p2p/discovery"
	"github.com/cobox-p2p/cobox-p2p/hypercore"
	"github.com/cobox-p2p/cobox-p2p/multifeed"
)

// The protocols. See interop/spec/spaces.md.
const (
	ProtocolMultifeed protocol.ID = "/cobox/multifeed/1.0.0" // one stream per peer and space
	ProtocolSpaces    protocol.ID = "/cobox/spaces/1.0.0"    // which spaces two peers share
)

// Errors that callers test for.
var (
	ErrClosed      = errors.New("host: networker is closed")
	ErrJoined      = errors.New("host: another space with this address is joined")
	ErrLeft        = errors.New("host: the space was left")
	ErrSelf        = errors.New("host: that is this node's own peer ID")
	ErrNotAllowed  = errors.New("host: the peer is not allowed here")
	ErrNotSpoken   = errors.New("host: the peer has no networker: it does not speak our protocols")
	ErrTooManyJoin = fmt.Errorf("host: over %d joined spaces", MaxSpaces)
)

// Networker joins spaces on a libp2p host. Neither the host nor the spaces are
// its own: it closes none of them. It may be used by several goroutines at once.
type Networker struct {
	host    host.Host
	self    multifeed.Party
	options options
	log     *slog.Logger

	ctx  context.Context // ends with Close; the cause is errShutdown
	stop context.CancelCauseFunc
	wg   sync.WaitGroup // entered under mu, and only while not closed

	began    time.Time
	gate     *gate
	slots    chan struct{} // one for each peer that is being dialled or offered a space
	contacts *offers       // peers that were found for no space in particular
	tally    tally

	mu       sync.Mutex // guards all below, and what memberships say it does; never held over I/O
	closed   bool
	spaces   map[hypercore.DiscoveryKey]*Membership
	searches map[peer.ID]*search
	rooms    map[peer.ID]*room
	watchers map[*watcher]struct{}
	events   []Event // not told yet
	drains   bool    // some goroutine is telling events
}

// New starts a networker on h. Without options it finds nobody by itself, but
// answers peers that connect to h and know a joined space.
func New(h host.Host, opts ...Option) (*Networker, error) {
	o := defaults()
	for _, opt := range opts {
		if err := opt(&o); err != nil {
			return nil, err
		}
	}
	n := &Networker{
		host: h, options: o, log: o.log,
		self:     multifeed.Party{PeerID: []byte(h.ID()), Features: multifeed.Features()},
		began:    time.Now(),
		gate:     newGate(),
		slots:    make(chan struct{}, MaxDials),
		spaces:   map[hypercore.DiscoveryKey]*Membership{},
		searches: map[peer.ID]*search{},
		rooms:    map[peer.ID]*room{},
		watchers: map[*watcher]struct{}{},
	}
	rand.Read(n.self.Process[:])
	n.ctx, n.stop = context.WithCancelCause(context.Background())
	n.contacts = newOffers(n.slots, n.contact, n.lacksContact)
	if err := n.start(); err != nil {
		n.stop(errShutdown)
		return nil, err
	}
	return n, nil
}

func (n *Networker) start() error {
	watch, err := newWatch(n)
	if err != nil {
		return fmt.Errorf("host: watch the host's events: %w", err)
	}
	if n.options.metrics != nil {
		if err := n.options.metrics.Register(collector{n}); err != nil {
			watch.close()
			return fmt.Errorf("host: register metrics: %w", err)
		}
	}
	n.wg.Go(func() { watch.run(n.ctx) })
	n.wg.Go(func() { n.contacts.run(n.ctx) })
	n.host.SetStreamHandler(ProtocolMultifeed, n.handleMultifeed)
	n.host.SetStreamHandler(ProtocolSpaces, n.handleSpaces)
	for _, id := range n.host.Network().Peers() {
		n.met(id)
	}
	return nil
}

// Host returns the host that New was given.
func (n *Networker) Host() host.Host { return n.host }

// Join announces the space and looks for its peers, as WithMode says or both
// without, and serves it to who proves to know its address. The space stays the
// caller's, who leaves it here before closing it. The same space again gives
// the same Membership, as it is; another space with its address ErrJoined.
func (n *Networker) Join(space *multifeed.Space, opts ...JoinOption) (*Membership, error) {
	j := joinOptions{mode: discovery.Mode{Announce: true, Lookup: true}, maxPeers: n.options.maxPeers}
	for _, opt := range opts {
		if err := opt(&j); err != nil {
			return nil, err
		}
	}
	m, old, err := n.enterSpace(space, j)
	if err != nil || old {
		return m, err
	}
	if err := m.start(); err != nil {
		m.leave(multifeed.ErrLeft)
		return nil, err
	}
	for _, id := range n.host.Network().Peers() {
		n.joined(id)
	}
	return m, nil
}

// enterSpace makes the space a joined one and says whether it was before.
func (n *Networker) enterSpace(space *multifeed.Space, j joinOptions) (m *Membership, old bool, err error) {
	defer n.tell()
	dk := space.Discovery()
	n.mu.Lock()
	defer n.mu.Unlock()
	m = n.spaces[dk]
	switch {
	case n.closed:
		return nil, false, ErrClosed
	case m != nil && m.space == space && !m.left:
		return m, true, nil
	case m != nil:
		return nil, false, ErrJoined
	case len(n.spaces) >= MaxSpaces:
		return nil, false, ErrTooManyJoin
	}
	m = newMembership(n, space, j)
	n.spaces[dk] = m
	m.wg.Go(func() { m.offers.run(m.ctx) })
	n.eventLocked(Event{Kind: SpaceJoined, Membership: m})
	return m, false, nil
}

// Spaces returns the memberships of now, in no order.
func (n *Networker) Spaces() []*Membership {
	n.mu.Lock()
	defer n.mu.Unlock()
	all := make([]*Membership, 0, len(n.spaces))
	for _, m := range n.spaces {
		if !m.left {
			all = append(all, m)
		}
	}
	return all
}

// Membership returns that of a joined space, nil when there is none.
func (n *Networker) Membership(dk hypercore.DiscoveryKey) *Membership {
	n.mu.Lock()
	defer n.mu.Unlock()
	if m := n.spaces[dk]; m != nil && !m.left {
		return m
	}
	return nil
}

// enter lets a goroutine of the networker begin: false when it is closed, else
// wg must be told when it ends.
func (n *Networker) enter() bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.closed {
		return false
	}
	n.wg.Add(1)
	return true
}

// Close leaves all spaces, takes its protocols from the host and returns when
// its last goroutine is gone. Host and spaces stay open. It may be called twice,
// but not from a function given to Notify.
func (n *Networker) Close() error {
	n.mu.Lock()
	first := !n.closed
	n.closed = true
	spaces := make([]*Membership, 0, len(n.spaces))
	for _, m := range n.spaces {
		spaces = append(spaces, m)
	}
	n.mu.Unlock()
	if first {
		n.host.RemoveStreamHandler(ProtocolMultifeed)
		n.host.RemoveStreamHandler(ProtocolSpaces)
		if n.options.metrics != nil {
			n.options.metrics.Unregister(collector{n})
		}
	}
	n.stop(errShutdown)
	for _, m := range spaces {
		m.leave(errShutdown)
	}
	n.wg.Wait()
	return nil
}
