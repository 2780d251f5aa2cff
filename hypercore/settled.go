package hypercore

import (
	"iter"

	"github.com/cobox-p2p/cobox-p2p/hypercore/merkle"
)

// Standing is what of a feed would outlive a power cut here, as peers are told
// of it.
type Standing struct {
	Head    Head
	Blocks  uint64 // of those below the head, how many are stored
	Cleared uint64 // of the others, how many are fetched only when somebody asks
}

// Standing returns how the feed stands. Other than ShowHead it doesn't note that
// anybody is shown the head.
func (c *core) Standing() Standing {
	c.mu.Lock()
	defer c.mu.Unlock()
	head := c.provenLocked()
	return Standing{Head: head, Blocks: min(c.told.Count(), head.Length), Cleared: c.cleared.Count()}
}

// Lacks says whether a block below the known length is missing here that somebody
// asks for: a Get or Download, or the feed itself while it isn't sparse.
func (c *core) Lacks() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.lacksLocked()
}

func (c *core) lacksLocked() bool { return c.missesLocked(&everything) }

// everything is the set of all blocks; it never changes.
var everything = Bitfield{prefix: merkle.MaxLength}

// missesLocked says whether somebody asks for a block of the set below the known
// length that is missing here.
func (c *core) missesLocked(of *Bitfield) bool {
	for seq := range c.waiters {
		if seq < c.head.Length && !c.have.Get(seq) && of.Get(seq) {
			return true
		}
	}
	for _, d := range c.downloads {
		if seq, ok := of.nextInNeither(&c.have, &noBlocks, d.at); ok && seq < d.endLocked() {
			return true
		}
	}
	if c.sparse {
		return false
	}
	seq, ok := of.nextInNeither(&c.have, &c.cleared, 0)
	return ok && seq < c.head.Length
}

// Still says whether nothing is under way with the remote, so that nobody would
// miss anything if the channel were closed now: no message waits to be sent,
// nothing that was asked waits for its answer, nothing is left to be asked of this
// remote unless there is no room for it here, and each side told the other what it
// holds. In content it says whether also neither lacks anything that the other
// holds: the remote has every block that is durable here, and here nothing is
// missing that somebody asks for.
func (p *Peer) Still() (still, content bool) {
	c := p.feed
	c.mu.Lock()
	defer c.mu.Unlock()
	if p.closed {
		return true, false
	}
	waits := len(p.outbox) + len(p.unhaves) + len(p.haves) + len(p.wants) + len(p.again) + len(p.requests) + len(p.ranges) +
		len(p.arriving) + p.wantsOut + p.flying + p.ranged
	if waits > 0 || p.declined || !p.heard || p.wanted == 0 || p.download && c.full == nil && p.offersLocked() {
		return false, false
	}
	content = p.remoteEnd <= c.head.Length && !c.lacksLocked() && c.told.CountNotIn(&p.remote, c.toldHead.Length) == 0
	return true, content
}

// offersLocked says whether the remote told that it holds what could still be asked
// of it.
func (p *Peer) offersLocked() bool {
	c := p.feed
	if c.forked == nil && p.remoteEnd > c.head.Length && p.parted > c.head.Length && !p.barren {
		return true
	}
	return p.parted >= c.head.Length && c.missesLocked(&p.remote)
}

// Agree notes that a peer was seen to have an own feed with the head that is
// durable here. For the feeds of others it does nothing.
func (c *core) Agree(head Head) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if o := c.own; o != nil && !o.old && head.RootHash == c.toldHead.RootHash && head.Length == c.toldHead.Length && head.Length > o.agreed {
		o.agreed, o.dirty = head.Length, true
	}
}

// ForkedFeeds yields the feeds of which st has evidence that they have forked, as
// far as it can be read, in ascending order of their keys.
func ForkedFeeds(st Storage) iter.Seq[Key] {
	return func(yield func(Key) bool) {
		for r, err := range st.Records([]byte(forkPrefix)) {
			if err != nil || len(r.Key) != len(forkPrefix)+KeySize {
				continue
			}
			if !yield(Key(r.Key[len(forkPrefix):])) {
				return
			}
		}
	}
}
