package wire

import (
	"errors"
	"fmt"
	"io"
)

// Limits of frames.
const (
	// MaxFrame is the largest value of a frame's length prefix: bytes of header
	// and body.
	MaxFrame = 8 << 20
	// MaxControl is the largest value of a control frame's length prefix.
	MaxControl = 4096
	// MaxChannel is the largest channel number. The header must fit 31 bits, in
	// which the original does its arithmetic.
	MaxChannel = 1<<27 - 1
	// maxVarint is the most bytes of a length or a header, as in the original.
	maxVarint = 8
)

// Sizes of the reader's buffers in bytes.
const (
	minChunk   = 4 << 10  // first chunk, enough for a quiet session
	maxChunk   = 16 << 10 // what a small frame that is kept can pin
	smallFrame = 2 << 10  // frames up to here are parts of a chunk
	minRead    = 512      // a chunk with less room left is not read into
	firstGrow  = 96 << 10 // a large frame costs no more before its bytes arrive
	growth     = 4        // and then at most this times what has arrived
	maxEmpty   = 100      // reads of nothing in a row before io.ErrNoProgress
)

// Frame is one frame as received.
type Frame struct {
	// KeepAlive is true for the frame of length 0, which has no other field.
	KeepAlive bool
	Channel   uint64 // the sender's number, at most MaxChannel
	Type      byte   // 0 to 15
	// Body belongs to the receiver and is never written to again, unless he gives
	// it to Recycle. Bodies above 2 KiB have memory of their own, smaller ones
	// share a chunk of at most 16 KiB, which lives as long as any of them is kept.
	Body []byte
}

// Reader reads frames from a stream, and before them the control frames of a
// handshake. It reads ahead, so nothing else may read from the stream. It is
// not safe for concurrent use.
type Reader struct {
	src io.Reader
	max int

	chunk []byte // what was read into it and lent is never written again
	r, w  int    // Invariant: chunk[r:w] is read ahead
	lent  bool   // a part of chunk was returned
	eof   error  // what src returned beside its last bytes
	err   error  // what the first call that failed returned
}

// NewReader returns a reader of frames whose length prefix is at most maxFrame.
func NewReader(src io.Reader, maxFrame int) *Reader {
	return &Reader{src: src, max: maxFrame}
}

// ReadFrame returns the next frame. It returns io.EOF at the end of the stream,
// io.ErrUnexpectedEOF at its end within a frame, *FormatError for a frame that
// breaks a limit, else the error of the stream. After an error every call
// returns that error.
func (r *Reader) ReadFrame() (Frame, error) {
	if r.err != nil {
		return Frame{}, r.err
	}
	f, err := r.frame()
	r.err = err
	return f, err
}

// ReadControl returns the body of the next control frame, at most MaxControl
// bytes. Its errors are those of ReadFrame. The slice belongs to the caller.
func (r *Reader) ReadControl() ([]byte, error) {
	if r.err != nil {
		return nil, r.err
	}
	body, err := r.control()
	r.err = err
	return body, err
}

func (r *Reader) frame() (Frame, error) {
	length, _, err := r.uvarint(maxVarint, "frame", "length")
	if err != nil {
		return Frame{}, err
	}
	if length == 0 {
		return Frame{KeepAlive: true}, nil
	}
	if length > uint64(r.max) {
		return Frame{}, tooLong("frame", length, r.max)
	}
	header, size, err := r.uvarint(min(maxVarint, int(length)), "frame", "header")
	if err != nil {
		return Frame{}, noEOF(err)
	}
	if header>>4 > MaxChannel {
		return Frame{}, &FormatError{"frame", "header", fmt.Sprintf("channel %d, at most %d", header>>4, MaxChannel)}
	}
	body, err := r.takeBody(byte(header&15), int(length)-size)
	if err != nil {
		return Frame{}, noEOF(err)
	}
	return Frame{Channel: header >> 4, Type: byte(header & 15), Body: body}, nil
}

func (r *Reader) control() ([]byte, error) {
	length, _, err := r.uvarint(maxVarint, "control", "length")
	if err != nil {
		return nil, err
	}
	if length > MaxControl {
		return nil, tooLong("control", length, MaxControl)
	}
	body, err := r.take(int(length))
	return body, noEOF(err)
}

