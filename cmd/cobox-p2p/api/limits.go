package api

import (
	"context"
	"net/http"
	"net/url"

	"github.com/cobox-p2p/cobox-p2p/cmd/cobox-p2p/node"
)

// LimitRequest changes limits of the node, or of a space. What it leaves out stays.
type LimitRequest struct {
	Space string `json:"space,omitempty"` // empty for the node
	node.LimitChange
}

// BlockRequest blocks a feed or a peer, or lifts that.
type BlockRequest struct {
	Kind    string `json:"kind"`    // node.BlockFeed or node.BlockPeer
	ID      string `json:"id"`      // a feed's key or a peer ID
	Blocked bool   `json:"blocked"` // false lifts it
}

func (s *Server) limits(r *http.Request) (any, error) {
	return s.node.Limits(r.URL.Query().Get("space"))
}

func (s *Server) setLimits(r *http.Request) (any, error) {
	var q LimitRequest
	if err := decode(r, &q); err != nil {
		return nil, err
	}
	return s.node.SetLimits(q.Space, q.LimitChange)
}

func (s *Server) blocked(*http.Request) (any, error) { return s.node.Blocked(), nil }

func (s *Server) block(r *http.Request) (any, error) {
	var q BlockRequest
	if err := decode(r, &q); err != nil {
		return nil, err
	}
	return s.node.Block(q.Kind, q.ID, q.Blocked)
}

// Limits returns the limits of a space, or without a name those of the node.
func (c *Client) Limits(ctx context.Context, space string) (l node.LimitStatus, err error) {
	return l, c.call(ctx, "GET", "/v1/limits", url.Values{"space": {space}}, nil, &l)
}

// SetLimits changes them; see node.SetLimits.
func (c *Client) SetLimits(ctx context.Context, space string, change node.LimitChange) (l node.LimitStatus, err error) {
	return l, c.call(ctx, "POST", "/v1/limits", nil, LimitRequest{space, change}, &l)
}

// Blocked returns what is blocked.
func (c *Client) Blocked(ctx context.Context) (b node.Blocked, err error) {
	return b, c.call(ctx, "GET", "/v1/blocked", nil, nil, &b)
}

// Block blocks a feed or a peer, or lifts that; see node.Block.
func (c *Client) Block(ctx context.Context, kind, id string, blocked bool) (b node.Blocked, err error) {
	return b, c.call(ctx, "POST", "/v1/blocked", nil, BlockRequest{kind, id, blocked}, &b)
}
