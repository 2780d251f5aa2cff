package node

import (
	"math"
	"time"

	"github.com/cobox-p2p/cobox-p2p/host"
)

// SessionStatus is how a space stands with one peer.
type SessionStatus struct {
	PeerID    string  `json:"peerId"`
	Exchanged bool    `json:"exchanged"` // the feed set; before that the peer lacks nobody knows what
	TheyLack  uint64  `json:"theyLack"`  // blocks that are durable here and not there, by the peer's word
	WeLack    uint64  `json:"weLack"`    // blocks that are missing here by what the peer says that there are
	Up        uint64  `json:"up"`        // bytes a second lately
	Down      uint64  `json:"down"`      // bytes a second lately
	UpLeft    float64 `json:"upLeft"`    // seconds until they lack nothing, -1 when nothing moves
	DownLeft  float64 `json:"downLeft"`  // seconds until we lack nothing, -1 when nothing moves
}

func sessionStatus(p host.Peer) SessionStatus {
	s := SessionStatus{PeerID: p.ID.String()}
	if p.Session == nil {
		return s
	}
	now := p.Session.Progress()
	s.Exchanged, s.TheyLack, s.WeLack = now.Exchanged, now.TheyLack, now.WeLack
	s.Up, s.Down = uint64(now.Up), uint64(now.Down)
	s.UpLeft, s.DownLeft = seconds(now.UpLeft), seconds(now.DownLeft)
	return s
}

// seconds rounds to a tenth; less than nothing is -1.
func seconds(d time.Duration) float64 {
	if d < 0 {
		return -1
	}
	return math.Round(d.Seconds()*10) / 10
}
