package hypercore

import (
	"context"
	"errors"
	"fmt"

	"github.com/cobox-p2p/cobox-p2p/hypercore/merkle"
)

// maxRepairSpans is how many spans of damaged blocks one commit of Repair
// removes.
const maxRepairSpans = 1 << 15

// ErrChanged refuses to repair a feed by an audit that is about another history
// of it.
var ErrChanged = errors.New("hypercore: feed has changed since it was audited")

// Repaired is what Repair did.
type Repaired struct {
	Nodes uint64 // tree nodes written anew
	Head  bool   // the head was written anew
	// Blocks counts the damaged blocks that were removed, to be fetched again.
	// Spans are they in ascending order, the first MaxAuditSpans spans.
	Blocks uint64
	Spans  []Span
}

// Repair writes the nodes and the head that the audit could recompute, and
// removes the blocks that it found damaged, in one commit unless they make more
// than 32,768 spans. It returns when that is durable. The removed blocks count as
// missing then, so replication asks peers for them and for nothing else; a block
// that was stored anew since the audit stays. It returns ErrChanged when the
// audit is of another history, ErrClosed, or what the store said. When a.Cut is
// set, audit and repair again.
func (c *core) Repair(ctx context.Context, a Audit) (Repaired, error) {
	if err := c.lockWriting(ctx); err != nil {
		return Repaired{}, err
	}
	defer c.unlockWriting()
	done, err := c.repair(ctx, &a)
	if err != nil {
		err = fmt.Errorf("repair feed %s: %w", c.discovery, err)
	}
	return done, err
}

// repair does what Repair does. The caller holds c.writing.
func (c *core) repair(ctx context.Context, a *Audit) (done Repaired, err error) {
	c.mu.Lock()
	closed, head := c.closed, c.head
	known := intersection(&c.damage.hidden, &c.have, head.Length)
	c.mu.Unlock()
	if closed {
		return done, c.ended()
	}
	if !c.audited(a, head) {
		return done, ErrChanged
	}
	w := FeedWrite{Key: c.key, Nodes: a.inTree(head.Length)}
	if a.Head != nil && !a.unsigned && head.Length > 0 {
		w.Head, done.Head = &head, true
	}
	bad := intersection(&a.bad, &known, head.Length)
	for s := range bad.Spans(0, head.Length) {
		if w.Clear = append(w.Clear, s); len(w.Clear) < maxRepairSpans {
			continue
		}
		if err := c.commitRepair(ctx, w, &done); err != nil {
			return done, err
		}
		w = FeedWrite{Key: c.key}
	}
	if len(w.Clear) > 0 || len(w.Nodes) > 0 || w.Head != nil {
		err = c.commitRepair(ctx, w, &done)
	}
	return done, err
}

// audited says whether the audit is about the feed as it is or was.
func (c *core) audited(a *Audit, head Head) bool {
	switch {
	case a.key != c.key:
		return false
	case a.head.Length == head.Length:
		return a.head.RootHash == head.RootHash
	case a.head.Length > head.Length:
		return false
	}
	roots, err := merkle.LoadRoots(mended{nodesOf{c.st, c.key}, a.rewrite}, a.head.Length)
	return err == nil && (a.head.Length == 0 || roots.Hash() == a.head.RootHash)
}

// mended reads nodes as they will be stored.
type mended struct {
	nodesOf
	rewrite map[uint64]merkle.Node
}

func (m mended) Node(index uint64) (merkle.Node, error) {
	if n, ok := m.rewrite[index]; ok {
		return n, nil
	}
	return m.nodesOf.Node(index)
}

// commitRepair makes one part of a repair durable and then takes what it cleared
// out of the blocks held.
func (c *core) commitRepair(ctx context.Context, w FeedWrite, done *Repaired) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	b := &Batch{Feeds: []FeedWrite{w}}
	if err := c.commitDurably(b); err != nil {
		return err
	}
	stored, err := c.st.Feed(c.key)
	defer c.recount()
	c.mu.Lock()
	defer c.mu.Unlock()
	if err == nil {
		c.bytes = stored.Bytes
	}
	c.damage.wrote(b)
	done.Nodes += uint64(len(w.Nodes))
	for _, s := range w.Clear {
		c.removeLocked(s)
		done.Blocks += s.Count
		if len(done.Spans) < MaxAuditSpans {
			done.Spans = append(done.Spans, s)
		}
	}
	c.changedLocked()
	c.wakeLocked()
	for _, s := range w.Clear {
		c.tellWantedLocked(s)
	}
	return nil
}
