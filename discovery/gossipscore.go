package discovery

import (
	"net"
	"strings"
	"sync"
	"time"

	pubsub "github.com/libp2p/go-libp2p-pubsub"
	pb "github.com/libp2p/go-libp2p-pubsub/pb"
	"github.com/libp2p/go-libp2p/core/peer"
)

// Scores below which a peer gets no gossip, no messages of ours, and isn't
// listened to. A rejected message costs rejectedWeight times the square of how
// many there were lately, so three rejections silence a peer and one is
// forgiven.
const (
	rejectedWeight = -10
	noGossipBelow  = -30
	noPublishBelow = -60
	deafBelow      = -80

	// Peers at one IP address beyond which each costs more. Members behind one
	// home router are common; hundreds of identities at one address are not.
	peersPerIP = 10

	maxFilteredPeers = 4096
)

func gossipThresholds() *pubsub.PeerScoreThresholds {
	return &pubsub.PeerScoreThresholds{
		GossipThreshold:             noGossipBelow,
		PublishThreshold:            noPublishBelow,
		GraylistThreshold:           deafBelow,
		AcceptPXThreshold:           1000, // peer exchange is off
		OpportunisticGraftThreshold: 1,
	}
}

func gossipScore() *pubsub.PeerScoreParams {
	_, loopback4, _ := net.ParseCIDR("127.0.0.0/8")
	_, loopback6, _ := net.ParseCIDR("::1/128")
	return &pubsub.PeerScoreParams{
		AppSpecificScore:            func(peer.ID) float64 { return 0 },
		TopicScoreCap:               50,
		IPColocationFactorWeight:    -5,
		IPColocationFactorThreshold: peersPerIP,
		IPColocationFactorWhitelist: []*net.IPNet{loopback4, loopback6},
		BehaviourPenaltyWeight:      -10,
		BehaviourPenaltyThreshold:   6,
		BehaviourPenaltyDecay:       pubsub.ScoreParameterDecay(time.Hour),
		DecayInterval:               pubsub.DefaultDecayInterval,
		DecayToZero:                 pubsub.DefaultDecayToZero,
		RetainScore:                 6 * time.Hour,
		Topics:                      map[string]*pubsub.TopicScoreParams{},
	}
}

func gossipTopicScore() *pubsub.TopicScoreParams {
	return &pubsub.TopicScoreParams{
		TopicWeight:                    1,
		TimeInMeshWeight:               0.01,
		TimeInMeshQuantum:              time.Minute,
		TimeInMeshCap:                  300,
		FirstMessageDeliveriesWeight:   0.5,
		FirstMessageDeliveriesDecay:    pubsub.ScoreParameterDecay(time.Hour),
		FirstMessageDeliveriesCap:      20,
		InvalidMessageDeliveriesWeight: rejectedWeight,
		InvalidMessageDeliveriesDecay:  pubsub.ScoreParameterDecay(time.Hour),
		// Announcements are rare: nobody is punished for bringing few.
		SkipAtomicValidation: true,
	}
}

func validTopic(name string) bool {
	return strings.HasPrefix(name, GossipPrefix) && len(name) <= MaxTopicName
}

// topicFilter bounds which topics of other peers are remembered: not only
// those joined here, because a peer tells its topics once and this node may
// join one later.
type topicFilter struct {
	mu    sync.Mutex
	heard map[peer.ID]map[string]bool // Invariant: at most maxFilteredPeers, each at most MaxGossipTopics
}

func newTopicFilter() *topicFilter {
	return &topicFilter{heard: make(map[peer.ID]map[string]bool)}
}

// CanSubscribe says whether the topic is one of this protocol.
func (f *topicFilter) CanSubscribe(topic string) bool { return validTopic(topic) }

// FilterIncomingSubscriptions returns those of subs that are remembered.
func (f *topicFilter) FilterIncomingSubscriptions(from peer.ID, subs []*pb.RPC_SubOpts) ([]*pb.RPC_SubOpts, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	heard := f.heard[from]
	if heard == nil {
		if len(f.heard) >= maxFilteredPeers {
			return nil, pubsub.ErrTooManySubscriptions
		}
		heard = make(map[string]bool)
		f.heard[from] = heard
	}
	var kept []*pb.RPC_SubOpts
	for _, sub := range pubsub.FilterSubscriptions(subs, validTopic) {
		topic := sub.GetTopicid()
		switch {
		case !sub.GetSubscribe():
			delete(heard, topic)
		case heard[topic] || len(heard) < MaxGossipTopics:
			heard[topic] = true
		default:
			continue
		}
		kept = append(kept, sub)
	}
	return kept, nil
}

func (f *topicFilter) forget(id peer.ID) {
	f.mu.Lock()
	defer f.mu.Unlock()
	delete(f.heard, id)
}
