package node

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/cobox-p2p/cobox-p2p/hypercore"
	"github.com/cobox-p2p/cobox-p2p/multifeed"
)

// ReadOptions say what of a space is read, and how long it is waited for.
type ReadOptions struct {
	Feed    string // key, its beginning or a writer's name; empty for the only feed with blocks
	Follow  bool   // go on with blocks to come, the first too, until ctx ends
	Offline bool   // read what is stored here, and wait for nobody
	// Timeout is the longest wait for a peer or for the next block; 0 waits as
	// long as ctx lets it. With Follow only the wait for a peer counts.
	Timeout time.Duration
}

// ChoiceError says that a space has several feeds to read, or none.
type ChoiceError struct {
	Space string
	Feeds []FeedStatus
}

func (e *ChoiceError) Error() string {
	if len(e.Feeds) == 0 {
		return fmt.Sprintf("space %s has no feed with blocks yet", e.Space)
	}
	var b strings.Builder
	fmt.Fprintf(&b, "space %s has several feeds, name one of them:", e.Space)
	for _, f := range e.Feeds {
		fmt.Fprintf(&b, "\n  %s  writer %s, %s", f.Key, f.Writer, Count(f.Length, "block", "blocks"))
	}
	return b.String()
}

// Read is what was opened for reading.
type Read struct {
	Space string
	Feed  string // key
	space *space
	feed  *multifeed.Feed
	opts  ReadOptions
}

// OpenRead finds the feed to read, after the feed set was exchanged with a peer
// unless Offline is set. It returns a *UseError or *ChoiceError when what was
// named can't be read.
func (n *Node) OpenRead(ctx context.Context, name string, o ReadOptions) (*Read, error) {
	s, err := n.findUsable(name)
	if err != nil {
		return nil, err
	}
	if !s.Readable() {
		return nil, useErrorf("space %s is only seeded here: this node holds no key to read it with; read it at a member, or join it with its secret", s.entry.Name)
	}
	during, stop := s.during(ctx)
	defer stop()
	if !o.Offline {
		if err := s.waitExchanged(during, o.Timeout); err != nil {
			return nil, s.why(during, err)
		}
	}
	f, err := s.await(during, o)
	if err != nil {
		return nil, s.why(during, err)
	}
	return &Read{s.entry.Name, f.Key().String(), s, f, o}, nil
}

// waitExchanged waits until a peer told its feeds, no longer than timeout.
func (s *space) waitExchanged(ctx context.Context, timeout time.Duration) error {
	ctx, stop := within(ctx, timeout)
	defer stop()
	err := s.WaitExchanged(ctx)
	if errors.Is(err, context.DeadlineExceeded) {
		return fmt.Errorf("space %s: no peer answered within %v: see status for what was tried, or use --offline for what is stored here", s.entry.Name, timeout)
	}
	return err
}

// within is context.WithTimeout, or without one for 0.
func within(ctx context.Context, timeout time.Duration) (context.Context, context.CancelFunc) {
	if timeout <= 0 {
		return context.WithCancel(ctx)
	}
	return context.WithTimeout(ctx, timeout)
}

// await is pick, but who follows a space without blocks waits for the first.
func (s *space) await(ctx context.Context, o ReadOptions) (*multifeed.Feed, error) {
	for {
		changed := s.Changed()
		f, err := s.pick(o.Feed)
		none, ok := errors.AsType[*ChoiceError](err)
		if !o.Follow || !ok || len(none.Feeds) > 0 {
			return f, err
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

// pick returns the feed that text names, or the only one with blocks.
func (s *space) pick(text string) (*multifeed.Feed, error) {
	var found []*multifeed.Feed
	for _, f := range s.Feeds() {
		switch key := f.Key().String(); {
		case text == "":
			if f.KnownLength() > 0 {
				found = append(found, f)
			}
		case s.name(f) == text && !f.Retired() || key == text:
			return f, nil
		case s.name(f) == text || strings.HasPrefix(key, strings.ToLower(text)):
			found = append(found, f)
		}
	}
	switch {
	case len(found) == 1:
		return found[0], nil
	case len(found) == 0 && text != "":
		return nil, useErrorf("space %s has no feed %q: see status", s.entry.Name, clip(text))
	}
	e := &ChoiceError{Space: s.entry.Name, Feeds: []FeedStatus{}}
	for _, f := range found {
		e.Feeds = append(e.Feeds, feedStatus(f))
	}
	return nil, e
}

// flusher is a writer that holds bytes back.
type flusher interface{ Flush() error }

// Copy writes the feed's blocks to w, one after the other, and returns the bytes
// written. Without Follow it ends with the last block that was known when it
// began. It flushes w, if it can be, when the next block is not here yet.
func (r *Read) Copy(ctx context.Context, w io.Writer) (written uint64, err error) {
	ctx, stop := r.space.during(ctx)
	defer stop()
	end := r.feed.KnownLength()
	for seq := uint64(0); r.opts.Follow || seq < end; seq++ {
		if fl, ok := w.(flusher); ok && !r.feed.Has(hypercore.Span{Start: seq, Count: 1}) {
			if err := fl.Flush(); err != nil {
				return written, err
			}
		}
		b, err := r.block(ctx, seq)
		if err != nil {
			return written, r.space.why(ctx, err)
		}
		n, err := w.Write(b)
		written += uint64(n)
		if err != nil {
			return written, err
		}
	}
	return written, nil
}

// block returns one block and waits for it as the options say.
func (r *Read) block(ctx context.Context, seq uint64) ([]byte, error) {
	if r.opts.Offline && !r.opts.Follow && !r.feed.Has(hypercore.Span{Start: seq, Count: 1}) {
		return nil, fmt.Errorf("space %s: block %d of feed %s is not stored here: read without --offline to fetch it", r.Space, seq, r.Feed)
	}
	timeout := r.opts.Timeout
	if r.opts.Follow {
		timeout = 0
	}
	ctx, stop := within(ctx, timeout)
	defer stop()
	b, err := r.feed.Get(ctx, seq)
	switch {
	case errors.Is(err, context.DeadlineExceeded):
		return nil, fmt.Errorf("space %s: block %d of feed %s did not come within %v: no connected peer sends it", r.Space, seq, r.Feed, timeout)
	case err != nil:
		return nil, fmt.Errorf("space %s: %w", r.Space, err)
	}
	return b, nil
}
