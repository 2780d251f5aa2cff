package node

import (
	"cmp"
	"slices"

	"github.com/cobox-p2p/cobox-p2p/host"
	"github.com/cobox-p2p/cobox-p2p/multifeed"
)

// maxStatusRefusals is how many refusals each way a status names of a space.
const maxStatusRefusals = 64

// RefusalStatus is a feed that one side of a session doesn't take in, or not wholly.
type RefusalStatus struct {
	PeerID string `json:"peerId"`
	Feed   string `json:"feed"` // discovery key
	Code   string `json:"code"` // policy, feeds, bytes of the feed, of the space or of the node, or blocked
	Text   string `json:"text"` // of who refuses; nobody verified it
}

// addLimits adds the limits of a space and what they refuse.
func (n *Node) addLimits(s *SpaceStatus, o *space) {
	if l := o.limitStatus(n.limits); l.Limits != (Limits{}) {
		s.Limits = &l
	}
	for _, p := range o.member.Peers() {
		if p.Session == nil {
			continue
		}
		s.Refused = append(s.Refused, refusals(p, p.Session.Refused())...)
		s.RefusedBy = append(s.RefusedBy, refusals(p, p.Session.RefusedBy())...)
	}
	for _, list := range [2]*[]RefusalStatus{&s.Refused, &s.RefusedBy} {
		slices.SortFunc(*list, func(a, b RefusalStatus) int {
			return cmp.Or(cmp.Compare(a.Feed, b.Feed), cmp.Compare(a.PeerID, b.PeerID))
		})
		*list = (*list)[:min(len(*list), maxStatusRefusals)]
	}
}

func refusals(p host.Peer, list []multifeed.Refusal) (all []RefusalStatus) {
	for _, r := range list {
		all = append(all, RefusalStatus{PeerID: p.ID.String(), Feed: r.Feed.String(), Code: r.Code.String(), Text: r.Text})
	}
	return all
}
