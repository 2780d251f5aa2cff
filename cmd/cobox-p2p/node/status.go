package node

import (
	"time"

	"github.com/libp2p/go-libp2p/core/peer"

	"github.com/cobox-p2p/cobox-p2p/discovery"
	"github.com/cobox-p2p/cobox-p2p/host"
	"github.com/cobox-p2p/cobox-p2p/hypercore"
	"github.com/cobox-p2p/cobox-p2p/multifeed"
)

// Status is what a person wants to know of a running node.
type Status struct {
	PeerID    string        `json:"peerId"`
	Name      string        `json:"name"`
	Dir       string        `json:"dir"`
	Addresses []string      `json:"addresses"` // each ends in /p2p/ and the peer ID
	Peers     int           `json:"peers"`     // with a session of some space
	DHT       DHTStatus     `json:"dht"`
	MDNS      MDNSStatus    `json:"mdns"`
	Spaces    []SpaceStatus `json:"spaces"`
}

// DHTStatus is the node's part in a DHT.
type DHTStatus struct {
	Mode  string `json:"mode"`  // off, public or private:/PREFIX
	State string `json:"state"` // in words
	Nodes int    `json:"nodes"` // in the routing table
}

// MDNSStatus is the search on the local network.
type MDNSStatus struct {
	On    bool   `json:"on"`
	State string `json:"state"` // in words
	Seen  int    `json:"seen"`  // peers in the last hour
}

// SpaceStatus is one space.
type SpaceStatus struct {
	Name         string          `json:"name"`
	DiscoveryKey string          `json:"discoveryKey"`
	Kind         string          `json:"kind"`
	Mode         string          `json:"mode"`
	Error        string          `json:"error,omitempty"`
	Exchanged    bool            `json:"exchanged"` // the feed set, with a peer, since the daemon started
	Discovery    DiscoveryStatus `json:"discovery"`
	Peers        []string        `json:"peers"`    // peer IDs
	Sessions     []SessionStatus `json:"sessions"` // with these peers, in the same order
	Parked       []string        `json:"parked"`   // peers whose sessions rest until there is news, to make room for other spaces
	Waiting      []string        `json:"waiting"`  // peers whose connection has no room for a session now
	Tries        []TryStatus     `json:"tries"`    // what came of offering the space to peers that have no session, the latest first
	Feeds        []FeedStatus    `json:"feeds"`
	Limits       *LimitStatus    `json:"limits,omitempty"` // of the space, if it has any
	Refused      []RefusalStatus `json:"refused"`          // feeds of peers of which nothing, or no more, is taken in here
	RefusedBy    []RefusalStatus `json:"refusedBy"`        // feeds of which peers say that they take in nothing, or no more
}

// DiscoveryStatus is how a space is announced and looked up.
type DiscoveryStatus struct {
	Announce RoundStatus `json:"announce"`
	Lookup   RoundStatus `json:"lookup"`
	Found    uint64      `json:"found"` // candidates so far, repeats included
}

// RoundStatus is what is done again and again.
type RoundStatus struct {
	On    bool       `json:"on"`
	Done  *time.Time `json:"done,omitempty"` // when it last succeeded
	Next  *time.Time `json:"next,omitempty"`
	Tries uint64     `json:"tries"`
	Error string     `json:"error,omitempty"` // of the last try
}

// TryStatus is what came of offering a space to a peer.
type TryStatus struct {
	PeerID   string     `json:"peerId"`
	Source   string     `json:"source"`
	At       *time.Time `json:"at,omitempty"`
	Why      string     `json:"why,omitempty"` // it failed; empty when it didn't
	Failures int        `json:"failures"`
	Next     *time.Time `json:"next,omitempty"`
}

// FeedStatus is one feed of a space.
type FeedStatus struct {
	Key      string `json:"key"`
	Writer   string `json:"writer"`
	Own      bool   `json:"own"`                // this node writes it
	Length   uint64 `json:"length"`             // blocks that are known to exist
	Stored   uint64 `json:"stored"`             // blocks that are durable here
	Cleared  uint64 `json:"cleared"`            // blocks that were removed here and are not fetched again
	Bytes    uint64 `json:"bytes"`              // of the blocks stored here, as they are sealed
	Damaged  uint64 `json:"damaged"`            // blocks found to be unreadable, not repaired yet
	Unusable string `json:"unusable,omitempty"` // why nothing of the feed can be read: its head is damaged
	State    string `json:"state,omitempty"`    // why a writer shared with the old software isn't written here
	Retired  bool   `json:"retired,omitempty"`  // was written here, until another copy of this node was found; its writer goes on in another feed
	Forked   string `json:"forked,omitempty"`   // what its writer signed twice; the feed grows no more
	Full     string `json:"full,omitempty"`     // which limit keeps more of it from being taken in
	Evidence []byte `json:"evidence,omitempty"` // with Forked: hypercore.ForkEvidence as bytes
}

