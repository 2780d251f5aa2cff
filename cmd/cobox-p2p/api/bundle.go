package api

import (
	"bufio"
	"context"
	"encoding/json"
	"io"
	"net/http"
	"time"
)

// bundleWrite sends a bundle. With the query since, the request's body is the
// need of who gets it.
func (s *Server) bundleWrite(w http.ResponseWriter, r *http.Request) {
	since, err := flag(r, "since")
	if err != nil {
		s.answer(w, r, nil, err)
		return
	}
	rc := http.NewResponseController(w)
	var need io.Reader
	if since {
		need = r.Body
		stop := context.AfterFunc(s.ctx, func() { rc.SetReadDeadline(time.Unix(1, 0)) })
		defer stop()
	}
	b, err := s.node.OpenBundle(r.PathValue("space"), need)
	if err != nil {
		s.answer(w, r, nil, err)
		return
	}
	s.sendFile(w, r, func(ctx context.Context, w io.Writer) (any, error) { return b.Write(ctx, w) })
}

// bundleNeed sends the need of a space.
func (s *Server) bundleNeed(w http.ResponseWriter, r *http.Request) {
	write, err := s.node.NeedWriter(r.PathValue("space"))
	if err != nil {
		s.answer(w, r, nil, err)
		return
	}
	s.sendFile(w, r, func(ctx context.Context, w io.Writer) (any, error) { return write(ctx, w) })
}

// bundleRead takes the request's body as a bundle.
func (s *Server) bundleRead(w http.ResponseWriter, r *http.Request) {
	rc := http.NewResponseController(w)
	interrupt := func() { rc.SetReadDeadline(time.Unix(1, 0)) }
	done, err := s.node.ReadBundle(r.Context(), r.PathValue("space"), r.Body, interrupt)
	s.answer(w, r, done, err)
}

// sendFile answers with what write writes, and with what it returns in the
// trailers.
func (s *Server) sendFile(w http.ResponseWriter, r *http.Request, write func(context.Context, io.Writer) (any, error)) {
	rc := http.NewResponseController(w)
	stop := context.AfterFunc(s.ctx, func() { rc.SetWriteDeadline(time.Now().Add(closeTimeout / 2)) })
	defer stop()
	h := w.Header()
	h.Set("Content-Type", "application/octet-stream")
	h.Set("Trailer", trailerOutcome+", "+trailerError+", "+trailerReport)
	out := &stream{bufio.NewWriterSize(w, streamBuffer), rc}
	done, err := write(r.Context(), out)
	if err == nil {
		err = out.Flush()
	}
	if err != nil {
		e, _ := errorOf(s.cause(err))
		text, _ := json.Marshal(e) // strings and numbers only
		h.Set(trailerOutcome, "error")
		h.Set(trailerError, string(text))
		return
	}
	text, _ := json.Marshal(done)
	h.Set(trailerOutcome, "ok")
	h.Set(trailerReport, string(text))
}
