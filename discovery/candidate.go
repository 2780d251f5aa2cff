package discovery

import (
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/multiformats/go-multiaddr"
)

// Limits on the addresses of one peer, whoever told them.
const (
	MaxAddrs     = 16  // addresses kept for a peer
	MaxAddrBytes = 512 // bytes of one address in its binary form
)

// Source says where a candidate was found.
type Source string

// Sources of candidates.
const (
	SourceDHT    Source = "dht"    // a provider record
	SourceMDNS   Source = "mdns"   // an answer on the local network
	SourceBook   Source = "book"   // remembered from an earlier session
	SourceStatic Source = "static" // configured by the operator
)

// Candidate is a peer that may be worth dialling. It is a hint and no more:
// anybody can announce himself for any key, and what was true when the record
// was made may not be true now. Addrs holds at most MaxAddrs addresses, none
// of them ends in /p2p/ID; it may be empty for a peer that is connected
// already. The receiver owns it.
type Candidate struct {
	peer.AddrInfo
	Source Source
}

// trimAddrs returns a copy of at most MaxAddrs addresses of id: without
// duplicates, without those that name another peer, and without oversized ones.
func trimAddrs(id peer.ID, addrs []multiaddr.Multiaddr) []multiaddr.Multiaddr {
	var kept []multiaddr.Multiaddr
	for _, addr := range addrs {
		if len(kept) == MaxAddrs {
			break
		}
		if addr == nil || len(addr.Bytes()) > MaxAddrBytes {
			continue
		}
		transport, named := peer.SplitAddr(addr)
		if transport == nil || (named != "" && named != id) {
			continue
		}
		if !multiaddr.Contains(kept, transport) {
			kept = append(kept, transport)
		}
	}
	return kept
}
