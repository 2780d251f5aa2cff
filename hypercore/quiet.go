package hypercore

// Quiet says whether nothing is under way: no peer attached, nobody waiting for
// a block, no Download, and all that was written durable. A quiet feed can be
// closed and opened again at no cost but the reading of it; what SetSparse and
// SetGuard said is forgotten then, as are the sums of Stats.
func (c *core) Quiet() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.pending == 0 && len(c.queue) == 0 && len(c.peers) == 0 && len(c.waiters) == 0 && c.updating == 0 &&
		len(c.downloads) == 0
}
