package host

import (
	"context"
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/cobox-p2p/cobox-p2p/hypercore"
	"github.com/cobox-p2p/cobox-p2p/multifeed"
)

// shared are spaces that two nodes have joined.
type shared struct{ a, b []*Membership }

func joinMany(t *testing.T, a, b *node, count int) (s shared) {
	t.Helper()
	for range count {
		secret := multifeed.NewSecret()
		s.a, s.b = append(s.a, a.join(secret)), append(s.b, b.join(secret))
	}
	return s
}

// turns counts the states of a node's shared spaces.
func turns(n *node) map[TurnState]int {
	count := map[TurnState]int{}
	for _, turn := range n.net.Turns() {
		count[turn.State]++
	}
	return count
}

// More spaces than streams are shared over one connection: quiet ones make room,
// and news in a space that rests arrives at once.
func TestSpacesTakeTurns(t *testing.T) {
	for name, listen := range map[string]string{"tcp": localTCP, "quic": "/ip4/127.0.0.1/udp/0/quic-v1"} {
		t.Run(name, func(t *testing.T) {
			checkLeaks(t)
			a := newNodeOn(t, newTestHost(t, nil, WithListen(listen)))
			b := newNodeOn(t, newTestHost(t, nil, WithListen(listen)))
			s := joinMany(t, a, b, manySpaces)
			began := time.Now()
			if err := a.net.Connect(within(t), b.info()); err != nil {
				t.Fatal(err)
			}
			for i := range s.a { // both ways, in all of them at once
				write(t, s.a[i].Space(), "a")
				write(t, s.b[i].Space(), "b")
			}
			for i := range s.a {
				for _, space := range []*multifeed.Space{s.a[i].Space(), s.b[i].Space()} {
					awaitBlocks(t, space, 2)
				}
			}
			t.Logf("%d spaces took %v", manySpaces, time.Since(began))
			if n := len(a.host.Network().ConnsToPeer(b.host.ID())); n != 1 {
				t.Errorf("%d connections", n)
			}
			if n := openStreams(a); n > MaxPeerStreams {
				t.Errorf("%d streams, over the limit of %d", n, MaxPeerStreams)
			}
			got := turns(a)
			if got[TurnOpen]+got[TurnParked]+got[TurnWaiting] != manySpaces || got[TurnOpen] > MaxTurns+turnSlack {
				t.Errorf("turns %v of %d spaces", got, manySpaces)
			}
			for range 10 {
				i := parkedSpace(t, s)
				began := time.Now()
				expect(t, s.a[i].Space(), write(t, s.b[i].Space(), "news"), 1, "news")
				t.Logf("news took %v", time.Since(began))
			}
		})
	}
}

// awaitBlocks returns when the space has that many feeds, and a block of each.
func awaitBlocks(t *testing.T, s *multifeed.Space, feeds int) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	for f := range s.Watch(ctx) {
		if _, err := f.Get(ctx, 0); err != nil {
			t.Fatal(err)
		}
		if feeds--; feeds == 0 {
			return
		}
	}
	t.Fatalf("%d feeds did not come", feeds)
}

// parkedSpace returns the place of a space that rests on both sides.
func parkedSpace(t *testing.T, s shared) int {
	t.Helper()
	for _, i := range rand.Perm(len(s.a)) {
		if s.a[i].Status().Parked == 1 && s.b[i].Status().Parked == 1 {
			return i
		}
	}
	t.Fatal("no space rests")
	return 0
}

// withTurns changes the rules by which spaces take turns.
func withTurns(change func(*turnRules)) Option {
	return func(o *options) error { change(&o.turns); return nil }
}

// few lets so many sessions run with one peer and lets none of them be displaced
// until it has been silent for long.
func few(limit int, quiet time.Duration) Option {
	return withTurns(func(r *turnRules) {
		r.limit, r.slack, r.quiet, r.stalled, r.served = limit, 0, quiet, time.Hour, time.Hour
	})
}

// twoNodes returns two nodes with the same rules. The first has the smaller ID, so
// it is the one that opens sessions.
func twoNodes(t *testing.T, opts ...Option) (a, b *node) {
	t.Helper()
	keys := newKeys(t, 2)
	return newNode(t, keys[0], opts...), newNode(t, keys[1], opts...)
}

