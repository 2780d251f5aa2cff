package node

import (
	"cmp"
	"maps"
	"sync"

	"github.com/libp2p/go-libp2p/core/peer"

	"github.com/cobox-p2p/cobox-p2p/host"
	"github.com/cobox-p2p/cobox-p2p/hypercore"
	"github.com/cobox-p2p/cobox-p2p/multifeed"
)

// LimitChange changes some of the Limits: those that are not nil.
type LimitChange struct {
	Up            *string `json:"up,omitempty"`
	Down          *string `json:"down,omitempty"`
	Bytes         *uint64 `json:"bytes,omitempty"`
	FeedBytes     *uint64 `json:"feedBytes,omitempty"`
	Feeds         *int    `json:"feeds,omitempty"`
	Peers         *int    `json:"peers,omitempty"`
	Announcements *int    `json:"announcements,omitempty"`
}

// of returns l with the changes.
func (c LimitChange) of(l Limits) Limits {
	change(&l.Up, c.Up)
	change(&l.Down, c.Down)
	change(&l.Bytes, c.Bytes)
	change(&l.FeedBytes, c.FeedBytes)
	change(&l.Feeds, c.Feeds)
	change(&l.Peers, c.Peers)
	change(&l.Announcements, c.Announcements)
	return l
}

func change[T any](of, to *T) {
	if to != nil {
		*of = *to
	}
}

// limits are those of a running node.
type limits struct {
	dir      string
	up, down *multifeed.Pace   // of all spaces together
	ration   *hypercore.Ration // of all spaces together

	changing sync.Mutex // held over I/O by whoever changes them

	mu    sync.Mutex // guards all below; never held over I/O
	node  Limits     // in force: those of file, or what the node was started with
	file  limitsJSON // its maps and slices are replaced, not changed
	peers map[peer.ID]struct{}
}

// openLimits reads the limits of a folder and puts what the node was started with in
// the place of those of the node.
func openLimits(dir string, start LimitChange) (*limits, error) {
	f, err := readLimits(dir)
	if err != nil {
		return nil, err
	}
	l := &limits{dir: dir, file: f, node: start.of(f.Node)}
	if err := l.node.check(); err != nil {
		return nil, err
	}
	up, down := l.node.schedules()
	l.up, l.down = multifeed.NewPace(up), multifeed.NewPace(down)
	l.ration = hypercore.NewRation(nil, l.node.Bytes)
	l.peers = peersOf(f.Blocked)
	return l, nil
}

func peersOf(b Blocked) map[peer.ID]struct{} {
	all := map[peer.ID]struct{}{}
	for _, text := range b.Peers {
		if id, err := peer.Decode(text); err == nil {
			all[id] = struct{}{}
		}
	}
	return all
}

// of returns the limits of a space.
func (l *limits) of(dk hypercore.DiscoveryKey) Limits {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.file.Spaces[dk.String()]
}

// options returns what opens a space within its limits and those of the node.
func (l *limits) options(s *space) []multifeed.Option {
	own := l.of(s.address.Discovery())
	up, down := own.schedules()
	s.up, s.down = multifeed.NewPace(up), multifeed.NewPace(down)
	return []multifeed.Option{
		multifeed.WithPace(s.up, s.down),
		multifeed.WithPace(l.up, l.down),
		multifeed.WithLimits(own.ofSpace(), l.ration),
		multifeed.WithBlocked(l.blockedFeeds()...),
		multifeed.WithPolicy(l.allow),
	}
}

// save replaces limits.json. The caller holds changing.
func (l *limits) save(f limitsJSON) error {
	f.Version = limitsVersion
	if err := writeLimits(l.dir, f); err != nil {
		return err
	}
	l.mu.Lock()
	l.file, l.peers = f, peersOf(f.Blocked)
	l.mu.Unlock()
	return nil
}

// forget drops the limits of a space that was left.
func (l *limits) forget(dk hypercore.DiscoveryKey) error {
	l.changing.Lock()
	defer l.changing.Unlock()
	f := l.file
	if _, there := f.Spaces[dk.String()]; !there {
		return nil
	}
	f.Spaces = maps.Clone(f.Spaces)
	delete(f.Spaces, dk.String())
	return l.save(f)
}

