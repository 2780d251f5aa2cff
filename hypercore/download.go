package hypercore

import (
	"context"
	"slices"

	"github.com/cobox-p2p/cobox-p2p/hypercore/merkle"
)

// Endless is the Count of a span without an end: it takes in what the feed will
// grow by.
const Endless = merkle.MaxLength

// endless says whether the span follows the feed's growth.
func (s Span) endless() bool { return s.Count >= Endless }

// DownloadOptions say how blocks are fetched.
type DownloadOptions struct {
	// Priority tells which of several downloads goes first: the higher, and of
	// two alike the older. What a Get waits for goes before all. The whole feed
	// has priority 0 while it isn't sparse, behind every Download with 0.
	Priority int
	// Linear asks for the blocks in ascending order; else every peer goes on
	// from where it is, so that their blocks differ.
	Linear bool
}

// Download is a wish for a span of blocks. It lasts until they are stored here,
// until Cancel, or until the feed is closed.
type Download struct {
	feed    *core
	span    Span
	options DownloadOptions
	done    chan struct{}

	// guarded by feed.mu
	at  uint64 // no block of span below it is missing
	err error
}

// Download asks for the blocks of span, below the known length or beyond, also
// in a sparse feed and when they were cleared. With a Count of Endless it
// follows the feed's growth and is never done. It must be cancelled when it isn't
// needed any more, unless it is done.
func (c *core) Download(span Span, o DownloadOptions) *Download {
	d := &Download{feed: c, span: span, options: o, done: make(chan struct{}), at: span.Start}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		d.finishLocked(c.ended())
		return d
	}
	at := len(c.downloads)
	for at > 0 && c.downloads[at-1].options.Priority < o.Priority {
		at--
	}
	c.downloads = slices.Insert(c.downloads, at, d)
	c.progressLocked()
	c.wakeLocked()
	if end := d.endLocked(); d.at < end {
		c.tellWantedLocked(Span{d.at, end - d.at})
	}
	return d
}

// Done returns a channel that is closed when all blocks are stored here, after
// Cancel, and when the feed is closed.
func (d *Download) Done() <-chan struct{} { return d.done }

// Wait returns nil when all blocks are stored here, context.Canceled after
// Cancel, ErrClosed, or what ctx says when that ends first. It doesn't end the
// download.
func (d *Download) Wait(ctx context.Context) error {
	select {
	case <-d.done:
		d.feed.mu.Lock()
		defer d.feed.mu.Unlock()
		return d.err
	case <-ctx.Done():
		return ctx.Err()
	}
}

// Cancel ends the download. What was requested for it alone is taken back. It
// may be called twice, and does nothing when all blocks are stored.
func (d *Download) Cancel() {
	c := d.feed
	c.mu.Lock()
	defer c.mu.Unlock()
	if at := slices.Index(c.downloads, d); at >= 0 {
		c.downloads = slices.Delete(c.downloads, at, at+1)
		d.finishLocked(context.Canceled)
		c.takeBackLocked()
	}
}

func (d *Download) finishLocked(err error) {
	d.err = err
	close(d.done)
}

// wantsLocked says whether the download asks for a block, stored or not.
func (d *Download) wantsLocked(seq uint64) bool {
	return seq >= d.span.Start && (d.span.endless() || seq < d.span.End())
}

// missesLocked notes that blocks are not stored any more.
func (d *Download) missesLocked(s Span) {
	if s.Start < d.at && s.End() > d.span.Start {
		d.at = max(s.Start, d.span.Start)
	}
}

// endLocked returns the end of the download as far as the feed is known.
func (d *Download) endLocked() uint64 {
	if length := d.feed.head.Length; d.span.endless() || d.span.End() > length {
		return length
	}
	return d.span.End()
}

// progressLocked ends the downloads whose blocks are all stored.
func (c *core) progressLocked() {
	c.downloads = slices.DeleteFunc(c.downloads, func(d *Download) bool {
		if c.closed {
			d.finishLocked(c.ended())
			return true
		}
		d.at = c.have.NextClear(d.at)
		if d.span.endless() || d.at < d.span.End() {
			return false
		}
		d.finishLocked(nil)
		return true
	})
}

// wantedLocked says whether somebody asks for the block.
func (c *core) wantedLocked(seq uint64) bool {
	if c.full != nil {
		return false
	}
	if c.waiters[seq] > 0 || !c.sparse && !c.cleared.Get(seq) {
		return true
	}
	return slices.ContainsFunc(c.downloads, func(d *Download) bool { return d.wantsLocked(seq) })
}

// takeBackLocked cancels the requests for blocks that nobody asks for any more.
// Those that the feed's growth needs stay.
func (c *core) takeBackLocked() {
	for seq, r := range c.asked {
		if !r.grows && !c.wantedLocked(seq) {
			r.peer.moveLocked(r)
			r.peer.wake()
		}
	}
	c.takeBackRangesLocked()
}