// begun returns a channel that gets each session of the space.
func begun(t *testing.T, m *Membership) <-chan *multifeed.Session {
	t.Helper()
	sessions := make(chan *multifeed.Session, 1000)
	t.Cleanup(m.space.Notify(func(e multifeed.Event) {
		if e.Kind == multifeed.Exchanged {
			sessions <- e.Session
		}
	}))
	return sessions
}

func await[T any](t *testing.T, from <-chan T, what string) (v T) {
	t.Helper()
	select {
	case v = <-from:
	case <-within(t).Done():
		t.Fatalf("%s did not come", what)
	}
	return v
}

// meetUp connects two nodes and returns when the first has tried all spaces once.
func (s shared) meetUp(t *testing.T, a, b *node) {
	t.Helper()
	if err := a.net.Connect(within(t), b.info()); err != nil {
		t.Fatal(err)
	}
	for _, m := range s.a {
		if err := m.offers.settled(within(t), m.ctx); err != nil {
			t.Fatal(err)
		}
	}
}

// One space over the limit waits while no session rests, and has its turn when one
// does.
func TestOneSpaceOverTheLimitWaits(t *testing.T) {
	checkLeaks(t)
	quiet := 300 * time.Millisecond
	a, b := twoNodes(t, few(2, quiet))
	s := joinMany(t, a, b, 3)
	var sessions []<-chan *multifeed.Session
	for _, m := range s.a {
		sessions = append(sessions, begun(t, m))
	}
	began := time.Now()
	s.meetUp(t, a, b)
	if got := turns(a); got[TurnOpen] != 2 || got[TurnWaiting] != 1 {
		t.Errorf("turns %v, want 2 open and 1 that waits", got)
	}
	for i, from := range sessions {
		await(t, from, fmt.Sprint("session ", i+1))
	}
	if took := time.Since(began); took < quiet {
		t.Errorf("three sessions within %v, the limit is 2 until one was quiet for %v", took, quiet)
	}
	if got := turns(a); got[TurnOpen] > 2 {
		t.Errorf("turns %v, want at most 2 open", got)
	}
}

// As many spaces as the limit allows all have sessions.
func TestAtTheLimitNobodyWaits(t *testing.T) {
	checkLeaks(t)
	a, b := twoNodes(t, few(3, 0))
	s := joinMany(t, a, b, 3)
	s.meetUp(t, a, b)
	for _, m := range s.a {
		if got := m.Status(); got.Peers != 1 || got.Parked != 0 || got.Waiting != 0 {
			t.Errorf("status %+v", got)
		}
	}
}

// The space that waits shows in its status, and Connect does not wait.
func TestConnectTakesATurnByForce(t *testing.T) {
	checkLeaks(t)
	a, b := twoNodes(t, few(1, time.Hour))
	s := joinMany(t, a, b, 2)
	s.meetUp(t, a, b)
	open, other := s.a[0], s.a[1]
	if open.Status().Peers == 0 {
		open, other = other, open
	}
	if got := other.Status(); got.Waiting != 1 || got.Peers != 0 || got.Tries[0].Why != "" {
		t.Errorf("status %+v, want one that waits and no failure", got)
	}
	if err := open.space.WaitExchanged(within(t)); err != nil {
		t.Fatal(err)
	}
	if err := other.Connect(within(t), b.info()); err != nil {
		t.Fatal(err)
	}
	if got := other.Status(); got.Waiting != 0 || got.Peers != 1 {
		t.Errorf("status after Connect %+v", got)
	}
	if got := open.Status(); got.Parked+got.Waiting != 1 || got.Peers != 0 {
		t.Errorf("status of the space that made room %+v", got)
	}
}

