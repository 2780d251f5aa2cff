package multifeed

import (
	"bytes"
	"errors"
	"net"
	"sync/atomic"
	"testing"

	"github.com/cobox-p2p/cobox-p2p/hypercore"
	"github.com/cobox-p2p/cobox-p2p/hypercore/merkle"
	"github.com/cobox-p2p/cobox-p2p/multifeed/wire"
)

// alterRange makes a tamper function that changes the RangeData of that number,
// from 0, as a message.
func alterRange(number int, change func(*hypercore.RangeData)) func([]byte) []byte {
	return func(f []byte) []byte {
		if frameType(f) != wire.TypeRangeData {
			return f
		}
		if number--; number != -1 {
			return f
		}
		fr, err := wire.NewReader(bytes.NewReader(f), wire.MaxFrame).ReadFrame()
		if err != nil {
			panic(err)
		}
		m, err := wire.Decode(fr)
		if err != nil {
			panic(err)
		}
		change(m.(*hypercore.RangeData))
		out, err := wire.AppendFrame(nil, fr.Channel, m)
		if err != nil {
			panic(err)
		}
		return out
	}
}

// tamperRanges runs a session whose first side's frames pass through tamper, and
// returns what the other side made of it.
func tamperRanges(t *testing.T, na *node, a *Space, nb *node, b *Space, tamper func([]byte) []byte) error {
	t.Helper()
	wrap := func(c net.Conn) net.Conn { return &tamperer{c, 2, tamper, nil} }
	l := connectWith(t, na, a, nb, b, setup{wrapA: wrap, features: Features()})
	_, err := l.wait()
	return err
}

func TestBadRangesAreNamed(t *testing.T) {
	for name, c := range map[string]struct {
		change func(*hypercore.RangeData)
		want   error
		code   Code
	}{
		"block":         {func(d *hypercore.RangeData) { d.Blocks[0] = []byte("other") }, merkle.ErrProof, CodeProof},
		"signature":     {func(d *hypercore.RangeData) { d.Signature[9] ^= 1 }, merkle.ErrProofSignature, CodeProof},
		"no signature":  {func(d *hypercore.RangeData) { d.Signature = nil }, merkle.ErrProofSignature, CodeProof},
		"node to spare": {func(d *hypercore.RangeData) { d.Nodes = append(d.Nodes, merkle.Node{Index: 40}) }, merkle.ErrProof, CodeProof},
		"length":        {func(d *hypercore.RangeData) { d.Length = merkle.MaxLength + 1 }, hypercore.ErrRange, CodeProtocol},
	} {
		t.Run(name, func(t *testing.T) {
			secret := NewSecret()
			v := newVictim(t, secret)
			na := newNode(t, "attacker")
			a := na.open(secret.Address(), WithSecret(secret))
			w := fill(t, a, 3)
			err := tamperRanges(t, na, a, v.node, v.space, alterRange(0, c.change))
			if CodeOf(err) != c.code || !errors.Is(err, c.want) {
				t.Fatalf("session ended with %v, want %v", err, c.want)
			}
			if f, err := v.space.Feed(w.Key()); err == nil && f.Durable() > 0 {
				t.Errorf("%d blocks stored", f.Durable())
			}
			v.unharmed(t)
		})
	}
}

// writeBlocks appends blocks of one size, each other than the others.
func writeBlocks(t testing.TB, s *Space, count, size int) *Feed {
	t.Helper()
	w, err := s.Writer("log")
	if err != nil {
		t.Fatal(err)
	}
	batch := make([][]byte, count)
	for i := range batch {
		batch[i] = bytes.Repeat([]byte{byte(i), byte(i >> 8)}, size/2)
	}
	if _, err := w.Append(within(t), batch...); err != nil {
		t.Fatal(err)
	}
	return w
}

// A bad range in the middle of others ends the session, whatever stage finds it.
func TestBadRangeAmongOthers(t *testing.T) {
	for _, number := range []int{1, 2, 3} {
		secret := NewSecret()
		v := newVictim(t, secret)
		na := newNode(t, "attacker")
		a := na.open(secret.Address(), WithSecret(secret))
		w := writeBlocks(t, a, 220, 1<<10)
		bad := func(d *hypercore.RangeData) { d.Blocks[len(d.Blocks)/2][0] ^= 1 }
		first, again := alterRange(number, bad), 0
		err := tamperRanges(t, na, a, v.node, v.space, func(f []byte) []byte {
			if frameType(f) == wire.TypeRangeData {
				again++
			}
			if again > number+1 { // asked for in full, and wrong again
				return alterRange(0, bad)(f)
			}
			return first(f)
		})
		if CodeOf(err) != CodeProof || !errors.Is(err, merkle.ErrProof) {
			t.Errorf("range %d: session ended with %v, want a bad proof", number, err)
		}
		f, err := v.space.Feed(w.Key())
		if err != nil {
			t.Fatal(err)
		}
		if held, _ := f.Held(); held == 0 || held == 220 {
			t.Errorf("range %d: %d blocks are held", number, held)
		}
		v.unharmed(t)
	}
}

// Without the feature, ranges mean nothing, whatever is in them.
func TestRangesWithoutTheFeatureAreDropped(t *testing.T) {
	secret := NewSecret()
	nv := newNode(t, "victim")
	v := nv.open(secret.Address())
	r := rawPeer(t, "raw", nv, v)
	for _, typ := range []byte{wire.TypeRangeRequest, wire.TypeRangeData} {
		for _, channel := range []byte{0, 1} {
			if _, err := r.conn.Write([]byte{2, channel<<4 | typ, 0xff}); err != nil {
				t.Fatal(err)
			}
		}
	}
	r.wantAlive()
}

// limitedConn fails after so many bytes were written.
type limitedConn struct {
	net.Conn
	left *atomic.Int64
}

func (c limitedConn) Write(p []byte) (int, error) {
	if c.left.Add(-int64(len(p))) < 0 {
		c.Conn.Close()
		return 0, net.ErrClosed
	}
	return c.Conn.Write(p)
}

// A transfer that breaks goes on where it stopped.
func TestRangesGoOnWhereTheyStopped(t *testing.T) {
	secret := NewSecret()
	na, nb := newNode(t, "alice"), newNode(t, "bob")
	a := na.open(secret.Address(), WithSecret(secret))
	b := nb.open(secret.Address(), WithSecret(secret))
	const blocks = 4000
	w := writeBlocks(t, a, blocks, 1<<10)
	for i := range 4 {
		var left atomic.Int64
		left.Store(1 << 20)
		if i == 3 {
			left.Store(1 << 40)
		}
		l := connectWith(t, na, a, nb, b, setup{wrapA: func(c net.Conn) net.Conn { return limitedConn{c, &left} }, features: Features()})
		if i < 3 {
			l.wait()
			continue
		}
		f := awaitFeed(t, b, w.Key())
		if err := f.Download(hypercore.Span{Count: blocks}, hypercore.DownloadOptions{}).Wait(within(t)); err != nil {
			t.Fatal(err)
		}
	}
	f := awaitFeed(t, b, w.Key())
	if s := f.Stats(); s.GotBlocks != blocks {
		t.Errorf("%d blocks came for %d", s.GotBlocks, blocks)
	}
}
