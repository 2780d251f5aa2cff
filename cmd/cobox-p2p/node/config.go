package node

import (
	"log/slog"

	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/multiformats/go-multiaddr"

	"github.com/cobox-p2p/cobox-p2p/discovery"
)

// Config says how a node takes part in the network. The zero Config listens
// where package host thinks best and finds nobody.
type Config struct {
	Listen       []string            // multiaddrs; none: the default addresses
	DHT          discovery.DHTConfig // with its bootstrap peers
	MDNS         bool
	Gossip       bool            // announce new feeds and heads by gossip
	Connect      []peer.AddrInfo // peers to be connected to always
	Relay        []peer.AddrInfo // relays to be reachable through
	RelayAuto    bool            // find relays among the nodes of the DHT
	RelayService bool            // relay for others
	Limits       LimitChange     // in the place of the node's own while it runs
	Log          *slog.Logger    // nil is silent
}

func (c Config) logger() *slog.Logger {
	if c.Log == nil {
		return slog.New(slog.DiscardHandler)
	}
	return c.Log
}

// ParsePeers reads addresses that end in /p2p/ and a peer ID; several of one
// peer become one entry. It returns a *UseError that names the flag.
func ParsePeers(flag string, texts []string) ([]peer.AddrInfo, error) {
	var addrs []multiaddr.Multiaddr
	for _, t := range texts {
		a, err := multiaddr.NewMultiaddr(t)
		if err == nil {
			_, err = peer.AddrInfoFromP2pAddr(a)
		}
		if err != nil {
			return nil, useErrorf("%s: %q is no address of a peer, as /ip4/192.0.2.1/tcp/4001/p2p/12D3Koo...: %v", flag, clip(t), err)
		}
		addrs = append(addrs, a)
	}
	infos, err := peer.AddrInfosFromP2pAddrs(addrs...)
	if err != nil {
		return nil, useErrorf("%s: %v", flag, err)
	}
	return infos, nil
}

// CheckListen returns a *UseError for what is no address to listen on.
func CheckListen(texts []string) error {
	for _, t := range texts {
		a, err := multiaddr.NewMultiaddr(t)
		if err != nil {
			return useErrorf("--listen: %q is no address to listen on, as /ip4/0.0.0.0/tcp/4001: %v", clip(t), err)
		}
		if !hasTransport(a) {
			return useErrorf("--listen: %q names no transport: add /tcp/PORT or /udp/PORT/quic-v1", clip(t))
		}
	}
	return nil
}

// hasTransport says whether something can listen at the address: at TCP, or at
// UDP with a protocol on top.
func hasTransport(a multiaddr.Multiaddr) bool {
	for _, p := range a.Protocols() {
		switch p.Code {
		case multiaddr.P_TCP, multiaddr.P_QUIC_V1, multiaddr.P_WEBTRANSPORT, multiaddr.P_WEBRTC_DIRECT:
			return true
		}
	}
	return false
}

func parsePeer(text string) (peer.AddrInfo, error) {
	infos, err := ParsePeers("connect", []string{text})
	if err != nil {
		return peer.AddrInfo{}, err
	}
	return infos[0], nil
}
