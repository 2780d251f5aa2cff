package host

import (
	"context"
	"crypto/rand"
	"errors"
	"testing"
	"time"

	"github.com/libp2p/go-libp2p/core/crypto"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/core/record"
	"github.com/multiformats/go-multiaddr"

	"github.com/cobox-p2p/cobox-p2p/discovery"
	"github.com/cobox-p2p/cobox-p2p/multifeed"
)

func newGossipNode(t *testing.T) *node {
	t.Helper()
	h := newTestHost(t, nil)
	g, err := discovery.NewGossip(h, nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { g.Close() })
	return newNodeOn(t, h, WithGossip(g))
}

// own returns an announcement of a new feed by the node, sealed by nobody yet.
func own(t *testing.T, n *node, secret multifeed.Secret) multifeed.Announcement {
	t.Helper()
	s := n.open(secret)
	write(t, s, "announced")
	w, err := s.Writer("log")
	if err != nil {
		t.Fatal(err)
	}
	r, err := n.net.signedRecord()
	if err != nil {
		t.Fatal(err)
	}
	h := w.DurableHead()
	entry := multifeed.Entry{
		Feed: w.Key(), Length: h.Length, RootHash: h.RootHash, Signature: h.Signature, Admission: w.Admission(),
	}
	return multifeed.Announcement{
		Entry: entry, Author: []byte(n.host.ID()), Record: r, Sequence: 1, Time: time.Now(),
	}
}

