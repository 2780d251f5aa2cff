package hypercore

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/cobox-p2p/cobox-p2p/hypercore/merkle"
)

// errNoValue is an answer that lacks the block it was asked for.
var errNoValue = fmt.Errorf("%w: answer without the block that was requested", ErrMalformed)

func (p *Peer) handleData(d *Data, now time.Time) error {
	r, partial, err := p.requestOf(d, now)
	if r == nil || err != nil {
		return err
	}
	c := p.feed
	grew, err := c.apply(context.Background(), d, p)
	if errors.Is(err, ErrRefused) {
		p.refuse(r, grew, now)
		return nil
	}
	if err != nil {
		return p.judge(r, partial, err, now)
	}
	if d.Value != nil {
		p.count(func(n *counters) { n.got(d.Value) })
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	p.dropLocked(r)
	p.answeredLocked(r, now)
	p.grownLocked(r, grew, now)
	c.wakeLocked()
	return nil
}

// requestOf returns the request that d answers, nil when there is none, and
// whether the answer may leave out nodes because of a digest.
func (p *Peer) requestOf(d *Data, now time.Time) (r *request, partial bool, err error) {
	c := p.feed
	c.mu.Lock()
	defer c.mu.Unlock()
	r = p.asked[d.Index]
	if p.closed || r == nil {
		return nil, false, p.countUnaskedLocked(now)
	}
	if partial = r.partial > 0; partial {
		r.partial--
	}
	if d.Value != nil || r.hash {
		return r, partial, nil
	}
	if !r.owesHash {
		return nil, false, c.remote(fmt.Errorf("block %d: %w", d.Index, errNoValue))
	}
	r.owesHash = false
	return nil, false, p.countUnaskedLocked(now)
}

// judge decides about an answer of which nothing was stored.
func (p *Peer) judge(r *request, partial bool, err error, now time.Time) error {
	_, fault := errors.AsType[*RemoteError](err)
	switch {
	case errors.Is(err, ErrOtherTree), errors.Is(err, merkle.ErrProofBranch):
		return p.shelve(r, now)
	case !fault && (errors.Is(err, ErrForked) || errors.Is(err, ErrOldCopy)):
		return p.part(r, now)
	case errors.Is(err, merkle.ErrProof) && partial:
		return p.askInFull(r, now)
	}
	return err
}

// shelve lets others be asked for a block that the remote can prove only in a way
// that can't be tied to our tree: under an older head, or under a longer one that
// our tree has passed meanwhile. It is asked again later: by then its head or ours
// may have grown.
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
	p.answeredLocked(r, now)
	r.failLocked()
	r.retry = now.Add(RequestTimeout)
	if r.hash {
		p.dropLocked(r)
	}
	c.wakeLocked()
	return nil
}

// askInFull asks the same block of the same remote once more, now without a
// digest: what we said to hold may belong to another branch than the remote's, or
// to a longer tree than the remote has. Only the whole proof shows whether the
// writer or the remote is at fault.
func (p *Peer) askInFull(r *request, now time.Time) error {
	p.feed.mu.Lock()
	defer p.feed.mu.Unlock()
	if err := p.countUnaskedLocked(now); err != nil {
		return err
	}
	if p.closed || p.asked[r.seq] != r || r.full {
		return nil
	}
	r.full, r.at = true, now
	p.outbox = append(p.outbox, &Request{Index: r.seq, Hash: r.hash})
	p.wake()
	return nil
}

// part lets others be asked for a block of a feed that is known to have forked,
// when the remote has another branch there. From there on it isn't asked any
// more.
func (p *Peer) part(r *request, now time.Time) error {
	c := p.feed
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.forked != nil || c.unseenLocked() { // and not meanwhile without its unseen end
		p.parted = min(p.parted, r.seq)
	}
	p.dropLocked(r)
	p.answeredLocked(r, now)
	c.wakeLocked()
	return p.countUnaskedLocked(now)
}

// errUnasked ends a peer that keeps on sending what nobody asked for.
var errUnasked = fmt.Errorf("%w: over %d blocks in a minute that nobody asked for", ErrLimit, maxUnasked)

func (p *Peer) countUnaskedLocked(now time.Time) error {
	if now.Sub(p.unaskedAt) > time.Minute {
		p.unaskedAt, p.unasked = now, 0
	}
	p.count(func(n *counters) { n.unasked.Add(1) })
	if p.excused > 0 {
		p.excused--
		return nil
	}
	if p.unasked++; p.unasked > maxUnasked {
		return p.feed.remote(errUnasked)
	}
	return nil
}
