package multifeed

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/cobox-p2p/cobox-p2p/hypercore"
	"github.com/cobox-p2p/cobox-p2p/multifeed/wire"
)

// inbox is an extension whose messages a test reads.
type inbox struct {
	*Extension
	got chan string // peer and message
}

func register(t *testing.T, s *Space, name string) *inbox {
	t.Helper()
	in := &inbox{got: make(chan string, 100)}
	var err error
	in.Extension, err = s.RegisterExtension(name, func(from *Session, m []byte) {
		in.got <- string(from.Remote().PeerID) + ": " + string(m)
	})
	if err != nil {
		t.Fatal(err)
	}
	return in
}

func (in *inbox) want(t *testing.T, want string) {
	t.Helper()
	select {
	case got := <-in.got:
		if got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	case <-within(t).Done():
		t.Errorf("nothing came, want %q", want)
	}
}

func TestExtensions(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		address := NewOpenAddress()
		na, nb, nc := newNode(t, "alice"), newNode(t, "bob"), newNode(t, "carol")
		a, b, c := na.open(address), nb.open(address), nc.open(address)
		other := na.open(NewOpenAddress())
		chatA, chatB, chatC := register(t, a, "chat"), register(t, b, "chat"), register(t, c, "chat")
		elsewhere := register(t, other, "chat")
		connect(t, na, a, nb, b)
		connect(t, nc, c, na, a)
		synctest.Wait()
		toBob := sessionWith(t, a, "bob")
		if err := chatA.Send(toBob, []byte("hello")); err != nil {
			t.Fatal(err)
		}
		chatB.want(t, "alice: hello")
		if n := chatA.Broadcast([]byte("all")); n != 2 {
			t.Errorf("Broadcast reached %d peers, want 2", n)
		}
		chatB.want(t, "alice: all")
		chatC.want(t, "alice: all")

		// Names that sort before and behind, during the session: IDs change.
		early, late := register(t, a, "a"), register(t, a, "zz")
		earlyB := register(t, b, "a")
		chatA.Send(toBob, []byte("again"))
		early.Send(toBob, []byte("early"))
		late.Send(toBob, []byte("nobody listens"))
		chatB.want(t, "alice: again")
		earlyB.want(t, "alice: early")
		chatB.Send(sessionWith(t, b, "alice"), []byte("back"))
		chatA.want(t, "bob: back")

		early.Close()
		early.Close()
		early.Send(toBob, []byte("taken back"))
		chatA.Send(toBob, []byte("last"))
		chatB.want(t, "alice: last")
		if err := elsewhere.Send(toBob, nil); !errors.Is(err, ErrNoSession) {
			t.Errorf("Send to a session of another space: %v, want %v", err, ErrNoSession)
		}
		again := register(t, a, "a") // the name is free again
		again.Send(toBob, []byte("new"))
		earlyB.want(t, "alice: new")
		b.Close()
		synctest.Wait()
		if err := chatA.Send(toBob, nil); !errors.Is(err, ErrNoSession) {
			t.Errorf("Send to a session that ended: %v, want %v", err, ErrNoSession)
		}
		for name, in := range map[string]*inbox{"a": chatA, "b": chatB, "c": chatC, "early": early, "late": late, "earlyB": earlyB} {
			if len(in.got) != 0 {
				t.Errorf("%s: %d messages too many", name, len(in.got))
			}
		}
	})
}

func sessionWith(t *testing.T, s *Space, id string) *Session {
	t.Helper()
	for _, x := range s.Sessions() {
		if string(x.Remote().PeerID) == id {
			return x
		}
	}
	t.Fatalf("no session with %s", id)
	return nil
}

func TestExtensionNames(t *testing.T) {
	s := newNode(t, "alice").open(NewOpenAddress())
	for _, name := range []string{"", "cobox/mine", listName, strings.Repeat("x", MaxName+1), "a\n", "\xff"} {
		if _, err := s.RegisterExtension(name, nil); !errors.Is(err, ErrExtensionName) {
			t.Errorf("RegisterExtension(%q): %v, want %v", name, err, ErrExtensionName)
		}
	}
	register(t, s, strings.Repeat("x", MaxName))
	if _, err := s.RegisterExtension(strings.Repeat("x", MaxName), nil); !errors.Is(err, ErrExtensionName) {
		t.Errorf("a name twice: %v, want %v", err, ErrExtensionName)
	}
	var last *inbox
	for i := 1; i < MaxExtensions; i++ {
		last = register(t, s, fmt.Sprint("extension ", i))
	}
	if _, err := s.RegisterExtension("one more", nil); err == nil {
		t.Errorf("extension %d was taken", MaxExtensions+1)
	}
	last.Close()
	register(t, s, "one more")
}

