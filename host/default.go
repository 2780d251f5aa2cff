package host

import (
	"crypto/rand"
	"errors"
	"fmt"
	"time"

	"github.com/libp2p/go-libp2p"
	"github.com/libp2p/go-libp2p/core/connmgr"
	"github.com/libp2p/go-libp2p/core/crypto"
	"github.com/libp2p/go-libp2p/core/host"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/core/pnet"
	"github.com/libp2p/go-libp2p/p2p/host/autorelay"
	"github.com/libp2p/go-libp2p/p2p/muxer/yamux"
	connmanager "github.com/libp2p/go-libp2p/p2p/net/connmgr"
	"github.com/libp2p/go-libp2p/p2p/security/noise"
	tls "github.com/libp2p/go-libp2p/p2p/security/tls"
	"github.com/libp2p/go-libp2p/p2p/transport/tcp"
	"github.com/libp2p/go-libp2p/p2p/transport/websocket"
	"github.com/multiformats/go-multiaddr"
	"github.com/prometheus/client_golang/prometheus"
)

// Defaults of a host that NewHost makes.
const (
	UserAgent    = "cobox-p2p/1" // told by identify
	LowConns     = 64            // connections that are kept when there are too many
	HighConns    = 96            // connections above which some are closed
	connGrace    = 30 * time.Second
	streamWindow = 1 << 20 // bytes of a yamux stream's first window; it grows to 16 MiB
)

// HostOption changes what NewHost makes.
type HostOption func(*hostConfig) error

type hostConfig struct {
	key        crypto.PrivKey // nil: a new one
	listen     []multiaddr.Multiaddr
	low, high  int
	registerer prometheus.Registerer // nil: no metrics
	gater      connmgr.ConnectionGater
	psk        pnet.PSK
	relays     []peer.AddrInfo
	relaySrc   autorelay.PeerSource
	relayNode  bool
	showLocal  bool // addresses of private networks are told to others
	natMapping bool
	memory     int64 // bytes, 0: a share of the machine's
	announce   []multiaddr.Multiaddr
	more       []libp2p.Option
}

// WithIdentity sets the node's key, an Ed25519 one; its public half is the peer
// ID. Without it each host is somebody new.
func WithIdentity(key crypto.PrivKey) HostOption {
	return func(c *hostConfig) error {
		if key == nil || key.Type() != crypto.Ed25519 {
			return errors.New("host: the identity must be an Ed25519 key")
		}
		c.key = key
		return nil
	}
}

// WithListen sets the addresses to listen on. With none the host listens
// nowhere and only dials.
func WithListen(addrs ...string) HostOption {
	return func(c *hostConfig) error {
		c.listen = nil
		return appendAddrs(&c.listen, addrs)
	}
}

// WithAnnounceAddrs sets addresses that others are told besides those that the
// host finds out by itself, such as that of a forwarded port.
func WithAnnounceAddrs(addrs ...string) HostOption {
	return func(c *hostConfig) error { return appendAddrs(&c.announce, addrs) }
}

func appendAddrs(to *[]multiaddr.Multiaddr, addrs []string) error {
	for _, s := range addrs {
		a, err := multiaddr.NewMultiaddr(s)
		if err != nil {
			return fmt.Errorf("host: address %q: %w", s, err)
		}
		*to = append(*to, a)
	}
	return nil
}

// WithConnLimits sets how many connections there may be before some are closed,
// and how many are left then. Those that serve a space stay.
func WithConnLimits(low, high int) HostOption {
	return func(c *hostConfig) error {
		if low < 0 || high < low {
			return fmt.Errorf("host: %d and %d are no limits for connections", low, high)
		}
		c.low, c.high = low, high
		return nil
	}
}

// WithHostMemory sets how many bytes of memory the resource manager may give to
// connections and streams; else it is an eighth of the machine's.
func WithHostMemory(bytes int64) HostOption {
	return func(c *hostConfig) error {
		if bytes < 64<<20 {
			return errors.New("host: the resource manager needs 64 MiB")
		}
		c.memory = bytes
		return nil
	}
}

// WithHostMetrics registers libp2p's metrics with r; without it there are none.
func WithHostMetrics(r prometheus.Registerer) HostOption {
	return func(c *hostConfig) error { c.registerer = r; return nil }
}

// WithGater sets what decides on connections.
func WithGater(g connmgr.ConnectionGater) HostOption {
	return func(c *hostConfig) error { c.gater = g; return nil }
}

