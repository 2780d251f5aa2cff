package hypercore_test

import (
	"encoding/binary"
	"errors"
	"testing"
	"time"

	"github.com/cobox-p2p/cobox-p2p/hypercore"
	"github.com/cobox-p2p/cobox-p2p/hypercore/merkle"
)

// script turns bytes into messages: honest ones, honest ones with changes, and
// nonsense.
type script struct {
	rest   []byte
	writer *hypercore.Feed
}

func (s *script) byte() byte {
	if len(s.rest) == 0 {
		return 0
	}
	b := s.rest[0]
	s.rest = s.rest[1:]
	return b
}

func (s *script) bytes(n int) []byte {
	n = min(n, len(s.rest))
	b := append([]byte{}, s.rest[:n]...)
	s.rest = s.rest[n:]
	return b
}

// number favours small numbers and the limits.
func (s *script) number() uint64 {
	switch b := s.byte(); {
	case b < 200:
		return uint64(b) % 40
	case b < 230:
		return 1<<(b-166) - uint64(s.byte()%3)
	}
	var raw [8]byte
	copy(raw[:], s.bytes(8))
	return binary.LittleEndian.Uint64(raw[:])
}

func (s *script) next() hypercore.Message {
	switch s.byte() % 12 {
	case 0:
		return &hypercore.Options{Ack: s.byte()%2 == 0}
	case 1:
		b := s.byte()
		return &hypercore.Status{Uploading: b&1 == 0, Downloading: b&2 == 0}
	case 2:
		return &hypercore.Have{Start: s.number(), Length: s.number(), Ack: s.byte()%2 == 0}
	case 3:
		return &hypercore.Have{Start: s.number() &^ 7, Length: s.number(), Bitfield: s.bytes(int(s.byte()))}
	case 4:
		return &hypercore.Unhave{Start: s.number(), Length: s.number()}
	case 5:
		return &hypercore.Want{Start: s.number() &^ 8191, Length: 8192 * (s.number() % 200)}
	case 6:
		return &hypercore.Request{Index: s.number(), Bytes: s.number() % 3, Hash: s.byte()%2 == 0, Nodes: s.number()}
	case 7:
		return &hypercore.Cancel{Index: s.number()}
	case 8:
		return &hypercore.Data{Index: s.number(), Value: s.bytes(int(s.byte())), Nodes: s.nodes(), Signature: s.bytes(int(s.byte()))}
	}
	return s.honest()
}

func (s *script) nodes() (all []merkle.Node) {
	for range s.byte() % 5 {
		all = append(all, merkle.Node{Index: s.number(), Size: s.number(), Hash: merkle.Hash(append(s.bytes(32), make([]byte, 32)...)[:32])})
	}
	return all
}

// honest returns an answer of the writer, now and then with one change.
func (s *script) honest() hypercore.Message {
	d, err := s.writer.Prove(s.number()%s.writer.Length(), s.number(), s.byte()%4 == 0)
	if err != nil {
		return &hypercore.Have{Start: 0, Length: s.writer.Length()}
	}
	switch change := s.byte(); {
	case change == 1 && len(d.Value) > 0:
		d.Value[int(s.byte())%len(d.Value)] ^= s.byte()
	case change == 2 && len(d.Nodes) > 0:
		d.Nodes[int(s.byte())%len(d.Nodes)].Size ^= s.number()
	case change == 3 && len(d.Nodes) > 0:
		d.Nodes[int(s.byte())%len(d.Nodes)].Index = s.number()
	case change == 4 && len(d.Nodes) > 0:
		d.Nodes = d.Nodes[1:]
	case change == 5:
		d.Signature = s.bytes(64)
	case change == 6:
		d.Value = nil
	case change == 7:
		d.Index = s.number()
	case change == 8:
		d.Nodes = append(d.Nodes, s.nodes()...)
	}
	return d
}

// FuzzPeer lets a remote say anything: nothing panics, nothing is stored that the
// writer did not write, and no answer takes more than a bounded number of steps.
func FuzzPeer(f *testing.F) {
	f.Add([]byte{2, 0, 30, 1, 9, 0, 0, 1, 0, 9, 5, 0, 1, 0})
	f.Add([]byte{2, 0, 229, 0, 1, 5, 0, 199, 6, 3, 0, 1, 0, 8, 0, 5})
	f.Add([]byte("\x02\x00\x1e\x01\x09\x00\x00\x01\x02\x01\x0a\x03\x00\x01\x03\x01\x07"))
	writer, wst := written(f, 30)
	f.Fuzz(func(t *testing.T, in []byte) { play(t, in, writer, wst) })
}

// play lets a remote say what the bytes stand for.
func play(t *testing.T, in []byte, writer *hypercore.Feed, wst hypercore.Storage) {
	reader, rst := reading(t)
	p, err := reader.Attach(hypercore.PeerOptions{Wake: func() {}})
	if err != nil {
		t.Fatal(err)
	}
	s := &script{rest: in, writer: writer}
	now := epoch
	for range 64 {
		if len(s.rest) == 0 {
			break
		}
		now = now.Add(time.Duration(s.byte()) * 50 * time.Millisecond)
		m := s.next()
		err := p.Handle(m, now)
		var remote *hypercore.RemoteError
		if err != nil && !errors.As(err, &remote) {
			t.Fatalf("Handle %s: %v, want a RemoteError or none", describe(m), err)
		}
		drain(t, p, now)
		if at, ok := p.Due(); ok && at.Before(epoch) {
			t.Fatalf("Due = %v", at)
		}
	}
	checkSame(t, "reader", reader, writer, rst, wst)
}

func drain(t *testing.T, p *hypercore.Peer, now time.Time) {
	for range 2000 {
		m, err := p.Next(now)
		if err != nil {
			t.Fatalf("Next: %v", err)
		}
		if m == nil {
			return
		}
	}
	t.Fatal("Next always has something to say")
}
