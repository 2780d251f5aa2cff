package hypercore

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/cobox-p2p/cobox-p2p/hypercore/merkle"
)

// Handle takes one message of the remote. It keeps no slice of it. A
// *RemoteError means that the remote broke the protocol or sent what does not
// verify, and that the session should end; any other error is ours.
func (p *Peer) Handle(m Message, now time.Time) error {
	if d, ok := m.(*Data); ok {
		return p.handleData(d, now)
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
		err = p.handleHaveLocked(m)
	case *Unhave:
		err = p.handleUnhaveLocked(m)
	case *Want:
		err = p.handleWantLocked(m)
	case *Request:
		err = p.handleRequestLocked(m)
	case *Cancel:
		p.handleCancelLocked(m)
	case *Unwant, *Extension: // the original ignores the one; the session takes the other
	}
	if err != nil {
		return c.remote(err)
	}
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

func (p *Peer) handleHaveLocked(m *Have) error {
	if m.Start > merkle.MaxSize || m.Length > merkle.MaxSize-m.Start {
		return ErrRange
	}
	if m.Bitfield == nil {
		p.remote.SetLimited(m.Start, m.Length, MaxPeerPages)
		p.remoteEnd = max(p.remoteEnd, m.Start+m.Length)
	} else {
		if m.Length == MaxWant && p.wantsOut > 0 {
			p.wantsOut--
		}
		if err := p.remote.SetRLE(m.Start, m.Bitfield, m.Length, MaxPeerPages); err != nil {
			return err
		}
		p.remoteEnd = max(p.remoteEnd, p.remote.End())
	}
	p.barren = false
	return nil
}

func (p *Peer) handleUnhaveLocked(m *Unhave) error {
	if m.Start > merkle.MaxSize || m.Length > merkle.MaxSize-m.Start {
		return ErrRange
	}
	p.remote.ClearLimited(m.Start, m.Length, MaxPeerPages)
	for seq, r := range p.asked {
		if seq >= m.Start && seq-m.Start < m.Length {
			p.barren = p.barren || p.feed.growing == r
			p.freeLocked(r)
			delete(p.asked, seq)
		}
	}
	p.feed.wakeLocked()
	return nil
}

func (p *Peer) handleWantLocked(m *Want) error {
	if !p.upload || m.Start%wantAlign != 0 || m.Length%wantAlign != 0 || m.Length == 0 {
		return nil
	}
	if m.Length > MaxWant || m.Start > merkle.MaxSize {
		return fmt.Errorf("%w: want of %d blocks from %d on", ErrRange, m.Length, m.Start)
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
	if len(p.requests) >= MaxRemoteRequests {
		return ErrTooManyRequests
	}
	p.requests = append(p.requests, *m)
	return nil
}

func (p *Peer) handleCancelLocked(m *Cancel) {
	for i, r := range p.requests {
		if r.Index == m.Index && r.Bytes == m.Bytes && r.Hash == m.Hash {
			p.requests = append(p.requests[:i], p.requests[i+1:]...)
			return
		}
	}
}

// errNoValue is an answer that lacks the block it was asked for.
var errNoValue = errors.New("answer without the block that was requested")

func (p *Peer) handleData(d *Data, now time.Time) error {
	c := p.feed
	c.mu.Lock()
	r := p.asked[d.Index]
	if p.closed || r == nil {
		err := p.countUnaskedLocked(now)
		c.mu.Unlock()
		return err
	}
	c.mu.Unlock()
	if d.Value == nil && !r.hash {
		return c.remote(fmt.Errorf("block %d: %w", d.Index, errNoValue))
	}
	switch err := c.apply(context.Background(), d, p); {
	case errors.Is(err, errNotInTree):
		return p.shelve(r, now)
	case err != nil:
		return err
	}
	if d.Value != nil {
		p.gotBlocks.Add(1)
		p.gotBytes.Add(uint64(len(d.Value)))
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if p.asked[d.Index] == r {
		p.freeLocked(r)
		delete(p.asked, d.Index)
	}
	p.stalled = false
	c.wakeLocked()
	return nil
}

// shelve lets others be asked for a block that the remote can prove under an
// older head only. It is asked again later: by then its head may have grown.
func (p *Peer) shelve(r *request, now time.Time) error {
	c := p.feed
	c.mu.Lock()
	defer c.mu.Unlock()
	if p.asked[r.seq] != r {
		return nil
	}
	if !r.retry.IsZero() {
		return p.countUnaskedLocked(now)
	}
	p.freeLocked(r)
	r.retry = now.Add(RequestTimeout)
	if r.hash {
		delete(p.asked, r.seq)
	}
	c.wakeLocked()
	return nil
}

// errUnasked ends a peer that keeps on sending what nobody asked for.
var errUnasked = fmt.Errorf("over %d blocks in a minute that nobody asked for", maxUnasked)

func (p *Peer) countUnaskedLocked(now time.Time) error {
	if now.Sub(p.unaskedAt) > time.Minute {
		p.unaskedAt, p.unasked = now, 0
	}
	if p.unasked++; p.unasked > maxUnasked {
		return p.feed.remote(errUnasked)
	}
	return nil
}
