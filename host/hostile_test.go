package host

import (
	"bytes"
	"errors"
	"io"
	"slices"
	"testing"
	"time"

	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"

	"github.com/cobox-p2p/cobox-p2p/multifeed"
	"github.com/cobox-p2p/cobox-p2p/multifeed/wire"
)

// connect makes a connection without any stream of ours.
func connect(t *testing.T, from, to *node) {
	t.Helper()
	if err := from.host.Connect(within(t), to.info()); err != nil {
		t.Fatal(err)
	}
}

// raw opens a stream of a protocol by hand.
func raw(t *testing.T, from, to *node, service string) network.Stream {
	t.Helper()
	s, err := from.net.open(within(t), to.host.ID(), service)
	if err != nil {
		t.Fatal(err)
	}
	s.SetDeadline(time.Now().Add(20 * time.Second))
	t.Cleanup(func() { s.Reset() })
	return s
}

// helloWith returns the first frame of an initiator.
func helloWith(t *testing.T, tag [32]byte) []byte {
	t.Helper()
	body, err := wire.AppendHello(nil, wire.Hello{Major: multifeed.Major, Tag: &tag, Nonce: [32]byte{1}, Process: [16]byte{2}})
	if err != nil {
		t.Fatal(err)
	}
	frame, err := wire.AppendControl(nil, body)
	if err != nil {
		t.Fatal(err)
	}
	return frame
}

// knock sends a tag and a proof of nothing, and returns the lengths of what came
// back and the code of the reset.
func knock(t *testing.T, from, to *node, tag [32]byte) (lengths []int, code multifeed.Code) {
	t.Helper()
	s := raw(t, from, to, serviceMultifeed)
	if _, err := s.Write(helloWith(t, tag)); err != nil {
		t.Fatal(err)
	}
	r := wire.NewReader(s, wire.MaxFrame)
	for range 2 {
		body, err := r.ReadControl()
		if err != nil {
			code, _ := received(err)
			return lengths, code
		}
		lengths = append(lengths, len(body))
	}
	proof, err := wire.AppendControl(nil, wire.AppendProof(nil, [32]byte{}))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.Write(proof); err != nil {
		t.Fatal(err)
	}
	_, err = io.ReadAll(s)
	code, ok := received(err)
	if !ok {
		t.Fatalf("a bad proof ended with %v, want a reset", err)
	}
	return lengths, code
}

func TestW7StrangersLearnNothing(t *testing.T) {
	checkLeaks(t)
	secret := multifeed.NewSecret()
	server, stranger := newNode(t, nil), newNode(t, nil)
	m := server.join(secret)
	write(t, m.Space(), "private")
	connect(t, stranger, server)
	known := secret.Address().Tag([]byte(stranger.host.ID()), []byte(server.host.ID()))
	lengths, code := knock(t, stranger, server, known)
	others, other := knock(t, stranger, server, [32]byte{7})
	if code != multifeed.CodeRefused || other != code {
		t.Errorf("a bad proof ended with %v and an unknown tag with %v, want %v", code, other, multifeed.CodeRefused)
	}
	if !slices.Equal(lengths, others) {
		t.Errorf("frames of %v bytes for a known tag and of %v for an unknown one", lengths, others)
	}
	// The exchange of tags: the discovery key and the other direction's tag are
	// not in it, and tags sent back to their sender are not his.
	s := raw(t, stranger, server, serviceSpaces)
	if _, err := s.Write(appendTags(nil, nil)); err != nil {
		t.Fatal(err)
	}
	told, err := io.ReadAll(s)
	if err != nil {
		t.Fatal(err)
	}
	dk, address := m.Discovery(), m.Space().Address().Key
	for name, secretly := range map[string][]byte{
		"discovery key": dk[:tagSize], "address": address[:tagSize], "echo": known[:tagSize],
	} {
		if bytes.Contains(told, secretly) {
			t.Errorf("a stranger was told the %s", name)
		}
	}
	if want := len(appendTags(nil, nil)); len(told) != want {
		t.Errorf("a node with one space told %d bytes, one with none %d", len(told), want)
	}
	echo := raw(t, stranger, server, serviceSpaces)
	if _, err := echo.Write(told); err != nil {
		t.Fatal(err)
	}
	if _, err := io.ReadAll(echo); err != nil {
		t.Fatal(err)
	}
	if got := m.Status(); got.Candidates != 0 || got.Peers != 0 {
		t.Errorf("echoed tags made the stranger a candidate: %+v", got)
	}
	if n := len(m.Space().Sessions()); n != 0 {
		t.Errorf("%d sessions with a stranger", n)
	}
}

