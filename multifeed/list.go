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

// MaxEntries is how many entries of the feed set a peer may send in a minute.
const MaxEntries = 2*MaxFeeds + 4096

// List is the plain Exchange: each side sends all of its feeds in pages, and
// later those that come. See interop/spec/feedset.md.
type List struct {
	x    *Session
	rate rate // reader's

	mu       sync.Mutex // guards all below
	next     int        // feeds of the space below it were sent or left out
	sentLast bool
	gotLast  bool
	told     map[hypercore.DiscoveryKey]struct{} // feeds that the remote told of
}

// NewList returns the plain exchange of a session.
func NewList(x *Session) Exchange {
	return &List{
		x: x, rate: rate{limit: MaxEntries, per: time.Minute},
		told: map[hypercore.DiscoveryKey]struct{}{},
	}
}

// Extensions implements Exchange.
func (l *List) Extensions() []string { return []string{listName} }

// Added implements Exchange: the writer finds new feeds by itself.
func (l *List) Added(*Feed) {}

// Field numbers of a page.
const (
	pageEntry = 1 // message Entry, repeated
	pageLast  = 2 // uvarint, 1: the sender has told all it had at the start
)

var errPage = errors.New("malformed page of the feed list")

// Next implements Exchange.
func (l *List) Next(time.Time) (string, []byte, error) {
	page, done := l.page()
	if done {
		l.x.noteExchanged()
	}
	if len(page) == 0 {
		return "", nil, nil
	}
	return listName, page, nil
}

// page returns what is to be told next, and whether the sets are exchanged with
// it.
func (l *List) page() (page []byte, done bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	feeds := l.x.space.feedsFrom(l.next)
	for n := 0; len(feeds) > 0 && n < MaxPageEntries; feeds = feeds[1:] {
		l.next++
		if _, ok := l.told[feeds[0].Discovery()]; ok && feeds[0].DurableHead().Length == 0 {
			continue // it came from there
		}
		page = protowire.AppendTag(page, pageEntry, protowire.BytesType)
		page = protowire.AppendBytes(page, appendEntry(nil, feeds[0].entry()))
		n++
	}
	if len(feeds) == 0 && !l.sentLast {
		l.sentLast = true
		page = protowire.AppendVarint(protowire.AppendTag(page, pageLast, protowire.VarintType), 1)
		done = l.gotLast
	}
	return page, done
}

// Handle implements Exchange.
func (l *List) Handle(_ string, payload []byte, now time.Time) error {
	entries := 0
	last := false
	err := eachField(payload, func(num protowire.Number, v field) error {
		switch {
		case num == pageEntry && v.bytes != nil:
			if entries++; entries > MaxPageEntries || !l.rate.take(1, now) {
				return &ProtocolError{Code: CodeLimit, Reason: fmt.Sprintf(
					"feed list: over %d entries in a page or %d in a minute", MaxPageEntries, MaxEntries)}
			}
			return l.handleEntry(v.bytes)
		case num == pageLast && v.bytes == nil:
			last = v.number != 0
		}
		return nil
	})
	if err != nil {
		if _, ok := errors.AsType[*ProtocolError](err); ok {
			return err
		}
		return &ProtocolError{Code: CodeProtocol, Reason: errPage.Error(), Err: err}
	}
	if last {
		l.mu.Lock()
		done := l.sentLast && !l.gotLast
		l.gotLast = true
		l.mu.Unlock()
		if done {
			l.x.noteExchanged()
		}
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
