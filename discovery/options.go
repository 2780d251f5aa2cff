package discovery

import (
	"fmt"
	"log/slog"
	"time"

	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/core/routing"
)

// MaxStatic is how many static peers a rendezvous takes.
const MaxStatic = 256

// Option changes a rendezvous from its default, which finds nobody: each
// source is switched on by its own option.
type Option func(*config) error

type config struct {
	log       *slog.Logger
	routing   routing.ContentRouting
	tableSize func() int              // entries of the routing table, nil when unknown
	sweeper   func() (sweeper, error) // nil: the routing has none
	book      *Book
	static    []peer.AddrInfo
	mdns      bool
	found     func(Candidate)
	settle    time.Duration // addrSettle
}

// WithRouting announces and looks up keys through r, mostly a DHT made by
// NewDHT. r also resolves providers without addresses if it implements
// routing.PeerRouting, and is asked to reconnect to its bootstrap peers while
// it knows nobody if it has a method Bootstrap. The caller closes it, after
// the rendezvous.
func WithRouting(r routing.ContentRouting) Option {
	return func(c *config) error {
		if r == nil {
			return fmt.Errorf("discovery: WithRouting: no routing given")
		}
		c.routing = r
		c.tableSize = tableSizeOf(r)
		c.sweeper = sweepOf(r)
		return nil
	}
}

// WithMDNS finds peers on the local network and is found there. mDNS tells of
// peers, not of keys: they go to the function given by WithFound.
func WithMDNS() Option {
	return func(c *config) error {
		c.mdns = true
		return nil
	}
}

// WithStatic names peers, at most MaxStatic, that are handed to the function
// given by WithFound at the start and once in each StaticInterval while they
// aren't connected.
func WithStatic(peers ...peer.AddrInfo) Option {
	return func(c *config) error {
		for _, p := range peers {
			if err := p.ID.Validate(); err != nil {
				return fmt.Errorf("discovery: WithStatic: %w", err)
			}
			c.static = append(c.static, peer.AddrInfo{ID: p.ID, Addrs: trimAddrs(p.ID, p.Addrs)})
		}
		if len(c.static) > MaxStatic {
			return fmt.Errorf("discovery: WithStatic: %d peers, at most %d are taken", len(c.static), MaxStatic)
		}
		return nil
	}
}

// WithBook looks up keys in b as well. The rendezvous only reads the book and
// saves it from time to time; the caller notes in it which peers proved to
// know a key, and closes it.
func WithBook(b *Book) Option {
	return func(c *config) error {
		c.book = b
		return nil
	}
}

// WithFound sets the function that is told of peers found for no key in
// particular: SourceMDNS and SourceStatic. It is called by one goroutine at a
// time, must not block, and must not call Close.
func WithFound(found func(Candidate)) Option {
	return func(c *config) error {
		if found != nil {
			c.found = found
		}
		return nil
	}
}

// WithLogger logs to l. The default is silence.
func WithLogger(l *slog.Logger) Option {
	return func(c *config) error {
		if l != nil {
			c.log = l
		}
		return nil
	}
}
