package multifeed

import (
	"bytes"
	"context"
	"errors"
	"net"
	"os"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/cobox-p2p/cobox-p2p/hypercore"
	"github.com/cobox-p2p/cobox-p2p/multifeed/wire"
)

// Four peers in a diamond kept the original busy for ever.
func TestDiamondSettlesAndGoesQuiet(t *testing.T) {
	for _, features := range [][]string{{featureFeeds}, byList.features} {
		diamond(t, features)
	}
}

func diamond(t *testing.T, features []string) {
	synctest.Test(t, func(t *testing.T) {
		secret := NewSecret()
		var nodes [4]*node
		var spaces [4]*Space
		for i := range nodes {
			nodes[i] = newNode(t, string(rune('a'+i)))
			spaces[i] = nodes[i].open(secret.Address(), WithSecret(secret))
			writeIn(t, spaces[i], "log", "one", "two")
		}
		var taps []*tap
		for _, l := range [][2]int{{0, 1}, {0, 2}, {1, 3}, {2, 3}} {
			wrapA, tapA := tapping()
			wrapB, tapB := tapping()
			taps = append(taps, tapA, tapB)
			connectWith(t, nodes[l[0]], spaces[l[0]], nodes[l[1]], spaces[l[1]], setup{wrapA: wrapA, wrapB: wrapB, features: features})
		}
		wantSynced(t, spaces[:]...)
		for i, s := range spaces {
			writeIn(t, s, "live", "three")
			for _, other := range spaces {
				wantBlock(t, other, s.Feeds()[0].Key(), 0, "one")
			}
			if i == 0 {
				time.Sleep(time.Hour)
			}
		}
		wantSynced(t, spaces[:]...)
		time.Sleep(time.Minute) // whatever was asked twice has come
		synctest.Wait()
		var before [8]int
		for i, tap := range taps {
			before[i] = tap.count(nil)
		}
		time.Sleep(time.Hour)
		synctest.Wait()
		for i, tap := range taps {
			if n := tap.count(nil) - before[i]; n != 0 {
				t.Errorf("side %d wrote %d frames in a quiet hour", i, n)
			}
			if slices.Contains(features, featureFeeds) {
				tap.seldom(t, 8)
			} else {
				tap.steady(t, 8)
			}
		}
		for i, s := range spaces {
			if n := len(s.Feeds()); n != 8 {
				t.Errorf("space %d has %d feeds, want 8", i, n)
			}
			wantSynced(t, s)
		}
	})
}

func TestKeepAlivesComeAtHalfTheSilence(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		secret := NewSecret()
		na, nb := newNode(t, "alice"), newNode(t, "bob")
		a, b := na.open(secret.Address(), WithSecret(secret)), nb.open(secret.Address())
		fill(t, a, 3)
		wrapA, tapA := tapping()
		wrapB, tapB := tapping()
		connectWith(t, na, a, nb, b, setup{wrapA: wrapA, wrapB: wrapB, silenceB: time.Minute})
		wantSynced(t, a)
		time.Sleep(2 * quietTime) // the feed's channel is closed
		synctest.Wait()
		beforeA, beforeB := tapA.count(nil), tapB.count(nil)
		time.Sleep(time.Hour)
		synctest.Wait()
		if n := tapA.count(nil) - beforeA; n < 119 || n > 121 {
			t.Errorf("%d frames in an hour to a peer that tolerates a minute of silence, want 120", n)
		}
		if n := tapA.count(func(f wire.Frame, _ wire.Message) bool { return f.KeepAlive }); n < 119 {
			t.Errorf("%d keep-alives, want 120", n)
		}
		if n := tapB.count(nil) - beforeB; n != 0 {
			t.Errorf("%d frames in an hour to a peer that tolerates any silence", n)
		}
		if len(b.Sessions()) != 1 {
			t.Error("the session ended")
		}
	})
}

func TestSilentPeerIsGivenUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		nv, v, _ := openSpace(t, 0)
		self := nv.party()
		self.Silence = time.Minute
		r := newRaw(t, "peer", nv, v, self)
		r.drain()
		// A byte now and then is no silence, though no frame is complete.
		frame, err := wire.AppendFrame(nil, 0, &hypercore.Options{Extensions: []string{"some", "names"}})
		if err != nil {
			t.Fatal(err)
		}
		for _, b := range frame {
			time.Sleep(59 * time.Second)
			if _, err := r.conn.Write([]byte{b}); err != nil {
				t.Fatalf("session ended: %v", r.end())
			}
		}
		started := time.Now()
		r.wantCode(CodeTimeout)
		if d := time.Since(started); d > time.Minute+time.Second {
			t.Errorf("ended after %v, want a minute", d)
		}
	})
}

// asker opens the feed, wants and requests blocks, and reads nothing.
func asker(t *testing.T, nv *node, v *Space, f *Feed, requests int) *raw {
	t.Helper()
	r := newRaw(t, "asker", nv, v, nv.party())
	synctest.Wait() // until the first frames, which nobody reads, block the writer
	told := &hypercore.Extension{ID: rawList, Payload: pageOf(true)}
	b, err := wire.AppendFrame(nil, 0, &hypercore.Options{Extensions: r.names()})
	if err == nil {
		b, err = wire.AppendFrame(b, 0, told)
	}
	if err != nil {
		t.Fatal(err)
	}
	frames := []wire.Message{&wire.Open{DiscoveryKey: f.Discovery()}, &hypercore.Want{Length: hypercore.MaxWant}}
	for i := range requests {
		frames = append(frames, &hypercore.Request{Index: uint64(i)})
	}
	for _, m := range frames {
		if b, err = wire.AppendFrame(b, 1, m); err != nil {
			t.Fatal(err)
		}
	}
	r.conn.Write(b)
	return r
}

