package host

import (
	"sync"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/cobox-p2p/cobox-p2p/multifeed"
)

// refusal is a class of what streams are refused for.
type refusal string

// The classes.
const (
	refusedPolicy    refusal = "policy"    // the hook of WithAuthenticate
	refusedResources refusal = "resources" // libp2p's resource manager
	refusedLimit     refusal = "limit"     // a limit of the gate
	refusedProof     refusal = "proof"     // unknown space or bad proof
	refusedOther     refusal = "other"     // malformed, too slow, another version
)

func classOf(err *multifeed.ProtocolError) refusal {
	switch err.Code {
	case multifeed.CodePolicy:
		return refusedPolicy
	case multifeed.CodeLimit:
		return refusedLimit
	case multifeed.CodeRefused:
		return refusedProof
	}
	return refusedOther
}

// tally counts what happened since the networker began.
type tally struct {
	mu       sync.Mutex // guards all below
	refusals map[refusal]uint64
	ends     map[string]uint64 // sessions and own handshakes, by the code of either side
}

func (t *tally) refused(why refusal) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.refusals == nil {
		t.refusals = map[refusal]uint64{}
	}
	t.refusals[why]++
}

// ended counts the end of a session or of a handshake that we began. Codes that
// the peer makes up count as one.
func (t *tally) ended(err error) {
	code, theirs := received(err)
	if !theirs {
		code = multifeed.CodeOf(err)
	}
	name := "unknown"
	if _, ok := words[code]; ok {
		name = code.String()
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.ends == nil {
		t.ends = map[string]uint64{}
	}
	t.ends[name]++
}

// Refusals returns how many streams of peers were refused before they proved
// anything, by class: "policy", "resources" (libp2p's resource manager), "limit",
// "proof" and "other".
func (n *Networker) Refusals() map[string]uint64 {
	n.tally.mu.Lock()
	defer n.tally.mu.Unlock()
	all := make(map[string]uint64, len(n.tally.refusals))
	for class, count := range n.tally.refusals {
		all[string(class)] = count
	}
	return all
}

// collector shows a networker to Prometheus.
type collector struct{ n *Networker }

// What it shows. None has a label that a peer can choose.
var (
	descSpaces   = prometheus.NewDesc("cobox_host_spaces", "Joined spaces.", nil, nil)
	descPeers    = prometheus.NewDesc("cobox_host_peers", "Peers that sessions run with.", nil, nil)
	descSessions = prometheus.NewDesc("cobox_host_sessions", "Sessions that run, one a peer and space.", nil, nil)
	descRefusals = prometheus.NewDesc("cobox_host_refused_total", "Streams refused before a proof.", []string{"class"}, nil)
	descEnds     = prometheus.NewDesc("cobox_host_ended_total", "Sessions and own handshakes that ended.", []string{"code"}, nil)
)

// Describe implements prometheus.Collector.
func (c collector) Describe(to chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{descSpaces, descPeers, descSessions, descRefusals, descEnds} {
		to <- d
	}
}

// Collect implements prometheus.Collector.
func (c collector) Collect(to chan<- prometheus.Metric) {
	gauge := func(d *prometheus.Desc, n int) {
		to <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, float64(n))
	}
	count := func(d *prometheus.Desc, n uint64, label string) {
		to <- prometheus.MustNewConstMetric(d, prometheus.CounterValue, float64(n), label)
	}
	peers, sessions := c.n.Peers(), 0
	for _, p := range peers {
		sessions += len(p.Spaces)
	}
	gauge(descSpaces, len(c.n.Spaces()))
	gauge(descPeers, len(peers))
	gauge(descSessions, sessions)
	for class, n := range c.n.Refusals() {
		count(descRefusals, n, class)
	}
	c.n.tally.mu.Lock()
	defer c.n.tally.mu.Unlock()
	for code, n := range c.n.tally.ends {
		count(descEnds, n, code)
	}
}