// Status returns a snapshot.
func (n *Node) Status() Status {
	s := Status{
		PeerID: n.net.host.ID().String(), Name: n.folder.Name, Dir: n.folder.Dir, Addresses: n.Addresses(),
		Spaces: []SpaceStatus{},
	}
	s.DHT, s.MDNS = n.net.status()
	s.Peers = len(n.net.networker.Peers())
	for _, o := range n.list() {
		s.Spaces = append(s.Spaces, n.spaceStatus(o))
	}
	return s
}

func (n *Node) spaceStatus(o *space) SpaceStatus {
	s := SpaceStatus{
		Name: o.entry.Name, DiscoveryKey: o.address.Discovery().String(), Kind: o.address.Kind.String(), Mode: o.entry.Mode,
		Peers: []string{}, Sessions: []SessionStatus{}, Parked: []string{}, Waiting: []string{}, Tries: []TryStatus{}, Feeds: []FeedStatus{}, Refused: []RefusalStatus{}, RefusedBy: []RefusalStatus{},
	}
	if err := o.usable(); err != nil {
		s.Error = Message(err)
		return s
	}
	s.Exchanged = o.Exchanged()
	connected := map[peer.ID]bool{}
	for _, p := range o.member.Peers() {
		connected[p.ID] = true
		s.Peers = append(s.Peers, p.ID.String())
		s.Sessions = append(s.Sessions, sessionStatus(p))
	}
	for _, t := range o.member.Turns() {
		switch t.State {
		case host.TurnParked:
			s.Parked = append(s.Parked, t.Peer.String())
		case host.TurnWaiting:
			s.Waiting = append(s.Waiting, t.Peer.String())
		}
	}
	m := o.member.Status()
	if m.Rendezvous != nil {
		s.Discovery = discoveryStatus(*m.Rendezvous, n.net.dht != nil)
	}
	for _, t := range m.Tries {
		if connected[t.Peer.ID] {
			continue // what failed before it came is of no interest
		}
		s.Tries = append(s.Tries, tryStatus(t))
	}
	n.addLimits(&s, o)
	for _, f := range o.Feeds() {
		fs := feedStatus(f)
		fs.Writer, fs.State = o.name(f), o.state(f)
		s.Feeds = append(s.Feeds, fs)
	}
	return s
}

func feedStatus(f *multifeed.Feed) FeedStatus {
	_, bytes := f.Held()
	s := FeedStatus{
		Key: f.Key().String(), Writer: f.Name(), Own: f.Own(), Retired: f.Retired(),
		Length: f.KnownLength(), Stored: f.Durable(), Cleared: f.Cleared(), Bytes: bytes,
		Damaged: f.Damage().Blocks, Unusable: unusable(f),
	}
	if err := f.LimitError(); err != nil {
		s.Full = oneLine(Message(err))
	}
	if e := f.Evidence(); e != nil {
		s.Forked, s.Evidence = oneLine(Message(e)), e.Append(nil)
	}
	return s
}

// unusable says why a feed can't be opened, if so.
func unusable(f *multifeed.Feed) string {
	if err := f.Damaged(); err != nil {
		return oneLine(err.Error())
	}
	return ""
}

func discoveryStatus(d discovery.Status, dht bool) DiscoveryStatus {
	return DiscoveryStatus{
		Announce: roundStatus(d.Announce, d.Mode.Announce && dht),
		Lookup:   roundStatus(d.Lookup, d.Mode.Lookup),
		Found:    d.Offered,
	}
}

func roundStatus(r discovery.Round, on bool) RoundStatus {
	s := RoundStatus{On: on, Done: when(r.Done), Next: when(r.Next), Tries: r.Tries}
	if r.Err != nil {
		s.Error = oneLine(Message(r.Err))
	}
	return s
}

func tryStatus(t host.Try) TryStatus {
	return TryStatus{
		PeerID: t.Peer.ID.String(), Source: t.Source, At: when(t.At), Why: oneLine(t.Why), Failures: t.Failures, Next: when(t.Next),
	}
}

// when returns nil for a time that never was.
func when(t time.Time) *time.Time {
	if t.IsZero() {
		return nil
	}
	t = t.UTC().Truncate(time.Millisecond)
	return &t
}

// Peer is a peer that has a session of at least one space with this node.
type Peer struct {
	PeerID    string    `json:"peerId"`
	Name      string    `json:"name,omitempty"` // as it calls itself; nobody verified it
	Address   string    `json:"address"`
	Transport string    `json:"transport"`
	Direction string    `json:"direction"`
	Relayed   bool      `json:"relayed"` // carries no blocks
	Since     time.Time `json:"since"`
	Sent      uint64    `json:"sent"`     // bytes of sessions
	Received  uint64    `json:"received"` // bytes of sessions
	Spaces    []string  `json:"spaces"`   // names here
}

// Peers returns the node's peers.
func (n *Node) Peers() []Peer {
	names := map[hypercore.DiscoveryKey]string{}
	for _, s := range n.list() {
		names[s.address.Discovery()] = s.entry.Name
	}
	all := []Peer{}
	for _, p := range n.net.networker.Peers() {
		all = append(all, n.net.peer(p, names))
	}
	return all
}
