package multifeed

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"slices"
	"strings"
	"testing"

	"github.com/cobox-p2p/cobox-p2p/hypercore"
	"github.com/cobox-p2p/cobox-p2p/hypercore/merkle"
	"github.com/cobox-p2p/cobox-p2p/multifeed/wire"
)

// tamperer is a stream whose owner's frames pass through tamper once the
// handshake is over.
type tamperer struct {
	net.Conn
	skip   int // control frames of the handshake left
	tamper func(frame []byte) []byte
	last   *bool // set by tamper: nothing follows this frame
}

func (t *tamperer) Write(p []byte) (int, error) {
	out := []byte{}
	for rest := p; len(rest) > 0; {
		size, n := binary.Uvarint(rest)
		frame := rest[:n+int(size)]
		rest = rest[len(frame):]
		if t.skip > 0 {
			t.skip--
		} else {
			frame = t.tamper(slices.Clone(frame))
		}
		out = append(out, frame...)
		if t.last != nil && *t.last {
			t.Conn.Write(out)
			return 0, t.Conn.Close()
		}
	}
	if _, err := t.Conn.Write(out); err != nil {
		return 0, err
	}
	return len(p), nil
}

// frameType returns the type of message in a frame.
func frameType(frame []byte) byte {
	_, n := binary.Uvarint(frame)
	header, _ := binary.Uvarint(frame[n:])
	return byte(header & 15)
}

// attack runs a session in which the initiator's frames are tampered with, and
// returns what the victim made of it.
func attack(t *testing.T, na *node, a *Space, nb *node, b *Space, tamper func([]byte) []byte) error {
	t.Helper()
	return attackLast(t, na, a, nb, b, tamper, nil)
}

func attackLast(t *testing.T, na *node, a *Space, nb *node, b *Space, tamper func([]byte) []byte, last *bool) error {
	t.Helper()
	ctx, cancel := context.WithCancel(within(t))
	defer cancel()
	ca, cb := net.Pipe()
	stop := context.AfterFunc(ctx, func() { ca.Close(); cb.Close() })
	defer stop()
	attacker := make(chan struct{})
	go func() {
		defer close(attacker)
		if o, err := Initiate(ctx, &tamperer{ca, 2, tamper, last}, na.party(), []byte(nb.id), a.Address()); err == nil {
			a.Replicate(ctx, o)
		}
	}()
	defer func() { cancel(); <-attacker }()
	o, err := Respond(ctx, cb, nb.party(), []byte(na.id), func([32]byte) (Address, bool) { return b.Address(), true })
	if err != nil {
		t.Fatal(err)
	}
	return b.Replicate(ctx, o)
}

// victim is a seeder that replicates with an honest member at the same time.
type victim struct {
	node   *node
	space  *Space
	honest *Space
}

func newVictim(t *testing.T, secret Secret) *victim {
	t.Helper()
	nv, nh := newNode(t, "victim"), newNode(t, "honest")
	v := &victim{nv, nv.open(secret.Address()), nh.open(secret.Address(), WithSecret(secret))}
	connect(t, nh, v.honest, nv, v.space)
	return v
}

// unharmed fails unless the victim still gets what the honest member writes.
func (v *victim) unharmed(t *testing.T) {
	t.Helper()
	w, err := v.honest.Writer("after")
	if err != nil {
		t.Fatal(err)
	}
	seq, err := w.Append(within(t), []byte("still here"))
	if err != nil {
		t.Fatal(err)
	}
	f := awaitFeed(t, v.space, w.Key())
	if _, err := f.Block(within(t), seq); err != nil {
		t.Fatalf("after the attack: %v", err)
	}
	for f := range v.space.Feeds() {
		if a, err := v.space.Feeds()[f].Audit(within(t)); err != nil || !a.Valid() {
			t.Fatalf("after the attack the store holds what does not verify: %+v, %v", a, err)
		}
	}
}

func awaitFeed(t *testing.T, s *Space, key hypercore.Key) *Feed {
	t.Helper()
	for f := range s.Watch(within(t)) {
		if f.Key() == key {
			return f
		}
	}
	t.Fatalf("feed %s did not arrive", key)
	return nil
}

