package node

import (
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/cobox-p2p/cobox-p2p/multifeed"
)

// Bundled is what a bundle carries, or what of it went in.
type Bundled struct {
	Space   string        `json:"space"`
	Feeds   int           `json:"feeds"`
	Blocks  uint64        `json:"blocks"`  // written, or stored
	Bytes   uint64        `json:"bytes"`   // of these blocks as they are sealed
	Held    uint64        `json:"held"`    // of a read: blocks that were here already
	Refused int           `json:"refused"` // of a read: feeds over the limit
	Left    uint64        `json:"left"`    // of a read: blocks that can't go in here, at nobody's fault
	Bad     uint64        `json:"bad"`     // blocks that don't verify, or can't be read
	Faults  []BundleFault `json:"faults"`  // the first ones
}

// BundleFault is what is wrong with blocks of a feed, or with the feed itself.
type BundleFault struct {
	Feed    string `json:"feed"` // key
	First   uint64 `json:"first,omitempty"`
	Blocks  uint64 `json:"blocks"` // from First on; 0 for the feed itself
	Message string `json:"message"`
}

// String is the fault in one line.
func (f BundleFault) String() string {
	switch f.Blocks {
	case 0:
		return fmt.Sprintf("feed %s: %s", f.Feed, f.Message)
	case 1:
		return fmt.Sprintf("feed %s, block %d: %s", f.Feed, f.First, f.Message)
	}
	return fmt.Sprintf("feed %s, %d blocks from %d on: %s", f.Feed, f.Blocks, f.First, f.Message)
}

// BundleError says that a bundle ended before its end, and what came before.
type BundleError struct {
	Bundled
	Err error
}

func (e *BundleError) Error() string {
	return fmt.Sprintf("space %s: %v; before that %s went through", e.Space, e.Err, Count(e.Blocks+e.Held, "block", "blocks"))
}

// Unwrap returns Err.
func (e *BundleError) Unwrap() error { return e.Err }

// Bundle is a bundle that is about to be written.
type Bundle struct {
	space *space
	opts  []multifeed.BundleOption
}

// OpenBundle prepares a bundle of a space. With a need, which is read to its end,
// it leaves out what the need's writer holds. It returns a *UseError for what is
// no need of this space.
func (n *Node) OpenBundle(name string, need io.Reader) (*Bundle, error) {
	s, err := n.findUsable(name)
	if err != nil {
		return nil, err
	}
	b := &Bundle{space: s}
	if need != nil {
		held, err := s.ReadNeed(need)
		if err != nil {
			return nil, s.wrongFile(err, "need")
		}
		b.opts = append(b.opts, multifeed.BundleSince(held))
	}
	return b, nil
}

// Write writes the bundle to w. The error is a *BundleError.
func (b *Bundle) Write(ctx context.Context, w io.Writer) (Bundled, error) {
	during, stop := b.space.during(ctx)
	defer stop()
	report, err := b.space.WriteBundle(during, w, b.opts...)
	done := b.space.bundled(report)
	if err != nil {
		return done, &BundleError{done, b.space.why(during, err)}
	}
	return done, nil
}

// Needed is what a need tells of.
type Needed struct {
	Space string `json:"space"`
	Feeds int    `json:"feeds"`
}

// NeedWriter returns what writes the need of a space.
func (n *Node) NeedWriter(name string) (func(context.Context, io.Writer) (Needed, error), error) {
	s, err := n.findUsable(name)
	if err != nil {
		return nil, err
	}
	return func(ctx context.Context, w io.Writer) (Needed, error) {
		during, stop := s.during(ctx)
		defer stop()
		feeds, err := s.WriteNeed(during, w)
		if err != nil {
			err = fmt.Errorf("space %s: %w", s.entry.Name, s.why(during, err))
		}
		return Needed{s.entry.Name, feeds}, err
	}, nil
}

// ReadBundle takes a bundle from r into a space; see multifeed.Space.ReadBundle.
// It returns a *UseError for what is no bundle of this space, else a
// *BundleError. When ctx ends, it calls interrupt, which must make a Read of r
// that waits return.
func (n *Node) ReadBundle(ctx context.Context, name string, r io.Reader, interrupt func()) (Bundled, error) {
	s, err := n.findUsable(name)
	if err != nil {
		return Bundled{}, err
	}
	during, stop := s.during(ctx)
	defer stop()
	release := context.AfterFunc(during, interrupt)
	defer release()
	report, err := s.Space.ReadBundle(during, r)
	done := s.bundled(report)
	if err == nil {
		return done, nil
	}
	if during.Err() != nil {
		err = during.Err() // and not what the interrupted read says
	}
	if err = s.wrongFile(s.why(during, err), "bundle"); !isUse(err) {
		err = &BundleError{done, err}
	}
	return done, err
}

// wrongFile makes a *UseError of an error about a file that no repetition mends.
func (s *space) wrongFile(err error, what string) error {
	switch {
	case errors.Is(err, multifeed.ErrNotBundle):
		return useErrorf("this is no %s that is known here: %s", what, plainText(err.Error()))
	case errors.Is(err, multifeed.ErrNotForSpace):
		return useErrorf("this %s is not for space %s", what, s.entry.Name)
	}
	return err
}

func isUse(err error) bool {
	_, ok := errors.AsType[*UseError](err)
	return ok
}

func (s *space) bundled(r multifeed.BundleReport) Bundled {
	b := Bundled{
		Space: s.entry.Name, Feeds: r.Feeds, Blocks: r.Blocks, Bytes: r.Bytes,
		Held: r.Held, Refused: r.Refused, Left: r.Left, Bad: r.Bad, Faults: []BundleFault{},
	}
	for _, f := range r.Faults {
		b.Faults = append(b.Faults, BundleFault{f.Feed.String(), f.Span.Start, f.Span.Count, oneLine(f.Err.Error())})
	}
	return b
}
