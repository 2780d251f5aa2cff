package host

import (
	"errors"
	"testing"

	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"

	"github.com/cobox-p2p/cobox-p2p/discovery"
	"github.com/cobox-p2p/cobox-p2p/multifeed"
)

// openStreams returns how many streams of our session protocol a host has.
func openStreams(n *node) (count int) {
	for _, c := range n.host.Network().Conns() {
		for _, s := range c.GetStreams() {
			if s.Protocol() == ProtocolMultifeed {
				count++
			}
		}
	}
	return count
}

func TestW4LeaveLeaves(t *testing.T) {
	checkLeaks(t)
	left, kept := multifeed.NewSecret(), multifeed.NewSecret()
	keys := newKeys(t, 2) // the smaller ID offers: no other stream takes its place
	a, b := newNode(t, keys[0]), newNode(t, keys[1])
	al, ak := a.join(left), a.join(kept)
	bl, bk := b.join(left), b.join(kept)
	for _, m := range []*Membership{al, ak} {
		if err := m.Connect(within(t), b.info()); err != nil {
			t.Fatal(err)
		}
	}
	feed := write(t, bl.Space(), "0")
	expect(t, al.Space(), feed, 0, "0")
	conns := a.host.Network().ConnsToPeer(b.host.ID())
	waitSame(t, al, bl)
	_, stream := waitSame(t, ak, bk)
	events := watchEvents(t, b.net)
	if err := al.Leave(); err != nil {
		t.Fatal(err)
	}
	if n := len(al.Space().Sessions()); n != 0 {
		t.Errorf("%d sessions of the space after Leave", n)
	}
	if got := events.until(within(t), PeerRemoved, bl, a.host.ID()); got.Err != nil {
		t.Errorf("leaving was taken for the failure %v", got.Err)
	}
	// What is written now reaches nobody, and asking for it is refused as if the
	// space had never been here.
	write(t, bl.Space(), "1")
	err := bl.Connect(within(t), a.info())
	if multifeed.CodeOf(err) != multifeed.CodeRefused {
		t.Errorf("Connect after the other side left = %v, want %v", err, multifeed.CodeRefused)
	}
	if got, want := bl.Status().Tries[0].Why, words[multifeed.CodeRefused]; got != want {
		t.Errorf("Status says %q, want %q", got, want)
	}
	if f, err := al.Space().Feed(feed); err != nil || f.KnownLength() != 1 {
		t.Errorf("the left space knows of %v, %v", f, err)
	}
	// The other space goes on in the same session over the same connection.
	expect(t, ak.Space(), write(t, bk.Space(), "kept"), 0, "kept")
	if again := a.host.Network().ConnsToPeer(b.host.ID()); len(again) != len(conns) || again[0] != conns[0] {
		t.Errorf("connections %v became %v", conns, again)
	}
	if got := current(bk, a.host.ID()); got != stream {
		t.Errorf("the other space's stream was replaced: %+v", got)
	}
	if err := al.Configure(discovery.Mode{}); !errors.Is(err, ErrLeft) {
		t.Errorf("Configure after Leave = %v", err)
	}
	if err := al.Connect(within(t), b.info()); !errors.Is(err, ErrLeft) {
		t.Errorf("Connect after Leave = %v", err)
	}
	if err := al.Flushed(within(t)); !errors.Is(err, ErrLeft) {
		t.Errorf("Flushed after Leave = %v", err)
	}
	// Joined again, everything is as before.
	again, err := a.net.Join(al.Space())
	if err != nil || again == al {
		t.Fatalf("Join after Leave = %v, %v", again, err)
	}
	if err := again.Connect(within(t), b.info()); err != nil {
		t.Fatal(err)
	}
	expect(t, again.Space(), feed, 1, "1")
}

func TestProtectionLastsAsLongAsTheSession(t *testing.T) {
	checkLeaks(t)
	s1, s2 := multifeed.NewSecret(), multifeed.NewSecret()
	a, b := newNode(t, nil), newNode(t, nil)
	b.join(s1)
	b.join(s2)
	m1, m2 := a.join(s1), a.join(s2)
	for _, m := range []*Membership{m1, m2} {
		if err := m.Connect(within(t), b.info()); err != nil {
			t.Fatal(err)
		}
	}
	protected := func(m *Membership) bool {
		return a.host.ConnManager().IsProtected(b.host.ID(), m.protection())
	}
	if !protected(m1) || !protected(m2) {
		t.Error("the connection is not protected while sessions run")
	}
	m1.Leave()
	if protected(m1) || !protected(m2) {
		t.Error("leaving one space changed the wrong protection")
	}
	a.net.Close()
	if a.host.ConnManager().IsProtected(b.host.ID(), "") {
		t.Error("the connection is protected after Close")
	}
}

func TestCloseLeavesHostAndSpacesAlone(t *testing.T) {
	checkLeaks(t)
	secret := multifeed.NewSecret()
	a, b := newNode(t, nil), newNode(t, nil)
	ma, mb := a.join(secret), b.join(secret)
	if err := ma.Connect(within(t), b.info()); err != nil {
		t.Fatal(err)
	}
	expect(t, mb.Space(), write(t, ma.Space(), "0"), 0, "0")
	gone := watchEvents(t, b.net)
	for range 2 {
		if err := a.net.Close(); err != nil {
			t.Fatal(err)
		}
	}
	gone.until(within(t), PeerRemoved, mb, a.host.ID())
	if n := openStreams(a); n != 0 {
		t.Errorf("%d streams after Close", n)
	}
	if c := a.host.Network().Connectedness(b.host.ID()); c != network.Connected {
		t.Errorf("the host's connection is %v", c)
	}
	for _, p := range a.host.Mux().Protocols() {
		if p == ProtocolMultifeed || p == ProtocolSpaces {
			t.Errorf("%s is still answered", p)
		}
	}
	write(t, ma.Space(), "1") // the space is open
	if _, err := a.net.Join(ma.Space()); !errors.Is(err, ErrClosed) {
		t.Errorf("Join after Close = %v", err)
	}
	if err := a.net.Connect(within(t), b.info()); !errors.Is(err, ErrClosed) {
		t.Errorf("Connect after Close = %v", err)
	}
	// A new networker on the same host, as after a restart of the program.
	a.start()
	m, err := a.net.Join(ma.Space())
	if err != nil {
		t.Fatal(err)
	}
	if err := m.Connect(within(t), peer.AddrInfo{ID: b.host.ID()}); err != nil {
		t.Fatal(err)
	}
}

func TestJoinTwice(t *testing.T) {
	checkLeaks(t)
	secret := multifeed.NewSecret()
	a := newNode(t, nil)
	m := a.join(secret)
	if again, err := a.net.Join(m.Space(), WithMode(false, false)); err != nil || again != m {
		t.Errorf("Join of the same space = %v, %v, want the same membership", again, err)
	}
	if _, err := a.net.Join(a.open(secret)); !errors.Is(err, ErrJoined) {
		t.Errorf("Join of another space with the address = %v", err)
	}
	if got := a.net.Spaces(); len(got) != 1 || got[0] != m {
		t.Errorf("Spaces = %v", got)
	}
	if got := a.net.Membership(secret.Address().Discovery()); got != m {
		t.Errorf("Membership = %v", got)
	}
	if got := m.Status().Mode; got != (discovery.Mode{Announce: true, Lookup: true}) {
		t.Errorf("a second Join changed the mode to %+v", got)
	}
}
