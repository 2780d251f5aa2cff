package multifeed

import (
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/cobox-p2p/cobox-p2p/hypercore"
	"github.com/cobox-p2p/cobox-p2p/hypercore/merkle"
	"github.com/cobox-p2p/cobox-p2p/multifeed/wire"
)

// ReadBundle takes the feeds and blocks of a bundle into the space, as far as
// admission, policy and limits allow, and returns when what it took is durable.
// Each block is verified as one from a peer is; an Offer to the policy has no
// Remote. Blocks that are here already are passed over, also when they came with
// another bundle, so that several may be read in any order, and one again after
// an interruption.
//
// What is bad is in the report and the rest goes in. It returns ErrNotBundle and
// ErrNotForSpace with nothing read, ErrBundleBroken for a bundle that is cut off
// or damaged, or what r, ctx or the store says; then the report is about what
// came before, which stays.
func (s *Space) ReadBundle(ctx context.Context, r io.Reader) (BundleReport, error) {
	b := &unbundling{ctx: ctx, space: s}
	err := eachFrame(r, s.address, bundleMagic, b.handle)
	if b.report.Blocks > 0 || b.report.Feeds > 0 {
		err = errors.Join(err, s.settle())
		s.noteChange()
	}
	if err != nil {
		return b.report, fmt.Errorf("read bundle: %w", err)
	}
	return b.report, nil
}

// unbundling is a bundle on its way in.
type unbundling struct {
	ctx    context.Context
	space  *Space
	report BundleReport

	begun bool // an entry came
	entry Entry
	feed  *Feed  // nil: what follows is passed over
	chain *chain // of the section
	// linked says that the feed holds what the proof of the next block rests on.
	linked bool
}

var errNoSection = errors.New("a block of no feed")

func (b *unbundling) handle(channel uint64, m wire.Message) error {
	if err := b.ctx.Err(); err != nil {
		return err
	}
	switch m := m.(type) {
	case *hypercore.Extension:
		switch {
		case channel != headChannel:
		case m.ID == bundleEntry:
			return b.section(m.Payload)
		case m.ID == bundleEvidence && b.feed != nil:
			return b.evidence(m.Payload)
		}
	case *hypercore.Data:
		switch {
		case channel != dataChannel:
		case !b.begun:
			return brokenBundle(errNoSection)
		case b.feed != nil:
			return b.data(m)
		}
	}
	return nil
}

// section begins the section of an entry.
func (b *unbundling) section(payload []byte) error {
	if len(payload) > maxBundleEntry {
		return brokenBundle(fmt.Errorf("entry of %d bytes", len(payload)))
	}
	e, err := decodeEntry(payload)
	if err != nil {
		return brokenBundle(err)
	}
	again := b.begun && b.entry.Feed == e.Feed
	if again && b.feed == nil {
		return nil // refused before
	}
	b.begun, b.entry, b.chain, b.linked = true, e, newChain(e), false
	b.feed, err = b.space.takeBundled(e)
	switch {
	case errors.Is(err, errRefused):
		b.report.Refused++
		return b.aboutFeed(err)
	case err != nil:
		return b.aboutFeed(err)
	}
	if !again {
		b.report.Feeds++
	}
	err = b.feed.Compare(hypercore.SignedHead{Length: e.Length, RootHash: e.RootHash, Signature: e.Signature})
	return b.aboutFeed(err)
}

// aboutFeed notes what is wrong with a feed, unless the bundle can't go on.
func (b *unbundling) aboutFeed(err error) error {
	if err == nil || ours(b.ctx, err) {
		return err
	}
	b.report.fault(b.entry.Feed, hypercore.Span{}, err)
	return nil
}

// evidence takes evidence of a fork, which comes behind all blocks of its feed.
func (b *unbundling) evidence(payload []byte) error {
	e, err := hypercore.ParseForkEvidence(payload)
	if err != nil {
		return brokenBundle(err)
	}
	return b.aboutFeed(b.feed.TakeEvidence(e))
}