// WithPrivateNetwork lets the host talk only to hosts that hold the same 32-byte
// key. QUIC can't do that and is left out.
func WithPrivateNetwork(key []byte) HostOption {
	return func(c *hostConfig) error {
		if len(key) != 32 {
			return errors.New("host: the key of a private network has 32 bytes")
		}
		c.psk = key
		return nil
	}
}

// WithRelays lets the host be reached through these relays when it can't be
// reached directly.
func WithRelays(relays ...peer.AddrInfo) HostOption {
	return func(c *hostConfig) error { c.relays = append(c.relays, relays...); return nil }
}

// WithRelaySource is WithRelays with relays that are looked for when needed.
func WithRelaySource(source autorelay.PeerSource) HostOption {
	return func(c *hostConfig) error { c.relaySrc = source; return nil }
}

// WithRelayService lets others be reached through this host, within libp2p's
// limits for relays, when it can be reached from everywhere.
func WithRelayService() HostOption {
	return func(c *hostConfig) error { c.relayNode = true; return nil }
}

// WithoutPrivateAddrs keeps addresses of private networks from others. It is for
// hosts that meet strangers; peers on the local network then find this one by
// mDNS only.
func WithoutPrivateAddrs() HostOption {
	return func(c *hostConfig) error { c.showLocal = false; return nil }
}

// WithoutPortMapping asks no router to forward a port.
func WithoutPortMapping() HostOption {
	return func(c *hostConfig) error { c.natMapping = false; return nil }
}

// WithLibp2p passes options on, after all others.
func WithLibp2p(opts ...libp2p.Option) HostOption {
	return func(c *hostConfig) error { c.more = append(c.more, opts...); return nil }
}

// NewHost makes a host with settings that suit a Networker: TCP, QUIC and
// WebSocket, TLS before Noise, room for many spaces with one peer, hole punching,
// and relays as a client only. The caller closes it after the networker.
func NewHost(opts ...HostOption) (host.Host, error) {
	c := hostConfig{low: LowConns, high: HighConns, showLocal: true, natMapping: true}
	defaultListen := []string{
		"/ip4/0.0.0.0/tcp/0", "/ip6/::/tcp/0",
		"/ip4/0.0.0.0/udp/0/quic-v1", "/ip6/::/udp/0/quic-v1",
		"/ip4/0.0.0.0/tcp/0/ws", "/ip6/::/tcp/0/ws",
	}
	for _, opt := range append([]HostOption{WithListen(defaultListen...)}, opts...) {
		if err := opt(&c); err != nil {
			return nil, err
		}
	}
	if c.key == nil {
		var err error
		if c.key, _, err = crypto.GenerateEd25519Key(rand.Reader); err != nil {
			return nil, fmt.Errorf("host: make an identity: %w", err)
		}
	}
	options, release, err := c.options()
	if err != nil {
		return nil, err
	}
	h, err := libp2p.New(options...)
	if err != nil {
		release()
		return nil, fmt.Errorf("host: start libp2p: %w", err)
	}
	return h, nil
}

// options returns those of libp2p, and what closes what they hold should no host
// come of them.
func (c *hostConfig) options() (opts []libp2p.Option, release func(), err error) {
	resources, err := newResources(c.memory, c.registerer)
	if err != nil {
		return nil, nil, fmt.Errorf("host: resource manager: %w", err)
	}
	conns, err := connmanager.NewConnManager(c.low, c.high, connmanager.WithGracePeriod(connGrace))
	if err != nil {
		resources.Close()
		return nil, nil, fmt.Errorf("host: connection manager: %w", err)
	}
	muxer := *yamux.DefaultTransport
	muxer.InitialStreamWindowSize = streamWindow
	opts = []libp2p.Option{
		libp2p.Identity(c.key), libp2p.UserAgent(UserAgent),
		libp2p.Transport(tcp.NewTCPTransport), libp2p.Transport(websocket.New),
		libp2p.Security(tls.ID, tls.New), libp2p.Security(noise.ID, noise.New),
		libp2p.Muxer(yamux.ID, &muxer),
		libp2p.ResourceManager(resources), libp2p.ConnectionManager(conns),
		libp2p.NonPublicAddrPublishing(c.showLocal),
	}
	opts = append(opts, c.reach()...)
	if c.registerer != nil {
		opts = append(opts, libp2p.PrometheusRegisterer(c.registerer))
	} else {
		opts = append(opts, libp2p.DisableMetrics())
	}
	if c.gater != nil {
		opts = append(opts, libp2p.ConnectionGater(c.gater))
	}
	release = func() { conns.Close(); resources.Close() }
	return append(opts, c.more...), release, nil
}
