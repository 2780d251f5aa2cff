package api

import (
	"net/http"
	"strconv"
	"time"

	"github.com/cobox-p2p/cobox-p2p/cmd/cobox-p2p/node"
)

func (s *Server) status(*http.Request) (any, error) { return s.node.Status(), nil }
func (s *Server) peers(*http.Request) (any, error)  { return s.node.Peers(), nil }
func (s *Server) spaces(*http.Request) (any, error) { return s.node.Spaces(), nil }

func (s *Server) connect(r *http.Request) (any, error) {
	var c ConnectRequest
	if err := decode(r, &c); err != nil {
		return nil, err
	}
	return s.node.Connect(r.Context(), c.Address)
}

func (s *Server) create(r *http.Request) (any, error) {
	var c SpaceRequest
	if err := decode(r, &c); err != nil {
		return nil, err
	}
	return s.node.Create(c.Name, c.Open)
}

func (s *Server) join(r *http.Request) (any, error) {
	var c SpaceRequest
	if err := decode(r, &c); err != nil {
		return nil, err
	}
	return s.node.Join(c.Text, c.Name)
}

func (s *Server) seed(r *http.Request) (any, error) {
	var c SpaceRequest
	if err := decode(r, &c); err != nil {
		return nil, err
	}
	return s.node.Seed(c.Text, c.Name)
}

func (s *Server) show(r *http.Request) (any, error) {
	secret, err := flag(r, "secret")
	if err != nil {
		return nil, err
	}
	return s.node.Show(r.PathValue("space"), secret)
}

func (s *Server) leave(r *http.Request) (any, error) {
	keep, err := flag(r, "keep")
	if err != nil {
		return nil, err
	}
	force, err := flag(r, "force")
	if err != nil {
		return nil, err
	}
	return s.node.Leave(r.PathValue("space"), keep, force)
}

func (s *Server) sync(r *http.Request) (any, error) {
	var q SyncRequest
	if err := decode(r, &q); err != nil {
		return nil, err
	}
	return s.node.Sync(r.Context(), r.PathValue("space"), time.Duration(q.TimeoutMS)*time.Millisecond, q.Offline)
}

func (s *Server) verify(r *http.Request) (any, error) {
	var q VerifyRequest
	if err := decode(r, &q); err != nil {
		return nil, err
	}
	return s.node.Verify(r.Context(), node.VerifyOptions{
		Space: q.Space, Repair: q.Repair, Timeout: time.Duration(q.TimeoutMS) * time.Millisecond,
	})
}

// flag reads a truth value of the query, false when it is absent.
func flag(r *http.Request, name string) (bool, error) {
	text := r.URL.Query().Get(name)
	if text == "" {
		return false, nil
	}
	v, err := strconv.ParseBool(text)
	if err != nil {
		return false, &Error{Code: CodeUse, Message: "the query " + name + " is neither true nor false"}
	}
	return v, nil
}

// number reads a number that isn't negative of the query, or the default.
func number(r *http.Request, name string, otherwise int64) (int64, error) {
	text := r.URL.Query().Get(name)
	if text == "" {
		return otherwise, nil
	}
	v, err := strconv.ParseInt(text, 10, 64)
	if err != nil || v < 0 {
		return 0, &Error{Code: CodeUse, Message: "the query " + name + " is no number"}
	}
	return v, nil
}
