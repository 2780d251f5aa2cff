package jstest

import (
	"context"
	"errors"
	"fmt"
	"testing"

	"github.com/cobox-p2p/cobox-p2p/multifeed"
)

// quietFor is the silence in milliseconds that hypercore-protocol bears by
// itself.
const quietFor = 20_000

// exchange replicates a feed of each side to the other over the session that
// connect brings about: what was there before, and what is appended live. No
// session may end meanwhile.
func exchange(ctx context.Context, t *testing.T, here *multifeed.Space, there *js, connect func()) {
	t.Helper()
	own, err := here.Writer("log")
	if err != nil {
		t.Fatal(err)
	}
	ours, theirs := contents("go"), contents("javascript")
	appendHere(ctx, t, own, ours[:200])
	for i := range ours[200:] {
		appendHere(ctx, t, own, ours[200+i:201+i])
	}
	there.appendBlocks(ctx, false, theirs[:301]...)
	there.appendBlocks(ctx, true, bare)
	there.appendBlocks(ctx, false, theirs[302])

	connect()
	there.check(ctx, own, ours)
	foreign := await(ctx, t, here, there.feed())
	check(ctx, t, foreign, theirs)

	for i := range 3 {
		live := fmt.Appendf(nil, "live %d", i)
		ours, theirs = append(ours, live), append(theirs, live)
		appendHere(ctx, t, own, ours[len(ours)-1:])
		there.appendBlocks(ctx, false, live)
		there.check(ctx, own, ours)
		check(ctx, t, foreign, theirs)
	}
	there.check(ctx, foreign, theirs)
	if n := there.count("session"); n != 1 {
		t.Errorf("%d sessions, want 1", n)
	}
	if n := there.count("ended"); n != 0 {
		t.Errorf("session ended: %s", *there.waitEvent(ctx, "ended").Error)
	}
}

// appendHere appends contents under one signature; a bare one must be alone.
func appendHere(ctx context.Context, t *testing.T, f *multifeed.Feed, blocks [][]byte) {
	t.Helper()
	to := f.Feed
	if len(blocks) == 1 && blocks[0] == nil {
		to = to.WithSeal(nil)
	}
	if _, err := to.Append(ctx, blocks...); err != nil {
		t.Fatal(err)
	}
}

// checkEnd stops the JavaScript peer and expects an orderly end of the session.
func checkEnd(ctx context.Context, t *testing.T, here *bareNode, there *js) {
	t.Helper()
	there.stop(ctx)
	if err := <-here.ended; err != nil {
		t.Errorf("session here ended with %v, want an orderly end", err)
	}
	if e := there.waitEvent(ctx, "ended"); e.Error != nil {
		t.Errorf("session there ended with %s, want an orderly end", *e.Error)
	}
}

// TestJavaScriptDials has the JavaScript peer find this one in the DHT and open
// the stream.
func TestJavaScriptDials(t *testing.T) {
	ctx := within(t)
	access, text := member()
	boot := newDHTNode(t)
	there := newJS(ctx, t, text, boot, quietFor)
	here := newBareNode(ctx, t, access, boot)
	exchange(ctx, t, here.space, there, func() {
		here.announce()
		there.call(ctx, "find", nil, nil)
		if e := there.waitEvent(ctx, "session"); !e.Initiator || e.Peer != here.host.ID().String() {
			t.Errorf("session %+v; want one that JavaScript initiated with %s", e, here.host.ID())
		}
	})
	checkEnd(ctx, t, here, there)
}

// TestGoDials has this peer find the JavaScript one in the DHT and open the
// stream, in an open space.
func TestGoDials(t *testing.T) {
	ctx := within(t)
	key := multifeed.NewEncryptionKey()
	access := multifeed.Access{Address: multifeed.NewOpenAddress(), EncryptionKey: &key}
	text, err := multifeed.FormatAccessKey(access.Address, key)
	if err != nil {
		t.Fatal(err)
	}
	boot := newDHTNode(t)
	there := newJS(ctx, t, text, boot, quietFor)
	here := newBareNode(ctx, t, access, boot)
	exchange(ctx, t, here.space, there, func() {
		there.call(ctx, "announce", nil, nil)
		here.find()
		if e := there.waitEvent(ctx, "session"); e.Initiator || e.Peer != here.host.ID().String() {
			t.Errorf("session %+v; want one that %s initiated", e, here.host.ID())
		}
	})
	checkEnd(ctx, t, here, there)
}