func TestFlippedBitsCostTheSenderItsSession(t *testing.T) {
	secret := NewSecret()
	v := newVictim(t, secret)
	na := newNode(t, "attacker")
	a := na.open(secret.Address(), WithSecret(secret))
	w := fill(t, a, 3)
	for at, size := 0, 1; at < size; at++ {
		hit := false
		err := attackLast(t, na, a, v.node, v.space, func(f []byte) []byte {
			if frameType(f) == wire.TypeData && !hit {
				hit, size = true, len(f)
				f[at] ^= 1 << (at % 8)
			}
			return f
		}, &hit)
		if !hit {
			t.Fatalf("byte %d: no Data was sent", at)
		}
		// A flip in the frame's length, channel or index can make of it the
		// beginning of a longer frame or a block that nobody asked for. All
		// others are refused by name.
		switch code := CodeOf(err); {
		case code == CodeProof || code == CodeProtocol:
		case err == nil || errors.Is(err, io.ErrUnexpectedEOF):
			if at > 8 {
				t.Errorf("byte %d of %d flipped: session ended with %v", at, size, err)
			}
		default:
			t.Errorf("byte %d of %d flipped: session ended with %v", at, size, err)
		}
		if f, err := v.space.Feed(w.Key()); err == nil && f.Durable() > 0 {
			t.Errorf("byte %d of %d flipped: %d blocks stored", at, size, f.Durable())
		}
	}
	v.unharmed(t)
}

func fill(t *testing.T, s *Space, blocks int) *Feed {
	t.Helper()
	w, err := s.Writer("log")
	if err != nil {
		t.Fatal(err)
	}
	for i := range blocks {
		if _, err := w.Append(within(t), fmt.Appendf(nil, "block %d", i)); err != nil {
			t.Fatal(err)
		}
	}
	return w
}

// alter makes a tamper function that changes the first Data as a message.
func alter(change func(*hypercore.Data)) func([]byte) []byte {
	done := false
	return func(f []byte) []byte {
		if done || frameType(f) != wire.TypeData {
			return f
		}
		done = true
		fr, err := wire.NewReader(bytes.NewReader(f), wire.MaxFrame).ReadFrame()
		if err != nil {
			panic(err)
		}
		m, err := wire.Decode(fr)
		if err != nil {
			panic(err)
		}
		change(m.(*hypercore.Data))
		out, err := wire.AppendFrame(nil, fr.Channel, m)
		if err != nil {
			panic(err)
		}
		return out
	}
}

func TestBadProofsAreNamed(t *testing.T) {
	for _, c := range []struct {
		name   string
		change func(*hypercore.Data)
		want   error
		code   Code
	}{
		{"block", func(d *hypercore.Data) { d.Value[0] ^= 1 }, merkle.ErrProof, CodeProof},
		{"node hash", func(d *hypercore.Data) { d.Nodes[0].Hash[3] ^= 1 }, merkle.ErrProof, CodeProof},
		{"sizes shifted", func(d *hypercore.Data) { d.Nodes[0].Size++; d.Value = d.Value[:len(d.Value)-1] }, merkle.ErrProof, CodeProof},
		{"signature", func(d *hypercore.Data) { d.Signature[9] ^= 1 }, merkle.ErrProofSignature, CodeProof},
		{"no signature", func(d *hypercore.Data) { d.Signature = nil }, merkle.ErrProofSignature, CodeProof},
		{"node missing", func(d *hypercore.Data) { d.Nodes = d.Nodes[1:] }, merkle.ErrProof, CodeProof},
		{"node to spare", func(d *hypercore.Data) { d.Nodes = append(d.Nodes, merkle.Node{Index: 40}) }, merkle.ErrProof, CodeProof},
		{"no block", func(d *hypercore.Data) { d.Value = nil }, hypercore.ErrMalformed, CodeProtocol},
	} {
		t.Run(c.name, func(t *testing.T) {
			secret := NewSecret()
			v := newVictim(t, secret)
			na := newNode(t, "attacker")
			a := na.open(secret.Address(), WithSecret(secret))
			w := fill(t, a, 3)
			err := attack(t, na, a, v.node, v.space, alter(c.change))
			if CodeOf(err) != c.code || c.want != nil && !errors.Is(err, c.want) {
				t.Fatalf("session ended with %v, want %v", err, c.want)
			}
			if f, err := v.space.Feed(w.Key()); err == nil && f.Durable() > 0 {
				t.Errorf("%d blocks stored", f.Durable())
			}
			v.unharmed(t)
		})
	}
}

func TestOversizedFrameIsRefusedBeforeItIsRead(t *testing.T) {
	for _, c := range []struct {
		size uint64
		want Code
	}{{wire.MaxFrame + 1, CodeProtocol}, {1 << 40, CodeProtocol}} {
		secret := NewSecret()
		v := newVictim(t, secret)
		na := newNode(t, "attacker")
		a := na.open(secret.Address(), WithSecret(secret))
		err := attack(t, na, a, v.node, v.space, func(f []byte) []byte {
			return binary.AppendUvarint(nil, c.size)
		})
		if CodeOf(err) != c.want || !strings.Contains(err.Error(), "length") {
			t.Errorf("frame of %d bytes: session ended with %v", c.size, err)
		}
		v.unharmed(t)
	}
}

