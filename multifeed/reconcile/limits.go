package reconcile

import "errors"

// Errors of Handle. Each is the remote's fault.
var (
	// ErrMalformed is wrapped when a payload doesn't have the format.
	ErrMalformed = errors.New("reconcile: malformed payload")
	// ErrUnexpected is wrapped when a payload says what it may not say then: out of
	// its turn, of a prefix that it wasn't asked about, or about one again.
	ErrUnexpected = errors.New("reconcile: unexpected payload")
	// ErrLimit is wrapped when the remote passes a limit.
	ErrLimit = errors.New("reconcile: limit exceeded")
)

// Limits of one session. What a side may be told of is bounded by its own set as
// well: a prefix is spoken of once, and only after its own fingerprint was sent.
const (
	// MaxPayload is the most bytes of a payload.
	MaxPayload = 64 << 10
	// MaxTurnPayloads is the most payloads of one turn, so that a side never holds
	// answers to more than one MiB.
	MaxTurnPayloads = 16
	// MaxTurns is the most turns that either side takes. Two sets of a million
	// feeds that have nothing in common take about 20.
	MaxTurns = 128
	// MaxFingerprints is the most fingerprints that one side sends: those of the
	// children of all inner nodes of more than 10 million feeds.
	MaxFingerprints = 1 << 20
	// MaxIDs is the most short names that one side lists.
	MaxIDs = 1 << 21
	// MaxBytes is the most bytes of all payloads that one side sends.
	MaxBytes = 24 << 20
)
