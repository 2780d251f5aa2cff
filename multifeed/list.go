package multifeed

import (
	"errors"
	"fmt"
	"sync"
	"time"

	"google.golang.org/protobuf/encoding/protowire"

	"github.com/cobox-p2p/cobox-p2p/hypercore"
)

// listName is the channel-0 extension of the plain list.
const listName = "cobox/list/1"

// List is the plain Exchange: each side sends all of its feeds in pages, and
// later those that come. See interop/spec/feedset.md.
type List struct {
	x    *Session
	rate rate   // reader's
	pace rate   // writer's
	next uint32 // writer's: places in the space's set below it were sent, left out or are held
	// held is the writer's: feeds that the remote must not hear of yet.
	held   []*Feed
	resume time.Time // writer's: nothing is told before

	mu       sync.Mutex // guards all below
	sentLast bool
	sentAll  bool // Invariant: sentLast; it is later by what was held then
	gotLast  bool
	gotAll   bool
	forks    []*Feed                             // whose evidence is to be told
	told     map[hypercore.DiscoveryKey]struct{} // feeds that the remote told of
}

// NewList returns the plain exchange of a session.
func NewList(x *Session) Exchange {
	return &List{
		x: x, rate: rate{limit: MaxEntries, per: time.Minute}, pace: rate{limit: maxTold, per: time.Minute},
		told: map[hypercore.DiscoveryKey]struct{}{},
	}
}

// Extensions implements Exchange.
func (l *List) Extensions() []string { return []string{listName} }

// Added implements Exchange: the writer finds new feeds by itself.
func (l *List) Added(*Feed) {}

// Forked implements Exchange.
func (l *List) Forked(f *Feed) {
	l.mu.Lock()
	l.forks = append(l.forks, f)
	l.mu.Unlock()
	l.x.out.wake()
}

// Field numbers of a page.
const (
	pageEntry = 1 // message Entry, repeated
	pageLast  = 2 // uvarint, 1: the sender has told all it had at the start
	pageRest  = 3 // uvarint, 1: with pageLast, but for own feeds that follow
	pageFork  = 4 // message Fork, repeated
)

// Handle implements Exchange.
func (l *List) Handle(_ string, payload []byte, now time.Time) error {
	entries := 0
	forks := 0
	last, rest := false, false
	err := eachField(payload, func(num protowire.Number, v field) error {
		switch {
		case num == pageEntry:
			if v.bytes == nil {
				return fmt.Errorf("%w: page with an entry that is no message", errMalformed)
			}
			if entries++; entries > MaxPageEntries || !l.rate.take(1, now) {
				return &ProtocolError{Code: CodeLimit, Reason: fmt.Sprintf(
					"feed list: over %d entries in a page or %d in a minute", MaxPageEntries, MaxEntries)}
			}
			return l.handleEntry(v.bytes)
		case num == pageLast:
			if !v.varint {
				return fmt.Errorf("%w: page with a last that is no number", errMalformed)
			}
			last = v.number != 0
		case num == pageRest:
			rest = v.number != 0
		case num == pageFork:
			if forks++; forks > MaxPageForks || !l.rate.take(1, now) {
				return &ProtocolError{Code: CodeLimit, Reason: fmt.Sprintf("feed list: over %d forks in a page", MaxPageForks)}
			}
			return l.x.takeFork(v.bytes)
		}
		return nil
	})
	if errors.Is(err, errMalformed) {
		return &ProtocolError{Code: CodeProtocol, Reason: "feed list", Err: err}
	}
	if err != nil {
		return err
	}
	if last {
		return l.ended(rest)
	}
	return nil
}

// ended takes the remote's last page. With rest, some of its own feeds follow, and
// another last page.
func (l *List) ended(rest bool) error {
	l.mu.Lock()
	first, done := !l.gotLast, l.sentAll && !l.gotAll && !rest
	l.gotLast, l.gotAll = true, l.gotAll || !rest
	l.mu.Unlock()
	if first {
		if err := l.x.hasTold(); err != nil {
			return err
		}
	}
	if done {
		l.x.noteExchanged()
	}
	return nil
}

func (l *List) handleEntry(b []byte) error {
	e, err := decodeEntry(b)
	if err != nil {
		return err
	}
	dk := e.Feed.Discovery()
	l.mu.Lock()
	if len(l.told) < l.x.space.maxFeeds {
		l.told[dk] = struct{}{}
	}
	l.mu.Unlock()
	f, err := l.x.takeEntry(e)
	if err != nil || f == nil {
		return err
	}
	return l.x.table.open(f)
}
