package host

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"

	"github.com/cobox-p2p/cobox-p2p/discovery"
	"github.com/cobox-p2p/cobox-p2p/hypercore"
	"github.com/cobox-p2p/cobox-p2p/multifeed"
)

// Membership is one joined space. It may be used by several goroutines at once.
type Membership struct {
	n        *Networker
	space    *multifeed.Space
	key      hypercore.DiscoveryKey
	maxPeers int
	offers   *offers

	ctx  context.Context // ends when the space is left; the cause says why
	stop context.CancelCauseFunc
	wg   sync.WaitGroup // entered under n.mu, and only while not left

	newsAt atomic.Int64 // since Networker.began, when something came that peers of the space lack
	parked atomic.Int32 // links that are parked

	// Guarded by n.mu.
	left  bool
	mode  discovery.Mode
	topic *discovery.Topic // nil without a rendezvous, and before start
	news  *news            // nil without gossip, and before start
	deaf  func()           // ends the events of the space; nil before start
	links map[peer.ID]*link
}

func newMembership(n *Networker, space *multifeed.Space, j joinOptions) *Membership {
	m := &Membership{
		n: n, space: space, key: space.Discovery(), maxPeers: j.maxPeers, mode: j.mode,
		links: map[peer.ID]*link{},
	}
	m.ctx, m.stop = context.WithCancelCause(n.ctx)
	m.offers = newOffers(n.slots, m.offer, m.lacks)
	return m
}

// start begins to announce and to look for peers.
func (m *Membership) start() error {
	deaf := m.space.Notify(m.noted)
	if !m.keep(func() { m.deaf = deaf }) {
		deaf()
		return ErrLeft
	}
	if r := m.n.options.rendezvous; r != nil {
		topic, err := r.Join(m.key, m.mode, m.found)
		if err != nil {
			return fmt.Errorf("join space %.8s: %w", m.key, err)
		}
		if !m.keep(func() { m.topic = topic }) {
			topic.Leave()
			return ErrLeft
		}
	}
	if g := m.n.options.gossip; g != nil {
		news, err := newNews(m, g)
		if err != nil {
			return fmt.Errorf("join space %.8s: %w", m.key, err)
		}
		if !m.keep(func() { m.news = news; m.wg.Go(func() { news.run(m.ctx) }) }) {
			news.close()
			return ErrLeft
		}
	}
	return nil
}

// keep calls set under the lock unless the space was left.
func (m *Membership) keep(set func()) bool {
	m.n.mu.Lock()
	defer m.n.mu.Unlock()
	if m.left {
		return false
	}
	set()
	return true
}

// enter is Networker.enter for goroutines of the membership.
func (m *Membership) enter() bool { return m.keep(func() { m.wg.Add(1) }) }

// found takes a candidate of the rendezvous.
func (m *Membership) found(c discovery.Candidate) {
	if c.ID == m.n.host.ID() {
		return
	}
	m.offers.add(c.AddrInfo, string(c.Source))
}

// Space returns the space that was joined.
func (m *Membership) Space() *multifeed.Space { return m.space }

// Discovery returns the space's discovery key.
func (m *Membership) Discovery() hypercore.DiscoveryKey { return m.key }

// Connect dials a peer and offers it the space, whatever backoff it has and
// however many peers the space has. It returns nil as soon as the two have a
// session of the space, else why there is none, ErrLeft, or the error of ctx; a
// try that runs then goes on.
func (m *Membership) Connect(ctx context.Context, p peer.AddrInfo) error {
	if err := m.n.checkPeer(p.ID); err != nil {
		return err
	}
	m.n.clearDialBackoff(p.ID)
	done := m.offers.now(p, sourceHand)
	select {
	case err := <-done:
		if m.ctx.Err() != nil {
			return ErrLeft
		}
		return err
	case <-ctx.Done():
		return ctx.Err()
	case <-m.ctx.Done():
		return ErrLeft
	}
}

// Configure changes what is announced and looked for. It returns ErrLeft after
// Leave.
func (m *Membership) Configure(mode discovery.Mode) error {
	var topic *discovery.Topic
	if !m.keep(func() { m.mode = mode; topic = m.topic }) {
		return ErrLeft
	}
	if topic != nil {
		topic.Update(mode)
	}
	return nil
}

// Flushed returns when what the mode asks for was done once: the space is
// announced, a lookup is through, and each peer known by then was tried. Without
// success it returns when ctx is done, with what went wrong, or ErrLeft.
func (m *Membership) Flushed(ctx context.Context) error {
	m.n.mu.Lock()
	topic := m.topic
	m.n.mu.Unlock()
	if topic != nil {
		if err := topic.Flushed(ctx); err != nil {
			if m.ctx.Err() != nil {
				return ErrLeft
			}
			return err
		}
	}
	return m.offers.settled(ctx, m.ctx)
}