// A feed announced by a peer without a session comes into the set, and its
// author is offered the space at the addresses that he signed.
func TestAnnouncementsJudged(t *testing.T) {
	checkLeaks(t)
	secret := multifeed.NewSecret()
	receiver, author := newGossipNode(t), newNode(t, nil)
	m := receiver.join(secret)
	good := own(t, author, secret)
	stranger, _, err := crypto.GenerateEd25519Key(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	forged, err := record.Seal(&peer.PeerRecord{PeerID: author.host.ID(), Seq: 1, Addrs: author.host.Addrs()}, stranger)
	if err != nil {
		t.Fatal(err)
	}
	foreign, err := forged.Marshal()
	if err != nil {
		t.Fatal(err)
	}
	id := author.host.ID()
	seal := func(address multifeed.Address, change func(*multifeed.Announcement)) []byte {
		a := good
		change(&a)
		b, err := multifeed.SealAnnouncement(address, a)
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	same := func(*multifeed.Announcement) {}
	here := secret.Address()
	for _, c := range []struct {
		name string
		from peer.ID
		b    []byte
		want discovery.Verdict
	}{
		{"another author", receiver.host.ID(), seal(here, same), discovery.Reject},
		{"another space's seal", id, seal(multifeed.NewSecret().Address(), same), discovery.Reject},
		{"a record of another key", id, seal(here, func(a *multifeed.Announcement) { a.Record = foreign }), discovery.Reject},
		{"a record that is none", id, seal(here, func(a *multifeed.Announcement) { a.Record = []byte{1} }), discovery.Reject},
		{"a bad head", id, seal(here, func(a *multifeed.Announcement) { a.Entry.Length++ }), discovery.Reject},
		{"not admitted", id, seal(here, func(a *multifeed.Announcement) { a.Entry.Admission[0] ^= 1 }), discovery.Reject},
		{"too old", id, seal(here, func(a *multifeed.Announcement) { a.Time = a.Time.Add(-2 * time.Hour) }), discovery.Ignore},
		{"a good one", id, seal(here, same), discovery.Accept},
		{"the same again", id, seal(here, same), discovery.Ignore},
		{"a newer one", id, seal(here, func(a *multifeed.Announcement) { a.Sequence++ }), discovery.Accept},
	} {
		if got := m.news.judge(context.Background(), c.from, c.b); got != c.want {
			t.Errorf("%s: verdict %d, want %d", c.name, got, c.want)
		}
	}
	f, err := m.Space().Feed(good.Entry.Feed)
	if err != nil || f.KnownLength() != 1 {
		t.Errorf("the announced feed is %v, %v", f, err)
	}
	tries := m.Status().Tries
	if len(tries) != 1 || tries[0].Peer.ID != id || tries[0].Source != "gossip" ||
		len(tries[0].Peer.Addrs) != len(author.host.Addrs()) {
		t.Errorf("candidates after the announcements: %+v", tries)
	}
}

// What a node writes is announced to those who joined the topic.
func TestOwnFeedsAreAnnounced(t *testing.T) {
	checkLeaks(t)
	secret := multifeed.NewSecret()
	a, b := newGossipNode(t), newGossipNode(t)
	// Without sessions: b hears of the feed through gossip alone.
	block := WithAuthenticate(func(peer.ID) error { return errors.New("no sessions") })
	a.net.Close()
	a.start(block, WithGossip(a.net.options.gossip))
	ma, mb := a.join(secret, WithMode(false, false)), b.join(secret, WithMode(false, false))
	connect(t, a, b)
	w, err := ma.Space().Writer("log")
	if err != nil {
		t.Fatal(err)
	}
	ctx := within(t)
	for { // gossip reaches only those whose subscription has arrived
		changed := mb.Space().Changed()
		if _, err := w.Append(ctx, []byte("news")); err != nil {
			t.Fatal(err)
		}
		if f, err := mb.Space().Feed(w.Key()); err == nil {
			if f.KnownLength() > 0 {
				t.Error("a head is announced that was compared with nobody's")
			}
			return
		}
		select {
		case <-changed:
		case <-time.After(newsPause):
		case <-ctx.Done():
			t.Fatal("no announcement arrived")
		}
	}
}

// One announcement a feed and pause, and none is lost.
func TestAnnouncementsArePaced(t *testing.T) {
	w := &news{
		pending: map[*multifeed.Feed]struct{}{}, told: map[*multifeed.Feed]time.Time{},
	}
	f, g := &multifeed.Feed{}, &multifeed.Feed{}
	now := time.Unix(1000, 0)
	w.pending[f] = struct{}{}
	if due, next := w.due(now); len(due) != 1 || next != 0 {
		t.Errorf("first: %d due, next in %v", len(due), next)
	}
	w.pending[f], w.pending[g] = struct{}{}, struct{}{}
	now = now.Add(newsPause / 4)
	if due, next := w.due(now); len(due) != 1 || due[0] != g || next != newsPause*3/4 {
		t.Errorf("within the pause: %d due, next in %v", len(due), next)
	}
	now = now.Add(newsPause * 3 / 4)
	if due, next := w.due(now); len(due) != 1 || due[0] != f || next != 0 {
		t.Errorf("after the pause: %d due, next in %v", len(due), next)
	}
	w.due(now.Add(2 * newsPause))
	if len(w.told) != 0 {
		t.Errorf("%d feeds are remembered for nothing", len(w.told))
	}
}

func TestOpenRecord(t *testing.T) {
	checkLeaks(t)
	n := newNode(t, nil)
	b, err := n.net.signedRecord()
	if err != nil {
		t.Fatal(err)
	}
	got, err := openRecord(n.host.ID(), b)
	if err != nil || got.ID != n.host.ID() || len(got.Addrs) != len(n.host.Addrs()) {
		t.Errorf("own record: %v, %v", got, err)
	}
	if _, err := openRecord("somebody", b); err == nil {
		t.Error("the record was taken for another peer's")
	}
	key := n.host.Peerstore().PrivKey(n.host.ID())
	many := make([]multiaddr.Multiaddr, 2*discovery.MaxAddrs)
	for i := range many {
		many[i] = multiaddr.StringCast("/ip4/192.0.2.1/tcp/1")
	}
	e, err := record.Seal(&peer.PeerRecord{PeerID: n.host.ID(), Seq: 1, Addrs: many}, key)
	if err != nil {
		t.Fatal(err)
	}
	if b, err = e.Marshal(); err != nil {
		t.Fatal(err)
	}
	if got, err := openRecord(n.host.ID(), b); err != nil || len(got.Addrs) != discovery.MaxAddrs {
		t.Errorf("%d addresses are taken, %v, want %d", len(got.Addrs), err, discovery.MaxAddrs)
	}
}
