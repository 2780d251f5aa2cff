package hypercore

import (
	"context"
	"errors"
	"fmt"

	"github.com/cobox-p2p/cobox-p2p/hypercore/merkle"
)

// appliedRange is what became of the blocks of an answer.
type appliedRange struct {
	grew          bool
	blocks, bytes uint64   // proved, stored before or not
	refused       []uint64 // by the guard
	rest          bool     // the last ones can't be tied to our tree
}

// anchorBytes is from how many bytes on the blocks of a commit come with what
// their store needs to verify them alone.
const anchorBytes = 64 << 10

// applyRange verifies consecutive blocks of a remote, and stores what is proved in
// one commit.
func (c *core) applyRange(ctx context.Context, m *RangeData, claim *merkle.RangeClaim, from *Peer) (done appliedRange, err error) {
	if err := c.lockWriting(ctx); err != nil {
		return done, err
	}
	defer c.unlockWriting()
	c.mu.Lock()
	roots, head, closed, forked := c.roots.Clone(), c.head, c.closed, c.forkedLocked()
	c.mu.Unlock()
	if closed {
		return done, c.ended()
	}
	v, err := c.verifyRange(roots, m, claim, from)
	if err != nil {
		return done, err
	}
	if v.Roots != nil && forked != nil {
		if !withinHead(&v, m.Start, roots.Length()) {
			return done, forked
		}
		v.Count = min(v.Count, roots.Length()-m.Start)
	}
	blocks := m.Blocks[:v.Count]
	done.rest = len(blocks) < len(m.Blocks)
	w, fw := &change{from: from}, FeedWrite{Key: c.key, Nodes: v.Nodes}
	if v.Roots != nil {
		w.roots = v.Roots
		w.head = Head{Length: v.Roots.Length(), Size: v.Roots.Size(), RootHash: v.Roots.Hash(), Signature: Signature(m.Signature)}
		fw.Head = &w.head
	}
	fw.Runs, done.refused = c.admitted(m.Start, blocks, from)
	for _, run := range fw.Runs {
		w.spans = append(w.spans, run.Span())
		for _, b := range run.Blocks {
			w.bytes += uint64(len(b))
		}
	}
	done.blocks = v.Count
	for _, b := range blocks {
		done.bytes += uint64(len(b))
	}
	if w.roots == nil && len(w.spans) == 0 {
		return done, nil
	}
	if w.bytes >= anchorBytes {
		fw.Anchor = roots.Nodes()
		if fw.Head == nil && head.Length > 0 {
			fw.Head = &head
		}
	}
	done.grew = w.roots != nil
	return done, c.commitRange(w, fw, from)
}

// commitRange commits what a remote's answer brought.
func (c *core) commitRange(w *change, fw FeedWrite, from *Peer) error {
	b := &Batch{Feeds: []FeedWrite{fw}}
	tell := func() {}
	if w.roots != nil {
		tell = c.grownByOther(b, w.head, from)
	}
	undo := c.unclear(b, w.spans...)
	if err := c.commit(w, b); err != nil {
		undo()
		return fmt.Errorf("store blocks of feed %s: %w", c.discovery, err)
	}
	tell()
	return nil
}

// admitted returns the blocks from start on that are missing here and not refused,
// and those that are. It gives the caller's room for what it returns.
func (c *core) admitted(start uint64, blocks [][]byte, from *Peer) (runs []Run, refused []uint64) {
	c.mu.Lock()
	var missing []Span
	end := start + uint64(len(blocks))
	for at := c.have.NextClear(start); at < end; {
		next, ok := c.have.NextSet(at)
		if !ok || next > end {
			next = end
		}
		missing = append(missing, Span{at, next - at})
		at = c.have.NextClear(next)
	}
	unguarded := c.guard == nil
	c.mu.Unlock()
	for _, s := range missing {
		run := Run{Start: s.Start, Blocks: blocks[s.Start-start : s.End()-start]}
		if unguarded && c.tryRun(run) {
			runs = append(runs, run)
			continue
		}
		from, no := c.judged(run, from)
		runs, refused = append(runs, from...), append(refused, no...)
	}
	return runs, refused
}

// judged returns the parts of the run that the guard and the rations let pass, and
// the blocks that they refuse.
func (c *core) judged(run Run, from *Peer) (parts []Run, refused []uint64) {
	part := Run{Start: run.Start}
	for i, b := range run.Blocks {
		seq := run.Start + uint64(i)
		if err := c.refusal(seq, b, from); err == nil {
			part.Blocks = run.Blocks[part.Start-run.Start : i+1]
			continue
		}
		refused = append(refused, seq)
		if len(part.Blocks) > 0 {
			parts = append(parts, part)
		}
		part = Run{Start: seq + 1}
	}
	if len(part.Blocks) > 0 {
		parts = append(parts, part)
	}
	return parts, refused
}

// verifyRange returns what the claim proves beside the tree of roots, and says
// whose fault it is when that is nothing.
func (c *core) verifyRange(roots merkle.Roots, m *RangeData, claim *merkle.RangeClaim, from *Peer) (merkle.Verified, error) {
	check := func(root merkle.Hash, length uint64) error {
		return c.verifyHead(SignedHead{length, root, Signature(m.Signature)})
	}
	v, err := merkle.VerifyRange(trusted{c}, roots, *claim, check)
	if errors.Is(err, merkle.ErrProof) || errors.Is(err, merkle.ErrProofFork) {
		fresh := merkle.RangeClaim{Start: claim.Start, Leaves: claim.Leaves, Nodes: claim.Nodes, Length: claim.Length, Signature: claim.Signature}
		alone, again := merkle.VerifyRange(noNodes{}, roots, fresh, check)
		if again == nil && alone.InTree && c.corrects(alone.Nodes) {
			v, err = alone, nil
		}
	}
	if err == nil && !v.InTree {
		return v, ErrOtherTree
	}
	if evidence, ok := errors.AsType[*merkle.ForkError](err); ok {
		return v, c.fork(evidence, Signature(m.Signature), from)
	}
	if errors.Is(err, merkle.ErrProof) {
		return v, c.remote(rangeError(m, err))
	}
	if err != nil {
		return v, fmt.Errorf("apply range of feed %s: %w", c.discovery, rangeError(m, err))
	}
	return v, nil
}

// NoteVerifiedHead notes that the feed's key has signed a head, as somebody has
// verified: who brings the same head with its blocks needs not be verified again.
func (c *core) NoteVerifiedHead(h SignedHead) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.verified = h
}

// verifyHead returns nil when the feed's key has signed the head. The last one
// that it had is remembered.
func (c *core) verifyHead(h SignedHead) error {
	c.mu.Lock()
	known := c.verified == h
	c.mu.Unlock()
	if known {
		return nil
	}
	if err := h.Verify(c.key); err != nil {
		return err
	}
	c.NoteVerifiedHead(h)
	return nil
}
