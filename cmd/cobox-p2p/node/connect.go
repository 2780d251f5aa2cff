package node

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/libp2p/go-libp2p/core/peer"

	"github.com/cobox-p2p/cobox-p2p/host"
)

// Connect dials a peer by its address, which ends in /p2p/ and its ID, and finds
// the spaces that both share.
func (n *Node) Connect(ctx context.Context, address string) (Connected, error) {
	info, err := parsePeer(address)
	if err != nil {
		return Connected{}, err
	}
	err = n.net.networker.Connect(ctx, info)
	switch {
	case errors.Is(err, host.ErrSelf):
		return Connected{}, useErrorf("connect: that is this node's own address")
	case err != nil:
		return Connected{}, fmt.Errorf("connect to %s: %w", info.ID, err)
	}
	d := Connected{PeerID: info.ID.String(), Spaces: []string{}}
	if len(n.list()) > 0 {
		d.Spaces = append(d.Spaces, n.awaitSession(ctx, info.ID)...)
	}
	return d, nil
}

// Connected is the answer to Connect.
type Connected struct {
	PeerID string   `json:"peerId"`
	Spaces []string `json:"spaces"` // names here of those that sessions have begun of
}

// Sessions begin shortly after both sides told what they share.
const (
	sessionWait = time.Second // at most, for the first
	sessionLook = 50 * time.Millisecond
)

// awaitSession returns the names of the peer's spaces as soon as it has a
// session, or none when none begins within sessionWait: that two share no space
// shows by nothing else.
func (n *Node) awaitSession(ctx context.Context, id peer.ID) []string {
	ctx, stop := context.WithTimeout(ctx, sessionWait)
	defer stop()
	look := time.NewTicker(sessionLook)
	defer look.Stop()
	for {
		for _, p := range n.Peers() {
			if p.PeerID == id.String() {
				return p.Spaces
			}
		}
		select {
		case <-look.C:
		case <-ctx.Done():
			return nil
		}
	}
}
