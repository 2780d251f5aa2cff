package wire

import (
	"encoding/binary"
	"fmt"
	"unicode/utf8"

	"google.golang.org/protobuf/encoding/protowire"

	"github.com/cobox-p2p/cobox-p2p/hypercore"
	"github.com/cobox-p2p/cobox-p2p/hypercore/merkle"
)

// encoder runs over a message twice, first to count its bytes and to check it,
// then to write it, so that a block is copied only once.
type encoder struct {
	writing bool
	size    int
	dst     []byte
	err     error
}

// message runs over the body of m and returns its type.
func (e *encoder) message(m Message) (typ byte, err error) {
	switch m := m.(type) {
	case *Open:
		typ = TypeOpen
		e.open(m)
	case *Close:
		typ = TypeClose
		e.close(m)
	case *hypercore.Options:
		typ = TypeOptions
		e.options(m)
	case *hypercore.Status:
		typ = TypeStatus
		e.bool(1, m.Uploading)
		e.bool(2, m.Downloading)
	case *hypercore.Have:
		typ = TypeHave
		e.have(m)
	case *hypercore.Unhave:
		typ = TypeUnhave
		e.span(m.Start, m.Length, 1)
	case *hypercore.Want:
		typ = TypeWant
		e.span(m.Start, m.Length, 0)
	case *hypercore.Unwant:
		typ = TypeUnwant
		e.span(m.Start, m.Length, 0)
	case *hypercore.Request:
		typ = TypeRequest
		e.request(m)
	case *hypercore.Cancel:
		typ = TypeCancel
		e.cancel(m)
	case *hypercore.Data:
		typ = TypeData
		e.data(m)
	case *hypercore.RangeRequest:
		typ = TypeRangeRequest
		e.rangeRequest(m)
	case *hypercore.RangeData:
		typ = TypeRangeData
		e.rangeData(m)
	case *hypercore.Extension:
		typ = TypeExtension
		e.safe(m.ID)
		e.raw(m.Payload)
	default:
		return 0, fmt.Errorf("wire: %T is no message to send", m)
	}
	if e.err != nil {
		return 0, fmt.Errorf("wire: encode %T: %w", m, e.err)
	}
	return typ, nil
}

func (e *encoder) open(m *Open) {
	e.bytes(1, m.DiscoveryKey[:])
	if m.Capability != nil {
		if len(m.Capability) != CapabilitySize {
			e.fail("capability of %d bytes, want %d", len(m.Capability), CapabilitySize)
		}
		e.bytes(2, m.Capability)
	}
}

func (e *encoder) close(m *Close) {
	if m.DiscoveryKey != nil {
		e.bytes(1, m.DiscoveryKey[:])
	}
}

func (e *encoder) options(m *hypercore.Options) {
	if len(m.Extensions) > MaxExtensions {
		e.fail("%d extensions, at most %d", len(m.Extensions), MaxExtensions)
	}
	for _, name := range m.Extensions {
		if len(name) > MaxExtensionName || !utf8.ValidString(name) {
			e.fail("extension name of %d bytes, want UTF-8 of at most %d", len(name), MaxExtensionName)
		}
		e.string(1, name)
	}
	if m.Ack {
		e.bool(2, true)
	}
}

// have leaves out what the original leaves out: a length of 1 when nothing
// comes behind it, an absent bitfield, no ack.
func (e *encoder) have(m *hypercore.Have) {
	if len(m.Bitfield) > MaxBitfield {
		e.fail("bitfield of %d bytes, at most %d", len(m.Bitfield), MaxBitfield)
	}
	e.uint(1, m.Start)
	if m.Length != 1 || m.Bitfield != nil || m.Ack {
		e.uint(2, m.Length)
	}
	if m.Bitfield != nil {
		e.bytes(3, m.Bitfield)
	}
	if m.Ack {
		e.bool(4, true)
	}
}

// span leaves a length out that is the default.
func (e *encoder) span(start, length, absent uint64) {
	e.uint(1, start)
	if length != absent {
		e.uint(2, length)
	}
}

// request writes every field, as the original does.
func (e *encoder) request(m *hypercore.Request) {
	e.uint(1, m.Index)
	e.uint(2, m.Bytes)
	e.bool(3, m.Hash)
	e.uint(4, m.Nodes)
}

func (e *encoder) cancel(m *hypercore.Cancel) {
	e.uint(1, m.Index)
	if m.Bytes != 0 {
		e.uint(2, m.Bytes)
	}
	if m.Hash {
		e.bool(3, true)
	}
}

func (e *encoder) data(m *hypercore.Data) {
	if len(m.Nodes) > MaxNodes {
		e.fail("%d nodes, at most %d", len(m.Nodes), MaxNodes)
	}
	e.uint(1, m.Index)
	if m.Value != nil {
		e.bytes(2, m.Value)
	}
	for i := range m.Nodes {
		e.node(&m.Nodes[i])
	}
	if m.Signature != nil {
		if len(m.Signature) != hypercore.SignatureSize {
			e.fail("signature of %d bytes, want %d", len(m.Signature), hypercore.SignatureSize)
		}
		e.bytes(4, m.Signature)
	}
}

func (e *encoder) node(n *merkle.Node) {
	e.prefix(3, 3*1+protowire.SizeVarint(n.Index)+protowire.SizeBytes(len(n.Hash))+protowire.SizeVarint(n.Size))
	e.uint(1, n.Index)
	e.bytes(2, n.Hash[:])
	e.uint(3, n.Size)
}

func (e *encoder) fail(format string, args ...any) {
	if e.err == nil {
		e.err = fmt.Errorf(format, args...)
	}
}

func (e *encoder) uint(num protowire.Number, v uint64) {
	e.tag(num, protowire.VarintType)
	e.safe(v)
}

// safe writes a varint of at most MaxSafe.
func (e *encoder) safe(v uint64) {
	if v > MaxSafe {
		e.fail("%d is over 2^53-1", v)
	}
	e.varint(v)
}

func (e *encoder) bool(num protowire.Number, v bool) {
	e.uint(num, protowire.EncodeBool(v))
}

// prefix writes the tag and the length of a field of size bytes.
func (e *encoder) prefix(num protowire.Number, size int) {
	e.tag(num, protowire.BytesType)
	e.varint(uint64(size))
}

func (e *encoder) bytes(num protowire.Number, b []byte) {
	e.prefix(num, len(b))
	e.raw(b)
}

func (e *encoder) string(num protowire.Number, s string) {
	e.prefix(num, len(s))
	if e.writing {
		e.dst = append(e.dst, s...)
		return
	}
	e.size += len(s)
}

func (e *encoder) tag(num protowire.Number, typ protowire.Type) {
	e.varint(protowire.EncodeTag(num, typ))
}

func (e *encoder) varint(v uint64) {
	if e.writing {
		e.dst = binary.AppendUvarint(e.dst, v)
		return
	}
	e.size += protowire.SizeVarint(v)
}

func (e *encoder) raw(b []byte) {
	if e.writing {
		e.dst = append(e.dst, b...)
		return
	}
	e.size += len(b)
}