func tooLong(kind string, length uint64, limit int) error {
	return &FormatError{kind, "length", fmt.Sprintf("%d bytes, at most %d", length, limit)}
}

// uvarint reads a varint of at most limit bytes and returns it and its size.
// It returns io.EOF only when not one byte came.
func (r *Reader) uvarint(limit int, kind, field string) (v uint64, size int, err error) {
	for size < limit {
		if err := r.fill(1); err != nil {
			if size > 0 {
				err = noEOF(err)
			}
			return 0, size, err
		}
		b := r.chunk[r.r]
		r.r++
		v |= uint64(b&0x7f) << (7 * size)
		size++
		if b < 0x80 {
			return v, size, nil
		}
	}
	return 0, size, &FormatError{kind, field, fmt.Sprintf("varint longer than %d bytes", limit)}
}

// take returns the next n bytes, as Frame.Body describes.
func (r *Reader) take(n int) ([]byte, error) {
	if n > smallFrame {
		return r.takeLarge(n)
	}
	if err := r.fill(n); err != nil {
		return nil, err
	}
	body := r.chunk[r.r : r.r+n : r.r+n]
	r.r += n
	r.lent = r.lent || n > 0
	return body, nil
}

// takeBody is take for a frame of type typ.
func (r *Reader) takeBody(typ byte, n int) ([]byte, error) {
	if typ != TypeRangeData || n < pooledFrom || n > rangeBody {
		return r.take(n)
	}
	body, have := spare(), 0
	if body == nil {
		// No memory is taken for what is announced and doesn't come.
		first, err := r.takeLarge(pooledFrom)
		if err != nil {
			return nil, err
		}
		body = Borrow()
		have = copy(body[:n], first)
	}
	body = body[:n]
	ahead := copy(body[have:], r.chunk[r.r:r.w])
	r.r += ahead
	for have += ahead; have < n; {
		m, err := r.read(body[have:])
		if err != nil {
			Recycle(body)
			return nil, err
		}
		have += m
	}
	return body, nil
}

// Buffered returns how many bytes are read ahead.
func (r *Reader) Buffered() int { return r.w - r.r }

// takeLarge reads n bytes into memory of their own, which grows as they come.
func (r *Reader) takeLarge(n int) ([]byte, error) {
	body := make([]byte, min(n, firstGrow))
	have := copy(body, r.chunk[r.r:r.w])
	r.r += have
	for {
		for have < len(body) {
			m, err := r.read(body[have:])
			if err != nil {
				return nil, err
			}
			have += m
		}
		if have == n {
			return body, nil
		}
		grown := make([]byte, min(n, growth*len(body)))
		copy(grown, body)
		body = grown
	}
}

// fill reads until n bytes are read ahead; n is at most smallFrame.
func (r *Reader) fill(n int) error {
	for r.w-r.r < n {
		r.makeRoom(n)
		m, err := r.read(r.chunk[r.w:])
		if err != nil {
			return err
		}
		r.w += m
	}
	return nil
}

// makeRoom sees to it that the chunk holds n bytes from r.r on, and that there
// is something to read into.
func (r *Reader) makeRoom(n int) {
	if len(r.chunk)-r.r >= n && len(r.chunk)-r.w >= minRead {
		return
	}
	ahead := r.chunk[r.r:r.w]
	if r.lent || r.chunk == nil {
		size := minChunk
		if r.w == len(r.chunk) { // the stream brings more than fits
			size = min(max(2*len(r.chunk), minChunk), maxChunk)
		}
		r.chunk, r.lent = make([]byte, size), false
	}
	r.r, r.w = 0, copy(r.chunk, ahead)
}

// read reads at least one byte or returns an error.
func (r *Reader) read(p []byte) (int, error) {
	for range maxEmpty {
		if r.eof != nil {
			return 0, r.eof
		}
		n, err := r.src.Read(p)
		r.eof = err
		if n > 0 {
			return n, nil
		}
	}
	if r.eof != nil {
		return 0, r.eof
	}
	return 0, io.ErrNoProgress
}

// noEOF turns the end of the stream within a frame into io.ErrUnexpectedEOF.
func noEOF(err error) error {
	if errors.Is(err, io.EOF) {
		return io.ErrUnexpectedEOF
	}
	return err
}
