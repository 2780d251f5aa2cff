package hypercore

import (
	"errors"
	"fmt"
	"time"

	"github.com/cobox-p2p/cobox-p2p/hypercore/merkle"
)

// Next returns the next message for the remote, or nil when there is none until
// the next wake or until Due. An error is ours: of the store, or that it could
// not make durable what the remote asked for. The message belongs to the caller.
func (p *Peer) Next(now time.Time) (Message, error) {
	c := p.feed
	p.lookForRoom()
	for {
		c.mu.Lock()
		if p.closed {
			c.mu.Unlock()
			return nil, nil
		}
		if m := p.controlLocked(now); m != nil {
			c.mu.Unlock()
			return m, nil
		}
		r, ok, err := p.popRequestLocked()
		if !ok && err == nil {
			var s RangeRequest
			if s, ok, err = p.popRangeLocked(); ok {
				c.mu.Unlock()
				return p.answerRange(s)
			}
		}
		if !ok {
			var m Message
			if err == nil && p.declined {
				m = p.toggleLocked()
			}
			c.mu.Unlock()
			if m == nil && p.byRange {
				p.window.pass(p)
			}
			return m, err
		}
		c.mu.Unlock()
		if m, err := p.answer(r); m != nil || err != nil {
			return m, err
		}
	}
}

// Due returns when Next has to be called even without a wake; ok is false when
// nothing is waited for.
func (p *Peer) Due() (at time.Time, ok bool) {
	p.feed.mu.Lock()
	defer p.feed.mu.Unlock()
	sooner := func(due time.Time) {
		if !ok || due.Before(at) {
			at, ok = due, true
		}
	}
	for _, r := range p.asked {
		switch {
		case !r.moved:
			sooner(p.lateLocked(r))
			if !r.overdue {
				sooner(r.patience())
			}
		case !r.retry.IsZero():
			sooner(r.retry)
		}
	}
	if p.flying+p.ranged > 0 && !p.paused.IsZero() {
		sooner(p.paused.Add(maxPause))
	}
	if ok && at.Before(p.expiry) {
		at = p.expiry
	}
	if !p.resume.IsZero() {
		sooner(p.resume)
	}
	if due, takes := p.takeOverDueLocked(); takes {
		sooner(due)
	}
	if due, grows := p.growDueLocked(); grows {
		sooner(due)
	}
	if due, refused := p.feed.refused.due(); refused && p.download {
		sooner(due)
	}
	return at, ok
}

// controlLocked returns what goes before blocks.
func (p *Peer) controlLocked(now time.Time) Message {
	c := p.feed
	p.looked = now
	p.expireLocked(now)
	if len(p.outbox) > 0 {
		m := p.outbox[0]
		p.outbox = p.outbox[1:]
		return m
	}
	if len(p.unhaves) > 0 {
		s := p.unhaves[0]
		p.unhaves = p.unhaves[1:]
		return &Unhave{Start: s.Start, Length: s.Count}
	}
	if len(p.haves) > 0 {
		s := p.haves[0]
		p.haves = p.haves[1:]
		return &Have{Start: s.Start, Length: s.Count}
	}
	if len(p.wants)+len(p.again) > 0 {
		return p.answerWantLocked()
	}
	if !p.download || !p.paused.IsZero() {
		return nil
	}
	if end := max(p.remoteEnd, c.head.Length); p.wanted < maxWanted && p.wantsOut < maxWantsOut &&
		(p.wanted == 0 || p.wanted*MaxWant < end && p.wanted*MaxWant <= c.head.Length) {
		p.wanted++
		p.wantsOut++
		return &Want{Start: (p.wanted - 1) * MaxWant, Length: MaxWant}
	}
	if p.probe && p.wanted > 0 && p.wantsOut == 0 {
		p.probe = false
		p.wantsOut++
		return &Want{Start: min(p.wanted-1, c.head.Length/MaxWant) * MaxWant, Length: MaxWant}
	}
	if r := p.askLocked(now); r != nil {
		return r
	}
	return nil
}

// answerWantLocked returns the Have for the first want, and before the very
// first one a Have of the last block held: from it the remote learns what else
// to want.
func (p *Peer) answerWantLocked() Message {
	c := p.feed
	if !p.heard {
		p.heard = true
		if end := c.told.End(); end > 0 {
			return &Have{Start: end - 1, Length: 1}
		}
	}
	var w Want
	if len(p.wants) > 0 {
		w, p.wants = p.wants[0], p.wants[1:]
		if len(p.answered) < MaxRemoteWants {
			p.answered[w.Start] = w
		}
	} else {
		w, p.again = p.again[0], p.again[1:]
	}
	return &Have{Start: w.Start, Length: w.Length, Bitfield: AppendRLE([]byte{}, &c.told, w.Start, w.Length)}
}

// popRequestLocked takes the first request of the remote that can be answered
// now: one for a block that is stored but not yet durable waits. If it never will
// be, the error is that of the store.
func (p *Peer) popRequestLocked() (Request, bool, error) {
	c := p.feed
	for i, r := range p.requests {
		if !r.Hash && c.undurableLocked(r.Index) {
			if c.failed != nil {
				return Request{}, false, fmt.Errorf("block %d of feed %s is not durable: %w", r.Index, c.discovery, c.failed)
			}
			continue
		}
		p.requests = append(p.requests[:i], p.requests[i+1:]...)
		return r, true, nil
	}
	return Request{}, false, nil
}

// toggleLocked returns the first of the two Status messages that end a run of
// Unhaves; the other is the first in outbox.
func (p *Peer) toggleLocked() Message {
	p.declined = false
	p.outbox = append(p.outbox, &Status{Uploading: true, Downloading: p.download})
	return &Status{Uploading: false, Downloading: p.download}
}

// answer returns the block that r asks for, or says that it isn't here in the
// way that hypercore 9 needs to hear it: with silence or Unhave alone it would
// give up the stream, so a Status off and on follows a run of them.
func (p *Peer) answer(r Request) (Message, error) {
	c := p.feed
	if r.Bytes > 0 && r.Bytes < c.DurableHead().Size {
		if seq, _, err := c.Seek(r.Bytes); err == nil {
			r.Index, r.Nodes = seq, 0
		}
	}
	d, err := c.Prove(r.Index, r.Nodes, r.Hash)
	if err != nil && !errors.Is(err, ErrNoBlock) {
		return nil, err
	}
	if err != nil {
		c.mu.Lock()
		defer c.mu.Unlock()
		p.declined = true
		return &Unhave{Start: r.Index, Length: 1}, nil
	}
	c.mu.Lock()
	var told []func()
	if d.Value != nil {
		p.count(func(n *counters) { n.sent(d.Value) })
		told = c.eventLocked(Event{Kind: Uploaded, Span: Span{r.Index, 1}, From: p})
	}
	var m Message = d
	if p.declined && !p.closed {
		m = p.toggleLocked()
		p.outbox = append(p.outbox, d)
	}
	c.mu.Unlock()
	for _, f := range told {
		f()
	}
	return m, nil
}

// digestLocked returns what the remote needs to know to leave out of a proof
// what we hold. A node is held when a block under its parent is, since every
// stored block came with its whole path, or when it is a root of our head.
func (c *core) digestLocked(seq uint64) uint64 {
	return merkle.Digest(func(index uint64) bool { return c.holdsLocked(index) }, seq, c.head.Length)
}
