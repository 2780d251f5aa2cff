// Package api is the daemon's local API: HTTP and JSON over a Unix socket in the
// data folder, with a server for the daemon and a client for the command line.
// It is described in docs/cli.md, "Local API".
package api

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"sync"
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

// Server answers the local API of one node. Who can open its socket, which has
// mode 0600 in a folder of mode 0700, may do everything.
type Server struct {
	node   *node.Node
	log    *slog.Logger
	http   *http.Server
	remove func()

	ctx    context.Context // of all requests; its cause is node.ErrClosed
	stop   context.CancelCauseFunc
	served chan struct{} // closed when the listener's goroutine is gone

	running sync.WaitGroup // requests
	once    sync.Once
}

// Serve opens the socket in the node's folder, which the node has locked, and
// answers requests until Close.
func Serve(n *node.Node, log *slog.Logger) (*Server, error) {
	l, remove, err := listen(n.Folder().Dir)
	if err != nil {
		return nil, err
	}
	s := &Server{node: n, log: log, remove: remove, served: make(chan struct{})}
	s.ctx, s.stop = context.WithCancelCause(context.Background())
	s.http = &http.Server{
		Handler:           s.routes(),
		ReadHeaderTimeout: requestTimeout,
		IdleTimeout:       idleTimeout,
		MaxHeaderBytes:    maxHeader,
		BaseContext:       func(net.Listener) context.Context { return s.ctx },
		ErrorLog:          slog.NewLogLogger(log.Handler(), slog.LevelDebug),
	}
	go func() {
		defer close(s.served)
		if err := s.http.Serve(l); !errors.Is(err, http.ErrServerClosed) {
			log.Error("the local API ended", "err", err)
		}
	}()
	return s, nil
}

// Close ends all requests, which tell their clients so, and returns when the
// last one is gone. It may be called twice.
func (s *Server) Close() error {
	var err error
	s.once.Do(func() {
		s.stop(node.ErrClosed)
		ctx, done := context.WithTimeout(context.Background(), closeTimeout)
		defer done()
		if err = s.http.Shutdown(ctx); err != nil {
			err = s.http.Close()
		}
		s.running.Wait()
		<-s.served
		s.remove()
	})
	return err
}

// routes returns the handler of all paths.
func (s *Server) routes() http.Handler {
	mux := http.NewServeMux()
	handle := func(pattern string, f func(*http.Request) (any, error)) {
		mux.HandleFunc(pattern, s.counted(func(w http.ResponseWriter, r *http.Request) {
			var answer any
			err := takeBody(w, r)
			if err == nil {
				answer, err = f(r)
			}
			s.answer(w, r, answer, err)
		}))
	}
	handle("GET /v1/status", s.status)
	handle("GET /v1/peers", s.peers)
	handle("POST /v1/connect", s.connect)
	handle("GET /v1/spaces", s.spaces)
	handle("POST /v1/spaces", s.create)
	handle("POST /v1/spaces/join", s.join)
	handle("POST /v1/spaces/seed", s.seed)
	handle("GET /v1/spaces/{space}", s.show)
	handle("DELETE /v1/spaces/{space}", s.leave)
	handle("POST /v1/spaces/{space}/sync", s.sync)
	handle("POST /v1/verify", s.verify)
	handle("GET /v1/limits", s.limits)
	handle("POST /v1/limits", s.setLimits)
	handle("GET /v1/blocked", s.blocked)
	handle("POST /v1/blocked", s.block)
	handle("POST /v1/legacy/import", s.legacyImport)
	handle("POST /v1/spaces/{space}/legacy/confirm", s.legacyConfirm)
	handle("POST /v1/spaces/{space}/legacy/export", s.legacyExport)
	mux.HandleFunc("POST /v1/spaces/{space}/append", s.counted(s.append))
	mux.HandleFunc("GET /v1/spaces/{space}/read", s.counted(s.read))
	mux.HandleFunc("POST /v1/spaces/{space}/bundle/write", s.counted(s.bundleWrite))
	mux.HandleFunc("GET /v1/spaces/{space}/bundle/need", s.counted(s.bundleNeed))
	mux.HandleFunc("POST /v1/spaces/{space}/bundle/read", s.counted(s.bundleRead))
	return mux
}

// counted lets Close wait for the handler.
func (s *Server) counted(f http.HandlerFunc) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		s.running.Add(1)
		defer s.running.Done()
		// That of the connection's last answer.
		http.NewResponseController(w).SetWriteDeadline(time.Time{})
		f(w, r)
	}
}

// answer writes what a handler returned.
func (s *Server) answer(w http.ResponseWriter, r *http.Request, answer any, err error) {
	status := http.StatusOK
	if err != nil {
		var e *Error
		e, status = errorOf(s.cause(err))
		answer = failure{e}
		s.log.Debug("request failed", "method", r.Method, "err", err)
	}
	body, err := json.Marshal(answer)
	if err != nil {
		s.log.Error("answer not encoded", "err", err)
		status = http.StatusInternalServerError
	}
	http.NewResponseController(w).SetWriteDeadline(time.Now().Add(answerTimeout))
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	w.Write(append(body, '\n'))
}

// cause names the shutdown where a handler saw its context end.
func (s *Server) cause(err error) error {
	if cause := context.Cause(s.ctx); cause != nil && errors.Is(err, context.Canceled) {
		if a, ok := errors.AsType[*node.AppendError](err); ok {
			return &node.AppendError{Appended: a.Appended, Err: cause}
		}
		if b, ok := errors.AsType[*node.BundleError](err); ok {
			return &node.BundleError{Bundled: b.Bundled, Err: cause}
		}
		return cause
	}
	return err
}

// takeBody reads a JSON request of at most MaxRequest bytes within
// requestTimeout. The handler's context then ends with the client.
func takeBody(w http.ResponseWriter, r *http.Request) error {
	rc := http.NewResponseController(w)
	rc.SetReadDeadline(time.Now().Add(requestTimeout))
	body, err := io.ReadAll(io.LimitReader(r.Body, MaxRequest+1))
	rc.SetReadDeadline(time.Time{})
	switch {
	case err != nil:
		return &Error{Code: CodeUse, Message: fmt.Sprintf("the request broke off: %v", err)}
	case len(body) > MaxRequest:
		return &Error{Code: CodeUse, Message: fmt.Sprintf("the request is over %d bytes", MaxRequest)}
	}
	r.Body = io.NopCloser(bytes.NewReader(body))
	return nil
}

// decode reads the JSON of a request.
func decode(r *http.Request, into any) error {
	d := json.NewDecoder(r.Body)
	d.DisallowUnknownFields()
	if err := d.Decode(into); err != nil {
		return &Error{Code: CodeUse, Message: fmt.Sprintf("the request is no JSON of this API: %v", err)}
	}
	return nil
}
