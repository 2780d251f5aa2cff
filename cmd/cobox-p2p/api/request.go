package api

import "github.com/cobox-p2p/cobox-p2p/cmd/cobox-p2p/node"

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

// VerifyRequest asks for a check of what is stored; see node.VerifyOptions.
type VerifyRequest struct {
	Space     string `json:"space,omitempty"` // empty for all
	Repair    bool   `json:"repair,omitempty"`
	TimeoutMS int64  `json:"timeoutMs,omitempty"` // of the repair; 0 waits for ever
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
	trailerReport  = "Cobox-Report"  // of a bundle or a need: JSON of what it carries
)
