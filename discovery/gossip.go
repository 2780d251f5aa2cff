package discovery

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	pubsub "github.com/libp2p/go-libp2p-pubsub"
	"github.com/libp2p/go-libp2p/core/host"
	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
)

// GossipPrefix begins the name of every topic that is joined here or heard of
// from others. See interop/spec/announcements.md.
const GossipPrefix = "/cobox/feeds/1.0.0/"

// Limits of gossip.
const (
	MaxGossip       = 8 << 10         // bytes of one message
	MaxGossipTopics = 512             // topics joined here; also topics heard of from one peer
	MaxTopicName    = 128             // bytes
	GossipTimeout   = 5 * time.Second // for a verdict; the context given to it ends then

	// One RPC carries several messages, or the names of all topics of a peer:
	// MaxGossipTopics of the usual length fit.
	maxGossipRPC        = 64 << 10
	maxGossipVerdicts   = 32 // under way at once, over all topics
	maxTopicVerdicts    = 8  // under way at once, of one topic
	gossipQueue         = 64 // messages that wait for a signature check
	gossipOutboundQueue = 64 // RPCs that wait to be sent to one peer
)

// Errors of gossip.
var (
	ErrGossipTooLong  = fmt.Errorf("discovery: gossip message is longer than %d bytes", MaxGossip)
	ErrGossipTopic    = fmt.Errorf("discovery: gossip topic doesn't begin with %q or is longer than %d bytes", GossipPrefix, MaxTopicName)
	ErrGossipJoined   = errors.New("discovery: gossip topic is joined already")
	ErrTooManyGossips = fmt.Errorf("discovery: more than %d gossip topics", MaxGossipTopics)
)

// Verdict says what becomes of a message from another node.
type Verdict int

// Verdicts.
const (
	Accept Verdict = iota // pass it on
	Ignore                // drop it: old, unknown, or against what is wanted here
	Reject                // drop it and think less of who sent it: no honest node would have passed it on
)

// Gossip carries opaque announcements over gossipsub. Only topics that are
// joined are subscribed to and passed on; every connected gossipsub peer sees
// which ones. Messages are signed by their author's peer ID. Nothing may depend
// on their arrival.
type Gossip struct {
	host   host.Host
	pubsub *pubsub.PubSub
	filter *topicFilter
	stop   context.CancelFunc
	leaver *network.NotifyBundle

	mu     sync.Mutex
	topics map[string]*GossipTopic // nil when closed; a nil topic is being joined
}

// NewGossip starts gossipsub on h, which must run no other. A nil logger is
// silent. Peers are those that h is connected to: gossip connects to nobody.
func NewGossip(h host.Host, l *slog.Logger) (*Gossip, error) {
	if l == nil {
		l = slog.New(slog.DiscardHandler)
	}
	ctx, stop := context.WithCancel(context.Background())
	filter := newTopicFilter()
	ps, err := pubsub.NewGossipSub(ctx, h,
		pubsub.WithMessageSignaturePolicy(pubsub.StrictSign),
		pubsub.WithMaxMessageSize(maxGossipRPC),
		pubsub.WithMaxControlMessageSize(maxGossipRPC/2),
		pubsub.WithSubscriptionFilter(pubsub.WrapLimitSubscriptionFilter(filter, 2*MaxGossipTopics)),
		pubsub.WithValidateQueueSize(gossipQueue),
		pubsub.WithValidateThrottle(maxGossipVerdicts),
		pubsub.WithPeerOutboundQueueSize(gossipOutboundQueue),
		pubsub.WithPeerExchange(false),
		pubsub.WithFloodPublish(true), // own messages don't wait for a mesh
		pubsub.WithPeerScore(gossipScore(), gossipThresholds()),
		pubsub.WithLogger(l),
		pubsub.WithRPCLogger(slog.New(slog.DiscardHandler)),
	)
	if err != nil {
		stop()
		return nil, fmt.Errorf("discovery: start gossip: %w", err)
	}
	g := &Gossip{host: h, pubsub: ps, filter: filter, stop: stop, topics: make(map[string]*GossipTopic)}
	g.leaver = &network.NotifyBundle{DisconnectedF: func(n network.Network, c network.Conn) {
		if n.Connectedness(c.RemotePeer()) != network.Connected {
			filter.forget(c.RemotePeer())
		}
	}}
	h.Network().Notify(g.leaver)
	return g, nil
}

// Join subscribes to a topic. judge is called for each message of another node
// with its author, whose signature was verified, and at most MaxGossip bytes
// that it must not change or keep; what it accepts it has thereby received. It
// may be called by several goroutines at once, must return soon after ctx is
// done, must not call Leave or Close, and isn't called after Leave has
// returned.
func (g *Gossip) Join(topic string, judge func(ctx context.Context, from peer.ID, data []byte) Verdict) (*GossipTopic, error) {
	if !validTopic(topic) {
		return nil, ErrGossipTopic
	}
	if err := g.reserve(topic); err != nil {
		return nil, err
	}
	t, err := g.subscribe(topic, judge)
	g.mu.Lock()
	defer g.mu.Unlock()
	if err == nil && g.topics == nil {
		t.unsubscribe()
		err = ErrClosed
	}
	if err != nil {
		delete(g.topics, topic)
		return nil, err
	}
	g.topics[topic] = t
	return t, nil
}

// reserve takes the name of a topic for the time that joining takes.
func (g *Gossip) reserve(topic string) error {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.topics == nil {
		return ErrClosed
	}
	if _, ok := g.topics[topic]; ok {
		return ErrGossipJoined
	}
	if len(g.topics) == MaxGossipTopics {
		return ErrTooManyGossips
	}
	g.topics[topic] = nil
	return nil
}

// Peers returns the peers known to have joined a topic.
func (g *Gossip) Peers(topic string) []peer.ID { return g.pubsub.ListPeers(topic) }

// Close leaves all topics and stops gossipsub, which ends soon afterwards. It
// may be called twice, and must be called before the host is closed.
func (g *Gossip) Close() error {
	g.mu.Lock()
	topics := g.topics
	g.topics = nil
	g.mu.Unlock()
	for _, t := range topics {
		if t != nil {
			t.unsubscribe()
		}
	}
	g.host.Network().StopNotify(g.leaver)
	g.stop()
	return nil
}
