package multifeed

import (
	"context"
	"errors"
	"fmt"

	"github.com/cobox-p2p/cobox-p2p/hypercore"
)

// Errors of bundles and needs that callers test for. What came before the place
// of ErrBundleBroken was taken.
var (
	ErrNotBundle    = errors.New("multifeed: not a file of this kind, or of a version that is not known here")
	ErrNotForSpace  = errors.New("multifeed: the file is not for this space")
	ErrBundleBroken = errors.New("multifeed: the file is cut off or damaged")
)

// MaxBundleFaults is how many faults a BundleReport names.
const MaxBundleFaults = 64

// BundleReport says what a bundle carries, or what of it went in.
type BundleReport struct {
	Feeds   int    // feeds that the bundle tells of
	Blocks  uint64 // blocks put into the bundle, or stored from it
	Bytes   uint64 // of these blocks, as they are sealed
	Held    uint64 // of a read: blocks that were here already
	Refused int    // of a read: feeds that the policy or the limit of feeds refused
	// Left counts blocks of a read that did not go in though nobody is at fault:
	// the tree here can't be tied to the bundle's, the feed grows no more, or its
	// guard refused them.
	Left uint64
	// Bad counts blocks that don't verify, and of a write those that are stored
	// and can't be read.
	Bad uint64
	// Faults are the first MaxBundleFaults reasons for Left and Bad, and what was
	// wrong with feeds, in the order of the bundle.
	Faults []BundleFault
}

// BundleFault is what is wrong with blocks of a feed, or with the feed itself.
type BundleFault struct {
	Feed hypercore.Key
	Span hypercore.Span // Count 0: the feed itself
	Err  error          // of the first block of the span
}

// fault notes a fault. Blocks that follow each other share one.
func (r *BundleReport) fault(key hypercore.Key, span hypercore.Span, err error) {
	if n := len(r.Faults); n > 0 && span.Count > 0 {
		last := &r.Faults[n-1]
		if last.Feed == key && last.Span.Count > 0 && last.Span.End() == span.Start {
			last.Span.Count += span.Count
			return
		}
	}
	if len(r.Faults) < MaxBundleFaults {
		r.Faults = append(r.Faults, BundleFault{key, span, err})
	}
}

// BundleOption says what a bundle is to carry.
type BundleOption func(*bundleChoice) error

// bundleChoice is what the options of a WriteBundle say.
type bundleChoice struct {
	feeds []chosenFeed // nil: all
	since Need         // nil: whoever reads it may hold nothing
}

type chosenFeed struct {
	key   hypercore.Key
	spans []hypercore.Span // ascending, apart; nil: all blocks
}

// BundleFeed lets the bundle carry only the feeds that are named so, each once,
// and of this one only the blocks in spans, or all if there are none. Spans
// ascend and don't overlap. A reader who holds a shorter part of the feed
// takes in blocks beyond his length only if the bundle has the block at that
// length as well, or was written with BundleSince.
func BundleFeed(key hypercore.Key, spans ...hypercore.Span) BundleOption {
	return func(c *bundleChoice) error {
		end := uint64(0)
		for _, s := range spans {
			if s.Start < end || s.Count == 0 || s.Count > hypercore.Endless || s.Start > hypercore.Endless {
				return fmt.Errorf("multifeed: no ascending spans of blocks: %v", spans)
			}
			end = s.End()
		}
		for _, f := range c.feeds {
			if f.key == key {
				return fmt.Errorf("multifeed: feed %.8s is named twice", key.Discovery())
			}
		}
		c.feeds = append(c.feeds, chosenFeed{key, spans})
		return nil
	}
}

// BundleSince leaves out what the writer of the need holds.
func BundleSince(n Need) BundleOption {
	return func(c *bundleChoice) error {
		if c.since = n; n == nil {
			c.since = Need{}
		}
		return nil
	}
}

// chosen returns the feeds of the choice as places in the set.
func (s *Space) chosen(c bundleChoice) (places []uint32, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if c.feeds == nil {
		for place := range s.set.list {
			places = append(places, uint32(place))
		}
		return places, nil
	}
	for _, f := range c.feeds {
		place, ok := s.set.find(f.key.Discovery())
		if !ok {
			return nil, fmt.Errorf("%w: %.8s", ErrUnknownFeed, f.key.Discovery())
		}
		places = append(places, place)
	}
	return places, nil
}

// settle returns when all that was committed so far is durable.
func (s *Space) settle() error {
	done := make(chan error, 1)
	err := s.store.Storage().Commit(&hypercore.Batch{Urgent: true, Durable: func(err error) { done <- err }})
	if err != nil {
		return err
	}
	return <-done
}

// ours says whether an error ends a bundle, since every further block would meet
// it as well.
func ours(ctx context.Context, err error) bool {
	return ctx.Err() != nil || errors.Is(err, hypercore.ErrClosed) || errors.Is(err, ErrClosed) || errors.Is(err, hypercore.ErrStorageFailed)
}
