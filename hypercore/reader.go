package hypercore

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math"
)

// Reader reads the content of a span of blocks as one stream of bytes. Read,
// Seek, WriteTo and Close are for one goroutine at a time, ReadAt for any.
type Reader struct {
	feed *Feed
	// ctx is that of the whole stream: io.Reader has no place for another.
	ctx  context.Context
	span Span
	data content

	pos    int64 // bytes from the span's start
	scan   *scan // nil: pos isn't found yet
	skip   uint64
	blocks [][]byte // contents that pos lies before
	closed bool
}

var _ interface {
	io.ReadSeekCloser
	io.WriterTo
	io.ReaderAt
} = (*Reader)(nil)

var errSeek = errors.New("hypercore: seek to a negative offset")

// Reader returns a reader of the contents of the blocks of span, laid end to end.
// Offsets count from the span's first byte. It reads a few blocks ahead, and
// waits for what isn't stored here, also beyond the known length, until ctx ends;
// then it returns what ctx says. With a Count of Endless it has no end and waits
// for what the feed will grow by; for what is there now use Span{0, f.Length()}.
// Its errors are those of Get. It must be closed.
func (f *Feed) Reader(ctx context.Context, span Span) *Reader {
	r := &Reader{feed: f, ctx: ctx, span: span, data: content{feed: f.core}}
	if f.seal != nil {
		r.data.overhead = SealOverhead
	}
	if span.endless() {
		r.span.Count = Endless - min(span.Start, Endless)
	}
	return r
}

// Read implements io.Reader.
func (r *Reader) Read(p []byte) (n int, err error) {
	if err := r.check(); err != nil {
		return 0, err
	}
	if len(p) == 0 {
		return 0, nil
	}
	if err := r.fill(); err != nil {
		return 0, err
	}
	for n < len(p) && len(r.blocks) > 0 {
		m := copy(p[n:], r.blocks[0])
		r.take(m)
		n += m
	}
	return n, nil
}

// WriteTo implements io.WriterTo: it writes until the end of the span.
func (r *Reader) WriteTo(w io.Writer) (n int64, err error) {
	if err := r.check(); err != nil {
		return 0, err
	}
	for {
		err := r.fill()
		if err == io.EOF {
			return n, nil
		}
		if err != nil {
			return n, err
		}
		m, err := w.Write(r.blocks[0])
		if m < 0 || m > len(r.blocks[0]) || err == nil && m < len(r.blocks[0]) {
			m, err = 0, io.ErrShortWrite
		}
		r.take(m)
		n += int64(m)
		if err != nil {
			return n, err
		}
	}
}

// Seek implements io.Seeker. Only with io.SeekEnd it may have to wait: until the
// end of the span is known, or of the feed as it is now if the span is endless.
func (r *Reader) Seek(offset int64, whence int) (int64, error) {
	if err := r.check(); err != nil {
		return 0, err
	}
	base := int64(0)
	switch whence {
	case io.SeekStart:
	case io.SeekCurrent:
		base = r.pos
	case io.SeekEnd:
		size, err := r.size()
		if err != nil {
			return 0, err
		}
		base = size
	default:
		return 0, fmt.Errorf("hypercore: seek from %d", whence)
	}
	if offset < -base || offset > math.MaxInt64-base {
		return 0, errSeek
	}
	if pos := base + offset; pos != r.pos {
		r.pos = pos
		r.release()
	}
	return r.pos, nil
}

// ReadAt implements io.ReaderAt. It waits like Read and does not move the
// reader.
func (r *Reader) ReadAt(p []byte, offset int64) (n int, err error) {
	if r.feed.blind {
		return 0, ErrSealed
	}
	if offset < 0 {
		return 0, errSeek
	}
	other := &Reader{feed: r.feed, ctx: r.ctx, span: r.span, data: r.data, pos: offset}
	defer other.Close()
	n, err = io.ReadFull(other, p)
	if err == io.ErrUnexpectedEOF {
		err = io.EOF
	}
	return n, err
}

// Close takes back what was asked for ahead. The reader returns ErrClosed from
// then on.
func (r *Reader) Close() error {
	r.release()
	r.closed = true
	return nil
}

func (r *Reader) check() error {
	switch {
	case r.feed.blind:
		return ErrSealed
	case r.closed:
		return ErrClosed
	}
	return nil
}

// release forgets where the reader stood.
func (r *Reader) release() {
	if r.scan != nil {
		r.scan.close()
	}
	r.scan, r.blocks, r.skip = nil, nil, 0
}

// take moves on by n bytes of the first block.
func (r *Reader) take(n int) {
	r.pos += int64(n)
	if r.blocks[0] = r.blocks[0][n:]; len(r.blocks[0]) == 0 {
		r.blocks[0] = nil
		r.blocks = r.blocks[1:]
	}
}

// fill returns when blocks begins with a block that isn't empty, or io.EOF.
func (r *Reader) fill() error {
	if r.scan == nil {
		if err := r.place(); err != nil {
			return err
		}
	}
	for {
		for len(r.blocks) > 0 && len(r.blocks[0]) == 0 {
			r.blocks = r.blocks[1:]
		}
		if len(r.blocks) > 0 {
			return nil
		}
		if r.scan.seq >= r.scan.end {
			return io.EOF
		}
		blocks, err := r.scan.next(r.ctx)
		if err != nil {
			return err
		}
		if r.skip > uint64(len(blocks[0])) {
			return fmt.Errorf("%w: block %d of feed %s is shorter than its node says", ErrDamaged, r.scan.seq-uint64(len(blocks)), r.feed.discovery)
		}
		blocks[0] = blocks[0][r.skip:]
		r.blocks, r.skip = blocks, 0
	}
}
