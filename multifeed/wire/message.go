// Package wire turns frames and messages into bytes and back. The format is
// that of hypercore-protocol 8 without its Noise transport, and the control
// frames of the handshake before it; see interop/spec/frames.md and
// interop/spec/handshake.md. Every length is checked against a named limit
// before anything is allocated for it.
package wire

import (
	"github.com/cobox-p2p/cobox-p2p/hypercore"
	"github.com/cobox-p2p/cobox-p2p/hypercore/merkle"
)

// Message is what one frame carries: *Open, *Close, *Unknown or one of the
// pointer types of hypercore.Message.
type Message any

// Types of messages, the low four bits of a frame's header. The types 13 and
// 14 are not assigned, 11 and 12 only where both sides have the range feature.
const (
	TypeOpen         = 0
	TypeOptions      = 1
	TypeStatus       = 2
	TypeHave         = 3
	TypeUnhave       = 4
	TypeWant         = 5
	TypeUnwant       = 6
	TypeRequest      = 7
	TypeCancel       = 8
	TypeData         = 9
	TypeClose        = 10
	TypeRangeRequest = 11
	TypeRangeData    = 12
	TypeExtension    = 15
)

// Limits of messages, which both Decode and AppendFrame enforce.
const (
	// MaxSafe is the largest index, length, size or ID: what a JavaScript number
	// holds exactly.
	MaxSafe = 1<<53 - 1
	// MaxNodes is the most tree nodes in one Data. A proof of the largest tree
	// has 53 siblings and 53 roots.
	MaxNodes = 128
	// MaxRangeBlocks is the most blocks in one RangeData.
	MaxRangeBlocks = hypercore.MaxRangeBlocks
	// MaxRangeNodes is the most tree nodes in one RangeData.
	MaxRangeNodes = merkle.MaxRangeNodes
	// MaxExtensions is the most extension names in one Options.
	MaxExtensions = 64
	// MaxExtensionName is the longest extension name in bytes of UTF-8.
	MaxExtensionName = 128
	// MaxBitfield is the longest run-length encoded bitfield of one Have in
	// bytes. The answer to a Want of 1,048,576 blocks has at most half of it.
	MaxBitfield = 256 << 10
	// CapabilitySize is the length of a capability in bytes.
	CapabilitySize = 32
)

// Open opens the channel of its frame for the feed, or the space, with the
// discovery key.
type Open struct {
	DiscoveryKey hypercore.DiscoveryKey
	// Capability proves knowledge of the key where the transport is that of the
	// legacy dialect. It has CapabilitySize bytes, or is nil for absent.
	Capability []byte
}

// Close closes the channel of its frame. With a DiscoveryKey it declines the
// remote's Open of that key, and its own channel was never opened.
type Close struct{ DiscoveryKey *hypercore.DiscoveryKey }

// Unknown is a frame of a type that isn't assigned. It is dropped, within a
// rate. AppendFrame doesn't take it.
type Unknown struct{ Type byte }
