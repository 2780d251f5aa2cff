package discovery

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	pubsub "github.com/libp2p/go-libp2p-pubsub"
	pb "github.com/libp2p/go-libp2p-pubsub/pb"
	"github.com/libp2p/go-libp2p/core/host"
	"github.com/libp2p/go-libp2p/core/peer"
)

const testTopic = GossipPrefix + "0123456789abcdef"

type heard struct {
	from peer.ID
	data string
}

func newGossip(t *testing.T, h host.Host) *Gossip {
	t.Helper()
	g, err := NewGossip(h, nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := g.Close(); err != nil {
			t.Errorf("close gossip: %v", err)
		}
	})
	return g
}

// listen joins the test topic with one verdict for everything.
func listen(t *testing.T, g *Gossip, v Verdict) (*GossipTopic, <-chan heard) {
	t.Helper()
	all := make(chan heard, 64)
	topic, err := g.Join(testTopic, func(_ context.Context, from peer.ID, data []byte) Verdict {
		all <- heard{from, string(data)}
		return v
	})
	if err != nil {
		t.Fatal(err)
	}
	return topic, all
}

func connect(t *testing.T, a, b host.Host) {
	t.Helper()
	if err := a.Connect(patience(t), infoOf(b)); err != nil {
		t.Fatal(err)
	}
}

// awaitMesh returns when n peers have been in the topic's mesh: what is
// published earlier may be lost.
func awaitMesh(t *testing.T, topic *pubsub.Topic, n int) {
	t.Helper()
	ctx, cancel := context.WithCancel(patience(t))
	defer cancel()
	enough := false
	err := topic.Publish(ctx, nil, pubsub.WithReadiness(func(rt pubsub.PubSubRouter, name string) (bool, error) {
		if rt.EnoughPeers(name, n) {
			enough = true
			cancel() // nothing is to be published
		}
		return false, nil
	}))
	if !enough {
		t.Fatalf("no %d peers in the mesh: %v", n, err)
	}
}

func next(t *testing.T, all <-chan heard) heard {
	t.Helper()
	select {
	case h := <-all:
		return h
	case <-patience(t).Done():
		t.Fatal("nothing heard")
		return heard{}
	}
}

// line connects three nodes to a line in which all have joined the topic.
func line(t *testing.T, middle Verdict) (topics [3]*GossipTopic, all [3]<-chan heard, hosts [3]host.Host) {
	t.Helper()
	var gossips [3]*Gossip
	for i := range hosts {
		hosts[i] = newHost(t)
		gossips[i] = newGossip(t, hosts[i])
	}
	topics[0], all[0] = listen(t, gossips[0], Accept)
	topics[2], all[2] = listen(t, gossips[2], Accept)
	topics[1], all[1] = listen(t, gossips[1], middle)
	connect(t, hosts[0], hosts[1])
	connect(t, hosts[2], hosts[1])
	awaitMesh(t, topics[0].topic, 1)
	awaitMesh(t, topics[2].topic, 1)
	awaitMesh(t, topics[1].topic, 2)
	return topics, all, hosts
}

func TestGossipPassesOn(t *testing.T) {
	topics, all, hosts := line(t, Accept)
	long := strings.Repeat("x", MaxGossip)
	if err := topics[0].Publish(patience(t), []byte(long)); err != nil {
		t.Fatal(err)
	}
	for _, i := range []int{1, 2} {
		if got := next(t, all[i]); got.from != hosts[0].ID() || got.data != long {
			t.Errorf("node %d heard %d bytes from %s", i, len(got.data), got.from)
		}
	}
	if err := topics[0].Publish(patience(t), make([]byte, MaxGossip+1)); !errors.Is(err, ErrGossipTooLong) {
		t.Errorf("too long: %v", err)
	}
	if got := topics[1].Peers(); len(got) != 2 {
		t.Errorf("peers = %v", got)
	}
	topics[2].Leave()
	topics[2].Leave()
	if err := topics[2].Publish(patience(t), nil); !errors.Is(err, ErrClosed) {
		t.Errorf("Publish after Leave = %v", err)
	}
	if len(all[0]) != 0 {
		t.Error("a node heard itself")
	}
}

func TestGossipVerdictsStop(t *testing.T) {
	for _, v := range []Verdict{Reject, Ignore} {
		topics, all, _ := line(t, v)
		if err := topics[0].Publish(patience(t), []byte("no")); err != nil {
			t.Fatal(err)
		}
		next(t, all[1])
		// What the middle passes on arrives at the end after what it doesn't.
		if err := topics[1].Publish(patience(t), []byte("after")); err != nil {
			t.Fatal(err)
		}
		if got := next(t, all[2]); got.data != "after" {
			t.Errorf("verdict %d: the end heard %q", v, got.data)
		}
	}
}

