package hypercore

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/cobox-p2p/cobox-p2p/hypercore/merkle"
)

// Arrival is an answer to a range that was asked for, on its way from the line to
// the store: first Hash, then Apply or Drop, one of which must be called so that the
// blocks are asked of others if they are still missing. The message must stay as it
// is until then.
type Arrival struct {
	peer    *Peer
	request *request
	data    *RangeData
	claim   merkle.RangeClaim
	partial bool // it may leave out nodes because of the digests
	at      time.Time
}

// Take takes an answer to a range and lets more be asked of the remote. It returns
// nil when it is of no use. A *RemoteError means that the remote broke the protocol
// and that the session should end.
func (p *Peer) Take(m *RangeData, now time.Time) (*Arrival, error) {
	c := p.feed
	c.mu.Lock()
	defer c.mu.Unlock()
	if p.closed {
		return nil, nil
	}
	count := uint64(len(m.Blocks))
	if count == 0 || count > MaxRangeBlocks || m.Start > merkle.MaxSize || m.Length > merkle.MaxLength {
		return nil, c.remote(ErrRange)
	}
	r := p.asked[m.Start]
	if r == nil || count > r.most {
		return nil, p.countUnaskedLocked(now)
	}
	for _, b := range m.Blocks {
		if len(b) > MaxBlock {
			return nil, c.remote(ErrBlockSize)
		}
	}
	a := &Arrival{peer: p, request: r, data: m, partial: r.partial > 0, at: now}
	if a.partial {
		r.partial--
	}
	p.arriveLocked(r, count, now)
	p.wake()
	return a, nil
}

// arriveLocked notes that the first count blocks of r have come. Others may be
// asked for those behind them.
func (p *Peer) arriveLocked(r *request, count uint64, now time.Time) {
	c := p.feed
	if r.moved {
		r.window.give()
	} else {
		r.moved = true
		p.ranged--
		p.window.answered(&r.window, now.Sub(r.at))
	}
	p.answeredLocked(r, now)
	p.settleLocked(r)
	delete(p.asked, r.seq)
	asked := r.span()
	r.arriving, r.count = true, count
	p.arriving = append(p.arriving, r)
	if rest := asked.End(); rest > r.span().End() {
		c.unassignLocked(r, Span{r.span().End(), rest - r.span().End()})
		c.wakeLocked()
	}
	c.assigned.SetRange(r.seq, count)
}

// arrivedLocked notes that nothing more becomes of what has come for r.
func (p *Peer) arrivedLocked(r *request) {
	c := p.feed
	r.arriving = false
	if at := slices.Index(p.arriving, r); at >= 0 {
		p.arriving = slices.Delete(p.arriving, at, at+1)
	}
	c.unassignLocked(r, r.span())
	if c.growing == r {
		c.growing = nil
	}
	c.wakeLocked()
}

// Hash hashes the blocks. It may run in any goroutine.
func (a *Arrival) Hash() {
	m := a.data
	leaves := make([]merkle.Node, len(m.Blocks))
	for i, b := range m.Blocks {
		leaves[i] = merkle.Leaf(m.Start+uint64(i), b)
	}
	a.claim = merkle.RangeClaim{Start: m.Start, Leaves: leaves, Nodes: m.Nodes, Length: m.Length, Signature: m.Signature}
	a.claim.Rebuild()
}

// Apply verifies the answer, which was hashed, and stores what is proved. Of one
// peer it is called in the order of Take. A *RemoteError means that the session
// should end, any other error is ours or says that ctx ended.
func (a *Arrival) Apply(ctx context.Context) error {
	p, c, r := a.peer, a.peer.feed, a.request
	done, err := c.applyRange(ctx, a.data, &a.claim, p)
	p.count(func(n *counters) {
		n.gotBlocks.Add(done.blocks)
		n.gotBytes.Add(done.bytes)
		n.refused.Add(uint64(len(done.refused)))
	})
	c.mu.Lock()
	defer c.mu.Unlock()
	p.arrivedLocked(r)
	if err != nil {
		return p.judgeRangeLocked(a, err)
	}
	for _, seq := range done.refused {
		c.refused.add(seq, a.at)
	}
	p.grownLocked(r, done.grew, a.at)
	c.takeBackHeldLocked(r.span())
	if done.rest {
		return p.shelveRangeLocked(r, a.at)
	}
	return nil
}

