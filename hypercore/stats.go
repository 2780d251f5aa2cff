package hypercore

import "sync/atomic"

// Stats are counts of blocks, and of their bytes as the tree covers them.
type Stats struct {
	SentBlocks, SentBytes uint64 // read for peers
	GotBlocks, GotBytes   uint64 // taken from peers
	Unasked               uint64 // blocks that came without being of use
	Refused               uint64 // blocks that the guard refused
	Late                  uint64 // requests that moved on because nothing came in time
}

type counters struct {
	sentBlocks, sentBytes, gotBlocks, gotBytes, unasked, refused, late atomic.Uint64
}

func (n *counters) stats() Stats {
	return Stats{
		SentBlocks: n.sentBlocks.Load(), SentBytes: n.sentBytes.Load(),
		GotBlocks: n.gotBlocks.Load(), GotBytes: n.gotBytes.Load(),
		Unasked: n.unasked.Load(), Refused: n.refused.Load(), Late: n.late.Load(),
	}
}

func (n *counters) sent(block []byte) {
	n.sentBlocks.Add(1)
	n.sentBytes.Add(uint64(len(block)))
}

func (n *counters) got(block []byte) {
	n.gotBlocks.Add(1)
	n.gotBytes.Add(uint64(len(block)))
}

// count counts for the peer and for the feed.
func (p *Peer) count(f func(*counters)) {
	f(&p.counters)
	f(&p.feed.counters)
}

// Stats returns what was exchanged with this remote.
func (p *Peer) Stats() Stats { return p.counters.stats() }

// Stats returns what was exchanged with all peers since the feed was opened.
func (c *core) Stats() Stats { return c.counters.stats() }
