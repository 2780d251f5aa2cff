package hypercore

import "time"

// Full returns why nothing more of the feed is asked of peers, a *FullError, or
// nil.
func (c *core) Full() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.full == nil {
		return nil
	}
	return c.full
}

// takeRoom counts a block of a peer before it is stored, or says that there is no
// room.
func (c *core) takeRoom(bytes uint64, from *Peer) error {
	full := c.tryRoom(bytes)
	if full == nil {
		return nil
	}
	c.noteFull(full, from)
	return full
}

// tryRoom counts bytes if there is room for them.
func (c *core) tryRoom(bytes uint64) *FullError {
	c.mu.Lock()
	rations := c.rations
	c.mu.Unlock()
	for i, r := range rations {
		if full := r.take(bytes); full != nil {
			for _, taken := range rations[:i] {
				taken.Give(bytes)
			}
			return full
		}
	}
	return nil
}

// tryRun is tryRoom for all blocks of a run.
func (c *core) tryRun(r Run) bool {
	size := uint64(0)
	for _, b := range r.Blocks {
		size += uint64(len(b))
	}
	return c.tryRoom(size) == nil
}

// giveRoom takes back what takeRoom counted for blocks that were not stored.
func (c *core) giveRoom(bytes uint64) {
	c.mu.Lock()
	rations := c.rations
	c.mu.Unlock()
	for _, r := range rations {
		r.Give(bytes)
	}
}

// recount counts what was removed, or appended here, since the last time. The caller
// holds c.writing.
func (c *core) recount() {
	c.mu.Lock()
	rations, was, is := c.rations, c.counted, c.bytes
	c.counted = is
	c.mu.Unlock()
	for _, r := range rations {
		if is > was {
			r.Charge(is - was)
		} else {
			r.Give(was - is)
		}
	}
}

// lookForRoom notes that there is no room for anything more of the feed if this
// remote has something.
func (p *Peer) lookForRoom() {
	c := p.feed
	c.mu.Lock()
	rations := c.rations
	idle := len(rations) == 0 || c.full != nil || !p.download || !p.lacksLocked()
	c.mu.Unlock()
	if idle {
		return
	}
	for _, r := range rations {
		if _, full := r.room(); full != nil {
			c.noteFull(full, p)
			return
		}
	}
}

// lacksLocked says whether something is missing here that this remote may have.
func (p *Peer) lacksLocked() bool {
	c := p.feed
	return p.remoteEnd > c.head.Length || c.have.Count()+c.cleared.Count() < min(c.head.Length, p.remoteEnd)
}

// noteFull ends the asking for more until there is room.
func (c *core) noteFull(full *FullError, from *Peer) {
	c.mu.Lock()
	first := c.full == nil && !c.closed
	c.full = full
	var told []func()
	if first {
		c.takeBackLocked()
		told = c.eventLocked(Event{Kind: Filled, From: from})
	}
	c.mu.Unlock()
	call(told)
	if !full.await(c) {
		c.eased()
	}
}

// eased lets the feed ask again.
func (c *core) eased() {
	c.mu.Lock()
	was := c.full != nil
	c.full = nil
	var told []func()
	if was {
		c.refused = refusals{}
		told = c.eventLocked(Event{Kind: Eased})
		c.wakeLocked()
	}
	c.mu.Unlock()
	call(told)
}

// roomLeftLocked returns how many bytes of blocks may still be asked for.
func (c *core) roomLeftLocked() uint64 {
	left := uint64(1<<64 - 1)
	for _, r := range c.rations {
		room, _ := r.room()
		left = min(left, room)
	}
	return left
}

// affordLocked says whether one more block may be asked of this remote: there is
// room for it, and for the others that were asked of it.
func (p *Peer) affordLocked(now time.Time) bool {
	c := p.feed
	p.resume = time.Time{}
	if c.refused.expire(now) {
		c.wakeLocked()
	}
	if c.full != nil {
		return false
	}
	left := c.roomLeftLocked()
	if p.room != nil {
		bytes, again := p.room(now)
		if bytes == 0 {
			p.resume = again
			return false
		}
		left = min(left, bytes)
	}
	return p.flying == 0 || uint64(p.flying+1)*c.averageLocked() <= left
}

// roomBlocksLocked returns for how many blocks there is room, one at the least.
func (p *Peer) roomBlocksLocked(now time.Time) uint64 {
	left := p.feed.roomLeftLocked()
	if p.room != nil {
		bytes, _ := p.room(now)
		left = min(left, bytes)
	}
	return max(left/p.feed.averageLocked(), 1)
}

// guessBlock is how long a block is taken to be when nothing is known, in bytes.
const guessBlock = 64 << 10

// averageLocked returns how long a block is taken to be.
func (c *core) averageLocked() uint64 {
	if c.head.Length == 0 {
		return guessBlock
	}
	return max(1, c.head.Size/c.head.Length)
}