// TestGossipRejectsLongMessages has a peer that keeps to no limit.
func TestGossipRejectsLongMessages(t *testing.T) {
	ours, theirs := newHost(t), newHost(t)
	topic, all := listen(t, newGossip(t, ours), Accept)
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	foreign, err := pubsub.NewGossipSub(ctx, theirs, pubsub.WithFloodPublish(true))
	if err != nil {
		t.Fatal(err)
	}
	out, err := foreign.Join(testTopic)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := out.Relay(); err != nil {
		t.Fatal(err)
	}
	connect(t, theirs, ours)
	awaitMesh(t, out, 1)
	for _, size := range []int{MaxGossip + 1, MaxGossip} {
		if err := out.Publish(ctx, make([]byte, size)); err != nil {
			t.Fatal(err)
		}
	}
	if got := next(t, all); len(got.data) != MaxGossip {
		t.Errorf("heard %d bytes", len(got.data))
	}
	topic.Leave()
}

func TestGossipJoin(t *testing.T) {
	g := newGossip(t, newHost(t))
	judge := func(context.Context, peer.ID, []byte) Verdict { return Accept }
	name := func(n int) string { return fmt.Sprintf("%s%0*d", GossipPrefix, MaxTopicName-len(GossipPrefix), n) }
	for _, bad := range []string{"", "/other/topic", name(1) + "x"} {
		if _, err := g.Join(bad, judge); !errors.Is(err, ErrGossipTopic) {
			t.Errorf("Join(%q) = %v", bad, err)
		}
	}
	var topics []*GossipTopic
	for n := range MaxGossipTopics {
		topic, err := g.Join(name(n), judge)
		if err != nil {
			t.Fatalf("topic %d: %v", n, err)
		}
		topics = append(topics, topic)
	}
	if _, err := g.Join(name(0), judge); !errors.Is(err, ErrGossipJoined) {
		t.Errorf("second Join = %v", err)
	}
	if _, err := g.Join(name(MaxGossipTopics), judge); !errors.Is(err, ErrTooManyGossips) {
		t.Errorf("one too many = %v", err)
	}
	topics[0].Leave()
	if _, err := g.Join(name(0), judge); err != nil {
		t.Errorf("Join after Leave = %v", err)
	}
	if err := errors.Join(g.Close(), g.Close()); err != nil {
		t.Error(err)
	}
	if _, err := g.Join(name(1), judge); !errors.Is(err, ErrClosed) {
		t.Errorf("Join after Close = %v", err)
	}
}

func TestTopicFilter(t *testing.T) {
	f := newTopicFilter()
	sub := func(on bool, names ...string) (subs []*pb.RPC_SubOpts) {
		for _, n := range names {
			subs = append(subs, &pb.RPC_SubOpts{Subscribe: &on, Topicid: &n})
		}
		return subs
	}
	names := func(from, to int) (all []string) {
		for n := from; n < to; n++ {
			all = append(all, fmt.Sprint(GossipPrefix, n))
		}
		return all
	}
	kept := func(id peer.ID, subs []*pb.RPC_SubOpts) int {
		t.Helper()
		got, err := f.FilterIncomingSubscriptions(id, subs)
		if err != nil {
			t.Fatal(err)
		}
		return len(got)
	}
	if got := kept(testID(1), sub(true, "/other", GossipPrefix+strings.Repeat("x", MaxTopicName))); got != 0 {
		t.Errorf("%d foreign topics kept", got)
	}
	if got := kept(testID(1), sub(true, names(0, MaxGossipTopics)...)); got != MaxGossipTopics {
		t.Errorf("%d kept, want %d", got, MaxGossipTopics)
	}
	if got := kept(testID(1), sub(true, names(MaxGossipTopics-1, MaxGossipTopics+1)...)); got != 1 {
		t.Errorf("%d kept beyond the limit, want the known one", got)
	}
	if got := kept(testID(1), slices.Concat(sub(false, names(0, 1)...))); got != 1 {
		t.Errorf("%d kept of an unsubscription", got)
	}
	if got := kept(testID(1), sub(true, names(MaxGossipTopics, MaxGossipTopics+2)...)); got != 1 {
		t.Errorf("%d kept after one became free", got)
	}
	for n := 2; n <= maxFilteredPeers; n++ {
		kept(peer.ID(fmt.Sprint(n)), nil)
	}
	if _, err := f.FilterIncomingSubscriptions("one more", nil); err == nil {
		t.Error("one peer too many")
	}
	f.forget(testID(1))
	if _, err := f.FilterIncomingSubscriptions("one more", nil); err != nil {
		t.Error(err)
	}
}
