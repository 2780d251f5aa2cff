package host

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"

	"github.com/cobox-p2p/cobox-p2p/multifeed"
)

// Pauses between two exchanges of tags that this side begins with one peer: the
// first, doubled for each that follows within searchWindow, up to the last. So
// many stay below MaxSearches.
const (
	minSearchPause = 250 * time.Millisecond
	maxSearchPause = 8 * time.Second
)

// search is which exchanges of tags this side begins with one peer. Guarded by
// Networker.mu.
type search struct {
	running bool
	again   bool // an exchange is owed: a space was joined, or the last one failed
	last    time.Time
	pause   time.Duration
	failed  int // in a row
}

// maxSearchFailures is how many exchanges in a row may fail before the peer has
// to give a new reason for one.
const maxSearchFailures = 4

// speaks says whether the peer told that it exchanges tags.
func (n *Networker) speaks(id peer.ID) bool {
	known, err := n.host.Peerstore().SupportsProtocols(id, ProtocolSpaces)
	return err == nil && len(known) > 0
}

// met takes a peer whose protocols have become known. The side with the smaller
// ID begins, and so does the other one if it joined a space before it knew.
func (n *Networker) met(id peer.ID) {
	if !n.speaks(id) {
		return
	}
	n.mu.Lock()
	s := n.searches[id]
	owed := s != nil && s.again
	n.mu.Unlock()
	if owed || n.host.ID() < id {
		n.search(id)
	}
}

// joined lets a connected peer know of a space that was joined. One of whom it
// isn't known yet what it speaks hears of it in met.
func (n *Networker) joined(id peer.ID) {
	n.mu.Lock()
	if n.searches[id] == nil {
		n.searches[id] = &search{}
	}
	n.searches[id].again = true
	n.mu.Unlock()
	if n.speaks(id) {
		n.search(id)
	}
}

// search lets an exchange of tags with a connected peer begin soon.
func (n *Networker) search(id peer.ID) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.closed {
		return
	}
	s := n.searches[id]
	if s == nil {
		s = &search{}
		n.searches[id] = s
	}
	s.failed = 0
	s.again = true
	if !s.running {
		s.running = true
		n.wg.Go(func() { n.runSearch(id, s) })
	}
}

// runSearch exchanges tags while there is a reason to.
func (n *Networker) runSearch(id peer.ID, s *search) {
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		gone := n.host.Network().Connectedness(id) == network.NotConnected
		n.mu.Lock()
		now := time.Now()
		if !s.again || n.closed {
			s.running = false
			if gone {
				delete(n.searches, id)
			}
			n.mu.Unlock()
			return
		}
		if now.Sub(s.last) >= searchWindow {
			s.pause = 0
		}
		timer.Reset(time.Until(s.last.Add(s.pause)))
		n.mu.Unlock()
		select {
		case <-timer.C:
		case <-n.ctx.Done():
			continue
		}
		n.mu.Lock()
		s.again = false
		s.last = time.Now()
		s.pause = min(max(minSearchPause, 2*s.pause), maxSearchPause)
		n.mu.Unlock()
		n.searched(id, s, n.exchangeTags(n.ctx, id))
	}
}

// searched notes how an exchange ended. What the network cut is tried again.
func (n *Networker) searched(id peer.ID, s *search, err error) {
	if err != nil {
		n.log.Debug("exchange of tags failed", "peer", id, "err", err)
	}
	connected := n.host.Network().Connectedness(id) != network.NotConnected
	n.mu.Lock()
	defer n.mu.Unlock()
	if err == nil {
		s.failed = 0
		return
	}
	if s.failed++; s.failed < maxSearchFailures && connected && judge(err) == paceNetwork {
		s.again = true
	}
}

// forgetSearch drops what is remembered of a peer that is not connected.
func (n *Networker) forgetSearch(id peer.ID) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if s := n.searches[id]; s != nil && !s.running {
		delete(n.searches, id)
	}
}

// exchangeTags begins an exchange of tags and takes in what it shows.
func (n *Networker) exchangeTags(ctx context.Context, id peer.ID) error {
	if err := n.allowed(id); err != nil {
		return err
	}
	s, err := n.open(ctx, id, serviceSpaces)
	if err != nil {
		return err
	}
	stop := context.AfterFunc(ctx, func() { finish(s, errShutdown) })
	defer stop()
	s.SetDeadline(time.Now().Add(SearchTimeout))
	tags, err := func() (map[tag]struct{}, error) {
		if _, err := s.Write(appendTags(nil, n.tags(n.self.PeerID, []byte(id)))); err != nil {
			return nil, fmt.Errorf("send tags: %w", err)
		}
		if err := s.CloseWrite(); err != nil {
			return nil, fmt.Errorf("send tags: %w", err)
		}
		return readTags(s)
	}()
	return spoken(n.endExchange(s, tags, err))
}

// handleSpaces answers a peer that begins an exchange of tags.
func (n *Networker) handleSpaces(s network.Stream) {
	if !n.admit(s, serviceSpaces) {
		return
	}
	defer n.wg.Done()
	id := s.Conn().RemotePeer()
	if err := n.gate.search(id, time.Now()); err != nil {
		n.refuse(s, errSearches)
		return
	}
	stop := context.AfterFunc(n.ctx, func() { finish(s, errShutdown) })
	defer stop()
	s.SetDeadline(time.Now().Add(SearchTimeout))
	tags, err := readTags(s)
	if err == nil {
		if _, err = s.Write(appendTags(nil, n.tags(n.self.PeerID, []byte(id)))); err != nil {
			err = fmt.Errorf("send tags: %w", err)
		}
	}
	if err := n.endExchange(s, tags, err); err != nil {
		n.log.Debug("exchange of tags failed", "peer", id, "err", err)
	}
}

// endExchange ends the stream and offers the peer what both have.
func (n *Networker) endExchange(s network.Stream, theirs map[tag]struct{}, err error) error {
	if errors.Is(err, errTags) {
		err = &multifeed.ProtocolError{Code: multifeed.CodeProtocol, Err: err}
	}
	finish(s, err)
	if err != nil {
		return err
	}
	id := s.Conn().RemotePeer()
	delay := openerGrace
	if n.host.ID() < id {
		delay = 0
	}
	for _, m := range n.Spaces() {
		if _, ok := theirs[tagOf(m.space.Address(), []byte(id), n.self.PeerID)]; ok {
			m.offers.want(peer.AddrInfo{ID: id}, sourceShared, delay)
		}
	}
	return nil
}

// tags returns the tags of all joined spaces from sender to receiver.
func (n *Networker) tags(sender, receiver []byte) []tag {
	spaces := n.Spaces()
	tags := make([]tag, 0, len(spaces))
	for _, m := range spaces {
		tags = append(tags, tagOf(m.space.Address(), sender, receiver))
	}
	return slices.Clip(tags)
}
