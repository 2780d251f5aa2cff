package hypercore

import (
	"cmp"
	"errors"
	"fmt"
	"sync/atomic"

	"github.com/cobox-p2p/cobox-p2p/hypercore/merkle"
)

// damage is what is known of a feed that the store does not give back as it was.
// It is kept while the feed is open; the next audit finds it again.
type damage struct {
	blocks Bitfield // whose content is damaged; Invariant: a subset of hidden
	// hidden are the held blocks that no peer gets and hears of: damaged ones,
	// and those whose proof can't be read. Invariant: a subset of have, and
	// without those of told.
	hidden Bitfield
	// nodes are those that an audit found wrong or missing, until they are
	// stored: what they should be, nil for what isn't known. At most
	// MaxAuditNodes and 2*maxLost.
	nodes map[uint64]*merkle.Node
	wrong atomic.Bool // nodes isn't empty; read without core.mu
}

// maxLost is how many places of the tree are remembered where nodes can't be
// known.
const maxLost = 4096

// wrote drops what was known of blocks and nodes that b has stored.
func (d *damage) wrote(b *Batch) {
	for i := range b.Feeds {
		w := &b.Feeds[i]
		for _, s := range w.Clear {
			d.forget(s)
		}
		for _, r := range w.Runs {
			d.forget(r.Span())
		}
		if len(d.nodes) == 0 {
			continue
		}
		for _, n := range w.Nodes {
			delete(d.nodes, n.Index)
		}
	}
	d.wrong.Store(len(d.nodes) > 0)
}

// forget drops what was known of blocks that were stored anew or removed.
func (d *damage) forget(s Span) {
	d.blocks.ClearRange(s.Start, s.Count)
	d.hidden.ClearRange(s.Start, s.Count)
}

// Damage is what is known to be damaged of an open feed.
type Damage struct {
	// Blocks counts the held blocks that can't be read or proved. They are not
	// served, and not among Durable.
	Blocks uint64
	Spans  []Span // of them, ascending, the first MaxAuditSpans
}

// Damage returns what audits, reads and peers' requests have come upon, and what
// Repair hasn't mended yet.
func (c *core) Damage() Damage {
	c.mu.Lock()
	defer c.mu.Unlock()
	hidden := intersection(&c.damage.hidden, &c.have, c.head.Length)
	d := Damage{Blocks: hidden.Count()}
	for s := range hidden.Spans(0, c.head.Length) {
		if len(d.Spans) == MaxAuditSpans {
			break
		}
		d.Spans = append(d.Spans, s)
	}
	return d
}

// isGone says whether an error of the store is no sign of damage: the store is
// closed, or has not what was asked for.
func isGone(err error) bool {
	return errors.Is(err, ErrClosed) || errors.Is(err, ErrNoBlock) || errors.Is(err, merkle.ErrNoNode)
}

// readBlocks reads held blocks. It returns ErrDamaged for blocks that are known
// to be damaged, and for those that the store can't give back, which it notes;
// the error names the first of them. It returns ErrNoBlock when one isn't held
// any more, and ErrClosed.
func (c *core) readBlocks(s Span) ([][]byte, error) {
	c.mu.Lock()
	seq, bad := c.damage.blocks.NextSet(s.Start)
	c.mu.Unlock()
	if bad && seq < s.End() {
		return nil, c.damagedError(seq, nil)
	}
	blocks, err := c.st.Blocks(c.key, s)
	if err == nil || errors.Is(err, ErrClosed) {
		return blocks, err
	}
	if err := c.blame(s, err); err != nil {
		return nil, err
	}
	return c.st.Blocks(c.key, s) // they can be read after all
}

// blame finds out which blocks of a span that couldn't be read are at fault, and
// returns the error of the first.
func (c *core) blame(s Span, err error) error {
	var first error
	for seq := s.Start; seq < s.End(); seq++ {
		if s.Count > 1 {
			_, err = c.st.Blocks(c.key, Span{seq, 1})
		}
		if err != nil {
			err = c.blameOne(seq, err)
		}
		if errors.Is(err, ErrClosed) {
			return err
		}
		first = cmp.Or(first, err)
	}
	return first
}

