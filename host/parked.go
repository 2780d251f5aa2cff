package host

import (
	"math/rand/v2"
	"slices"
	"time"

	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"

	"github.com/cobox-p2p/cobox-p2p/hypercore"
	"github.com/cobox-p2p/cobox-p2p/multifeed"
)

// parking is a link whose session made room for another space. Guarded by
// Networker.mu.
type parking struct {
	since time.Time
	owed  bool        // the session is to come back as soon as it can
	timer *time.Timer // when it comes back at the latest
}

// noted takes an event of the space: what is news to peers, and what only they can
// help with, brings back the sessions that were parked.
func (m *Membership) noted(e multifeed.Event) {
	switch e.Kind {
	case multifeed.FeedAdded, multifeed.BlocksStored, multifeed.BlocksDamaged, multifeed.BlocksWanted,
		multifeed.PeersWanted, multifeed.LimitLifted, multifeed.FeedForked:
	default:
		return
	}
	m.newsAt.Store(int64(time.Since(m.n.began)))
	if m.parked.Load() > 0 { // parkLocked counts before it looks at newsAt
		m.unparkAll()
	}
}

// newsSince says whether news came that can't have been told in the session: after
// the last frame of it.
func (m *Membership) newsSince(x *multifeed.Session) bool {
	return time.Duration(m.newsAt.Load()) >= x.Stirred().Sub(m.n.began)
}

// unparkAll brings back the space's parked sessions.
func (m *Membership) unparkAll() {
	m.n.mu.Lock()
	var back []peer.ID
	for id, l := range m.links {
		if l.parked != nil && !l.parked.owed && !m.left {
			l.parked.owed = true
			l.parked.timer.Reset(m.n.options.turns.parked)
			back = append(back, id)
		}
	}
	m.n.mu.Unlock()
	for _, id := range back {
		m.offers.want(peer.AddrInfo{ID: id}, sourceSession, 0)
	}
}

// parkLocked keeps a peer whose session made room for another space. When
// something was still owed, or came since, the session comes back soon.
func (m *Membership) parkLocked(l *link, r *run) {
	m.parked.Add(1)
	l.cur = nil
	l.parked = &parking{since: time.Now(), owed: true}
	delay, rules := time.Duration(0), m.n.options.turns
	x := r.session.Load()
	switch {
	case l.turnedAway.After(r.began):
		l.stalls = 0
	case x == nil || !x.Exchanged():
		l.stalls++ // the peer had no room for it
		delay = paceTurn.pause(l.stalls)
	case !x.Settled() && !m.newsSince(x) && x.Ended().Sub(x.Stirred()) >= rules.quiet:
		l.stalls++
		delay = paceTurn.pause(l.stalls)
	case !x.Settled() || m.newsSince(x):
		l.stalls = 0
	default:
		l.stalls = 0
		l.parked.owed = false
		delay = rules.parked + rand.N(rules.parked)
	}
	p := l.parked
	l.parked.timer = time.AfterFunc(delay, func() { m.unpark(l, p) })
}

// unpark brings a parked session back.
func (m *Membership) unpark(l *link, p *parking) {
	m.n.mu.Lock()
	same := m.links[l.id] == l && l.parked == p && !m.left
	if same {
		p.owed = true
		p.timer.Reset(m.n.options.turns.parked) // should nothing come of it
	}
	m.n.mu.Unlock()
	if same {
		m.offers.want(peer.AddrInfo{ID: l.id}, sourceSession, 0)
	}
}

// unparkLocked ends the parking of a link that has a stream again or goes.
func (m *Membership) unparkLocked(l *link) {
	if l.parked == nil {
		return
	}
	l.parked.timer.Stop()
	l.parked = nil
	m.parked.Add(-1)
}

// lost takes off a peer whose parked session could not be brought back.
func (m *Membership) lost(id peer.ID, err error) {
	n := m.n
	n.mu.Lock()
	if l := m.links[id]; l != nil && l.parked != nil {
		m.unlinkLocked(l, err)
	}
	n.mu.Unlock()
	n.tell()
}

// dropParked takes a peer off the spaces that are parked with it, since its last
// connection ended, and tries it for them again.
func (n *Networker) dropParked(id peer.ID) {
	delay := time.Duration(0)
	if n.host.Network().Connectedness(id) != network.Connected {
		delay = paceNetwork.pause(1)
	}
	for _, m := range n.Spaces() {
		if m.parked.Load() == 0 {
			continue
		}
		n.mu.Lock()
		l := m.links[id]
		parked := l != nil && l.parked != nil
		if parked {
			m.unlinkLocked(l, nil)
		}
		n.mu.Unlock()
		if parked {
			m.offers.later(id, delay)
		}
	}
	n.tell()
}

// Turn is how a space that is shared with a peer has its turn on the connection
// with it.
type Turn struct {
	Space hypercore.DiscoveryKey
	Peer  peer.ID
	State TurnState
	Since time.Time // when the state began; zero for Waiting without a session before
}

// TurnState says whether a shared space has a session.
type TurnState byte

// The states of a shared space.
const (
	TurnOpen    TurnState = iota + 1 // a session runs
	TurnParked                       // it rests; it comes back with the first news
	TurnWaiting                      // it is to come back and waits for room
)

// String returns the state in a word.
func (s TurnState) String() string {
	switch s {
	case TurnOpen:
		return "open"
	case TurnParked:
		return "parked"
	case TurnWaiting:
		return "waiting"
	}
	return "none"
}

// Turns returns how each space that is shared with a peer has its turn, in no
// order.
func (n *Networker) Turns() []Turn {
	n.mu.Lock()
	defer n.mu.Unlock()
	var all []Turn
	for _, m := range n.spaces {
		all = m.appendTurnsLocked(all)
	}
	return all
}

// Turns returns how the space has its turn with each peer, in no order.
func (m *Membership) Turns() []Turn {
	m.n.mu.Lock()
	defer m.n.mu.Unlock()
	return m.appendTurnsLocked(nil)
}

func (m *Membership) appendTurnsLocked(to []Turn) []Turn {
	for id, l := range m.links {
		t := Turn{Space: m.key, Peer: id, State: TurnOpen, Since: l.since}
		switch p := l.parked; {
		case p != nil && p.owed:
			t.State, t.Since = TurnWaiting, p.since
		case p != nil:
			t.State, t.Since = TurnParked, p.since
		case l.cur != nil && l.cur.parting:
			t.State, t.Since = TurnParked, time.Now()
		}
		to = append(to, t)
	}
	for id, h := range m.n.rooms {
		if m.links[id] == nil && slices.Contains(h.waiting, m) {
			to = append(to, Turn{Space: m.key, Peer: id, State: TurnWaiting})
		}
	}
	return to
}
