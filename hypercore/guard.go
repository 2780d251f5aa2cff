package hypercore

import (
	"errors"
	"fmt"
	"time"
)

const (
	// RefusalPause is how long a block that the guard refused isn't asked of
	// anybody. It may be up to twice as long.
	RefusalPause = time.Minute
	// maxRefusedPages bounds the memory for refused blocks, in pages of 8192
	// blocks. Those beyond it are asked for again at once.
	maxRefusedPages = 4096
)

// ErrRefused says that the guard of a feed refused a block.
var ErrRefused = errors.New("hypercore: block refused by the guard")

// Guard decides on a verified block before it is stored: block seq of the feed as
// the tree covers it, sealed or not, and the peer that sent it, nil when it was
// given to Apply. An error refuses the block. The slice belongs to the feed.
type Guard func(seq uint64, block []byte, from *Peer) error

// SetGuard sets what decides on blocks before they are stored, or takes it away
// with nil. Blocks that are appended here don't pass it.
//
// A block that it refuses is not stored; what its proof says of the tree is when
// the feed grows by it. The peer is not blamed. The block is asked of nobody for
// RefusalPause, and then again if somebody still wants it: who gives it up for
// good clears it.
//
// g is called by one goroutine at a time, the one in which the block arrived. It
// may take its time at the cost of this feed, and must not call what writes to
// the feed or closes it.
func (c *core) SetGuard(g Guard) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.guard = g
}

// refusal asks the guard, and then the rations of the feed, which count the block
// from then on: a commit that fails gives that back. It returns an error that wraps
// ErrRefused.
func (c *core) refusal(seq uint64, block []byte, from *Peer) error {
	c.mu.Lock()
	guard := c.guard
	c.mu.Unlock()
	var err error
	if guard != nil {
		err = guard(seq, block, from)
	}
	if err == nil {
		err = c.takeRoom(uint64(len(block)), from)
	}
	if err != nil {
		return fmt.Errorf("block %d of feed %s: %w: %w", seq, c.discovery, ErrRefused, err)
	}
	return nil
}

// refuse notes that the guard refused the block that answers r.
func (p *Peer) refuse(r *request, grew bool, now time.Time) {
	c := p.feed
	c.mu.Lock()
	defer c.mu.Unlock()
	c.refused.add(r.seq, now)
	p.count(func(n *counters) { n.refused.Add(1) })
	p.dropLocked(r)
	p.answeredLocked(r, now)
	p.grownLocked(r, grew, now)
	c.wakeLocked()
}

// refusals are the blocks that the guard refused in the last one to two
// RefusalPause.
type refusals struct {
	young, old Bitfield
	turn       time.Time // when old is forgotten and young becomes old
}

func (r *refusals) add(seq uint64, now time.Time) {
	if _, any := r.due(); !any {
		r.turn = now.Add(RefusalPause)
	}
	r.young.SetLimited(seq, 1, maxRefusedPages)
}

// next returns the first block from seq on that isn't refused.
func (r *refusals) next(seq uint64) uint64 {
	for {
		after := r.old.NextClear(r.young.NextClear(seq))
		if after == seq {
			return seq
		}
		seq = after
	}
}

// due returns when expire has something to do; ok is false when no block is
// refused.
func (r *refusals) due() (at time.Time, ok bool) {
	return r.turn, r.young.Count()+r.old.Count() > 0
}

// expire forgets what was refused long ago, and says whether it did.
func (r *refusals) expire(now time.Time) bool {
	at, ok := r.due()
	if !ok || now.Before(at) {
		return false
	}
	freed := r.old.Count() > 0
	r.old, r.young, r.turn = r.young, Bitfield{}, now.Add(RefusalPause)
	return freed
}
