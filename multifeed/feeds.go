package multifeed

import (
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/cobox-p2p/cobox-p2p/hypercore"
	"github.com/cobox-p2p/cobox-p2p/multifeed/reconcile"
)

// feedsName is the channel-0 extension of the reconciled feed set, and the feature
// that offers it.
const feedsName = "cobox/feeds/1"

// featureFeeds says that the feed set is reconciled.
const featureFeeds = feedsName

// Feeds is the Exchange whose cost follows the difference of the two sets: they
// are reconciled, what grows is told on channel 0, and a feed's channel is open
// only while one side lacks blocks. See interop/spec/feedset.md.
type Feeds struct {
	x    *Session
	rate rate // reader's: entries, standings and forks
	pace rate // writer's

	begin   sync.Once
	failed  error     // of begin
	resume  time.Time // writer's: no entry is told before
	started bool      // writer's: the opening was sent

	mu      sync.Mutex // guards all below; taken with holdings.mu held, never with a feed's lock
	ended   bool
	rec     *reconcile.Session
	size    uint32 // places below it are in the sets that are reconciled
	done    bool   // they are
	differ  hypercore.Bitfield
	moved   hypercore.Bitfield // places of feeds that changed since the session began, until done
	sentAll bool
	gotTold bool
	gotAll  bool

	tell   places             // entries to be sent
	stand  places             // standings to be sent
	later  hypercore.Bitfield // places of which a standing is due in a while
	tick   *time.Timer        // moves later to stand; nil: none runs
	held   []uint32           // own feeds that the remote must not hear of yet
	retell bool               // of held some may be told
	forks  []uint32           // whose evidence is to be sent
	wishes places             // feeds whose channel we need
	forced hypercore.Bitfield // of these, those whose channel is opened whatever we lack

	remote  remoteSet
	heads   map[uint32]hypercore.SignedHead // verified, of feeds that were not opened since
	unnamed bool                            // ours were too many to be named
}

// NewFeeds returns the reconciled exchange of a session. Both sides must have the
// feature.
func NewFeeds(x *Session) Exchange {
	return &Feeds{
		x:      x,
		rate:   rate{limit: MaxFeedsTold, per: time.Minute},
		pace:   rate{limit: MaxFeedsTold / 2, per: time.Minute},
		remote: newRemoteSet(), heads: map[uint32]hypercore.SignedHead{},
	}
}

// Extensions implements Exchange.
func (l *Feeds) Extensions() []string { return []string{feedsName} }

// Added implements Exchange: feeds that come are heard of as changes. What is here
// already may be open to what it wasn't before.
func (l *Feeds) Added(f *Feed) { l.wish(f.place) }

// Forked implements Exchange.
func (l *Feeds) Forked(f *Feed) {
	l.mu.Lock()
	l.forks = append(l.forks, f.place)
	l.mu.Unlock()
	l.x.out.wake()
}

// start takes the set as it is now. What changes later is told as news.
func (l *Feeds) start() error {
	l.begin.Do(func() {
		var snapshot *reconcile.Snapshot
		var forked []uint32
		if snapshot, l.size, forked, l.failed = l.x.space.follow(l); l.failed != nil {
			return
		}
		l.mu.Lock()
		defer l.mu.Unlock()
		l.forks = append(l.forks, forked...)
		l.rec = reconcile.NewSession(snapshot, reconcile.SessionKey(l.x.opened.Transcript), l.x.opened.Initiator)
	})
	return l.failed
}

// end lets go of the space's set.
func (l *Feeds) end() {
	l.x.space.unfollow(l)
	l.mu.Lock()
	defer l.mu.Unlock()
	l.ended = true
	if l.tick != nil {
		l.tick.Stop()
	}
}

// changed tells of a feed of ours that came, whose durable head changed (grown), or
// of which every block is here now or isn't any more. It is called with
// holdings.mu held, in the order of the changes.
func (l *Feeds) changed(place uint32, length uint64, grown, changed bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	switch {
	case grown:
		if !l.done {
			l.moved.Set(uint64(place))
		}
		if l.remote.grown(place, length) {
			l.wishes.add(place)
		}
		l.tell.add(place)
	case changed:
		l.stand.add(place)
	default:
		l.laterLocked(place)
		return
	}
	l.x.out.wake()
}

// standPause is how long standings wait for others while blocks are coming in.
const standPause = time.Second

func (l *Feeds) laterLocked(place uint32) {
	l.later.Set(uint64(place))
	if l.tick == nil && !l.ended {
		l.tick = time.AfterFunc(standPause, l.standLater)
	}
}

