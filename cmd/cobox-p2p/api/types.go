// Package api is the daemon's local API: HTTP and JSON over a Unix socket in the
// data folder, with a server for the daemon and a client for the command line.
// It is described in docs/cli.md, "Local API".
package api

import (
	"errors"
	"net/http"
	"time"

	"github.com/cobox-p2p/cobox-p2p/cmd/cobox-p2p/node"
)

// Limits and times of the local API.
const (
	MaxRequest     = 64 << 10 // bytes of a JSON request
	maxHeader      = 64 << 10
	requestTimeout = 10 * time.Second // for headers, and for a JSON request
	answerTimeout  = 30 * time.Second // for the client to take a JSON answer
	idleTimeout    = time.Minute      // of a connection without a request
	// closeTimeout is how long Close lets running requests say why they end.
	closeTimeout = 3 * time.Second
)

// Codes of errors.
const (
	CodeUse    = "use"    // what was asked for can't be: see node.UseError
	CodeChoice = "choice" // several feeds, or none, could be meant: Feeds lists them
	CodeAppend = "append" // an append failed on the way: Appended is what is durable
	CodeFailed = "failed" // anything else
)

// Error is the answer to a request that failed.
type Error struct {
	Code     string            `json:"code"`
	Message  string            `json:"message"`
	Feeds    []node.FeedStatus `json:"feeds,omitempty"`
	Appended *node.Appended    `json:"appended,omitempty"`
}

func (e *Error) Error() string { return e.Message }

// errorOf returns what is told of err, and the HTTP status.
func errorOf(err error) (*Error, int) {
	e := &Error{Code: CodeFailed, Message: err.Error()}
	if given, ok := errors.AsType[*Error](err); ok {
		return given, http.StatusBadRequest
	}
	if _, ok := errors.AsType[*node.UseError](err); ok {
		e.Code = CodeUse
		return e, http.StatusBadRequest
	}
	if c, ok := errors.AsType[*node.ChoiceError](err); ok {
		e.Code, e.Feeds = CodeChoice, c.Feeds
		return e, http.StatusConflict
	}
	if a, ok := errors.AsType[*node.AppendError](err); ok {
		e.Code, e.Appended = CodeAppend, &a.Appended
		return e, http.StatusInternalServerError
	}
	if errors.Is(err, node.ErrClosed) {
		return e, http.StatusServiceUnavailable
	}
	return e, http.StatusInternalServerError
}

// failure is the body of an answer with an error.
type failure struct {
	Error *Error `json:"error"`
}

// SpaceRequest asks for a new space, or to join or seed one.
type SpaceRequest struct {
	Name string `json:"name,omitempty"` // empty for the default
	Open bool   `json:"open,omitempty"` // of create: an open space instead of a signed one
	Text string `json:"text,omitempty"` // of join: secret or access key; of seed: address
}

// ConnectRequest asks to connect to a peer.
type ConnectRequest struct {
	Address string `json:"address"` // ends in /p2p/ and the peer ID
}

// SyncRequest asks to wait until a space is synced.
type SyncRequest struct {
	TimeoutMS int64 `json:"timeoutMs,omitempty"` // 0 waits for ever
	Offline   bool  `json:"offline,omitempty"`
}

// VerifyRequest asks for a check of what is stored.
type VerifyRequest struct {
	Space string `json:"space,omitempty"` // empty for all
}

// ReadRequest says what is read; see node.ReadOptions. It travels as the query
// feed, follow, offline and timeoutMs.
type ReadRequest struct {
	Space string
	node.ReadOptions
}

// Headers and trailers of a read.
const (
	headerFeed     = "Cobox-Feed"    // the feed's key
	trailerOutcome = "Cobox-Outcome" // "ok" or "error"; absent when the stream was cut
	trailerError   = "Cobox-Error"   // JSON of an Error
)
