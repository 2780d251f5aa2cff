package multifeed

import (
	"errors"
	"fmt"
	"io"

	"github.com/cobox-p2p/cobox-p2p/hypercore"
	"github.com/cobox-p2p/cobox-p2p/multifeed/wire"
)

// Frames of a sealed file. See interop/spec/bundle.md, "Frames".
const (
	headChannel = 0 // Extensions: what is said of feeds
	dataChannel = 1 // Data of the feed that was named last

	bundleEntry    = 0 // ID of an Extension: an Entry begins a section
	bundleEvidence = 1 // evidence that the feed of the section has forked
	needFeed       = 2 // what the writer of a need holds of one feed

	// maxBundleEntry is the longest Entry or feed of a need in bytes, fields of a
	// later version included.
	maxBundleEntry = 4 << 10
)

// bundleWriter writes frames into a sealed file.
type bundleWriter struct {
	out *sealedWriter
	buf []byte // for its memory
}

func newBundleWriter(w io.Writer, address Address, magic string) (*bundleWriter, error) {
	out, err := newSealedWriter(w, address, magic)
	return &bundleWriter{out: out}, err
}

func (b *bundleWriter) frame(channel uint64, m wire.Message) (err error) {
	if b.buf, err = wire.AppendFrame(b.buf[:0], channel, m); err != nil {
		return err
	}
	_, err = b.out.Write(b.buf)
	return err
}

// say writes an Extension.
func (b *bundleWriter) say(id uint64, payload []byte) error {
	return b.frame(headChannel, &hypercore.Extension{ID: id, Payload: payload})
}

// eachFrame calls f for every message of a sealed file, and for those of later
// versions as well. What is malformed is an error that wraps ErrBundleBroken.
func eachFrame(r io.Reader, address Address, magic string, f func(channel uint64, m wire.Message) error) error {
	sealed, err := newSealedReader(r, address, magic)
	if err != nil {
		return err
	}
	frames := wire.NewReader(sealed, wire.MaxFrame)
	for {
		frame, err := frames.ReadFrame()
		if err == io.EOF {
			return nil
		}
		if err == nil && frame.KeepAlive {
			continue
		}
		var m wire.Message
		if err == nil {
			m, err = wire.Decode(frame)
		}
		if _, bad := errors.AsType[*wire.FormatError](err); bad || err == io.ErrUnexpectedEOF {
			err = fmt.Errorf("%w: %w", ErrBundleBroken, err)
		}
		if err == nil {
			err = f(frame.Channel, m)
		}
		if err != nil {
			return err
		}
	}
}

// brokenBundle is an error about what only who knows the address can have sealed.
func brokenBundle(err error) error { return fmt.Errorf("%w: %w", ErrBundleBroken, err) }