// Refresh looks for peers again and tries those whose time has not come. Parked
// sessions come back.
func (m *Membership) Refresh() {
	m.n.mu.Lock()
	topic := m.topic
	m.n.mu.Unlock()
	if topic != nil {
		topic.Refresh()
	}
	m.unparkAll()
	m.offers.hurry()
}

// Leave ends the space's sessions and stops serving and announcing it, at once,
// and returns when that is done. Other spaces go on, with the same peers too.
// The space stays open and can be joined again. Leave may be called twice, but
// not from a function given to Notify.
func (m *Membership) Leave() error {
	m.leave(multifeed.ErrLeft)
	return nil
}

// leave ends everything of the membership for the reason cause.
func (m *Membership) leave(cause error) {
	n := m.n
	n.mu.Lock()
	first := !m.left
	m.left = true
	topic, news, deaf := m.topic, m.news, m.deaf
	for _, l := range m.links {
		if l.cur == nil {
			if l.grace != nil {
				l.grace.Stop()
			}
			m.unlinkLocked(l, nil)
		}
	}
	n.mu.Unlock()
	m.stop(cause)
	if deaf != nil {
		deaf()
	}
	if topic != nil {
		topic.Leave()
	}
	if news != nil {
		news.close()
	}
	m.wg.Wait()
	if first {
		n.mu.Lock()
		delete(n.spaces, m.key)
		n.eventLocked(Event{Kind: SpaceLeft, Membership: m})
		n.mu.Unlock()
	}
	n.tell()
}

// lacks says whether a session with the peer is wanted and lacking. Those asked
// for by hand are wanted when the space has all the peers it may have, too.
func (m *Membership) lacks(id peer.ID, byHand bool) bool {
	direct := m.n.host.Network().Connectedness(id) == network.Connected
	m.n.mu.Lock()
	defer m.n.mu.Unlock()
	l := m.links[id]
	switch {
	case m.left:
		return false
	case l == nil:
		return byHand || len(m.links) < m.maxPeers
	case l.parked != nil:
		return l.parked.owed || byHand
	case l.cur == nil:
		return true
	}
	return l.cur.limited && direct
}

// Peers returns the peers that the space has sessions with, the oldest first.
func (m *Membership) Peers() []Peer {
	m.n.mu.Lock()
	links := make([]linked, 0, len(m.links))
	for _, l := range m.links {
		if l.cur != nil {
			links = append(links, linked{m, l.cur, l.since})
		}
	}
	m.n.mu.Unlock()
	return peersOf(links)
}

// Status is what a person wants to know of a joined space.
type Status struct {
	Space      hypercore.DiscoveryKey
	Mode       discovery.Mode
	Rendezvous *discovery.Status // nil without a rendezvous
	Peers      int               // with which there is a session
	Parked     int               // peers whose sessions rest, to come back with the first news; see Turns
	Waiting    int               // peers with which the space waits for room
	MaxPeers   int
	Candidates int   // peers remembered for offering them the space
	Tries      []Try // of at most 64 of them, the latest first
}

// Try is how offering the space to one peer went.
type Try struct {
	Peer     peer.AddrInfo
	Source   string    // where the peer was found: a discovery.Source, "hand", "shared" or "session"
	At       time.Time // of the last try, zero before the first
	Why      string    // why the last one or the session failed, in words; "" when it didn't
	Failures int       // in a row
	Next     time.Time // of the next try, zero when none is due
	Barred   time.Time // until when the peer's own streams are refused, for a fault of its
}

// Status returns a snapshot.
func (m *Membership) Status() Status {
	m.n.mu.Lock()
	s := Status{Space: m.key, Mode: m.mode, MaxPeers: m.maxPeers}
	for _, t := range m.appendTurnsLocked(nil) {
		switch t.State {
		case TurnOpen:
			s.Peers++
		case TurnParked:
			s.Parked++
		case TurnWaiting:
			s.Waiting++
		}
	}
	topic := m.topic
	m.n.mu.Unlock()
	if topic != nil {
		t := topic.Status()
		s.Rendezvous = &t
	}
	s.Tries = m.offers.tries()
	s.Candidates = len(s.Tries)
	slices.SortFunc(s.Tries, func(a, b Try) int { return b.At.Compare(a.At) })
	s.Tries = s.Tries[:min(len(s.Tries), maxStatusTries)]
	return s
}
