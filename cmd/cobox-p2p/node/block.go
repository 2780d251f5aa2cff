package node

import (
	"encoding/hex"
	"errors"
	"fmt"
	"slices"

	"github.com/libp2p/go-libp2p/core/peer"

	"github.com/cobox-p2p/cobox-p2p/hypercore"
	"github.com/cobox-p2p/cobox-p2p/multifeed"
)

// What can be blocked.
const (
	BlockFeed = "feed"
	BlockPeer = "peer"
)

// errPeerBlocked refuses what comes from a peer that is blocked.
var errPeerBlocked = errors.New("the peer is blocked here")

// allow is the policy of all spaces: what a blocked peer announces stays out, though
// others pass it on.
func (l *limits) allow(o multifeed.Offer) error { return l.allowPeer(peer.ID(o.Remote)) }

// allowPeer is asked before a peer's streams are read and before it is dialled.
func (l *limits) allowPeer(id peer.ID) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if _, blocked := l.peers[id]; blocked {
		return errPeerBlocked
	}
	return nil
}

// parseFeedKey reads a feed's key as status shows it.
func parseFeedKey(text string) (key hypercore.Key, err error) {
	b, err := hex.DecodeString(text)
	if err != nil || len(b) != hypercore.KeySize {
		return key, useErrorf("%q is no key of a feed: it has 64 hex digits, as status shows", clip(text))
	}
	key = hypercore.Key(b)
	if err := key.Check(); err != nil {
		return key, useErrorf("%q can't be the key of a feed", clip(text))
	}
	return key, nil
}

// blockedFeeds returns the keys of the feeds that are blocked.
func (l *limits) blockedFeeds() (keys []hypercore.Key) {
	for _, text := range l.blocked().Feeds {
		if key, err := parseFeedKey(text); err == nil {
			keys = append(keys, key)
		}
	}
	return keys
}

// blocked returns what is blocked.
func (l *limits) blocked() Blocked {
	l.mu.Lock()
	defer l.mu.Unlock()
	b := l.file.Blocked
	return Blocked{Feeds: append([]string{}, b.Feeds...), Peers: append([]string{}, b.Peers...)}
}

// Blocked returns what is blocked.
func (n *Node) Blocked() Blocked { return n.limits.blocked() }

// Block blocks a feed or a peer in all spaces, durably, or lifts that. Nothing of a
// blocked feed is taken in or served, whoever offers it. A blocked peer has no session
// with this node, and what it announces is ignored, whoever passes it on.
func (n *Node) Block(kind, text string, block bool) (Blocked, error) {
	var key hypercore.Key
	var id peer.ID
	var err error
	switch kind {
	case BlockFeed:
		key, err = parseFeedKey(text)
		text = key.String()
	case BlockPeer:
		if id, err = peer.Decode(text); err != nil {
			err = useErrorf("%q is no peer ID, as 12D3Koo...", clip(text))
		} else if id == n.net.host.ID() {
			err = useErrorf("that is this node itself")
		}
		text = id.String()
	default:
		err = useErrorf("only a %s or a %s can be blocked", BlockFeed, BlockPeer)
	}
	if err == nil && kind == BlockFeed && block {
		err = n.refuseOwn(key)
	}
	if err != nil {
		return Blocked{}, err
	}
	if err := n.limits.block(kind, text, block); err != nil {
		return Blocked{}, err
	}
	if kind == BlockPeer {
		if block {
			n.net.host.Network().ClosePeer(id)
		}
		return n.Blocked(), nil
	}
	var errs []error
	for _, s := range n.list() {
		switch {
		case s.Space == nil:
		case block:
			errs = append(errs, s.Block(key))
		default:
			s.Unblock(key)
		}
	}
	return n.Blocked(), errors.Join(errs...)
}

// refuseOwn returns an error for a feed that this node writes.
func (n *Node) refuseOwn(key hypercore.Key) error {
	for _, s := range n.list() {
		if s.Space == nil {
			continue
		}
		f, err := s.Feed(key)
		if err == nil && f.Own() {
			return useErrorf("this node writes that feed, in space %s", s.entry.Name)
		}
		if err != nil && !errors.Is(err, multifeed.ErrUnknownFeed) {
			return fmt.Errorf("space %s: %w", s.entry.Name, err)
		}
	}
	return nil
}

// block changes what limits.json says of a feed or peer.
func (l *limits) block(kind, text string, block bool) error {
	l.changing.Lock()
	defer l.changing.Unlock()
	b := l.blocked()
	list := &b.Feeds
	if kind == BlockPeer {
		list = &b.Peers
	}
	at, there := slices.BinarySearch(*list, text)
	switch {
	case block == there:
		return nil
	case !block:
		*list = slices.Delete(*list, at, at+1)
	case len(*list) >= MaxBlocked:
		return fmt.Errorf("over %d are blocked", MaxBlocked)
	default:
		*list = slices.Insert(*list, at, text)
	}
	f := l.file
	f.Blocked = b
	return l.save(f)
}
