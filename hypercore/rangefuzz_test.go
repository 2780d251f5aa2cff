package hypercore_test

import (
	"errors"
	"testing"
	"time"

	"github.com/cobox-p2p/cobox-p2p/hypercore"
)

// nextRange is next with ranges besides.
func (s *script) nextRange() hypercore.Message {
	switch s.byte() % 8 {
	case 0:
		return &hypercore.RangeRequest{Start: s.number(), Count: s.number(), Length: s.number(), Left: s.number(), Right: s.number(), Urgent: s.byte()%2 == 0}
	case 1:
		d := &hypercore.RangeData{Start: s.number(), Nodes: s.nodes(), Length: s.number(), Signature: s.bytes(int(s.byte()))}
		for range s.byte() % 8 {
			d.Blocks = append(d.Blocks, s.bytes(int(s.byte()%16)))
		}
		return d
	case 2:
		return &hypercore.Have{Start: 0, Length: s.writer.Length()}
	case 3:
		return s.next()
	}
	return s.honestRange()
}

// honestRange returns an answer of the writer, now and then with one change.
func (s *script) honestRange() hypercore.Message {
	q := &hypercore.RangeRequest{
		Start: s.number() % s.writer.Length(), Count: 1 + s.number()%64, Length: s.number() % 64, Left: s.number() % 512, Right: s.number() % 512,
	}
	d := s.answer(q)
	if d == nil {
		return q
	}
	switch change := s.byte(); {
	case change == 1:
		d.Blocks[int(s.byte())%len(d.Blocks)] = s.bytes(int(s.byte()))
	case change == 2 && len(d.Nodes) > 0:
		d.Nodes[int(s.byte())%len(d.Nodes)].Size ^= s.number()
	case change == 3 && len(d.Nodes) > 0:
		d.Nodes[int(s.byte())%len(d.Nodes)].Index = s.number()
	case change == 4 && len(d.Nodes) > 0:
		d.Nodes = d.Nodes[1:]
	case change == 5:
		d.Signature = s.bytes(64)
	case change == 6:
		d.Blocks = d.Blocks[:1+int(s.byte())%len(d.Blocks)]
	case change == 7:
		d.Start = s.number()
	case change == 8:
		d.Length = s.number()
	case change == 9:
		d.Nodes = append(d.Nodes, s.nodes()...)
	}
	return d
}

// answer returns what the writer answers, nil when that is no RangeData.
func (s *script) answer(q *hypercore.RangeRequest) *hypercore.RangeData {
	p, err := s.writer.Attach(hypercore.PeerOptions{Ranges: true, NoDownload: true, Wake: func() {}})
	if err != nil {
		return nil
	}
	defer p.Detach()
	if p.Handle(q, epoch) != nil {
		return nil
	}
	for {
		m, err := p.Next(epoch)
		if m == nil || err != nil {
			return nil
		}
		if d, ok := m.(*hypercore.RangeData); ok {
			return d
		}
	}
}

// FuzzRangePeer is FuzzPeer with a remote that sends ranges, which answers what it
// was asked or anything else.
func FuzzRangePeer(f *testing.F) {
	f.Add([]byte{0, 2, 255, 0, 4, 0, 29, 0, 0, 0, 0})
	f.Add([]byte{0, 2, 255, 255, 0, 2, 3, 255, 0, 1, 2, 255})
	f.Add([]byte("\x00\x02\xff\x00\x04\x00\x1d\x00\x00\x00\x06\x05\x05\x04\x06\x1d\x00\x00\x00\x00"))
	writer, wst := written(f, 30)
	f.Fuzz(func(t *testing.T, in []byte) {
		reader, rst := reading(t)
		p, err := reader.Attach(hypercore.PeerOptions{Wake: func() {}, Ranges: true})
		if err != nil {
			t.Fatal(err)
		}
		s := &script{rest: in, writer: writer}
		now := epoch
		var asked []*hypercore.RangeRequest
		for range 64 {
			if len(s.rest) == 0 {
				break
			}
			now = now.Add(time.Duration(s.byte()) * 50 * time.Millisecond)
			var m hypercore.Message
			if s.byte() == 255 && len(asked) > 0 { // as an honest remote does
				if d := s.answer(asked[0]); d != nil {
					m = d
				}
				asked = asked[1:]
			}
			if m == nil {
				m = s.nextRange()
			}
			err := p.Handle(m, now)
			var remote *hypercore.RemoteError
			if err != nil && !errors.As(err, &remote) {
				t.Fatalf("Handle %s: %v, want a RemoteError or none", describe(m), err)
			}
			for range 2000 {
				m, err := p.Next(now)
				if err != nil {
					t.Fatalf("Next: %v", err)
				}
				if m == nil {
					break
				}
				if q, ok := m.(*hypercore.RangeRequest); ok {
					asked = append(asked, q)
				}
			}
			if at, ok := p.Due(); ok && at.Before(epoch) {
				t.Fatalf("Due = %v", at)
			}
		}
		checkSame(t, "reader", reader, writer, rst, wst)
	})
}