// A peer that asks for all and reads nothing costs what one write holds.
func TestPeerThatNeverReadsCostsOneWrite(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const size = 10_000
		nv, nb := newNode(t, "victim"), newNode(t, "bob")
		address := NewOpenAddress()
		v := nv.open(address, WithEncryptionKey(EncryptionKey{1}))
		b := nb.open(address, WithEncryptionKey(EncryptionKey{1}))
		f := writeIn(t, v, "log")
		for range 100 {
			if _, err := f.Append(within(t), make([]byte, size)); err != nil {
				t.Fatal(err)
			}
		}
		r := asker(t, nv, v, f, hypercore.MaxRemoteRequests)
		synctest.Wait()
		started := time.Now()
		peer := r.session.PeerOf(f)
		if peer == nil {
			t.Fatal("the feed is not open")
		}
		// Options and list were written first and block the line.
		if n := peer.Stats().SentBytes; n > maxFlush+size+1000 {
			t.Errorf("%d bytes of blocks are in memory for a peer that reads nothing", n)
		}
		connect(t, nv, v, nb, b) // others are served meanwhile
		wantBlock(t, b, f.Key(), 99, string(make([]byte, size)))
		r.wantCode(CodeTimeout)
		if d := time.Since(started); d > WriteTimeout+2*lastWords {
			t.Errorf("ended after %v, want %v", d, WriteTimeout)
		}
	})
}

func TestRequestsWithoutReadingAreLimited(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		nv := newNode(t, "victim")
		v := nv.open(NewOpenAddress(), WithEncryptionKey(EncryptionKey{1}))
		f := fill(t, v, 3)
		r := asker(t, nv, v, f, hypercore.MaxRemoteRequests+1)
		r.wantCode(CodeLimit)
	})
}

// A large block may take a slow line longer than WriteTimeout.
func TestSlowReaderGetsALargeBlock(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		nv := newNode(t, "victim")
		v := nv.open(NewOpenAddress(), WithEncryptionKey(EncryptionKey{1}))
		f := writeIn(t, v, "log")
		if _, err := f.Append(t.Context(), make([]byte, 2<<20)); err != nil {
			t.Fatal(err)
		}
		r := asker(t, nv, v, f, 1)
		buf := make([]byte, 64<<10)
		total := 0
		for total < 2<<20 {
			n, err := r.conn.Read(buf)
			if total += n; err != nil {
				t.Fatalf("after %d bytes: %v, %v", total, err, r.end())
			}
			time.Sleep(time.Duration(n) * 20 * time.Second / maxWrite)
		}
	})
}

// Nothing that a read or a write sets undoes the end.
func TestDeadlinesAfterTheEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ca, cb := net.Pipe()
		defer ca.Close()
		defer cb.Close()
		d := &deadlines{stream: ca}
		d.listen(time.Hour)
		d.end()
		d.hearLastWords()
		if err := d.beforeWrite(); err != nil {
			t.Fatal(err)
		}
		started := time.Now()
		if _, err := ca.Write([]byte("x")); !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("Write after the end: %v, want %v", err, os.ErrDeadlineExceeded)
		}
		if _, err := d.Read(make([]byte, 1)); !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("Read after the end: %v, want %v", err, os.ErrDeadlineExceeded)
		}
		if d := time.Since(started); d != 0 {
			t.Errorf("they took %v, want to fail at once", d)
		}
	})
}

// lateDeadline ends the session just before a write gets its deadline.
type lateDeadline struct {
	net.Conn
	before func()
}

func (l *lateDeadline) SetWriteDeadline(at time.Time) error {
	l.before()
	return l.Conn.SetWriteDeadline(at)
}

// A session that is ended as it begins to write to a peer that does not read
// ends at once.
func TestEndIsNotOvertakenByADeadline(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		nv, v, _ := openSpace(t, 1)
		ca, cb := net.Pipe()
		defer ca.Close()
		defer cb.Close()
		ctx, cancel := context.WithCancel(t.Context())
		o := &Opened{Stream: &lateDeadline{ca, cancel}, Reader: wire.NewReader(ca, wire.MaxFrame), Address: v.Address()}
		o.Remote.PeerID = []byte(nv.id + "'s friend")
		started := time.Now()
		err := v.Replicate(ctx, o)
		if !errors.Is(err, context.Canceled) {
			t.Errorf("Replicate = %v, want %v", err, context.Canceled)
		}
		if d := time.Since(started); d != 0 {
			t.Errorf("ended after %v, want at once", d)
		}
	})
}

// The remote closes its side in the middle of what we write: that is no fault
// of anybody.
func TestRemoteThatClosesIsNoError(t *testing.T) {
	for i := range 30 {
		reading := i%2 == 0
		nv, v, _ := openSpace(t, 30)
		r := newRaw(t, "peer", nv, v, nv.party())
		if reading {
			r.drain()
			r.mustSend(0, &hypercore.Options{Extensions: r.names()})
			r.wantAlive()
		}
		r.conn.Close()
		if err := r.end(); err != nil {
			t.Errorf("reading %v: session ended with %v, want nil", reading, err)
		}
	}
}

func TestReplicateRefusesAStreamOfAnotherSpace(t *testing.T) {
	_, v, _ := openSpace(t, 0)
	c, _ := net.Pipe()
	err := v.Replicate(t.Context(), &Opened{Stream: c, Reader: wire.NewReader(bytes.NewReader(nil), wire.MaxFrame), Address: NewOpenAddress()})
	if err == nil || errors.Is(err, os.ErrClosed) {
		t.Errorf("Replicate = %v, want an error", err)
	}
}