// TestManyBlocks replicates more blocks each way than one page of the original's
// bitfield has.
func TestManyBlocks(t *testing.T) {
	if testing.Short() {
		t.Skip("takes seconds of work")
	}
	ctx := within(t)
	access, text := member()
	boot := newDHTNode(t)
	there := newJS(ctx, t, text, boot, quietFor)
	here := newBareNode(ctx, t, access, boot)
	own, err := here.space.Writer("log")
	if err != nil {
		t.Fatal(err)
	}
	ours, theirs := small("go", 8192+77), small("javascript", 8192+1)
	appendHere(ctx, t, own, ours)
	there.appendBlocks(ctx, false, theirs...)
	there.call(ctx, "connect", map[string]any{"address": here.address(t)}, nil)
	there.check(ctx, own, ours)
	check(ctx, t, await(ctx, t, here.space, there.feed()), theirs)
	checkEnd(ctx, t, here, there)
}

// TestJavaScriptSeeds has a JavaScript peer that knows no more than the address
// bring a feed from one member to another who never meet.
func TestJavaScriptSeeds(t *testing.T) {
	ctx := within(t)
	access, _ := member()
	boot := newDHTNode(t)
	there := newJS(ctx, t, access.Address.String(), boot, quietFor)
	if there.Feed != "" {
		t.Errorf("a seeder has the feed %s of its own", there.Feed)
	}
	alice := newBareNode(ctx, t, access, boot)
	own, err := alice.space.Writer("log")
	if err != nil {
		t.Fatal(err)
	}
	blocks := small("alice", 100)
	appendHere(ctx, t, own, blocks)
	there.call(ctx, "connect", map[string]any{"address": alice.address(t)}, nil)
	there.checkSealed(ctx, own, len(blocks))
	if err := alice.space.Close(); err != nil {
		t.Fatal(err)
	}
	if err := <-alice.ended; multifeed.CodeOf(err) != multifeed.CodeLeft {
		t.Errorf("alice's session ended with %v, want code %s", err, multifeed.CodeLeft)
	}

	bob := newBareNode(ctx, t, access, boot)
	there.call(ctx, "announce", nil, nil)
	bob.find()
	check(ctx, t, await(ctx, t, bob.space, own.Key()), blocks)
	there.stop(ctx)
	if err := <-bob.ended; err != nil {
		t.Errorf("bob's session ended with %v, want an orderly end", err)
	}
}

// TestStrangers has each side try to open a space that the other one lacks.
func TestStrangers(t *testing.T) {
	ctx := within(t)
	access, _ := member()
	_, other := member()
	boot := newDHTNode(t)
	there := newJS(ctx, t, other, boot, quietFor)
	here := newBareNode(ctx, t, access, boot)

	a, err := there.ask(ctx, "connect", map[string]any{"address": here.address(t)})
	if err != nil || a.Error == nil {
		t.Errorf("JavaScript opened a space that this peer lacks: %+v, %v", a, err)
	}
	// The initiator saw first that the proof was wrong, and reset the stream.
	if err := <-here.ended; err == nil {
		t.Error("a stranger's handshake went well")
	}
	here.dial(there.addrInfo(t))
	if err := <-here.ended; !errors.Is(err, multifeed.ErrBadProof) {
		t.Errorf("Initiate = %v, want %v", err, multifeed.ErrBadProof)
	}
	there.waitEvent(ctx, "refused")
	if n := there.count("session"); n != 0 {
		t.Errorf("%d sessions, want none", n)
	}
	there.stop(ctx)
}

// TestQuietSession has a JavaScript peer that bears no silence of three seconds.
func TestQuietSession(t *testing.T) {
	ctx := within(t)
	access, text := member()
	boot := newDHTNode(t)
	there := newJS(ctx, t, text, boot, 3000)
	here := newBareNode(ctx, t, access, boot)
	there.call(ctx, "connect", map[string]any{"address": here.address(t)}, nil)
	check(ctx, t, await(ctx, t, here.space, there.feed()), nil)
	there.call(ctx, "listen", map[string]any{"keepAlives": 2}, nil)
	if n := there.count("ended"); n != 0 {
		t.Errorf("session ended: %s", *there.waitEvent(ctx, "ended").Error)
	}
	checkEnd(ctx, t, here, there)
}
