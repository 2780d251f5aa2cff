package hypercore

import (
	"fmt"
	"sync"
	"time"

	"github.com/cobox-p2p/cobox-p2p/hypercore/merkle"
)

// maxTouched is how many pages of 8192 blocks the messages of a session may
// change a minute, beside one for each message.
const maxTouched = 1 << 20

// PageBudget bounds what all Peers of a session together cost by what the remote
// says that it holds: the pages remembered, of 1 KiB at most, and the pages
// changed a minute. It may be used by several goroutines.
type PageBudget struct {
	mu      sync.Mutex // guards all below; the last lock to be taken
	free    int
	touched uint64 // since
	since   time.Time
}

// NewPageBudget returns a budget of that many pages.
func NewPageBudget(pages int) *PageBudget { return &PageBudget{free: pages} }

// Free returns how many pages are left.
func (b *PageBudget) Free() int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.free
}

// take takes up to n pages and returns how many.
func (b *PageBudget) take(n int) int {
	b.mu.Lock()
	defer b.mu.Unlock()
	n = max(min(n, b.free), 0)
	b.free -= n
	return n
}

// give gives n pages back.
func (b *PageBudget) give(n int) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.free += n
}

// touch counts pages that a message changed and says whether that is within the
// limit.
func (b *PageBudget) touch(pages uint64, now time.Time) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	if now.Sub(b.since) > time.Minute {
		b.since, b.touched = now, 0
	}
	b.touched += pages
	return b.touched <= maxTouched
}

// errTouched ends a peer whose small messages cost too much.
var errTouched = fmt.Errorf("%w: over %d pages of blocks told or taken back in a minute", ErrLimit, maxTouched)

// rememberLocked changes what is remembered of the remote within the budget.
func (p *Peer) rememberLocked(now time.Time, change func(maxPages int) error) error {
	had, touched := len(p.remote.pages), p.remote.touched
	room := p.pages.take(MaxPeerPages - had)
	err := change(had + room)
	p.pages.give(room - (len(p.remote.pages) - had))
	if err != nil {
		return err
	}
	if n := p.remote.touched - touched; n > 1 && !p.pages.touch(n-1, now) {
		return errTouched
	}
	return nil
}

// horizonLocked returns the block from which on nothing is remembered of what the
// remote holds. Up to there it gets Wants, and for what lies behind it gets them
// once our head has grown so far, so nothing is missed for good.
func (p *Peer) horizonLocked() uint64 { return (p.feed.head.Length/MaxWant + 1) * MaxWant }

func (p *Peer) handleHaveLocked(m *Have, now time.Time) error {
	if m.Start > merkle.MaxSize || m.Length > merkle.MaxSize-m.Start {
		return ErrRange
	}
	horizon := p.horizonLocked()
	near := min(m.Length, horizon-min(m.Start, horizon))
	err := p.rememberLocked(now, func(maxPages int) error {
		if m.Bitfield != nil {
			return p.remote.SetRLE(m.Start, m.Bitfield, near, maxPages)
		}
		p.remote.SetLimited(m.Start, near, maxPages)
		return nil
	})
	if err != nil {
		return err
	}
	p.barren = false
	if m.Bitfield == nil {
		p.remoteEnd = max(p.remoteEnd, m.Start+m.Length)
		if near < m.Length {
			p.beyond = Span{m.Start + near, m.Length - near}
		}
		return nil
	}
	p.remoteEnd = max(p.remoteEnd, p.remote.End())
	if m.Length == MaxWant && p.wantsOut > 0 {
		p.wantsOut--
		p.answers++
	}
	return nil
}

func (p *Peer) handleUnhaveLocked(m *Unhave, now time.Time) error {
	if m.Start > merkle.MaxSize || m.Length > merkle.MaxSize-m.Start {
		return ErrRange
	}
	end := m.Start + m.Length
	err := p.rememberLocked(now, func(maxPages int) error {
		horizon := p.horizonLocked()
		p.remote.ClearLimited(m.Start, min(m.Length, horizon-min(m.Start, horizon)), maxPages)
		return nil
	})
	if err != nil {
		return err
	}
	if m.Start < p.beyond.End() && p.beyond.Start < end {
		p.beyond = Span{}
	}
	freed := false
	for seq, r := range p.asked {
		if seq >= m.Start && seq < end {
			p.barren = p.barren || r.grows && !r.moved
			freed = freed || !r.moved
			p.dropLocked(r)
		}
	}
	if freed {
		p.feed.wakeLocked()
	}
	return nil
}
