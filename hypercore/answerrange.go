package hypercore

import (
	"errors"
	"fmt"
	"math/bits"

	"github.com/cobox-p2p/cobox-p2p/hypercore/flattree"
	"github.com/cobox-p2p/cobox-p2p/hypercore/merkle"
)

func (p *Peer) handleRangeRequestLocked(m *RangeRequest) error {
	if !p.upload {
		return nil
	}
	if m.Count == 0 || m.Start > merkle.MaxSize || m.Count > merkle.MaxSize-m.Start ||
		max(m.Length, m.Left, m.Right) > merkle.MaxSize {
		return ErrRange
	}
	for i := range p.ranges {
		if p.ranges[i].Start == m.Start {
			p.ranges[i] = *m // one answer does for both
			return nil
		}
	}
	if len(p.ranges) >= MaxRemoteRanges {
		return ErrTooManyRequests
	}
	p.ranges = append(p.ranges, *m)
	return nil
}

// cancelRangeLocked forgets a request for a range.
func (p *Peer) cancelRangeLocked(start uint64) {
	for i := range p.ranges {
		if p.ranges[i].Start == start {
			p.ranges = append(p.ranges[:i], p.ranges[i+1:]...)
			return
		}
	}
}

// popRangeLocked takes the first range of the remote that can be answered now,
// those that it waits for before others; see popRequestLocked.
func (p *Peer) popRangeLocked() (r RangeRequest, ok bool, err error) {
	at := -1
	for i := range p.ranges {
		r := &p.ranges[i]
		if p.feed.undurableLocked(r.Start) {
			if err := p.feed.failed; err != nil {
				return RangeRequest{}, false, fmt.Errorf("block %d of feed %s is not durable: %w", r.Start, p.feed.discovery, err)
			}
			continue
		}
		if at < 0 || r.Urgent && !p.ranges[at].Urgent {
			at = i
		}
	}
	if at < 0 {
		return RangeRequest{}, false, nil
	}
	r = p.ranges[at]
	p.ranges = append(p.ranges[:at], p.ranges[at+1:]...)
	return r, true, nil
}

// undurableLocked says whether the block is stored, but can't be shown yet.
func (c *core) undurableLocked(seq uint64) bool {
	return c.have.Get(seq) && !c.told.Get(seq) && !c.damage.hidden.Get(seq)
}

// maxDamaged is how often an answer is begun again because a block turned out to
// be damaged.
const maxDamaged = 8

// answerRange returns blocks from the start of what r asks for with their proof, or
// says which are not here.
func (p *Peer) answerRange(r RangeRequest) (Message, error) {
	c := p.feed
	for range maxDamaged {
		c.mu.Lock()
		head, missing := c.provenLocked(), c.untoldLocked(Span{r.Start, r.Count})
		held := min(r.Count, MaxRangeBlocks, c.told.NextClear(r.Start)-r.Start, max(head.Length, r.Start)-r.Start)
		c.mu.Unlock()
		if held == 0 {
			return missing, nil
		}
		m, err := c.proveRange(head, held, r, p.answerBytes())
		switch {
		case err == nil:
			return m, p.sentRange(m, head)
		case !errors.Is(err, ErrNoBlock):
			return nil, err
		}
	}
	return &Unhave{Start: r.Start, Length: 1}, nil
}

// untoldLocked says that the first blocks of the span, those before the next that
// peers may be shown, are not here.
func (c *core) untoldLocked(s Span) *Unhave {
	end := s.End()
	if next, ok := c.told.NextSet(s.Start); ok {
		end = min(end, next)
	}
	return &Unhave{Start: s.Start, Length: max(end-s.Start, 1)}
}

// sentRange counts the blocks of an answer and tells of them.
func (p *Peer) sentRange(m *RangeData, head Head) error {
	size := uint64(0)
	for _, b := range m.Blocks {
		size += uint64(len(b))
	}
	count := uint64(len(m.Blocks))
	p.count(func(n *counters) {
		n.sentBlocks.Add(count)
		n.sentBytes.Add(size)
	})
	c := p.feed
	c.mu.Lock()
	if m.Length > 0 {
		c.showLocked(head)
	}
	told := c.eventLocked(Event{Kind: Uploaded, Span: Span{m.Start, count}, From: p})
	c.mu.Unlock()
	call(told)
	return nil
}

// answerBytes returns how many bytes of blocks one answer has at most, unless its
// first block alone has more.
func (p *Peer) answerBytes() uint64 {
	if p.portion == nil {
		return MaxRangeBytes
	}
	return min(p.portion(), MaxRangeBytes)
}

// proveRange returns up to held blocks of those that r asks for, as many as go
// into one answer of most bytes, with their proof under head. It returns ErrNoBlock when one of
// them turned out not to be held any more, or to be damaged.
func (c *core) proveRange(head Head, held uint64, r RangeRequest, most uint64) (*RangeData, error) {
	count, err := c.fitting(Span{r.Start, held}, most)
	if err != nil {
		return nil, err
	}
	proof, err := merkle.ProveRange(trusted{c}, head.Length, count, merkle.RangeAsked{
		Start: r.Start, Count: r.Count, Length: r.Length, Edges: merkle.Edges{Left: r.Left, Right: r.Right},
	})
	if errors.Is(err, merkle.ErrNoNode) {
		return nil, c.unprovableRange(Span{r.Start, count}, head.Length)
	}
	if err != nil {
		return nil, fmt.Errorf("prove range of feed %s: %w", c.discovery, err)
	}
	blocks, err := c.readBlocks(Span{r.Start, count})
	if errors.Is(err, ErrDamaged) {
		return nil, fmt.Errorf("%w: %w", ErrNoBlock, err)
	}
	if err != nil {
		return nil, fmt.Errorf("read range of feed %s: %w", c.discovery, err)
	}
	m := &RangeData{Start: r.Start, Blocks: blocks, Nodes: proof.Nodes, Length: proof.Length}
	if proof.Length > 0 {
		m.Signature = head.Signature[:]
	}
	return m, nil
}

// unprovableRange finds the blocks whose path is not stored and returns
// ErrNoBlock.
func (c *core) unprovableRange(s Span, length uint64) error {
	for seq := s.Start; seq < s.End(); seq++ {
		if _, err := merkle.Prove(trusted{c}, length, seq, 0, false); errors.Is(err, merkle.ErrNoNode) {
			return c.unprovable(seq, length, false)
		}
	}
	return ErrNoBlock
}

// fitting returns how many of the blocks of the span, all held, go into one answer:
// as many as make up most bytes, and one at least. It reads the sizes of
// few nodes instead of those of all blocks.
func (c *core) fitting(s Span, most uint64) (uint64, error) {
	size, at := uint64(0), s.Start
	for at < s.End() {
		depth := min(bits.TrailingZeros64(at), bits.Len64(s.End()-at)-1)
		for ; ; depth-- {
			n, err := trusted{c}.Node(flattree.Index(depth, at>>depth))
			switch {
			case errors.Is(err, merkle.ErrNoNode):
				return 1, nil // what is missing shows when it is to be proved
			case err != nil:
				return 0, err
			}
			if size+n.Size <= most {
				size, at = size+n.Size, at+1<<depth
				break
			}
			if depth == 0 {
				return max(at-s.Start, 1), nil
			}
		}
	}
	return s.Count, nil
}
