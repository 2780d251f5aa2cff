package multifeed

import (
	"context"
	"iter"

	"github.com/cobox-p2p/cobox-p2p/hypercore"
)

// Append is that of hypercore.Feed. It returns ErrRetired when another copy of this
// node was found to write the feed: Space.Writer has another one then.
func (f *Feed) Append(ctx context.Context, blocks ...[]byte) (seq uint64, err error) {
	seq, err = f.Feed.Append(ctx, blocks...)
	return seq, f.retiredError(err)
}

// AppendSeq is that of hypercore.Feed, with the error of Append.
func (f *Feed) AppendSeq(ctx context.Context, blocks iter.Seq2[[]byte, error]) (hypercore.Span, error) {
	span, err := f.Feed.AppendSeq(ctx, blocks)
	return span, f.retiredError(err)
}