func TestUnprovedStreams(t *testing.T) {
	checkLeaks(t)
	server, stranger := newNode(t, nil), newNode(t, nil)
	connect(t, stranger, server)
	for range MaxUnproved {
		s := raw(t, stranger, server, serviceMultifeed)
		if _, err := s.Write(helloWith(t, [32]byte{})); err != nil {
			t.Fatal(err)
		}
		// Its answer shows that it waits for our proof.
		if _, err := wire.NewReader(s, wire.MaxFrame).ReadControl(); err != nil {
			t.Fatalf("a stream below the limit: %v", err)
		}
	}
	if _, code := knock(t, stranger, server, [32]byte{}); code != multifeed.CodeLimit {
		t.Errorf("stream %d ended with %v, want %v", MaxUnproved+1, code, multifeed.CodeLimit)
	}
	if got := server.net.Refusals()["limit"]; got != 1 {
		t.Errorf("%d refusals for a limit are counted, want 1", got)
	}
}

func TestUnknownTags(t *testing.T) {
	checkLeaks(t)
	server, stranger := newNode(t, nil), newNode(t, nil)
	connect(t, stranger, server)
	for i := range MaxUnknownTags {
		if _, code := knock(t, stranger, server, [32]byte{byte(i)}); code != multifeed.CodeRefused {
			t.Fatalf("unknown tag %d ended with %v, want %v", i+1, code, multifeed.CodeRefused)
		}
	}
	if _, code := knock(t, stranger, server, [32]byte{}); code != multifeed.CodeLimit {
		t.Errorf("unknown tag %d ended with %v, want %v", MaxUnknownTags+1, code, multifeed.CodeLimit)
	}
}

func TestGateLimits(t *testing.T) {
	now := time.Unix(1000, 0)
	id := func(i int) peer.ID { return peer.ID(string(rune(i + 1))) }
	g := newGate()
	for i := range MaxUnprovedAll {
		if err := g.enter(id(i), now); err != nil {
			t.Fatalf("stream %d: %v", i+1, err)
		}
	}
	if err := g.enter(id(MaxUnprovedAll), now); err != errUnprovedAll {
		t.Errorf("stream %d of all: %v, want %v", MaxUnprovedAll+1, err, errUnprovedAll)
	}
	g.leave(id(0), false, now)
	if err := g.enter(id(MaxUnprovedAll), now); err != nil {
		t.Errorf("after one has left: %v", err)
	}
	g = newGate()
	for range MaxUnknownTags {
		if err := g.enter(id(0), now); err != nil {
			t.Fatal(err)
		}
		g.leave(id(0), true, now)
	}
	if err := g.enter(id(0), now.Add(unknownTagWindow-1)); err != errUnknownTags {
		t.Errorf("within the window: %v, want %v", err, errUnknownTags)
	}
	if err := g.enter(id(0), now.Add(unknownTagWindow)); err != nil {
		t.Errorf("after the window: %v", err)
	}
	for i := range MaxSearches {
		if err := g.search(id(1), now); err != nil {
			t.Fatalf("exchange %d: %v", i+1, err)
		}
	}
	if err := g.search(id(1), now); err != errSearches {
		t.Errorf("exchange %d: %v, want %v", MaxSearches+1, err, errSearches)
	}
	for i := range 3 * maxGatePeers {
		g.search(id(i), now)
	}
	if n := len(g.peers); n > maxGatePeers {
		t.Errorf("%d peers are remembered, want at most %d", n, maxGatePeers)
	}
	if g.peers[id(0)] == nil {
		t.Error("a peer with a stream here was forgotten")
	}
}

func TestAuthenticateComesFirst(t *testing.T) {
	checkLeaks(t)
	secret := multifeed.NewSecret()
	unwanted := newNode(t, nil)
	why := errors.New("not on the list")
	server := newNode(t, nil, WithAuthenticate(func(id peer.ID) error {
		if id == unwanted.host.ID() {
			return why
		}
		return nil
	}))
	m, other := server.join(secret), unwanted.join(secret)
	events := watchEvents(t, server.net)
	err := other.Connect(within(t), server.info())
	if code, ok := received(err); !ok || code != multifeed.CodePolicy {
		t.Errorf("Connect = %v, want a reset with %v", err, multifeed.CodePolicy)
	}
	if got := events.until(within(t), Refused, nil, unwanted.host.ID()); !errors.Is(got.Err, why) {
		t.Errorf("event %v with %v, want %v", got.Kind, got.Err, why)
	}
	err = unwanted.net.exchangeTags(within(t), server.host.ID())
	if code, _ := received(err); code != multifeed.CodePolicy {
		t.Errorf("an exchange of tags ended with %v, want %v", err, multifeed.CodePolicy)
	}
	if err := m.Connect(within(t), unwanted.info()); !errors.Is(err, ErrNotAllowed) || !errors.Is(err, why) {
		t.Errorf("own Connect = %v, want %v", err, ErrNotAllowed)
	}
	if err := m.Connect(within(t), server.info()); !errors.Is(err, ErrSelf) {
		t.Errorf("Connect to itself = %v, want %v", err, ErrSelf)
	}
}
