package host

import (
	"testing"

	"github.com/cobox-p2p/cobox-p2p/multifeed"
)

func TestABlockCrosses(t *testing.T) {
	checkLeaks(t)
	secret := multifeed.NewSecret()
	a, b := newNode(t, nil), newNode(t, nil)
	ma, mb := a.join(secret), b.join(secret)
	if err := ma.Connect(within(t), b.info()); err != nil {
		t.Fatal(err)
	}
	feed := write(t, ma.Space(), "hello")
	expect(t, mb.Space(), feed, 0, "hello")
	expect(t, ma.Space(), write(t, mb.Space(), "back"), 0, "back")
}

func TestPeersThatMeetByHandFindTheirSpaces(t *testing.T) {
	checkLeaks(t)
	s1, s2 := multifeed.NewSecret(), multifeed.NewSecret()
	a, b := newNode(t, nil), newNode(t, nil)
	a1, a2 := a.join(s1), a.join(s2)
	b1 := b.join(s1)
	if err := a.net.Connect(within(t), b.info()); err != nil {
		t.Fatal(err)
	}
	expect(t, b1.Space(), write(t, a1.Space(), "one"), 0, "one")
	b2 := b.join(s2) // later
	expect(t, b2.Space(), write(t, a2.Space(), "two"), 0, "two")
	if n := len(a.host.Network().ConnsToPeer(b.host.ID())); n != 1 {
		t.Errorf("%d connections for two spaces, want 1", n)
	}
}
