package multifeed

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"slices"

	"github.com/cobox-p2p/cobox-p2p/hypercore"
)

// sectionBlocks is how many blocks follow one entry. Each section begins with a
// whole proof, so that a block that is bad costs no more than its section.
const sectionBlocks = 1024

// WriteBundle writes feeds of the space to w, with proofs by which who knows the
// address can check them, sealed under the address: blocks stay sealed with the
// space's key as they are, and a seeder can write bundles as well. It writes what
// is durable here, all of it unless the options choose. A bundle shows who
// finds it that it is one and how large it is, and nothing else. See
// interop/spec/bundle.md.
//
// A block that can't be read is left out and told of in the report. It returns
// ErrUnknownFeed before anything is written, else what w, ctx or the store says;
// what was written then is a bundle that is cut off, and its report.
func (s *Space) WriteBundle(ctx context.Context, w io.Writer, opts ...BundleOption) (BundleReport, error) {
	var choice bundleChoice
	for _, o := range opts {
		if err := o(&choice); err != nil {
			return BundleReport{}, err
		}
	}
	places, err := s.chosen(choice)
	if err != nil {
		return BundleReport{}, err
	}
	out, err := newBundleWriter(w, s.address, bundleMagic)
	if err != nil {
		return BundleReport{}, fmt.Errorf("write bundle: %w", err)
	}
	b := &bundling{bundleWriter: out, space: s}
	for i, place := range places {
		var spans []hypercore.Span
		if choice.feeds != nil {
			spans = choice.feeds[i].spans
		}
		if err = b.place(ctx, place, spans, choice.since); err != nil {
			break
		}
	}
	if err == nil {
		err = b.out.Close()
	}
	if err != nil {
		return b.report, fmt.Errorf("write bundle: %w", err)
	}
	return b.report, nil
}

// bundling is a bundle on its way out.
type bundling struct {
	*bundleWriter
	space  *Space
	report BundleReport
	feed   *Feed
	damage []hypercore.Span // of the feed, as far as it was known
	begun  bool             // an entry of the feed was written
	left   int              // blocks until the next section
	before uint64           // block written last
	length uint64           // of the section's head
}

// place writes one feed of the set.
func (b *bundling) place(ctx context.Context, place uint32, spans []hypercore.Span, since Need) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	f, err := b.space.feedAt(place)
	if err != nil {
		if ours(ctx, err) {
			return err
		}
		b.report.fault(b.space.keyAt(place), hypercore.Span{}, err)
		return nil
	}
	b.feed, b.damage, b.begun, b.left = f, f.Damage().Spans, false, 0
	need, known := since[f.Key()]
	if spans == nil {
		spans = []hypercore.Span{{Start: 0, Count: hypercore.Endless}}
	}
	if err := b.blocks(ctx, spans, need); err != nil {
		return err
	}
	forked := f.Evidence()
	if !b.begun && known && forked == nil {
		return nil
	}
	if !b.begun {
		if err := b.entry(f.ShowHead()); err != nil {
			return err
		}
	}
	if forked != nil {
		if err := b.say(bundleEvidence, forked.Append(nil)); err != nil {
			return err
		}
	}
	b.report.Feeds++
	return f.SaveShown()
}

// blocks writes the blocks of spans that are held here and not by whom the need
// is, and for him the proof by which his feed grows.
func (b *bundling) blocks(ctx context.Context, spans []hypercore.Span, need FeedNeed) error {
	grows := need.Length > 0 // the proof of block need.Length is still to be written
	for seq, err := range b.held(spans, need.From) {
		if err == nil {
			err = ctx.Err()
		}
		if err == nil && grows && seq > need.Length {
			err = b.data(ctx, need.Length, true)
		}
		grows = grows && seq < need.Length
		if err == nil {
			err = b.data(ctx, seq, false)
		}
		if err != nil {
			return err
		}
	}
	if grows && need.Length < b.feed.DurableHead().Length {
		return b.data(ctx, need.Length, true)
	}
	return nil
}

// held yields the blocks of spans from a block on that are held, in ascending
// order, or an error of the store.
func (b *bundling) held(spans []hypercore.Span, from uint64) iter.Seq2[uint64, error] {
	return func(yield func(uint64, error) bool) {
		var held []hypercore.Span
		for span, err := range b.space.store.Storage().Held(b.feed.Key()) {
			if err != nil {
				yield(0, err)
				return
			}
			held = append(held, span)
		}
		for _, s := range spans {
			for len(held) > 0 && held[0].End() <= s.Start {
				held = held[1:]
			}
			for _, h := range held {
				if h.Start >= s.End() {
					break
				}
				for seq := max(h.Start, s.Start, from); seq < min(h.End(), s.End()); seq++ {
					if !yield(seq, nil) {
						return
					}
				}
			}
		}
	}
}

// data writes one block with what its proof needs behind the one before, or only
// its hash. What can't be proved is left out.
func (b *bundling) data(ctx context.Context, seq uint64, hash bool) (err error) {
	var d *hypercore.Data
	if b.left == 0 || seq >= b.length {
		d, err = b.section(ctx, seq, hash)
	} else {
		d, err = b.feed.Prove(seq, chainDigest(b.before, seq, b.length), hash)
	}
	switch {
	case errors.Is(err, hypercore.ErrNoBlock) && (errors.Is(err, hypercore.ErrDamaged) || b.knownBad(seq)):
		b.report.Bad++
		if !errors.Is(err, hypercore.ErrDamaged) {
			err = hypercore.ErrDamaged
		}
		b.report.fault(b.feed.Key(), hypercore.Span{Start: seq, Count: 1}, err)
		return nil
	case errors.Is(err, hypercore.ErrNoBlock): // not durable yet, or removed meanwhile
		return nil
	case err != nil:
		return err
	}
	if err := b.frame(dataChannel, d); err != nil {
		return err
	}
	b.left--
	b.before = seq
	if !hash {
		b.report.Blocks++
		b.report.Bytes += uint64(len(d.Value))
	}
	return nil
}

// knownBad says whether the block was known to be damaged when its feed began.
func (b *bundling) knownBad(seq uint64) bool {
	return slices.ContainsFunc(b.damage, func(s hypercore.Span) bool { return s.Start <= seq && seq < s.End() })
}

// section writes an entry and returns the proof of its first block under the
// same head.
func (b *bundling) section(ctx context.Context, seq uint64, hash bool) (*hypercore.Data, error) {
	for {
		d, err := b.feed.Prove(seq, 0, hash)
		if err != nil {
			return nil, err
		}
		h := b.feed.ShowHead()
		if bytes.Equal(d.Signature, h.Signature[:]) {
			b.left, b.length = sectionBlocks, h.Length
			return d, b.entry(h)
		}
		// It has grown meanwhile.
		if err := ctx.Err(); err != nil {
			return nil, err
		}
	}
}

func (b *bundling) entry(h hypercore.Head) error {
	b.begun = true
	e := Entry{Feed: b.feed.Key(), Length: h.Length, RootHash: h.RootHash, Signature: h.Signature, Admission: b.feed.Admission()}
	return b.say(bundleEntry, appendEntry(nil, e))
}