// standLater queues the standings that had to wait.
func (l *Feeds) standLater() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.tick = nil
	for span := range l.later.Spans(0, l.later.End()) {
		for place := span.Start; place < span.End(); place++ {
			l.stand.add(uint32(place))
		}
	}
	l.later = hypercore.Bitfield{}
	l.x.out.wake()
}

// wish lets the writer see whether we need the channel of a feed.
func (l *Feeds) wish(place uint32) {
	l.mu.Lock()
	l.wishes.add(place)
	l.mu.Unlock()
	l.x.out.wake()
}

// tellHeld lets the writer see which of the feeds that were held back the remote
// may hear of now.
func (l *Feeds) tellHeld() {
	l.mu.Lock()
	l.retell = true
	l.mu.Unlock()
	l.x.out.wake()
}

// Handle implements Exchange.
func (l *Feeds) Handle(_ string, payload []byte, now time.Time) error {
	if err := l.start(); err != nil {
		return err
	}
	if len(payload) > MaxFeedsMessage {
		return &ProtocolError{Code: CodeLimit, Reason: fmt.Sprintf("feed set: message over %d bytes", MaxFeedsMessage)}
	}
	p, err := decodeFeedsPage(payload)
	if err == nil {
		err = l.handle(p, now)
	}
	if errors.Is(err, errMalformed) {
		return &ProtocolError{Code: CodeProtocol, Reason: "feed set", Err: err}
	}
	return err
}

func (l *Feeds) handle(p feedsPage, now time.Time) error {
	if p.lacks != nil {
		l.handleLacks(*p.lacks)
	}
	if !l.rate.take(len(p.entries)+len(p.forks)+len(p.standings)/nameSize, now) {
		return &ProtocolError{Code: CodeLimit, Reason: fmt.Sprintf("feed set: over %d entries in a minute", MaxFeedsTold)}
	}
	if err := l.handleEntries(p.entries); err != nil {
		return err
	}
	for _, b := range p.forks {
		if err := l.x.takeFork(b); err != nil {
			return err
		}
	}
	if err := l.handleStandings(p.standings); err != nil {
		return err
	}
	if p.reconcile != nil {
		if err := l.reconcile(p.reconcile); err != nil {
			return err
		}
	}
	return l.progress(p.last)
}

// reconcile hands a payload to the reconciliation.
func (l *Feeds) reconcile(payload []byte) error {
	l.mu.Lock()
	err := l.rec.Handle(payload)
	l.mu.Unlock()
	l.x.out.wake()
	switch {
	case err == nil:
		return nil
	case errors.Is(err, reconcile.ErrLimit):
		return &ProtocolError{Code: CodeLimit, Reason: "feed set", Err: err}
	}
	return &ProtocolError{Code: CodeProtocol, Reason: "feed set", Err: err}
}

// progress sees how far the exchange is after a message of the remote.
func (l *Feeds) progress(last bool) error {
	l.mu.Lock()
	told := l.rec.RemoteTold() && !l.gotTold
	l.gotTold = l.gotTold || told
	was := l.sentAll && l.gotAll
	l.gotAll = l.gotAll || last || l.rec.Equal()
	l.sentAll = l.sentAll || l.rec.Equal()
	done := l.sentAll && l.gotAll && !was
	l.mu.Unlock()
	l.settleSets()
	if told {
		if err := l.x.hasTold(); err != nil {
			return err
		}
		// Only now, or the writer would look before mayShow says yes, and hold back
		// for good.
		l.tellHeld()
	}
	if done {
		l.x.noteExchanged()
	}
	return nil
}

// settleSets notes what follows from the end of the reconciliation: that the two
// sides have the same heads of all feeds of which neither told the other.
func (l *Feeds) settleSets() {
	l.mu.Lock()
	if l.done || !l.rec.Done() {
		l.mu.Unlock()
		return
	}
	l.done = true
	l.remote.agree(l.size, &l.differ, &l.moved)
	l.remote.applyLacks(l.x.space)
	l.moved = hypercore.Bitfield{}
	l.mu.Unlock()
	for _, place := range l.x.space.partialPlaces() {
		l.wish(place)
	}
	l.x.space.agreeOwn(l)
}

func (l *Feeds) handleLacks(theirs lacks) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.remote.lacks = theirs
	l.remote.lacks.names = append([]byte(nil), theirs.names...)
	if l.done {
		l.remote.applyLacks(l.x.space)
	}
	l.x.space.noteChange()
}