func TestExtensionQueueIsLimited(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		nv, v, _ := openSpace(t, 0)
		chat := register(t, v, "chat")
		r := newRaw(t, "peer", nv, v, nv.party()) // reads nothing
		synctest.Wait()                           // Options wait in a write
		if err := chat.Send(r.session, make([]byte, MaxExtensionMessage+1)); !errors.Is(err, ErrExtensionSize) {
			t.Errorf("a message too long: %v, want %v", err, ErrExtensionSize)
		}
		left := MaxExtensionQueue
		for left > MaxExtensionMessage+queueCost {
			if err := chat.Send(r.session, make([]byte, MaxExtensionMessage)); err != nil {
				t.Fatalf("with room for %d bytes: %v", left, err)
			}
			left -= MaxExtensionMessage + queueCost
		}
		if err := chat.Send(r.session, make([]byte, left-queueCost+1)); !errors.Is(err, ErrExtensionQueue) {
			t.Errorf("one byte too many: %v, want %v", err, ErrExtensionQueue)
		}
		if err := chat.Send(r.session, make([]byte, left-queueCost)); err != nil {
			t.Errorf("the last byte: %v", err)
		}
		if err := chat.Send(r.session, nil); !errors.Is(err, ErrExtensionQueue) {
			t.Errorf("an empty message to a full queue: %v, want %v", err, ErrExtensionQueue)
		}
		if n := chat.Broadcast([]byte("x")); n != 0 {
			t.Errorf("Broadcast to a full queue reached %d", n)
		}
		r.drain()
		synctest.Wait()
		if err := chat.Send(r.session, make([]byte, MaxExtensionMessage)); err != nil {
			t.Errorf("after the peer has read: %v", err)
		}
	})
}

// Empty messages fill the queue, too.
func TestEmptyExtensionMessagesAreLimited(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		nv, v, _ := openSpace(t, 0)
		chat := register(t, v, "chat")
		r := newRaw(t, "peer", nv, v, nv.party())
		synctest.Wait()
		n := 0
		for chat.Send(r.session, nil) == nil && n <= MaxExtensionQueue/queueCost {
			n++
		}
		if n != MaxExtensionQueue/queueCost {
			t.Errorf("%d empty messages were queued, want %d", n, MaxExtensionQueue/queueCost)
		}
	})
}

func TestLongExtensionMessageEndsTheSession(t *testing.T) {
	for size, want := range map[int]Code{MaxExtensionMessage: CodeNone, MaxExtensionMessage + 1: CodeLimit} {
		nv, v, _ := openSpace(t, 0)
		chat := register(t, v, "chat")
		r := rawPeer(t, "peer", nv, v)
		r.mustSend(0, &hypercore.Options{Extensions: append(r.names(), "chat")})
		r.send(0, &hypercore.Extension{ID: 3, Payload: make([]byte, size)})
		if err := r.settled(); CodeOf(err) != want {
			t.Errorf("message of %d bytes: %v, want code %v", size, err, want)
		}
		if got := len(chat.got); (got == 1) != (want == CodeNone) {
			t.Errorf("message of %d bytes: %d came", size, got)
		}
	}
}

func TestAbout(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		address := NewOpenAddress()
		na, nb := newNode(t, "alice"), newNode(t, "bob")
		about := About{Name: strings.Repeat("n", MaxName), Fields: bytes.Repeat([]byte{0}, MaxAboutFields)}
		a, b := na.open(address, WithAbout(about)), nb.open(address)
		events := 0
		b.Notify(func(e Event) {
			if e.Kind == AboutReceived {
				events++
			}
		})
		connect(t, na, a, nb, b)
		synctest.Wait()
		got := sessionWith(t, b, "alice").About()
		if got.Name != about.Name || !bytes.Equal(got.Fields, about.Fields) || events != 1 {
			t.Errorf("About = %+v in %d events, want %+v in 1", got, events, about)
		}
		if got := sessionWith(t, a, "bob").About(); got.Name != "" || got.Fields != nil {
			t.Errorf("About of a peer that said nothing = %+v", got)
		}
	})
}

func badAbouts() map[string]About {
	return map[string]About{
		"name too long":   {Name: strings.Repeat("n", MaxName+1)},
		"name no UTF-8":   {Name: "\xff"},
		"fields too long": {Fields: make([]byte, MaxAboutFields+1)},
	}
}

func TestBadAboutsAreRefused(t *testing.T) {
	n := newNode(t, "alice")
	for name, a := range badAbouts() {
		if _, err := Open(n.store, NewOpenAddress(), WithAbout(a)); err == nil {
			t.Errorf("%s: Open took it", name)
		}
		nv, v, _ := openSpace(t, 0)
		r := rawPeer(t, "peer", nv, v)
		r.send(0, &hypercore.Extension{ID: rawAbout, Payload: a.encode()})
		r.wantCode(CodeProtocol)
		if got := r.session.About(); got.Name != "" || got.Fields != nil {
			t.Errorf("%s: kept %+v", name, got)
		}
	}
	for name, payload := range map[string][]byte{
		"number for a name": varintField(1, 5), "cut off": {0x0a, 9, 'x'}, "a group": {0x0b, 0x0c}, "fixed size": {0x15, 0, 0, 0, 0},
	} {
		if a, err := decodeAbout(payload); err == nil {
			t.Errorf("%s: decodeAbout = %+v", name, a)
		}
	}
}

func TestTrafficIsCounted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		secret := NewSecret()
		na, nb := newNode(t, "alice"), newNode(t, "bob")
		a, b := na.open(secret.Address(), WithSecret(secret)), nb.open(secret.Address())
		fill(t, a, 20)
		wrap, tapA := tapping()
		connectWith(t, na, a, nb, b, setup{wrapA: wrap, silenceB: wire.MinSilence * 1e6})
		wantSynced(t, a)
		synctest.Wait()
		want := uint64(0)
		tapA.mu.Lock()
		for _, f := range tapA.frames {
			want += frameSize(f)
		}
		tapA.mu.Unlock()
		sent, _ := sessionWith(t, a, "bob").Traffic()
		_, received := sessionWith(t, b, "alice").Traffic()
		if sent != want || received != want {
			t.Errorf("%d bytes sent, %d received, want %d", sent, received, want)
		}
	})
}
