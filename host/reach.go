package host

import (
	"fmt"

	"github.com/libp2p/go-libp2p"
	"github.com/libp2p/go-libp2p/core/network"
	rcmgr "github.com/libp2p/go-libp2p/p2p/host/resource-manager"
	quic "github.com/libp2p/go-libp2p/p2p/transport/quic"
	"github.com/multiformats/go-multiaddr"
	"github.com/prometheus/client_golang/prometheus"
)

// reach returns the options by which the host reaches others and is reached.
func (c *hostConfig) reach() []libp2p.Option {
	var opts []libp2p.Option
	listen := c.listen
	if c.psk != nil {
		opts = append(opts, libp2p.PrivateNetwork(c.psk))
		listen = withoutUDP(listen)
	} else {
		opts = append(opts, libp2p.Transport(quic.NewTransport), libp2p.EnableAutoNATv2())
	}
	if len(listen) == 0 {
		opts = append(opts, libp2p.NoListenAddrs)
	} else {
		opts = append(opts, libp2p.ListenAddrs(listen...), libp2p.EnableNATService())
	}
	opts = append(opts, libp2p.EnableRelay(), libp2p.EnableHolePunching()) // after NoListenAddrs, which ends both
	if c.natMapping && len(listen) > 0 {
		opts = append(opts, libp2p.NATPortMap())
	}
	switch {
	case len(c.relays) > 0:
		opts = append(opts, libp2p.EnableAutoRelayWithStaticRelays(c.relays))
	case c.relaySrc != nil:
		opts = append(opts, libp2p.EnableAutoRelayWithPeerSource(c.relaySrc))
	}
	if c.relayNode {
		opts = append(opts, libp2p.EnableRelayService())
	}
	if len(c.announce) > 0 {
		more := c.announce
		opts = append(opts, libp2p.AddrsFactory(func(own []multiaddr.Multiaddr) []multiaddr.Multiaddr {
			return append(append([]multiaddr.Multiaddr{}, own...), more...)
		}))
	}
	return opts
}

func withoutUDP(addrs []multiaddr.Multiaddr) []multiaddr.Multiaddr {
	var kept []multiaddr.Multiaddr
	for _, a := range addrs {
		if _, err := a.ValueForProtocol(multiaddr.P_UDP); err != nil {
			kept = append(kept, a)
		}
	}
	return kept
}

// MaxPeerStreams is how many streams of our session protocol one peer may have
// open here: one a shared space. QUIC carries 256 streams a connection.
const MaxPeerStreams = 190

// newResources returns libp2p's resource manager with its usual limits and with
// room for one stream a space and peer. See interop/spec/spaces.md, "Limits".
func newResources(memory int64, r prometheus.Registerer) (network.ResourceManager, error) {
	limits := rcmgr.DefaultLimits
	libp2p.SetDefaultServiceLimits(&limits)
	// Both sides may open at once: each shared space can have two streams until
	// one of them has ended as a duplicate.
	peer := rcmgr.BaseLimit{StreamsInbound: MaxPeerStreams, StreamsOutbound: MaxPeerStreams, Streams: 2 * MaxPeerStreams, Memory: 256 << 20}
	all := rcmgr.BaseLimit{StreamsInbound: 4096, StreamsOutbound: 4096, Streams: 8192, Memory: 512 << 20}
	more := rcmgr.BaseLimitIncrease{StreamsInbound: 2048, StreamsOutbound: 2048, Streams: 4096, Memory: 256 << 20}
	limits.AddProtocolLimit(ProtocolMultifeed, all, more)
	limits.AddProtocolPeerLimit(ProtocolMultifeed, peer, rcmgr.BaseLimitIncrease{})
	limits.AddServiceLimit(serviceMultifeed, all, more)
	limits.AddServicePeerLimit(serviceMultifeed, peer, rcmgr.BaseLimitIncrease{})
	few := rcmgr.BaseLimit{StreamsInbound: 8, StreamsOutbound: 8, Streams: 16, Memory: 4 << 20}
	some := rcmgr.BaseLimit{StreamsInbound: 256, StreamsOutbound: 256, Streams: 512, Memory: 32 << 20}
	limits.AddProtocolLimit(ProtocolSpaces, some, rcmgr.BaseLimitIncrease{})
	limits.AddProtocolPeerLimit(ProtocolSpaces, few, rcmgr.BaseLimitIncrease{})
	limits.AddServiceLimit(serviceSpaces, some, rcmgr.BaseLimitIncrease{})
	limits.AddServicePeerLimit(serviceSpaces, few, rcmgr.BaseLimitIncrease{})
	concrete := limits.AutoScale()
	if memory > 0 {
		concrete = limits.Scale(memory, 1024)
	}
	var opts []rcmgr.Option
	if r != nil {
		reporter, err := rcmgr.NewStatsTraceReporter()
		if err != nil {
			return nil, fmt.Errorf("metrics: %w", err)
		}
		opts = append(opts, rcmgr.WithTraceReporter(reporter))
	}
	return rcmgr.NewResourceManager(rcmgr.NewFixedLimiter(concrete), opts...)
}
