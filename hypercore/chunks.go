package hypercore

import (
	"errors"
	"io"
	"iter"
)

// Chunks yields what r has in blocks of size bytes, the last one shorter, for
// AppendSeq. An empty r yields none. The yielded slices are valid until the next
// one. It panics unless size is between 1 and MaxBlock.
func Chunks(r io.Reader, size int) iter.Seq2[[]byte, error] {
	if size < 1 || size > MaxBlock {
		panic("hypercore: chunk size out of range")
	}
	return func(yield func([]byte, error) bool) {
		buf := make([]byte, size)
		for {
			n, err := io.ReadFull(r, buf)
			if n > 0 && (err == nil || errors.Is(err, io.ErrUnexpectedEOF)) && !yield(buf[:n], nil) {
				return
			}
			switch {
			case err == nil:
			case err == io.EOF || err == io.ErrUnexpectedEOF:
				return
			default:
				yield(nil, err)
				return
			}
		}
	}
}
