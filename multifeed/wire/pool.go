package wire

import (
	"sync"

	"github.com/cobox-p2p/cobox-p2p/hypercore"
)

const (
	// rangeBody is the size in bytes of the buffers for RangeData: one of
	// hypercore.MaxRangeBytes with its tags and its proof.
	rangeBody = hypercore.MaxRangeBytes + 64<<10
	// pooledFrom is from how many bytes on a RangeData is read into such a buffer.
	pooledFrom = 64 << 10
)

// rangeBuffers has buffers of rangeBody bytes that nobody uses.
var rangeBuffers sync.Pool

// Borrow returns a slice of length 0 with room for the frame of any RangeData but
// one whose single block is larger than hypercore.MaxRangeBytes. Recycle takes it
// back.
func Borrow() []byte {
	if b := spare(); b != nil {
		return b
	}
	return new([rangeBody]byte)[:0]
}

// spare is Borrow that returns nil where that would have to take memory.
func spare() []byte {
	if b, ok := rangeBuffers.Get().(*[rangeBody]byte); ok {
		return b[:0]
	}
	return nil
}

// Recycle lends what Borrow returned, or the Body of a RangeData frame, to whoever
// needs it next. The caller uses neither it nor what was decoded from it any more.
// It takes other slices as well and does nothing with them.
func Recycle(b []byte) {
	if cap(b) == rangeBody {
		rangeBuffers.Put((*[rangeBody]byte)(b[:rangeBody]))
	}
}
