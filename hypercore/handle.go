package hypercore

import (
	"fmt"
	"slices"
	"time"

	"github.com/cobox-p2p/cobox-p2p/hypercore/merkle"
)

// Handle takes one message of the remote. It keeps no slice of it. A RangeData may
// be given to Take instead, so that it is hashed and stored elsewhere. A
// *RemoteError means that the remote broke the protocol, sent what does not
// verify, or brought the first evidence of a fork (ErrForked), and that the
// session should end; any other error is ours.
func (p *Peer) Handle(m Message, now time.Time) error {
	switch m := m.(type) {
	case *Data:
		return p.handleData(m, now)
	case *RangeData:
		return p.handleRangeData(m, now)
	}
	c := p.feed
	c.mu.Lock()
	defer c.mu.Unlock()
	if p.closed {
		return nil
	}
	var err error
	switch m := m.(type) {
	case *Options:
		p.acks = m.Ack
	case *Status:
		p.handleStatusLocked(m, now)
	case *Have:
		err = p.handleHaveLocked(m, now)
	case *Unhave:
		err = p.handleUnhaveLocked(m, now)
	case *Want:
		err = p.handleWantLocked(m)
	case *Request:
		err = p.handleRequestLocked(m)
	case *RangeRequest:
		err = p.handleRangeRequestLocked(m)
	case *Cancel:
		p.handleCancelLocked(m)
	case *Unwant, *Extension: // the original ignores the one; the session takes the other
	}
	if err != nil {
		return c.remote(err)
	}
	c.updatedLocked()
	p.wake()
	return nil
}

func (p *Peer) handleStatusLocked(m *Status, now time.Time) {
	switch {
	case m.Uploading:
		p.paused = time.Time{}
	case p.paused.IsZero():
		p.paused = now
	}
}

func (p *Peer) handleWantLocked(m *Want) error {
	if !p.upload || m.Start%wantAlign != 0 || m.Length%wantAlign != 0 || m.Length == 0 {
		return nil
	}
	if m.Length > MaxWant || m.Start > merkle.MaxSize {
		return fmt.Errorf("%w: want of %d blocks from %d on", ErrRange, m.Length, m.Start)
	}
	if slices.Contains(p.wants, *m) {
		return nil
	}
	if len(p.wants) >= MaxRemoteWants {
		return ErrTooManyWants
	}
	p.wants = append(p.wants, *m)
	return nil
}

func (p *Peer) handleRequestLocked(m *Request) error {
	if !p.upload {
		return nil
	}
	if m.Index > merkle.MaxSize || m.Bytes > merkle.MaxSize || m.Nodes > merkle.MaxSize {
		return ErrRange
	}
	for i := range p.requests {
		if q := &p.requests[i]; q.Index == m.Index && q.Bytes == m.Bytes && q.Hash == m.Hash {
			q.Nodes = m.Nodes // one answer does for both
			return nil
		}
	}
	if len(p.requests) >= MaxRemoteRequests {
		return ErrTooManyRequests
	}
	p.requests = append(p.requests, *m)
	return nil
}

func (p *Peer) handleCancelLocked(m *Cancel) {
	if !m.Hash {
		p.cancelRangeLocked(m.Index)
	}
	for i, r := range p.requests {
		if r.Index == m.Index && r.Bytes == m.Bytes && r.Hash == m.Hash {
			p.requests = append(p.requests[:i], p.requests[i+1:]...)
			return
		}
	}
}
