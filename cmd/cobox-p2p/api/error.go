package api

import (
	"errors"
	"net/http"

	"github.com/cobox-p2p/cobox-p2p/cmd/cobox-p2p/node"
)

// Codes of errors.
const (
	CodeUse    = "use"    // what was asked for can't be: see node.UseError
	CodeChoice = "choice" // several feeds, or none, could be meant: Feeds lists them
	CodeAppend = "append" // an append failed on the way: Appended is what is durable
	CodeBundle = "bundle" // a bundle ended before its end: Bundled is what came before
	CodeFailed = "failed" // anything else
)

// Error is the answer to a request that failed.
type Error struct {
	Code     string            `json:"code"`
	Message  string            `json:"message"`
	Feeds    []node.FeedStatus `json:"feeds,omitempty"`
	Appended *node.Appended    `json:"appended,omitempty"`
	Bundled  *node.Bundled     `json:"bundled,omitempty"`
}

func (e *Error) Error() string { return e.Message }

// errorOf returns what is told of err, and the HTTP status.
func errorOf(err error) (*Error, int) {
	e := &Error{Code: CodeFailed, Message: node.Message(err)}
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
	if b, ok := errors.AsType[*node.BundleError](err); ok {
		e.Code, e.Bundled = CodeBundle, &b.Bundled
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