// LimitStatus is the limits of the node, or of a space, and how they stand.
type LimitStatus struct {
	Space string `json:"space,omitempty"` // its name here; empty: of the node
	Limits
	Stored   uint64 `json:"stored"`   // bytes that count in Bytes
	UpNow    uint64 `json:"upNow"`    // bytes a second now, 0 for any number
	DownNow  uint64 `json:"downNow"`  // bytes a second now, 0 for any number
	Sent     uint64 `json:"sent"`     // bytes of sessions since the daemon started
	Received uint64 `json:"received"` // bytes of sessions since the daemon started
}

// Limits returns those of the node, or with a name those of a space.
func (n *Node) Limits(name string) (LimitStatus, error) {
	l := n.limits
	if name == "" {
		l.mu.Lock()
		defer l.mu.Unlock()
		return limitStatus("", l.node, l.ration.Used(), l.up, l.down), nil
	}
	s, err := n.findUsable(name)
	if err != nil {
		return LimitStatus{}, err
	}
	return s.limitStatus(l), nil
}

func (s *space) limitStatus(l *limits) LimitStatus {
	return limitStatus(s.entry.Name, l.of(s.address.Discovery()), s.Stored(), s.up, s.down)
}

func limitStatus(space string, l Limits, stored uint64, up, down *multifeed.Pace) LimitStatus {
	return LimitStatus{
		Space: space, Limits: l, Stored: stored,
		UpNow: uint64(up.Rate()), DownNow: uint64(down.Rate()), Sent: up.Passed(), Received: down.Passed(),
	}
}

// SetLimits changes limits of the node, or with a name those of a space, durably and
// at once. It returns them.
func (n *Node) SetLimits(name string, c LimitChange) (LimitStatus, error) {
	if name == "" {
		return n.limitNode(c)
	}
	s, err := n.findUsable(name)
	if err != nil {
		return LimitStatus{}, err
	}
	l := n.limits
	l.changing.Lock()
	defer l.changing.Unlock()
	dk := s.address.Discovery()
	to := c.of(l.of(dk))
	if err := to.check(); err != nil {
		return LimitStatus{}, err
	}
	f := l.file
	f.Spaces = maps.Clone(f.Spaces)
	f.Spaces[dk.String()] = to
	if to == (Limits{}) {
		delete(f.Spaces, dk.String())
	}
	if err := l.save(f); err != nil {
		return LimitStatus{}, err
	}
	return s.limitStatus(l), s.limit(to)
}

// limit puts the space under limits that pass check.
func (s *space) limit(to Limits) error {
	up, down := to.schedules()
	s.up.Set(up)
	s.down.Set(down)
	if err := s.SetLimits(to.ofSpace()); err != nil {
		return err
	}
	return s.member.SetMaxPeers(cmp.Or(to.Peers, host.MaxPeers))
}

func (n *Node) limitNode(c LimitChange) (LimitStatus, error) {
	if c.FeedBytes != nil || c.Feeds != nil || c.Peers != nil || c.Announcements != nil {
		return LimitStatus{}, useErrorf("the number of feeds, peers and announcements and the bytes of a feed are limits of a space: name one")
	}
	l := n.limits
	l.changing.Lock()
	defer l.changing.Unlock()
	l.mu.Lock()
	to, f := c.of(l.node), l.file
	l.mu.Unlock()
	if err := to.check(); err != nil {
		return LimitStatus{}, err
	}
	f.Node = c.of(f.Node)
	if err := l.save(f); err != nil {
		return LimitStatus{}, err
	}
	l.mu.Lock()
	l.node = to
	l.mu.Unlock()
	up, down := to.schedules()
	l.up.Set(up)
	l.down.Set(down)
	l.ration.SetLimit(to.Bytes)
	return limitStatus("", to, l.ration.Used(), l.up, l.down), nil
}
