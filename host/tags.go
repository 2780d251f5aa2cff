package host

import (
	"bytes"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	mrand "math/rand/v2"
	"slices"

	"github.com/cobox-p2p/cobox-p2p/multifeed"
)

// tag is the first part of what one peer calls a space towards another.
type tag [16]byte

// Layout of a message: uvarint length in bytes, then the tags. See
// interop/spec/spaces.md, "Exchange of tags".
const (
	tagSize        = len(tag{})
	maxTagsMessage = MaxTags * tagSize // bytes without the length
	maxTagsLength  = 3                 // bytes of the length itself
)

func tagOf(a multifeed.Address, sender, receiver []byte) tag {
	t := a.Tag(sender, receiver)
	return tag(t[:tagSize])
}

// appendTags appends the message that tells of the tags: the receiver learns no
// more of the others than their number rounded up to a power of two. Of more
// than MaxTags it tells of a random choice. It reorders tags.
func appendTags(b []byte, tags []tag) []byte {
	if len(tags) > MaxTags {
		mrand.Shuffle(len(tags), func(i, j int) { tags[i], tags[j] = tags[j], tags[i] })
		tags = tags[:MaxTags]
	}
	count := MinTags
	for count < len(tags) {
		count *= 2
	}
	all := make([]tag, count)
	for i := copy(all, tags); i < count; i++ {
		rand.Read(all[i][:])
	}
	slices.SortFunc(all, func(a, b tag) int { return bytes.Compare(a[:], b[:]) })
	b = appendLength(b, count*tagSize)
	for _, t := range all {
		b = append(b, t[:]...)
	}
	return b
}

// appendLength appends n, which is at most maxTagsMessage, as a uvarint.
func appendLength(b []byte, n int) []byte {
	for ; n >= 0x80; n >>= 7 {
		b = append(b, byte(n)|0x80)
	}
	return append(b, byte(n))
}

var errTags = errors.New("host: malformed message of tags")

// readTags reads a message of tags. An error that wraps errTags is the peer's
// fault.
func readTags(r io.Reader) (map[tag]struct{}, error) {
	size, err := readLength(r)
	if err != nil {
		return nil, err
	}
	count := size / tagSize
	if size%tagSize != 0 || count < MinTags || count > MaxTags || count&(count-1) != 0 {
		return nil, fmt.Errorf("%w: %d bytes", errTags, size)
	}
	body := make([]byte, size)
	if _, err := io.ReadFull(r, body); err != nil {
		return nil, fmt.Errorf("read tags: %w", err)
	}
	tags := make(map[tag]struct{}, count)
	for t := range slices.Chunk(body, tagSize) {
		tags[tag(t)] = struct{}{}
	}
	return tags, nil
}

// readLength reads a uvarint of at most maxTagsLength bytes, in its shortest
// form.
func readLength(r io.Reader) (n int, err error) {
	var b [1]byte
	for i := range maxTagsLength {
		if _, err := io.ReadFull(r, b[:]); err != nil {
			return 0, fmt.Errorf("read tags: %w", err)
		}
		n |= int(b[0]&0x7f) << (7 * i)
		switch {
		case b[0] >= 0x80:
		case b[0] == 0 && i > 0:
			return 0, fmt.Errorf("%w: length not in its shortest form", errTags)
		default:
			return n, nil
		}
	}
	return 0, fmt.Errorf("%w: length of over %d bytes", errTags, maxTagsLength)
}
