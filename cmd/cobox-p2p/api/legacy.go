package api

import (
	"context"
	"net/http"

	"github.com/cobox-p2p/cobox-p2p/cmd/cobox-p2p/node"
)

// ImportRequest asks for the import of an old store; see node.ImportOptions.
type ImportRequest struct {
	Dir   string `json:"dir"` // absolute
	Space string `json:"space,omitempty"`
	Name  string `json:"name,omitempty"`
}

// ConfirmRequest says which imported writers are confirmed, all when it names none.
type ConfirmRequest struct {
	Feeds []string `json:"feeds,omitempty"`
}

// ExportRequest asks for a store for the old software; see node.Export.
type ExportRequest struct {
	Dir  string `json:"dir"` // absolute
	Keys bool   `json:"keys,omitempty"`
}

func (s *Server) legacyImport(r *http.Request) (any, error) {
	var q ImportRequest
	if err := decode(r, &q); err != nil {
		return nil, err
	}
	return s.node.Import(r.Context(), node.ImportOptions{Dir: q.Dir, Space: q.Space, Name: q.Name})
}

func (s *Server) legacyConfirm(r *http.Request) (any, error) {
	var q ConfirmRequest
	if err := decode(r, &q); err != nil {
		return nil, err
	}
	return s.node.ConfirmImport(r.PathValue("space"), q.Feeds)
}

func (s *Server) legacyExport(r *http.Request) (any, error) {
	var q ExportRequest
	if err := decode(r, &q); err != nil {
		return nil, err
	}
	return s.node.Export(r.Context(), r.PathValue("space"), q.Dir, q.Keys)
}

// Import imports a store of the old software; see node.Import.
func (c *Client) Import(ctx context.Context, o node.ImportOptions) (i node.Imported, err error) {
	return i, c.call(ctx, "POST", "/v1/legacy/import", nil, ImportRequest{o.Dir, o.Space, o.Name}, &i)
}

// ConfirmImport makes imported writers writable; see node.ConfirmImport.
func (c *Client) ConfirmImport(ctx context.Context, space string, feeds []string) (d node.Confirmed, err error) {
	path, err := spacePath(space, "/legacy/confirm")
	if err != nil {
		return d, err
	}
	return d, c.call(ctx, "POST", path, nil, ConfirmRequest{feeds}, &d)
}

// Export makes a store for the old software; see node.Export.
func (c *Client) Export(ctx context.Context, space, dir string, keys bool) (e node.Exported, err error) {
	path, err := spacePath(space, "/legacy/export")
	if err != nil {
		return e, err
	}
	return e, c.call(ctx, "POST", path, nil, ExportRequest{dir, keys}, &e)
}
