package jstest

import (
	"testing"

	"github.com/libp2p/go-libp2p"
	dht "github.com/libp2p/go-libp2p-kad-dht"
	"github.com/libp2p/go-libp2p/core/host"
	"github.com/libp2p/go-libp2p/core/peer"

	"github.com/cobox-p2p/cobox-p2p/discovery"
)

// prefix names the private DHT of the tests.
const prefix = "/cobox-test"

// dhtNode is a node of the DHT and no more: records that it holds were put there
// over the network.
type dhtNode struct {
	host host.Host
	dht  *dht.IpfsDHT
}

func newDHTNode(t *testing.T, bootstrap ...peer.AddrInfo) dhtNode {
	t.Helper()
	h, err := libp2p.New(
		libp2p.ListenAddrStrings("/ip4/127.0.0.1/tcp/0"), libp2p.DisableRelay(), libp2p.DisableMetrics())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { h.Close() })
	d, err := discovery.NewDHT(h, discovery.DHTConfig{Kind: discovery.DHTPrivate, Prefix: prefix, Bootstrap: bootstrap})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { d.Close() })
	return dhtNode{h, d}
}

func (n dhtNode) addrInfo() peer.AddrInfo {
	return peer.AddrInfo{ID: n.host.ID(), Addrs: n.host.Addrs()}
}

// address returns the node's one address with its peer ID.
func (n dhtNode) address(t *testing.T) string {
	t.Helper()
	all, err := peer.AddrInfoToP2pAddrs(&peer.AddrInfo{ID: n.host.ID(), Addrs: n.host.Addrs()[:1]})
	if err != nil {
		t.Fatal(err)
	}
	return all[0].String()
}
