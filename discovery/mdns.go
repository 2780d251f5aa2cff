package discovery

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net"
	"slices"
	"sync"
	"time"

	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/p2p/discovery/mdns"
)

// MDNSService is the DNS-SD service name of this protocol. Other libp2p
// applications on the same network use other names and aren't found.
const MDNSService = "_cobox-p2p._udp"

// Limits on what the local network may say.
const (
	MaxLAN      = 256       // peers remembered
	LANMemory   = time.Hour // how long
	lanBurst    = 64        // peers handed out at once
	lanInterval = time.Second
	minLANRetry = time.Second
	maxLANRetry = 5 * time.Minute
)

// ErrNoMulticast says why mDNS doesn't run. libp2p's mDNS needs both families.
var ErrNoMulticast = errors.New("discovery: mDNS needs a network interface with multicast, for IPv4 and for IPv6")

// lan finds peers by mDNS. The service is started anew when this node's
// addresses change, because it announces those that it was started with; that
// also finds everybody again.
type lan struct {
	rv  *Rendezvous
	job *job // set once

	// Used by run, and by stop after the last run.
	service mdns.Service // nil when it doesn't run
	started []string     // addresses announced, sorted

	mu      sync.Mutex // guards all below
	round   Round
	seen    map[peer.ID]time.Time // Invariant: at most MaxLAN
	offers  bucket
	stopped bool
}

func newLAN(r *Rendezvous) *lan {
	return &lan{
		rv: r, seen: make(map[peer.ID]time.Time),
		offers: bucket{burst: lanBurst, interval: lanInterval},
	}
}

// run starts the service if it doesn't run or the addresses changed.
func (l *lan) run(ctx context.Context) time.Time {
	addrs, err := l.rv.host.Network().InterfaceListenAddresses()
	current := sortedAddrs(addrs)
	if err == nil && l.service != nil && slices.Equal(current, l.started) {
		return time.Time{}
	}
	l.mu.Lock()
	l.round.Began = time.Now()
	l.mu.Unlock()
	l.end()
	if err == nil {
		err = l.begin(current)
	}
	now := time.Now()
	l.mu.Lock()
	defer l.mu.Unlock()
	l.round.ended(err, now)
	if err == nil || ctx.Err() != nil {
		return time.Time{}
	}
	l.rv.log.Warn("mDNS doesn't run", "err", err, "failures", l.round.Failures)
	return now.Add(backoff(l.round.Failures, minLANRetry, maxLANRetry))
}

func (l *lan) begin(addrs []string) error {
	if len(addrs) == 0 {
		return ErrNoAddrs
	}
	if err := multicastWorks(); err != nil {
		return err
	}
	service := mdns.NewMdnsService(l.rv.host, MDNSService, l)
	if err := service.Start(); err != nil {
		return fmt.Errorf("discovery: start mDNS: %w", err)
	}
	l.service, l.started = service, addrs
	return nil
}

func (l *lan) end() {
	if l.service == nil {
		return
	}
	if err := l.service.Close(); err != nil {
		l.rv.log.Debug("mDNS closed", "err", err)
	}
	l.service, l.started = nil, nil
}

// stop ends the service for good. Peers found afterwards aren't handed out.
func (l *lan) stop() {
	l.mu.Lock()
	l.stopped = true
	l.mu.Unlock()
	l.end()
}

// HandlePeerFound is called by libp2p's mDNS, in a goroutine for each peer.
func (l *lan) HandlePeerFound(p peer.AddrInfo) {
	if p.ID.Validate() != nil || p.ID == l.rv.host.ID() || !l.note(p.ID, time.Now()) {
		return
	}
	l.rv.offer(p, SourceMDNS)
}

// note remembers id and says whether it may be handed out. When too many are
// remembered the oldest is forgotten.
func (l *lan) note(id peer.ID, now time.Time) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.stopped || l.offers.take(now).After(now) {
		return false
	}
	if _, ok := l.seen[id]; !ok && len(l.seen) >= MaxLAN {
		oldest := slices.MinFunc(slices.Collect(maps.Keys(l.seen)), func(a, b peer.ID) int {
			return l.seen[a].Compare(l.seen[b])
		})
		delete(l.seen, oldest)
	}
	l.seen[id] = now
	return true
}

func (l *lan) status(now time.Time) (Round, int) {
	next := l.rv.jobs.next(l.job)
	l.mu.Lock()
	defer l.mu.Unlock()
	maps.DeleteFunc(l.seen, func(_ peer.ID, at time.Time) bool { return now.Sub(at) > LANMemory })
	round := l.round
	round.Next = next
	return round, len(l.seen)
}

// multicastWorks returns ErrNoMulticast unless mDNS's groups can be joined on
// some interface in both families. libp2p's mDNS would look like running then,
// find nobody, and not end when it is closed.
func multicastWorks() error {
	interfaces, err := net.Interfaces()
	if err != nil {
		return fmt.Errorf("discovery: list network interfaces: %w", err)
	}
	for network, group := range map[string]net.IP{
		"udp4": net.IPv4(224, 0, 0, 251),
		"udp6": net.ParseIP("ff02::fb"),
	} {
		if !slices.ContainsFunc(interfaces, func(i net.Interface) bool { return joins(network, &i, group) }) {
			return fmt.Errorf("%w: %s failed", ErrNoMulticast, network)
		}
	}
	return nil
}

func joins(network string, i *net.Interface, group net.IP) bool {
	if i.Flags&net.FlagUp == 0 || i.Flags&net.FlagMulticast == 0 {
		return false
	}
	conn, err := net.ListenMulticastUDP(network, i, &net.UDPAddr{IP: group, Port: 5353})
	if err != nil {
		return false
	}
	conn.Close()
	return true
}
