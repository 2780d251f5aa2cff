package api

import (
	"bufio"
	"cmp"
	"context"
	"encoding/json"
	"net/http"
	"time"

	"github.com/cobox-p2p/cobox-p2p/cmd/cobox-p2p/node"
)

// streamBuffer is how many bytes of a read are gathered for one write.
const streamBuffer = 256 << 10

// append takes the request's body as what is to be appended.
func (s *Server) append(w http.ResponseWriter, r *http.Request) {
	size, err := number(r, "blockSize", node.DefaultBlockSize)
	if err == nil && size > node.MaxBlockSize {
		size = node.MaxBlockSize + 1 // refused by its size and not by its sign
	}
	var done node.Appended
	if err == nil {
		rc := http.NewResponseController(w)
		interrupt := func() { rc.SetReadDeadline(time.Unix(1, 0)) }
		writer := cmp.Or(r.URL.Query().Get("writer"), node.DefaultWriter)
		done, err = s.node.Append(r.Context(), r.PathValue("space"), writer, int(size), r.Body, interrupt)
	}
	s.answer(w, r, done, err)
}

// read sends the blocks of a feed. What fails after the first of them is told in
// the trailers.
func (s *Server) read(w http.ResponseWriter, r *http.Request) {
	read, err := s.openRead(r)
	if err != nil {
		s.answer(w, r, nil, err)
		return
	}
	// A client that reads nothing must not hold up the shutdown.
	rc := http.NewResponseController(w)
	stop := context.AfterFunc(s.ctx, func() { rc.SetWriteDeadline(time.Now().Add(closeTimeout / 2)) })
	defer stop()
	h := w.Header()
	h.Set("Content-Type", "application/octet-stream")
	h.Set("Trailer", trailerOutcome+", "+trailerError)
	h.Set(headerFeed, read.Feed)
	out := &stream{bufio.NewWriterSize(w, streamBuffer), rc}
	_, err = read.Copy(r.Context(), out)
	if flushing := out.Flush(); err == nil {
		err = flushing
	}
	if err == nil {
		h.Set(trailerOutcome, "ok")
		return
	}
	e, _ := errorOf(s.cause(err))
	text, _ := json.Marshal(e) // strings and numbers only
	h.Set(trailerOutcome, "error")
	h.Set(trailerError, string(text))
}

func (s *Server) openRead(r *http.Request) (*node.Read, error) {
	o := node.ReadOptions{Feed: r.URL.Query().Get("feed")}
	var err error
	if o.Follow, err = flag(r, "follow"); err != nil {
		return nil, err
	}
	if o.Offline, err = flag(r, "offline"); err != nil {
		return nil, err
	}
	ms, err := number(r, "timeoutMs", 0)
	if err != nil {
		return nil, err
	}
	o.Timeout = time.Duration(ms) * time.Millisecond
	return s.node.OpenRead(r.Context(), r.PathValue("space"), o)
}

// stream is a buffer that empties itself down to the socket.
type stream struct {
	*bufio.Writer
	rc *http.ResponseController
}

// Flush sends what was written.
func (s *stream) Flush() error {
	if err := s.Writer.Flush(); err != nil {
		return err
	}
	return s.rc.Flush()
}
