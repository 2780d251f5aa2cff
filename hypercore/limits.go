package hypercore

import (
	"time"

	"github.com/cobox-p2p/cobox-p2p/hypercore/merkle"
)

// Limits of the replication of one feed with one peer. See
// interop/spec/feed.md.
const (
	// MaxRequests is how many of our own requests may wait for an answer.
	MaxRequests = 64
	// MaxRemoteRequests is how many of the peer's requests are remembered.
	// hypercore 9 has 32 at the most in flight.
	MaxRemoteRequests = 256
	// MaxRemoteWants is how many of the peer's wants wait for an answer or are
	// kept to be answered again. hypercore 9 has 16 at the most in flight.
	MaxRemoteWants = 64
	// MaxWant is the longest range in blocks that a Want may name, and the one
	// that hypercore 9 uses always.
	MaxWant = 1 << 20
	// RequestTimeout is how long a request waits before it moves on: without
	// any answer of that peer, or at all if another peer has nothing else to do.
	RequestTimeout = 10 * time.Second

	// wantAlign is what start and length of a Want are multiples of.
	wantAlign = 8192
	// maxWantsOut is how many of our wants wait for an answer.
	maxWantsOut = 16
	// maxWanted is how many wants one peer gets in all. Past them its blocks
	// are known from its Haves alone.
	maxWanted = 4096
	// maxHaves is how many separate spans wait to be told. Past that the peer
	// gets the bitfields of its wants again.
	maxHaves = 256
	// maxMoved is how many requests that moved on to another peer are
	// remembered.
	maxMoved = 256
	// maxUnasked is how many blocks that nobody asked for, or whose answer has
	// to be asked for once more, a peer may send a minute.
	maxUnasked = 1024
	// growPatience is how long one peer has to prove a longer head before
	// others are asked as well.
	growPatience = time.Second
	// expireEvery is how often late requests are looked for.
	expireEvery = time.Second
	// maxPause is how long a remote may say that it does not answer before its
	// requests move on.
	maxPause = time.Second
)

// Limits of ranges of blocks. See interop/spec/feed.md, "Ranges".
const (
	// MaxRangeBlocks is how many blocks one answer to a RangeRequest has at most.
	MaxRangeBlocks = merkle.MaxRange
	// MaxRangeBytes is how many bytes of blocks one answer has at most, unless
	// its first block alone has more: 1 MiB, with room for the seals of blocks
	// that make up 1 MiB unsealed.
	MaxRangeBytes = 1<<20 + 64<<10
	// MaxRanges is how many of our own RangeRequests may wait for an answer of
	// one peer, and how many of a peer's are remembered is four times that.
	MaxRanges       = 64
	MaxRemoteRanges = 4 * MaxRanges
)