// blameOne notes that a block can't be read, if that is damage.
func (c *core) blameOne(seq uint64, err error) error {
	if errors.Is(err, ErrClosed) {
		return err
	}
	noted := false
	note := func() { noted = c.noteDamaged(seq, true) }
	if !errors.Is(err, ErrNoBlock) {
		note()
	} else {
		c.unchanging(func() {
			if _, again := c.st.Blocks(c.key, Span{seq, 1}); errors.Is(again, ErrNoBlock) {
				note()
			}
		})
	}
	if !noted {
		return ErrNoBlock
	}
	return c.damagedError(seq, err)
}

// unprovable returns ErrNoBlock for a block whose path to the roots of length
// blocks isn't stored. Every held block was stored with its whole path.
func (c *core) unprovable(seq, length uint64, hash bool) error {
	noted := false
	if !hash {
		c.unchanging(func() {
			if _, err := merkle.Prove(trusted{c}, length, seq, 0, false); errors.Is(err, merkle.ErrNoNode) {
				noted = c.noteDamaged(seq, false)
			}
		})
	}
	if !noted {
		return ErrNoBlock
	}
	return fmt.Errorf("%w: %w: tree above block %d of feed %s", ErrNoBlock, ErrDamaged, seq, c.discovery)
}

// damagedError names a damaged block.
func (c *core) damagedError(seq uint64, err error) error {
	if err == nil {
		return fmt.Errorf("%w: block %d of feed %s", ErrDamaged, seq, c.discovery)
	}
	return fmt.Errorf("%w: block %d of feed %s: %w", ErrDamaged, seq, c.discovery, err)
}

// noteDamaged notes a held block that can't be proved or, with content, not even
// be read. It is false when the block isn't held any more, which is no damage.
func (c *core) noteDamaged(seq uint64, content bool) bool {
	c.mu.Lock()
	if !c.have.Get(seq) {
		c.mu.Unlock()
		return false
	}
	if content {
		c.damage.blocks.Set(seq)
	}
	told := c.hideLocked(Span{seq, 1})
	c.mu.Unlock()
	call(told)
	return true
}

// unchanging says whether nobody changes the feed, so that what is held and what is
// stored must agree, and calls f meanwhile.
func (c *core) unchanging(f func()) bool {
	select {
	case c.writing <- struct{}{}:
		defer c.unlockWriting()
		f()
		return true
	default:
		return false
	}
}

// hideLocked takes held blocks away from peers, and tells of those that weren't
// taken before. What it returns is to be called without the lock.
func (c *core) hideLocked(s Span) []func() {
	if c.damage.hidden.Contains(s) {
		return nil
	}
	c.damage.hidden.SetRange(s.Start, s.Count)
	c.told.ClearRange(s.Start, s.Count)
	for p := range c.peers {
		p.untellLocked(s)
		p.wake()
	}
	c.changedLocked()
	return c.eventLocked(Event{Kind: Damaged, Span: s})
}

// noteAudit makes what an audit of the blocks in have found the whole of what is
// known: what it found right is served again.
func (c *core) noteAudit(a *Audit, have *Bitfield) {
	c.mu.Lock()
	c.damage.nodes = a.nodes()
	c.damage.wrong.Store(len(c.damage.nodes) > 0)
	var told []func()
	// Blocks that were removed while the audit ran were no damage.
	a.bad = intersection(&a.bad, &c.have, c.head.Length)
	right := intersection(&c.damage.hidden, &c.have, c.head.Length)
	for s := range a.bad.Spans(0, c.head.Length) {
		right.ClearRange(s.Start, s.Count)
		c.damage.blocks.SetRange(s.Start, s.Count)
		told = append(told, c.hideLocked(s)...)
	}
	for s := range right.Spans(0, c.head.Length) {
		for part := range have.Spans(s.Start, s.End()) {
			c.damage.blocks.ClearRange(part.Start, part.Count)
			c.damage.hidden.ClearRange(part.Start, part.Count)
			c.told.SetRange(part.Start, part.Count)
			for p := range c.peers {
				p.tellLocked(nil, part)
				p.wake()
			}
		}
	}
	c.changedLocked()
	c.mu.Unlock()
	call(told)
}

// intersection returns the blocks below end that are in both sets.
func intersection(a, b *Bitfield, end uint64) (both Bitfield) {
	for s := range a.Spans(0, end) {
		for part := range b.Spans(s.Start, s.End()) {
			both.SetRange(part.Start, part.Count)
		}
	}
	return both
}