// Drop lets the blocks be asked of others instead of Apply.
func (a *Arrival) Drop() {
	c := a.peer.feed
	c.mu.Lock()
	defer c.mu.Unlock()
	a.peer.arrivedLocked(a.request)
}

// takeBackHeldLocked cancels what was asked for and is here, nothing of it being
// missing any more.
func (c *core) takeBackHeldLocked(s Span) {
	for p := range c.peers {
		for _, r := range p.asked {
			if r.count > 0 && !r.moved && !r.grows && r.seq < s.End() && r.span().End() > s.Start && c.have.Contains(r.span()) {
				p.moveLocked(r)
				p.wake()
			}
		}
	}
}

// judgeRangeLocked decides about an answer of which nothing was stored.
func (p *Peer) judgeRangeLocked(a *Arrival, err error) error {
	r := a.request
	_, fault := errors.AsType[*RemoteError](err)
	switch {
	case p.closed && errors.Is(err, ErrClosed):
		return nil // the feed was closed meanwhile
	case errors.Is(err, ErrOtherTree), errors.Is(err, merkle.ErrProofBranch):
		return p.shelveRangeLocked(r, a.at)
	case !fault && (errors.Is(err, ErrForked) || errors.Is(err, ErrOldCopy)):
		if p.feed.forked != nil || p.feed.unseenLocked() { // and not meanwhile without its unseen end
			p.parted = min(p.parted, r.seq)
		}
		return p.countUnaskedLocked(a.at)
	case errors.Is(err, merkle.ErrProof) && a.partial:
		return p.askRangeInFullLocked(r, a.at)
	}
	return err
}

// shelveRangeLocked lets others be asked for what the remote can't tie to our tree
// now, as shelve does, and this one later.
func (p *Peer) shelveRangeLocked(r *request, now time.Time) error {
	if p.closed || p.asked[r.seq] != nil {
		return nil
	}
	p.asked[r.seq] = r
	if !r.retry.IsZero() { // it was answered before, or too late
		return p.countUnaskedLocked(now)
	}
	r.failLocked()
	r.retry = now.Add(RequestTimeout)
	return nil
}

// askRangeInFullLocked asks the same of the same remote once more, now without
// digests, as askInFull does.
func (p *Peer) askRangeInFullLocked(r *request, now time.Time) error {
	if err := p.countUnaskedLocked(now); err != nil {
		return err
	}
	if p.closed || p.asked[r.seq] != nil {
		return nil
	}
	c := p.feed
	s := r.span()
	p.noteRangeLocked(s, r.urgent, r.steps, now)
	again := p.asked[r.seq]
	again.partial, again.full, again.grows, again.failed = r.partial, true, r.grows, r.failed
	if p.growth == r {
		p.growth = again
	}
	if again.grows && c.growing == nil {
		c.growing = again
	}
	p.outbox = append(p.outbox, &RangeRequest{Start: s.Start, Count: s.Count, Urgent: r.urgent})
	p.wake()
	return nil
}

// handleRangeData is Take, Hash and Apply at once.
func (p *Peer) handleRangeData(m *RangeData, now time.Time) error {
	a, err := p.Take(m, now)
	if a == nil || err != nil {
		return err
	}
	a.Hash()
	return a.Apply(context.Background())
}

// rangeError names the blocks of an answer.
func rangeError(m *RangeData, err error) error {
	return fmt.Errorf("blocks %d to %d: %w", m.Start, m.Start+uint64(len(m.Blocks))-1, err)
}
