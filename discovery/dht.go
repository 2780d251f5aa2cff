package discovery

import (
	"errors"
	"fmt"
	"strings"

	dht "github.com/libp2p/go-libp2p-kad-dht"
	"github.com/libp2p/go-libp2p/core/host"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/core/protocol"
	"github.com/multiformats/go-multiaddr"
	manet "github.com/multiformats/go-multiaddr/net"
)

// DHTKind says which DHT a node takes part in.
type DHTKind int

// Kinds of DHT.
const (
	DHTOff     DHTKind = iota // none
	DHTPrivate                // one of its own, named by a protocol prefix
	DHTPublic                 // the public Amino DHT
)

// MaxPrefix is the longest protocol prefix of a private DHT in bytes.
const MaxPrefix = 64

// Peers of one IP group that a public routing table takes: per bucket and in
// all. More would let one operator surround a key cheaply.
const (
	diversePerBucket = 2
	diverseInTable   = 3
)

// privateAlpha is how many nodes of a private DHT a lookup asks at once. There any
// node may know the record, and each that isn't connected costs a dial: with more,
// the dials hold up the peer that was found. It is above the usual 3, for some of a
// closed group's nodes are often away.
const privateAlpha = 5

// ErrDHTOff is returned by NewDHT for DHTOff.
var ErrDHTOff = errors.New("discovery: the DHT is switched off")

// DHTConfig says which DHT to make. The zero value is off.
type DHTConfig struct {
	Kind   DHTKind
	Prefix protocol.ID // of a private DHT, such as "/cobox"

	// Bootstrap are dialled at the start and whenever the routing table is empty.
	// Without any the public DHT takes its own well-known ones.
	Bootstrap []peer.AddrInfo

	// Diverse limits the peers of one IP group in a private DHT's routing table,
	// as the public one always does. Leave it off where the members share a
	// network: on a LAN or on loopback the table would hold three of them.
	Diverse bool
}

// String returns what ParseDHT reads.
func (c DHTConfig) String() string {
	switch c.Kind {
	case DHTPrivate:
		return "private:" + string(c.Prefix)
	case DHTPublic:
		return "public"
	}
	return "off"
}

// ParseDHT reads "off", "public" or "private:/PREFIX".
func ParseDHT(s string) (DHTConfig, error) {
	switch {
	case s == "off":
		return DHTConfig{}, nil
	case s == "public":
		return DHTConfig{Kind: DHTPublic}, nil
	case strings.HasPrefix(s, "private:"):
		prefix := strings.TrimPrefix(s, "private:")
		if err := checkPrefix(prefix); err != nil {
			return DHTConfig{}, err
		}
		return DHTConfig{Kind: DHTPrivate, Prefix: protocol.ID(prefix)}, nil
	case s == "private":
		return DHTConfig{}, errors.New(`discovery: a private DHT needs a prefix, as in "private:/cobox"`)
	}
	return DHTConfig{}, fmt.Errorf(`discovery: DHT %.64q is none of "off", "public" and "private:/PREFIX"`, s)
}

// checkPrefix returns an error that names what is wrong with a private prefix.
func checkPrefix(prefix string) error {
	wrong := ""
	switch {
	case prefix == "" || prefix == "/":
		wrong = "is empty"
	case len(prefix) > MaxPrefix:
		wrong = fmt.Sprintf("has %d bytes, at most %d are allowed", len(prefix), MaxPrefix)
	case prefix[0] != '/':
		wrong = `doesn't begin with "/"`
	case strings.HasSuffix(prefix, "/") || strings.Contains(prefix, "//"):
		wrong = "has an empty part"
	case strings.ContainsFunc(prefix, func(c rune) bool { return c <= ' ' || c > '~' }):
		wrong = "has a character that isn't printable ASCII"
	case prefix == string(dht.DefaultPrefix) || strings.HasPrefix(prefix, string(dht.DefaultPrefix)+"/"):
		wrong = `belongs to the public DHT: say "public"`
	default:
		return nil
	}
	return fmt.Errorf("discovery: private DHT prefix %.80q %s", prefix, wrong)
}

// NewDHT starts a DHT node on h. In a private DHT every node serves; in the
// public one a node serves once it is known to be reachable, publishes only
// public addresses, and keeps only public peers. The caller closes it, after
// the rendezvous that uses it and before h.
func NewDHT(h host.Host, c DHTConfig) (*dht.IpfsDHT, error) {
	var opts []dht.Option
	switch c.Kind {
	case DHTOff:
		return nil, ErrDHTOff
	case DHTPrivate:
		if err := checkPrefix(string(c.Prefix)); err != nil {
			return nil, err
		}
		opts = []dht.Option{
			dht.ProtocolPrefix(c.Prefix), dht.Mode(dht.ModeServer),
			dht.DisableValues(), // nothing here stores any
			dht.Concurrency(privateAlpha),
		}
	case DHTPublic:
		opts = []dht.Option{
			dht.Mode(dht.ModeAuto),
			dht.QueryFilter(dht.PublicQueryFilter),
			dht.RoutingTableFilter(dht.PublicRoutingTableFilter),
			dht.AddressFilter(publicAddrs),
		}
		if len(c.Bootstrap) == 0 {
			c.Bootstrap = dht.GetDefaultBootstrapPeerAddrInfos()
		}
	default:
		return nil, fmt.Errorf("discovery: unknown kind of DHT %d", c.Kind)
	}
	if c.Diverse || c.Kind == DHTPublic {
		filter := dht.NewRTPeerDiversityFilter(h, diversePerBucket, diverseInTable)
		opts = append(opts, dht.RoutingTablePeerDiversityFilter(filter))
	}
	d, err := dht.New(h, append(opts, dht.BootstrapPeers(c.Bootstrap...))...)
	if err != nil {
		return nil, fmt.Errorf("discovery: start DHT: %w", err)
	}
	return d, nil
}

// publicAddrs returns those of addrs that mean something to everybody.
func publicAddrs(addrs []multiaddr.Multiaddr) []multiaddr.Multiaddr {
	return multiaddr.FilterAddrs(addrs, manet.IsPublicAddr)
}
