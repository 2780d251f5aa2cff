package multifeed

import (
	"context"
	"fmt"
	"net"
	"sync"
	"testing"
	"time"

	"google.golang.org/protobuf/encoding/protowire"

	"github.com/cobox-p2p/cobox-p2p/hypercore"
	"github.com/cobox-p2p/cobox-p2p/multifeed/wire"
)

// IDs of a raw peer's extensions.
const (
	rawAbout = iota
	rawList
	rawPing
)

// raw is a peer that knows the address and says what the test wants.
type raw struct {
	t       testing.TB
	conn    net.Conn
	o       *Opened
	session *Session
	names   func() []string
	pings   chan struct{}
	ended   chan error // what the victim's Replicate returned

	mu    sync.Mutex // guards all below
	heard []wire.Message
	more  chan struct{} // closed at the next message
}

// newRaw opens a session with the space and says nothing yet. Its frames are
// read only after drain.
func newRaw(t testing.TB, id string, nv *node, v *Space, self Party, opts ...SessionOption) *raw {
	t.Helper()
	return newRawWith(t, id, nil, v, self, opts...)
}

// newRawWith is newRaw of a peer that has features.
func newRawWith(t testing.TB, id string, features []string, v *Space, self Party, opts ...SessionOption) *raw {
	t.Helper()
	ca, cb := net.Pipe()
	r := &raw{t: t, conn: ca, pings: make(chan struct{}, 1), ended: make(chan error, 1), more: make(chan struct{})}
	ping, err := v.RegisterExtension("ping "+id, func(*Session, []byte) { r.pings <- struct{}{} })
	if err != nil {
		t.Fatal(err)
	}
	started := make(chan *Session, 1)
	stop := v.Notify(func(e Event) {
		if e.Kind == SessionStarted && string(e.Session.Remote().PeerID) == id {
			started <- e.Session
		}
	})
	defer stop()
	ctx, cancel := context.WithCancel(context.Background())
	go func() {
		o, err := Respond(ctx, cb, self, []byte(id), func([32]byte) (Address, bool) { return v.Address(), true })
		if err == nil {
			err = v.Replicate(ctx, o, opts...)
		}
		cb.Close()
		r.ended <- err
	}()
	if r.o, err = Initiate(ctx, ca, Party{PeerID: []byte(id), Features: features}, self.PeerID, v.Address()); err != nil {
		t.Fatal(err)
	}
	r.session = <-started
	t.Cleanup(func() { cancel(); ca.Close(); r.ended <- <-r.ended; ping.Close() })
	r.names = func() []string { return []string{aboutName, listName, "ping " + id} }
	return r
}

// rawPeer is a raw peer that reads all and has told its extensions.
func rawPeer(t *testing.T, id string, nv *node, v *Space) *raw {
	t.Helper()
	r := newRaw(t, id, nv, v, nv.party())
	r.drain()
	r.mustSend(0, &hypercore.Options{Extensions: r.names()})
	return r
}

// drain reads and keeps what the victim says, from now on.
func (r *raw) drain() {
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			f, err := r.o.Reader.ReadFrame()
			if err != nil {
				return
			}
			if f.KeepAlive {
				continue
			}
			m, err := wire.Decode(f)
			if err != nil {
				r.t.Errorf("victim sent a frame that does not decode: %v", err)
				return
			}
			r.mu.Lock()
			r.heard = append(r.heard, m)
			close(r.more)
			r.more = make(chan struct{})
			r.mu.Unlock()
		}
	}()
	r.t.Cleanup(func() { r.conn.Close(); <-done })
}

// await returns the first message, heard already or to come, that matches.
func (r *raw) await(match func(wire.Message) bool) wire.Message {
	r.t.Helper()
	late := time.After(20 * time.Second)
	for i := 0; ; {
		r.mu.Lock()
		heard, more := r.heard, r.more
		r.mu.Unlock()
		for ; i < len(heard); i++ {
			if match(heard[i]) {
				return heard[i]
			}
		}
		select {
		case <-more:
		case <-late:
			r.t.Fatal("the victim did not say what the test waits for")
		}
	}
}

// count returns how many messages heard so far match.
func (r *raw) count(match func(wire.Message) bool) (n int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, m := range r.heard {
		if match(m) {
			n++
		}
	}
	return n
}

// send writes one frame and fails when the session has ended.
func (r *raw) send(channel uint64, m wire.Message) error {
	b, err := wire.AppendFrame(nil, channel, m)
	if err != nil {
		r.t.Fatal(err)
	}
	_, err = r.conn.Write(b)
	return err
}

func (r *raw) mustSend(channel uint64, m wire.Message) {
	r.t.Helper()
	if err := r.send(channel, m); err != nil {
		r.t.Fatalf("session ended: %v, %v", err, r.end())
	}
}

// settled returns nil when the victim has handled all that was sent, else what
// its session ended with.
func (r *raw) settled() error {
	r.send(0, &hypercore.Extension{ID: rawPing})
	select {
	case <-r.pings:
		return nil
	case err := <-r.ended:
		r.ended <- err
		if err == nil {
			return fmt.Errorf("session ended")
		}
		return err
	}
}

// end returns what the victim's session ended with.
func (r *raw) end() error {
	r.t.Helper()
	select {
	case err := <-r.ended:
		r.ended <- err
		return err
	case <-time.After(2 * time.Minute):
		r.t.Fatal("the session did not end")
		return nil
	}
}

// wantCode fails unless the victim ended the session with the code.
func (r *raw) wantCode(want Code) {
	r.t.Helper()
	if err := r.end(); CodeOf(err) != want {
		r.t.Errorf("session ended with %v, want code %v", err, want)
	}
}

// wantAlive fails unless the victim has borne all that was sent.
func (r *raw) wantAlive() {
	r.t.Helper()
	if err := r.settled(); err != nil {
		r.t.Errorf("session ended with %v, want it to go on", err)
	}
}

// pageOf returns a page of the feed list.
func pageOf(last bool, entries ...Entry) []byte {
	var page []byte
	for _, e := range entries {
		page = protowire.AppendTag(page, pageEntry, protowire.BytesType)
		page = protowire.AppendBytes(page, appendEntry(nil, e))
	}
	if last {
		page = protowire.AppendVarint(protowire.AppendTag(page, pageLast, protowire.VarintType), 1)
	}
	return page
}

func (r *raw) page(last bool, entries ...Entry) error {
	return r.send(0, &hypercore.Extension{ID: rawList, Payload: pageOf(last, entries...)})
}

// keysOf returns n valid feed keys, always the same.
func keysOf(n int) []hypercore.Key {
	keys := make([]hypercore.Key, n)
	for i := range keys {
		keys[i] = hypercore.NewKeyPair([hypercore.SeedSize]byte{byte(i), byte(i >> 8), byte(i >> 16), 7}).Public
	}
	return keys
}
