package host

import (
	"errors"
	"fmt"
	"log/slog"

	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/cobox-p2p/cobox-p2p/discovery"
)

// Option changes a Networker.
type Option func(*options) error

type options struct {
	rendezvous   *discovery.Rendezvous // nil when off
	book         *discovery.Book       // nil when off
	gossip       *discovery.Gossip     // nil when off
	log          *slog.Logger
	authenticate func(peer.ID) error
	metrics      prometheus.Registerer // nil when off
	maxPeers     int
	turns        turnRules
}

func defaults() options {
	return options{
		log:          slog.New(slog.DiscardHandler),
		authenticate: func(peer.ID) error { return nil },
		maxPeers:     MaxPeers,
		turns:        defaultTurns,
	}
}

// WithRendezvous announces joined spaces and finds their peers through r, which
// stays the caller's and is closed after the networker.
func WithRendezvous(r *discovery.Rendezvous) Option {
	return func(o *options) error { o.rendezvous = r; return nil }
}

// WithBook notes in b which peers proved to know a space. The rendezvous reads
// it when it was given the same book.
func WithBook(b *discovery.Book) Option {
	return func(o *options) error { o.book = b; return nil }
}

// WithGossip announces new feeds and heads through g, which stays the caller's
// and is closed after the networker. Each gossipsub peer then sees the names of
// our topics. See interop/spec/announcements.md.
func WithGossip(g *discovery.Gossip) Option {
	return func(o *options) error { o.gossip = g; return nil }
}

// WithLogger sets where the networker logs; it is silent without.
func WithLogger(l *slog.Logger) Option {
	return func(o *options) error {
		if l != nil {
			o.log = l
		}
		return nil
	}
}

// WithAuthenticate sets the hook that decides on a peer, by the ID that its
// connection proved, before anything of it is read and before it is offered
// anything. An error refuses it. The hook must not block.
func WithAuthenticate(allow func(peer.ID) error) Option {
	return func(o *options) error {
		if allow == nil {
			return errors.New("host: WithAuthenticate: no function given")
		}
		o.authenticate = allow
		return nil
	}
}

// WithMetrics registers the networker's metrics with r until Close.
func WithMetrics(r prometheus.Registerer) Option {
	return func(o *options) error { o.metrics = r; return nil }
}

// WithMaxPeers sets how many peers a space has at most, for spaces that are
// joined without WithSpaceMaxPeers. Only peers that proved to know the space
// count, and those that Connect names are taken beyond it.
func WithMaxPeers(max int) Option {
	return func(o *options) error { return setMaxPeers(&o.maxPeers, max) }
}

func setMaxPeers(to *int, max int) error {
	if max < 1 {
		return fmt.Errorf("host: %d is no limit for peers", max)
	}
	*to = max
	return nil
}

// JoinOption changes how a space is joined.
type JoinOption func(*joinOptions) error

type joinOptions struct {
	mode     discovery.Mode
	maxPeers int
}

// WithMode says whether the space is announced and whether its peers are looked
// for. With neither it is only served.
func WithMode(announce, lookup bool) JoinOption {
	return func(j *joinOptions) error {
		j.mode = discovery.Mode{Announce: announce, Lookup: lookup}
		return nil
	}
}

// WithSpaceMaxPeers is WithMaxPeers for one space.
func WithSpaceMaxPeers(max int) JoinOption {
	return func(j *joinOptions) error { return setMaxPeers(&j.maxPeers, max) }
}