// data takes a block.
func (b *unbundling) data(d *hypercore.Data) error {
	b.chain.take(d)
	span := hypercore.Span{Start: d.Index, Count: 1}
	if d.Value != nil && b.feed.Has(span) {
		// The nodes over it show a fork further on if it is of another history.
		b.chain.missed(d, true)
		b.report.Held++
		b.linked = true
		return nil
	}
	err := b.apply(d)
	b.linked = err == nil
	if err == nil {
		if d.Value != nil {
			b.report.Blocks++
			b.report.Bytes += uint64(len(d.Value))
		}
		return nil
	}
	left, bad := b.judge(err)
	if !left && !bad {
		return err
	}
	b.chain.missed(d, left)
	if left {
		b.report.Left++
	} else {
		b.report.Bad++
	}
	b.report.fault(b.entry.Feed, span, err)
	return nil
}

// apply gives the block to the feed, with the proof as it came where that is
// enough, else with the whole one.
func (b *unbundling) apply(d *hypercore.Data) error {
	if len(d.Signature) == 0 && !b.linked {
		return b.feed.Apply(b.ctx, b.chain.whole(d))
	}
	err := b.feed.Apply(b.ctx, d)
	left, bad := b.judge(err)
	if err == nil || len(d.Signature) > 0 || !left && !bad || final(err) {
		return err
	}
	return b.feed.Apply(b.ctx, b.chain.whole(d))
}

// final says whether a longer proof would change nothing about an error of Apply.
func final(err error) bool {
	return errors.Is(err, hypercore.ErrRefused) || errors.Is(err, hypercore.ErrForked) || errors.Is(err, hypercore.ErrOldCopy)
}

// judge says whether a block was left though nobody is at fault, or is bad. When
// neither, the error is ours.
func (b *unbundling) judge(err error) (left, bad bool) {
	_, remote := errors.AsType[*hypercore.RemoteError](err)
	switch {
	case err == nil || ours(b.ctx, err):
		return false, false
	case final(err), errors.Is(err, merkle.ErrProofBranch), errors.Is(err, hypercore.ErrOtherTree):
		return true, false
	case remote:
		return false, true
	}
	return false, false
}

// errBadEntry is wrapped by the error for an entry that is not valid in the space.
var errBadEntry = errors.New("multifeed: bad entry of a feed")

// takeBundled checks what a bundle tells of a feed and takes it into the set. Its
// errors wrap errRefused or errBadEntry, or are ours.
func (s *Space) takeBundled(e Entry) (*Feed, error) {
	f, err := s.byDiscovery(e.Feed.Discovery())
	if err != nil {
		return nil, err
	}
	if f == nil {
		if err := e.check(s.address); err != nil {
			return nil, fmt.Errorf("%w: %w", errBadEntry, err)
		}
		if f, err = s.acceptBundled(e); err != nil {
			return nil, err
		}
	} else if s.isBlocked(e.Feed) {
		return nil, s.refuseBundled(e, ErrBlocked)
	} else if e.Length > f.KnownLength() {
		if err := e.verifyHead(); err != nil {
			return nil, fmt.Errorf("%w: %w", errBadEntry, err)
		}
	}
	f.noteKnown(e.Length)
	return f, nil
}

// acceptBundled takes in a feed that was checked, if it is wanted.
func (s *Space) acceptBundled(e Entry) (f *Feed, err error) {
	if err := s.allow(Offer{Space: s.address, Feed: e.Feed, Length: e.Length}, 0); err != nil {
		return nil, s.refuseBundled(e, err)
	}
	f, err = s.add(e.Feed, e.Admission, true)
	if errors.Is(err, ErrTooMany) {
		err = s.refuseBundled(e, err)
	}
	return f, err
}

func (s *Space) refuseBundled(e Entry, err error) error {
	if !errors.Is(err, errRefused) {
		err = fmt.Errorf("%w: %w", errRefused, err)
	}
	s.event(Event{Kind: FeedRefused, Key: e.Feed, Err: err})
	return err
}
