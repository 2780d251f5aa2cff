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
	next uint32 // writer's: places in the space's set below it were sent or left out

	mu       sync.Mutex // guards all below
	resume   time.Time  // nothing is told before
	sentLast bool
	gotLast  bool
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

// Field numbers of a page.
const (
	pageEntry = 1 // message Entry, repeated
	pageLast  = 2 // uvarint, 1: the sender has told all it had at the start
)

// Next implements Exchange.
func (l *List) Next(now time.Time) (string, []byte, error) {
	page, both, done := l.page(now)
	for _, f := range both {
		if err := l.x.table.open(f); err != nil {
			return "", nil, err
		}
	}
	if done {
		l.x.noteExchanged()
	}
	if len(page) == 0 {
		return "", nil, nil
	}
	return listName, page, nil
}

// page returns what is to be told next, the feeds among these, or left out of
// it, that the remote has told of, and whether the sets are exchanged with it.
func (l *List) page(now time.Time) (page []byte, both []*Feed, done bool) {
	feeds, next, more := l.x.space.feedsFrom(l.next, MaxPageEntries)
	l.mu.Lock()
	defer l.mu.Unlock()
	for len(feeds) > 0 {
		f := feeds[0]
		_, told := l.told[f.Discovery()]
		// What came from there, perhaps long before it was taken in here, isn't
		// told back.
		if !told || f.DurableHead().Length > 0 {
			if !l.mayTellLocked(now) {
				break
			}
			page = protowire.AppendTag(page, pageEntry, protowire.BytesType)
			page = protowire.AppendBytes(page, appendEntry(nil, f.entry()))
		}
		if told {
			both = append(both, f)
		}
		l.next = f.place + 1
		feeds = feeds[1:]
	}
	if len(feeds) > 0 {
		return page, both, false
	}
	if l.next = next; more {
		l.x.out.wake()
		return page, both, false
	}
	if !l.sentLast {
		l.sentLast = true
		page = protowire.AppendVarint(protowire.AppendTag(page, pageLast, protowire.VarintType), 1)
		done = l.gotLast
	}
	return page, both, done
}

// mayTellLocked takes one entry from what may be told in a minute. When that is
// used up, it sees to it that the session is woken when there is more.
func (l *List) mayTellLocked(now time.Time) bool {
	if now.Before(l.resume) {
		return false
	}
	if l.pace.take(1, now) {
		return true
	}
	l.resume = l.pace.since.Add(l.pace.per)
	time.AfterFunc(l.resume.Sub(now), l.x.out.wake)
	return false
}

// Handle implements Exchange.
func (l *List) Handle(_ string, payload []byte, now time.Time) error {
	entries := 0
	last := false
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
