package wire

import (
	"encoding/binary"
	"fmt"
	"slices"

	"google.golang.org/protobuf/encoding/protowire"
)

// AppendFrame appends the frame of a message that Decode can return, *Unknown
// excepted. It returns dst as it was and an error for a message or a channel
// that breaks a limit of interop/spec/frames.md. Nothing of m is kept.
func AppendFrame(dst []byte, channel uint64, m Message) ([]byte, error) {
	var e encoder
	typ, err := e.message(m) // only counts
	if err != nil {
		return dst, err
	}
	if channel > MaxChannel {
		return dst, fmt.Errorf("wire: channel %d, at most %d", channel, MaxChannel)
	}
	header := channel<<4 | uint64(typ)
	length := protowire.SizeVarint(header) + e.size
	if length > MaxFrame {
		return dst, fmt.Errorf("wire: frame of %d bytes, at most %d", length, MaxFrame)
	}
	e.dst = slices.Grow(dst, protowire.SizeVarint(uint64(length))+length)
	e.dst = binary.AppendUvarint(e.dst, uint64(length))
	e.dst = binary.AppendUvarint(e.dst, header)
	e.writing = true
	if _, err := e.message(m); err != nil {
		return dst, err
	}
	return e.dst, nil
}

// AppendKeepAlive appends the frame of length 0.
func AppendKeepAlive(dst []byte) []byte { return append(dst, 0) }

// AppendControl appends a control frame. It returns dst as it was and an error
// for a body above MaxControl.
func AppendControl(dst, body []byte) ([]byte, error) {
	if len(body) > MaxControl {
		return dst, fmt.Errorf("wire: control frame of %d bytes, at most %d", len(body), MaxControl)
	}
	return protowire.AppendBytes(dst, body), nil
}
