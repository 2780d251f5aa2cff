package multifeed

import (
	"io"
	"time"

	"github.com/cobox-p2p/cobox-p2p/multifeed/wire"
)

// The version of the protocol that follows the handshake. Peers of another
// major version are refused.
const (
	Major = 1
	Minor = 0
)

// Stream is the byte stream of one session. A libp2p stream and a net.Conn both
// fit. Deadlines are those of net.Conn: a time in the past ends what blocks, and
// the zero time means none. Errors after a deadline satisfy os.ErrDeadlineExceeded
// or have a Timeout method that returns true.
type Stream interface {
	io.ReadWriteCloser
	SetDeadline(t time.Time) error
	SetReadDeadline(t time.Time) error
	SetWriteDeadline(t time.Time) error
}

// Party is one side of a session as its Hello tells.
type Party struct {
	PeerID  []byte   // the binary form, as the connection authenticated it
	Process [16]byte // random, made at the start of the process
	// Silence is the longest time without a frame that the side tolerates, 0 for
	// any. It is told in milliseconds, wire.MinSilence to wire.MaxSilence.
	Silence  time.Duration
	Features []string // what it offers; see wire.Hello
}

// Opened is a stream whose both ends proved that they know the address. Initiate
// and Respond return it, and so may any other opening of a session.
type Opened struct {
	Stream    Stream // frames are written to it
	Reader    *wire.Reader
	Address   Address
	Initiator bool // we opened the stream
	Remote    Party
	// Silence is what we told to tolerate: the session ends when the remote sends
	// not a byte for that long. 0 for any.
	Silence  time.Duration
	Features []string // those that both offer, sorted
	// Transcript is the hash that both proofs cover. No other handshake has it.
	Transcript [32]byte

	deadlines *deadlines // through which Reader reads; nil: it reads by itself
}

// featureHashes says that a Request for a hash alone gets an answer. hypercore 9
// gives up its stream when it can't prove one.
const featureHashes = "cobox/hashes/1"

// featureRanges says that blocks are asked for and sent in ranges; see
// interop/spec/feed.md, "Ranges".
const featureRanges = "cobox/range/1"

// Features returns the features that this package offers, for Party.
func Features() []string { return []string{featureFeeds, featureHashes, featureRanges} }
