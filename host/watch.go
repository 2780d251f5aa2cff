package host

import (
	"context"
	"slices"

	"github.com/libp2p/go-libp2p/core/event"
	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/p2p/host/eventbus"
)

// eventQueue is how many of the host's events wait for us.
const eventQueue = 256

// watch reads what the host tells of its connections.
type watch struct {
	n   *Networker
	sub event.Subscription
}

func newWatch(n *Networker) (*watch, error) {
	sub, err := n.host.EventBus().Subscribe([]any{
		new(event.EvtPeerIdentificationCompleted),
		new(event.EvtPeerProtocolsUpdated),
		new(event.EvtPeerConnectednessChanged),
	}, eventbus.BufSize(eventQueue), eventbus.Name("cobox/host"))
	if err != nil {
		return nil, err
	}
	return &watch{n, sub}, nil
}

func (w *watch) close() { w.sub.Close() }

// run handles events until ctx ends.
func (w *watch) run(ctx context.Context) {
	defer w.close()
	for {
		select {
		case <-ctx.Done():
			return
		case e, ok := <-w.sub.Out():
			if !ok {
				return
			}
			w.handle(e)
		}
	}
}

func (w *watch) handle(e any) {
	n := w.n
	switch e := e.(type) {
	case event.EvtPeerIdentificationCompleted:
		n.met(e.Peer)
	case event.EvtPeerProtocolsUpdated:
		if slices.Contains(e.Added, ProtocolSpaces) {
			n.met(e.Peer)
		}
	case event.EvtPeerConnectednessChanged:
		switch e.Connectedness {
		case network.Connected:
			n.upgrade(e.Peer)
		case network.NotConnected:
			n.forgetSearch(e.Peer)
			n.dropParked(e.Peer)
		}
	}
}

// upgrade lets sessions over a relay move to the direct connection that the peer
// has now. The side with the smaller ID opens them.
func (n *Networker) upgrade(id peer.ID) {
	delay := openerGrace
	if n.host.ID() < id {
		delay = 0
	}
	for _, m := range n.Spaces() {
		n.mu.Lock()
		l := m.links[id]
		limited := l != nil && l.cur != nil && l.cur.limited
		n.mu.Unlock()
		if limited {
			m.offers.want(peer.AddrInfo{ID: id}, sourceSession, delay)
		}
	}
}