// A peer may open some sessions more than this side allows itself, and none beyond
// while nothing rests: then it waits for its turn, and nobody is at fault.
func TestPeerOpensBeyondTheSlack(t *testing.T) {
	checkLeaks(t)
	keys := newKeys(t, 2)
	quiet := 300 * time.Millisecond
	a := newNode(t, keys[0], few(100, time.Hour))
	b := newNode(t, keys[1], few(1, quiet), withTurns(func(r *turnRules) { r.slack = 1 }))
	s := joinMany(t, a, b, 3)
	events := watchEvents(t, a.net)
	var sessions []<-chan *multifeed.Session
	for _, m := range s.b {
		sessions = append(sessions, begun(t, m))
	}
	began := time.Now()
	s.meetUp(t, a, b)
	for _, from := range sessions {
		await(t, from, "a session")
	}
	if took := time.Since(began); took < quiet {
		t.Errorf("three sessions within %v, over the limit until one was quiet for %v", took, quiet)
	}
	if n := events.count(ReplicationError) + events.count(PeerRemoved); n != 0 {
		t.Errorf("taking turns disturbed: %s", events.list())
	}
}

// parkedPair returns two spaces shared by two nodes with room for one session, the
// first of which rests.
func parkedPair(t *testing.T, opts ...Option) (a, b *node, s shared) {
	t.Helper()
	a, b = twoNodes(t, append([]Option{few(1, 20*time.Millisecond)}, opts...)...)
	s = joinMany(t, a, b, 2)
	s.meetUp(t, a, b)
	for i := range s.a {
		feed := write(t, s.b[i].Space(), "first")
		if err := s.a[i].Connect(within(t), b.info()); err != nil {
			t.Fatal(err)
		}
		expect(t, s.a[i].Space(), feed, 0, "first")
		if _, err := s.a[i].space.WaitSynced(within(t)); err != nil {
			t.Fatal(err)
		}
		if _, err := s.b[i].space.WaitSynced(within(t)); err != nil {
			t.Fatal(err)
		}
	}
	return a, b, s
}

// A block that is gone from the store is fetched from a peer whose session rests.
func TestWantedBlockBringsBackASession(t *testing.T) {
	checkLeaks(t)
	_, _, s := parkedPair(t)
	own, err := s.b[0].space.Writer("log")
	if err != nil {
		t.Fatal(err)
	}
	f, err := s.a[0].space.Feed(own.Key())
	if err != nil {
		t.Fatal(err)
	}
	if err := f.Clear(within(t), hypercore.Span{Start: 0, Count: 1}); err != nil {
		t.Fatal(err)
	}
	if got, err := f.Get(within(t), 0); err != nil || string(got) != "first" {
		t.Errorf("Get = %q, %v", got, err)
	}
}

// Who rests comes back after a time by itself.
func TestParkedSessionComesBackInTime(t *testing.T) {
	checkLeaks(t)
	_, _, s := parkedPair(t, withTurns(func(r *turnRules) { r.parked = 20 * time.Millisecond }))
	sessions := begun(t, s.a[0])
	await(t, sessions, "the parked session")
}

// A peer that is gone is taken off the spaces that rest with it, too, and they
// come back with it.
func TestParkedEndsWithTheConnection(t *testing.T) {
	checkLeaks(t)
	a, b, s := parkedPair(t)
	events := watchEvents(t, a.net)
	sessions := begun(t, s.a[0])
	if err := a.host.Network().ClosePeer(b.host.ID()); err != nil {
		t.Fatal(err)
	}
	for range s.a {
		events.until(within(t), PeerRemoved, nil, b.host.ID())
	}
	await(t, sessions, "the parked session after the connection came back")
}

// A peer that left a space while it rested is found out when it is to come back.
func TestLeftWhileParked(t *testing.T) {
	checkLeaks(t)
	a, b, s := parkedPair(t)
	events := watchEvents(t, a.net)
	if err := s.b[0].Leave(); err != nil {
		t.Fatal(err)
	}
	if got := s.a[0].Status(); got.Parked+got.Waiting != 1 {
		t.Fatalf("status %+v, want one that rests", got)
	}
	write(t, s.a[0].Space(), "news")
	if got := events.until(within(t), PeerRemoved, s.a[0], b.host.ID()); multifeed.CodeOf(got.Err) != multifeed.CodeRefused {
		if code, _ := received(got.Err); code != multifeed.CodeRefused {
			t.Errorf("removed with %v, want %v", got.Err, multifeed.CodeRefused)
		}
	}
}
