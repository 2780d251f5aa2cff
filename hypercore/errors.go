package hypercore

import (
	"errors"
	"fmt"
)

// Errors that callers test for.
var (
	ErrNotWritable = errors.New("hypercore: feed is not writable here")
	ErrBlockSize   = fmt.Errorf("hypercore: block over %d bytes", MaxBlock)
	ErrNoBlocks    = errors.New("hypercore: append without blocks")
	ErrSealed      = errors.New("hypercore: block is sealed and its key is not here")
	ErrWrongKey    = errors.New("hypercore: block does not open with this key")
	// ErrDamaged says that the disk did not give back what was stored. See
	// Feed.Audit and Feed.Repair.
	ErrDamaged = errors.New("hypercore: stored feed is damaged")
)

// RemoteError says that a peer is at fault: it broke the protocol, or sent what
// does not verify. Nothing of the message was stored. It matches ErrLimit when
// the peer passed a limit and ErrMalformed when it sent what no message may hold;
// any other is about a block or proof that is not valid.
type RemoteError struct {
	Feed DiscoveryKey
	Err  error
}

func (e *RemoteError) Error() string {
	return fmt.Sprintf("feed %.8s: peer at fault: %v", e.Feed, e.Err)
}
func (e *RemoteError) Unwrap() error { return e.Err }

// The classes of a RemoteError.
var (
	ErrLimit     = errors.New("limit passed")
	ErrMalformed = errors.New("malformed")
)

// What a RemoteError wraps beside its class.
var (
	ErrTooManyRequests = fmt.Errorf("%w: over %d requests without waiting for answers", ErrLimit, MaxRemoteRequests)
	ErrTooManyWants    = fmt.Errorf("%w: over %d wants without waiting for answers", ErrLimit, MaxRemoteWants)
	ErrRange           = fmt.Errorf("%w: block numbers beyond 2^53-1", ErrMalformed)
)
