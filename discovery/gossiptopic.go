package discovery

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"

	pubsub "github.com/libp2p/go-libp2p-pubsub"
	"github.com/libp2p/go-libp2p/core/peer"
)

// GossipTopic is one joined topic.
type GossipTopic struct {
	gossip *Gossip
	topic  *pubsub.Topic
	relay  pubsub.RelayCancelFunc
	judge  func(context.Context, peer.ID, []byte) Verdict

	judging sync.RWMutex // held for reading while judge is called
	left    atomic.Bool
}

func (g *Gossip) subscribe(name string, judge func(context.Context, peer.ID, []byte) Verdict) (*GossipTopic, error) {
	t := &GossipTopic{gossip: g, judge: judge}
	err := g.pubsub.RegisterTopicValidator(name, t.validate,
		pubsub.WithValidatorTimeout(GossipTimeout), pubsub.WithValidatorConcurrency(maxTopicVerdicts))
	if err != nil {
		return nil, fmt.Errorf("discovery: join gossip topic: %w", err)
	}
	t.topic, err = g.pubsub.Join(name)
	if err == nil {
		if err = t.topic.SetScoreParams(gossipTopicScore()); err == nil {
			// A relay takes part like a subscription and has no queue to be read.
			t.relay, err = t.topic.Relay()
		}
	}
	if err != nil {
		err = fmt.Errorf("discovery: join gossip topic: %w", err)
		if t.topic != nil {
			err = errors.Join(err, t.topic.Close())
		}
		return nil, errors.Join(err, g.pubsub.UnregisterTopicValidator(name))
	}
	return t, nil
}

// validate puts a message to judge. Too long a message is rejected before
// judge sees it; own messages pass.
func (t *GossipTopic) validate(ctx context.Context, _ peer.ID, m *pubsub.Message) pubsub.ValidationResult {
	self := t.gossip.host.ID()
	switch {
	case m.ReceivedFrom == self:
		return pubsub.ValidationAccept
	case len(m.GetData()) > MaxGossip:
		return pubsub.ValidationReject
	case m.GetFrom() == self:
		return pubsub.ValidationIgnore
	}
	t.judging.RLock()
	defer t.judging.RUnlock()
	if t.left.Load() {
		return pubsub.ValidationIgnore
	}
	switch t.judge(ctx, m.GetFrom(), m.GetData()) {
	case Accept:
		return pubsub.ValidationAccept
	case Reject:
		return pubsub.ValidationReject
	}
	return pubsub.ValidationIgnore
}

// Publish sends data, which it doesn't keep, to the peers of the topic. It
// returns ErrGossipTooLong for more than MaxGossip bytes and ErrClosed after
// Leave. Success doesn't mean that anybody has received it.
func (t *GossipTopic) Publish(ctx context.Context, data []byte) error {
	if len(data) > MaxGossip {
		return ErrGossipTooLong
	}
	if t.left.Load() {
		return ErrClosed
	}
	if err := t.topic.Publish(ctx, append([]byte(nil), data...)); err != nil {
		return fmt.Errorf("discovery: publish: %w", err)
	}
	return nil
}

// Peers returns the peers known to have joined the topic.
func (t *GossipTopic) Peers() []peer.ID { return t.topic.ListPeers() }

// Leave ends the topic. judge isn't called any more when it returns. It may be
// called twice.
func (t *GossipTopic) Leave() {
	t.unsubscribe()
	g, name := t.gossip, t.topic.String()
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.topics[name] == t {
		delete(g.topics, name)
	}
}

func (t *GossipTopic) unsubscribe() {
	if t.left.Swap(true) {
		return
	}
	t.judging.Lock()
	//lint:ignore SA2001 this waits for those that judge now
	t.judging.Unlock()
	// These fail only when gossipsub has stopped, and then there is nothing left
	// to undo.
	t.relay()
	_ = t.gossip.pubsub.UnregisterTopicValidator(t.topic.String())
	_ = t.topic.Close()
}
