package multifeed

import (
	"context"
	"errors"
	"io"
	"net"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/cobox-p2p/cobox-p2p/multifeed/wire"
)

// pair runs both ends on a pipe, each of which closes its end when it fails.
func pair(t *testing.T, initiate, respond func(Stream) (*Opened, error)) (a, b *Opened, errA, errB error) {
	t.Helper()
	ca, cb := net.Pipe()
	t.Cleanup(func() { ca.Close(); cb.Close() })
	done := make(chan struct{})
	go func() {
		defer close(done)
		if b, errB = respond(cb); errB != nil {
			cb.Close()
		}
	}()
	if a, errA = initiate(ca); errA != nil {
		ca.Close()
	}
	<-done
	return a, b, errA, errB
}

func initiateAs(t *testing.T, self Party, remote []byte, a Address) func(Stream) (*Opened, error) {
	return func(s Stream) (*Opened, error) { return Initiate(t.Context(), s, self, remote, a) }
}

func respondAs(t *testing.T, self Party, remote []byte, lookup func([32]byte) (Address, bool)) func(Stream) (*Opened, error) {
	return func(s Stream) (*Opened, error) { return Respond(t.Context(), s, self, remote, lookup) }
}

func TestHandshakeOnPipe(t *testing.T) {
	for _, address := range []Address{testSecret.Address(), NewOpenAddress()} {
		a, b, errA, errB := pair(t, initiateAs(t, partyA, peerB, address),
			respondAs(t, partyB, peerA, spaces(peerB, peerA, NewOpenAddress(), address)))
		if errA != nil || errB != nil {
			t.Fatalf("%v: %v, %v", address.Kind, errA, errB)
		}
		if a.Transcript != b.Transcript || a.Address != b.Address || a.Initiator == b.Initiator {
			t.Errorf("%v: ends differ: %+v, %+v", address.Kind, a, b)
		}
	}
}

// A peer in the middle who passes everything on gets nowhere.
func TestHandshakeRelayed(t *testing.T) {
	address := testSecret.Address()
	middle := []byte("\x00\x24" + "the peer in the middle, 36 bytes ID.")
	known := spaces(peerB, middle, address)
	whatever := func([32]byte) (Address, bool) { return address, true }
	for i, lookup := range []func([32]byte) (Address, bool){known, whatever} {
		_, _, errA, errB := pair(t, initiateAs(t, partyA, middle, address), respondAs(t, partyB, middle, lookup))
		if CodeOf(errA) != CodeRefused || errB == nil {
			t.Errorf("lookup %d: %v, %v", i, errA, errB)
		}
	}
}

func TestHandshakeWrongKind(t *testing.T) {
	address := testSecret.Address()
	other := Address{KindOpen, address.Key}
	_, _, errA, errB := pair(t, initiateAs(t, partyA, peerB, address), respondAs(t, partyB, peerA, spaces(peerB, peerA, other)))
	if !errors.Is(errA, ErrBadProof) || errB == nil {
		t.Errorf("%v, %v", errA, errB)
	}
}

// dribble writes one byte a second.
func dribble(c net.Conn, b []byte) {
	for i := range b {
		time.Sleep(time.Second)
		if _, err := c.Write(b[i : i+1]); err != nil {
			return
		}
	}
}

func TestHandshakeTimeout(t *testing.T) {
	address := testSecret.Address()
	a1, _, b := vectorBytes(t)
	run := func(name string, limit time.Duration, remote func(net.Conn), check func(error) bool, open func(Stream) (*Opened, error)) {
		synctest.Test(t, func(t *testing.T) {
			ours, theirs := net.Pipe()
			var wg sync.WaitGroup
			wg.Go(func() { remote(theirs) })
			start := time.Now()
			o, err := open(ours)
			if took := time.Since(start); o != nil || !check(err) || took != limit {
				t.Errorf("%s: after %v %v", name, took, err)
			}
			ours.Close()
			wg.Wait()
		})
	}
	silent := func(net.Conn) {}
	deaf := func(c net.Conn) { io.ReadFull(c, make([]byte, 1)) }
	slowA := func(c net.Conn) { go io.Copy(io.Discard, c); dribble(c, a1) }
	slowB := func(c net.Conn) { go io.Copy(io.Discard, c); dribble(c, b) }
	code := func(err error) bool { return CodeOf(err) == CodeTimeout }
	initiate := func(s Stream) (*Opened, error) { return Initiate(context.Background(), s, partyA, peerB, address) }
	respond := func(s Stream) (*Opened, error) {
		return Respond(context.Background(), s, partyB, peerA, spaces(peerB, peerA, address))
	}
	run("nobody reads", HandshakeTimeout, silent, code, initiate)
	run("nobody reads on", HandshakeTimeout, deaf, code, initiate)
	run("slow responder", HandshakeTimeout, slowB, code, initiate)
	run("silent initiator", HandshakeTimeout, silent, code, respond)
	run("slow initiator", HandshakeTimeout, slowA, code, respond)
	run("context ends", 3*time.Second, silent, func(err error) bool { return errors.Is(err, context.DeadlineExceeded) },
		func(s Stream) (*Opened, error) {
			ctx, cancel := context.WithTimeout(context.Background(), 3*time.Second)
			defer cancel()
			return Initiate(ctx, s, partyA, peerB, address)
		})
	run("context ended before", 0, silent, func(err error) bool { return errors.Is(err, context.Canceled) },
		func(s Stream) (*Opened, error) {
			ctx, cancel := context.WithCancel(context.Background())
			cancel()
			return Respond(ctx, s, partyB, peerA, nil)
		})
}

// The deadline of the handshake doesn't outlive it, nor does its context.
func TestHandshakeDeadlineIsLifted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		address := testSecret.Address()
		ctx, cancel := context.WithCancel(t.Context())
		a, b, errA, errB := pair(t,
			func(s Stream) (*Opened, error) { return Initiate(ctx, s, partyA, peerB, address) },
			func(s Stream) (*Opened, error) {
				return Respond(ctx, s, partyB, peerA, spaces(peerB, peerA, address))
			})
		if errA != nil || errB != nil {
			t.Fatal(errA, errB)
		}
		cancel()
		time.Sleep(time.Hour)
		go a.Stream.Write(wire.AppendKeepAlive(nil))
		if f, err := b.Reader.ReadFrame(); err != nil || !f.KeepAlive {
			t.Errorf("an hour later: %+v, %v", f, err)
		}
	})
}