// listOf replaces the first page of the attacker's feed list.
func listOf(entries ...Entry) func([]byte) []byte {
	done := false
	return func(f []byte) []byte {
		if done || frameType(f) != wire.TypeExtension {
			return f
		}
		done = true
		page := []byte{}
		for _, e := range entries {
			b := appendEntry(nil, e)
			page = append(binary.AppendUvarint(append(page, pageEntry<<3|2), uint64(len(b))), b...)
		}
		_, n := binary.Uvarint(f)
		out, err := wire.AppendFrame(nil, 0, &hypercore.Extension{ID: uint64(f[n+1]), Payload: page})
		if err != nil {
			panic(err)
		}
		return out
	}
}

func TestHostileEntriesEndTheSession(t *testing.T) {
	secret, other := NewSecret(), NewSecret()
	pair := hypercore.GenerateKeyPair()
	good := Entry{Feed: pair.Public, Admission: secret.Admit(pair.Public)}
	head := merkle.Hash{1}
	for _, c := range []struct {
		name string
		e    Entry
		want error
	}{
		{"not admitted", Entry{Feed: pair.Public}, ErrNotAdmitted},
		{"admitted to another space", Entry{Feed: pair.Public, Admission: other.Admit(pair.Public)}, ErrNotAdmitted},
		{"weak key", Entry{Feed: hypercore.Key{1}, Admission: good.Admission}, hypercore.ErrWeakKey},
		{"the address as a feed", Entry{Feed: secret.Address().Key, Admission: secret.Admit(secret.Address().Key)}, errAddressFeed},
		{"a head nobody signed", Entry{Feed: pair.Public, Admission: good.Admission, Length: 9, RootHash: head,
			Signature: pair.Sign(hypercore.Signable(head, 8))}, hypercore.ErrBadSignature},
	} {
		t.Run(c.name, func(t *testing.T) {
			v := newVictim(t, secret)
			na := newNode(t, "attacker")
			a := na.open(secret.Address())
			before := len(v.space.Feeds())
			err := attack(t, na, a, v.node, v.space, listOf(c.e))
			if !errors.Is(err, c.want) || CodeOf(err) != CodeProof {
				t.Errorf("session ended with %v, want %v", err, c.want)
			}
			if n := len(v.space.Feeds()); n != before {
				t.Errorf("%d feeds in the set, want %d", n, before)
			}
			v.unharmed(t)
		})
	}
}

func TestSecondBranchIsRefusedAndNamed(t *testing.T) {
	secret, instance := NewSecret(), NewInstance()
	v := newVictim(t, secret)
	// Two copies of one writer, each of which went its own way.
	var copies [2]*Space
	var nodes [2]*node
	for i := range copies {
		nodes[i] = newNode(t, "writer")
		copies[i] = nodes[i].open(secret.Address(), WithSecret(secret), WithInstance(instance))
		w := fill(t, copies[i], 2)
		for n := range 3 + i {
			if _, err := w.Append(within(t), fmt.Appendf(nil, "copy %d, block %d", i, n)); err != nil {
				t.Fatal(err)
			}
		}
	}
	key := copies[0].Feeds()[0].Key()
	// The second one shows what it has without a look at what others have.
	copies[1].Close()
	nodes[1].store.Release(key)
	copies[1] = nodes[1].open(secret.Address(), WithSecret(secret))
	connect(t, nodes[0], copies[0], v.node, v.space)
	f := awaitFeed(t, v.space, key)
	if _, err := f.Block(within(t), 4); err != nil {
		t.Fatal(err)
	}
	kept, err := f.Block(within(t), 4)
	if err != nil {
		t.Fatal(err)
	}

	err = attack(t, nodes[1], copies[1], v.node, v.space, func(f []byte) []byte { return f })
	if CodeOf(err) != CodeFork || !errors.Is(err, hypercore.ErrForked) {
		t.Errorf("session ended with %v, want %v", err, hypercore.ErrForked)
	}
	if got, err := f.Block(within(t), 4); err != nil || !bytes.Equal(got, kept) || f.Length() != 5 {
		t.Errorf("length %d, block 4 changed: %v", f.Length(), err)
	}
	if !errors.Is(f.Forked(), hypercore.ErrForked) {
		t.Errorf("Forked = %v", f.Forked())
	}
	v.unharmed(t)
}
