package multifeed

import (
	"bytes"
	"slices"
	"sync"
	"time"

	"github.com/cobox-p2p/cobox-p2p/hypercore"
)

// refusedName is the channel-0 extension that tells which feeds are not taken in.
const refusedName = "cobox/refused/1"

// Limits of refusals.
const (
	// MaxRefusals is how many refusals of one session are remembered each way. Of
	// what we refuse beyond it the remote isn't told, of what it refuses beyond it
	// nothing is kept.
	MaxRefusals = 1024
	// MaxRefusalsMinute is how many a minute are told. Twice as many are taken; past
	// them they count as frames without a meaning.
	MaxRefusalsMinute = 512
	// maxSkipped is how many feeds that one session's peer offered in vain are
	// looked at again when a limit is raised, 256 KiB. Others come at the next meeting.
	maxSkipped = MaxRefusals
	// MaxRefusalText is the longest text of a refusal in bytes of UTF-8.
	MaxRefusalText = 256
)

// refusals are those of one session.
type refusals struct {
	mu      sync.Mutex // guards all below
	told    map[hypercore.DiscoveryKey]Refusal
	pace    rate
	got     map[hypercore.DiscoveryKey]Refusal
	gotRate rate
	skipped map[hypercore.DiscoveryKey]Entry // offers that were refused and may be taken later
}

func newRefusals() refusals {
	return refusals{
		told: map[hypercore.DiscoveryKey]Refusal{}, pace: rate{limit: MaxRefusalsMinute, per: time.Minute},
		got: map[hypercore.DiscoveryKey]Refusal{}, gotRate: rate{limit: 2 * MaxRefusalsMinute, per: time.Minute},
		skipped: map[hypercore.DiscoveryKey]Entry{},
	}
}

// Refused returns which feeds of the remote are refused here, as far as it was told,
// by discovery key.
func (x *Session) Refused() []Refusal {
	x.refusals.mu.Lock()
	defer x.refusals.mu.Unlock()
	return sorted(x.refusals.told)
}

// RefusedBy returns which feeds the remote says that it refuses, by discovery key.
func (x *Session) RefusedBy() []Refusal {
	x.refusals.mu.Lock()
	defer x.refusals.mu.Unlock()
	return sorted(x.refusals.got)
}

func sorted(from map[hypercore.DiscoveryKey]Refusal) []Refusal {
	all := make([]Refusal, 0, len(from))
	for _, r := range from {
		all = append(all, r)
	}
	slices.SortFunc(all, func(a, b Refusal) int { return bytes.Compare(a.Feed[:], b.Feed[:]) })
	return all
}

// refuse tells the remote, once, why a feed is refused.
func (x *Session) refuse(dk hypercore.DiscoveryKey, why error) {
	r := refusalOf(dk, why)
	q := &x.refusals
	q.mu.Lock()
	was, known := q.told[dk]
	tell := (!known || was.Code != r.Code) && (known || len(q.told) < MaxRefusals) && q.pace.take(1, time.Now())
	if tell {
		q.told[dk] = r
	}
	q.mu.Unlock()
	if tell {
		x.sendRefusal(r)
	}
}

// relentOn tells the remote that a feed isn't refused any more, if it was told so.
func (x *Session) relentOn(dk hypercore.DiscoveryKey) {
	q := &x.refusals
	q.mu.Lock()
	_, told := q.told[dk]
	delete(q.told, dk)
	q.mu.Unlock()
	if told {
		x.sendRefusal(Refusal{Feed: dk})
	}
}

func (x *Session) sendRefusal(r Refusal) {
	o := &x.out
	payload := r.encode()
	o.mu.Lock()
	if o.queued+queueCost+len(payload) <= MaxExtensionQueue {
		o.queued += queueCost + len(payload)
		o.messages = append(o.messages, extensionMessage{refusedName, payload})
	}
	o.mu.Unlock()
	o.wake()
}

// handleRefused takes what the remote refuses.
func (x *Session) handleRefused(payload []byte, now time.Time) error {
	r, err := decodeRefusal(payload)
	if err != nil {
		return &ProtocolError{Code: CodeProtocol, Reason: refusedName, Err: err}
	}
	q := &x.refusals
	q.mu.Lock()
	if !q.gotRate.take(1, now) {
		q.mu.Unlock()
		return x.drop(now)
	}
	was, known := q.got[r.Feed]
	switch {
	case r.Code == NotRefused:
		delete(q.got, r.Feed)
	case known || len(q.got) < MaxRefusals:
		q.got[r.Feed] = r
	}
	q.mu.Unlock()
	if known && was == r || !known && r.Code == NotRefused {
		return nil
	}
	x.space.event(Event{Kind: RefusedByPeer, Session: x, Err: &r})
	return nil
}
