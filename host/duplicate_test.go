package host

import (
	"sync"
	"testing"

	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"

	"github.com/cobox-p2p/cobox-p2p/multifeed"
)

// current returns the stream that a membership keeps with a peer, nil for none.
func current(m *Membership, id peer.ID) *run {
	m.n.mu.Lock()
	defer m.n.mu.Unlock()
	if l := m.links[id]; l != nil {
		return l.cur
	}
	return nil
}

// waitSame returns when two sides keep the same stream and run no other session.
func waitSame(t *testing.T, a, b *Membership) (*run, *run) {
	t.Helper()
	ctx := within(t)
	for {
		changedA, changedB := a.space.Changed(), b.space.Changed()
		ra, rb := current(a, b.n.host.ID()), current(b, a.n.host.ID())
		if ra != nil && rb != nil && ra.opened.Transcript == rb.opened.Transcript &&
			len(a.space.Sessions()) == 1 && len(b.space.Sessions()) == 1 {
			return ra, rb
		}
		select {
		case <-changedA:
		case <-changedB:
		case <-ctx.Done():
			t.Fatalf("the two sides keep %v and %v, sessions: %d and %d", ra, rb, len(a.space.Sessions()), len(b.space.Sessions()))
		}
	}
}

func TestBothOpenAtOnce(t *testing.T) {
	checkLeaks(t)
	rounds := 200
	if testing.Short() {
		rounds = 20
	}
	secret := multifeed.NewSecret()
	a, b := newNode(t, nil), newNode(t, nil)
	connect(t, a, b) // streams are what collides here, not TCP
	sa, sb := a.open(secret), b.open(secret)
	feed := write(t, sa, "0")
	eventsA, eventsB := watchEvents(t, a.net), watchEvents(t, b.net)
	for i := range rounds {
		ma, err := a.net.Join(sa)
		if err != nil {
			t.Fatal(err)
		}
		mb, err := b.net.Join(sb)
		if err != nil {
			t.Fatal(err)
		}
		both := sync.WaitGroup{}
		both.Go(func() {
			if err := ma.Connect(within(t), b.info()); err != nil {
				t.Errorf("round %d: a to b: %v", i, err)
			}
		})
		both.Go(func() {
			if err := mb.Connect(within(t), a.info()); err != nil {
				t.Errorf("round %d: b to a: %v", i, err)
			}
		})
		both.Wait()
		waitSame(t, ma, mb)
		text := string(rune('a' + i%26))
		write(t, sa, text)
		expect(t, sb, feed, uint64(i)+1, text)
		for name, e := range map[string]*events{"a": eventsA, "b": eventsB} {
			if n := e.count(PeerAdded); n != i+1 {
				t.Fatalf("round %d: %s saw the peer added %d times in all", i, name, n)
			}
			if n := e.count(PeerRemoved); n != i {
				t.Fatalf("round %d: %s saw the peer removed %d times in all: %s", i, name, n, e.list())
			}
		}
		ma.Leave()
		eventsB.until(within(t), PeerRemoved, mb, "")
		mb.Leave()
		eventsB.until(within(t), SpaceLeft, mb, "")
		eventsA.until(within(t), SpaceLeft, ma, "")
	}
	if n := duplicates(a.net) + duplicates(b.net); n == 0 {
		t.Error("no round had two streams: the test tests nothing")
	} else {
		t.Logf("%d sessions of %d rounds ended as duplicates", n, rounds)
	}
}

// duplicates returns how many sessions or handshakes ended for another stream.
func duplicates(n *Networker) uint64 {
	n.tally.mu.Lock()
	defer n.tally.mu.Unlock()
	return n.tally.ends[multifeed.CodeDuplicate.String()]
}

// Of two streams the better one stays, in whatever order they come.
func TestTieBreak(t *testing.T) {
	keys := newKeys(t, 2)
	small, large := newNode(t, keys[0]), newNode(t, keys[1])
	if err := small.host.Connect(within(t), large.info()); err != nil {
		t.Fatal(err)
	}
	secret := multifeed.NewSecret()
	m := small.join(secret)
	conn := small.host.Network().ConnsToPeer(large.host.ID())[0]
	closed := closedConn{conn}
	stream := func(opener bool, limited bool, process byte, c network.Conn) *run {
		o := &multifeed.Opened{Initiator: opener, Remote: multifeed.Party{Process: [16]byte{process}}}
		return &run{m: m, id: large.host.ID(), stream: connStream{conn: c}, opened: o, limited: limited}
	}
	for _, c := range []struct {
		name     string
		r, old   *run
		want     bool
		mirrored bool // the other order has the other outcome
	}{
		{"a new process replaces the old", stream(false, true, 2, conn), stream(true, false, 1, conn), true, false},
		{"a dead connection loses", stream(false, false, 1, conn), stream(true, false, 1, closed), true, false},
		{"direct beats relayed", stream(false, false, 1, conn), stream(true, true, 1, conn), true, true},
		{"the smaller ID's stream wins", stream(true, false, 1, conn), stream(false, false, 1, conn), true, true},
		{"the newer of one opener wins", stream(true, false, 1, conn), stream(true, false, 1, conn), true, false},
		{"the newer of the other opener wins", stream(false, false, 1, conn), stream(false, false, 1, conn), true, false},
	} {
		if got := c.r.beats(c.old); got != c.want {
			t.Errorf("%s: %v, want %v", c.name, got, c.want)
		}
		if c.mirrored && c.old.beats(c.r) == c.want {
			t.Errorf("%s: both orders are %v", c.name, c.want)
		}
	}
}

type connStream struct {
	network.Stream
	conn network.Conn
}

func (s connStream) Conn() network.Conn { return s.conn }

type closedConn struct{ network.Conn }

func (closedConn) IsClosed() bool { return true }
