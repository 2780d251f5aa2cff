package multifeed

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"

	"github.com/cobox-p2p/cobox-p2p/hypercore"
	"github.com/cobox-p2p/cobox-p2p/multifeed/wire"
)

// Code says why a session ended. It crosses the wire as the code with which its
// stream is reset. See interop/spec/handshake.md, "Codes".
type Code uint32

// codeBase begins the range of our codes: "cb" and a zero byte, away from those
// of libp2p.
const codeBase Code = 0x636200

// The codes. Their numbers never change.
const (
	CodeNone      Code = 0             // no code: an orderly end
	CodeRefused   Code = codeBase + 1  // unknown space, bad proof or own peer ID, not told apart
	CodeProtocol  Code = codeBase + 2  // malformed, or not allowed in this state
	CodeLimit     Code = codeBase + 3  // over a limit
	CodeTimeout   Code = codeBase + 4  // too slow or silent for too long
	CodeVersion   Code = codeBase + 5  // another major version
	CodeDuplicate Code = codeBase + 6  // another stream of this peer and space stays
	CodeLeft      Code = codeBase + 7  // the space was left
	CodeInternal  Code = codeBase + 8  // a failure of the sender's own
	CodeProof     Code = codeBase + 9  // block, proof, signature or admission that is not valid or was not asked for
	CodePolicy    Code = codeBase + 10 // the sender's owner does not want this peer
	CodeShutdown  Code = codeBase + 11 // the sender's process ends
	CodeFork      Code = codeBase + 12 // a feed's writer signed two histories; nobody here is at fault
	CodeTurn      Code = codeBase + 13 // the sender needs the room for another space; the session comes back when there is news
)

var codeNames = map[Code]string{
	CodeNone: "none", CodeRefused: "refused", CodeProtocol: "protocol", CodeLimit: "limit",
	CodeTimeout: "timeout", CodeVersion: "version", CodeDuplicate: "duplicate", CodeLeft: "left",
	CodeInternal: "internal", CodeProof: "proof", CodePolicy: "policy", CodeShutdown: "shutdown",
	CodeFork: "fork", CodeTurn: "turn",
}

// String returns the code's name, or its number when it has none.
func (c Code) String() string {
	if name, ok := codeNames[c]; ok {
		return name
	}
	return fmt.Sprintf("code 0x%x", uint32(c))
}

// What a ProtocolError with CodeRefused wraps. The peer can't tell them apart.
var (
	ErrUnknownSpace = errors.New("multifeed: no joined space has this tag")
	ErrBadProof     = errors.New("multifeed: proof of the address does not match")
	ErrSelf         = errors.New("multifeed: remote has our own peer ID")
)

// ErrNotAdmitted is wrapped by what VerifyAdmission returns.
var ErrNotAdmitted = errors.New("multifeed: feed is not admitted to the space")

// ProtocolError says that the peer is at fault, and with which code its stream
// is reset. Reason stays here: only the code crosses the wire.
type ProtocolError struct {
	Code   Code
	Reason string
	Err    error // what it wraps, or nil
}

// Error returns code, reason and what is wrapped.
func (e *ProtocolError) Error() string {
	s := "multifeed: peer at fault (" + e.Code.String() + ")"
	if e.Reason != "" {
		s += ": " + e.Reason
	}
	if e.Err != nil {
		s += ": " + e.Err.Error()
	}
	return s
}

// Unwrap returns Err.
func (e *ProtocolError) Unwrap() error { return e.Err }

// CodeOf returns the code with which a session that failed with err is reset:
// that of a *ProtocolError, CodeProtocol for a *wire.FormatError, CodeLimit,
// CodeProtocol, CodeFork or CodeProof for a *hypercore.RemoteError, CodeTimeout for a deadline that passed,
// CodeNone for nil, else CodeInternal.
func CodeOf(err error) Code {
	if err == nil {
		return CodeNone
	}
	if p, ok := errors.AsType[*ProtocolError](err); ok {
		return p.Code
	}
	if _, ok := errors.AsType[*wire.FormatError](err); ok {
		return CodeProtocol
	}
	if r, ok := errors.AsType[*hypercore.RemoteError](err); ok {
		switch {
		case errors.Is(r, hypercore.ErrLimit):
			return CodeLimit
		case errors.Is(r, hypercore.ErrMalformed):
			return CodeProtocol
		case errors.Is(r, hypercore.ErrForked):
			return CodeFork
		}
		return CodeProof
	}
	if isTimeout(err) || errors.Is(err, context.DeadlineExceeded) {
		return CodeTimeout
	}
	return CodeInternal
}

// isTimeout says whether a stream's deadline passed.
func isTimeout(err error) bool {
	if errors.Is(err, os.ErrDeadlineExceeded) {
		return true
	}
	n, ok := errors.AsType[net.Error](err)
	return ok && n.Timeout()
}
