package multifeed

import (
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/cobox-p2p/cobox-p2p/hypercore"
	"github.com/cobox-p2p/cobox-p2p/multifeed/wire"
)

// channel is one feed in a session. Each side numbers its own end; messages
// flow when both have opened.
type channel struct {
	dk     hypercore.DiscoveryKey
	feed   *Feed // nil: the remote opened a feed that is not in our set, or not yet
	local  uint64
	remote uint64          // 0: that side has not opened
	peer   *hypercore.Peer // nil until both have
	queued bool            // in outgoing.ready; guarded by outgoing.mu

	ours    bool         // we opened it for what we lack, and close it when it is of no use any more
	closing bool         // our Close is out, and the remote's isn't here; Invariant: peer is nil
	again   bool         // it is needed once more when both ends are closed
	stirred atomic.Int64 // nanoseconds since 1970, when a message went either way
}

// channels are those of one session.
type channels struct {
	x     *Session
	pages *hypercore.PageBudget // of what the remote says that it holds
	asked *hypercore.Window     // of what is asked for in ranges

	windowed bool // the remote opens no more channels at once than it needs

	mu       sync.Mutex // guards all below
	closed   bool
	byKey    map[hypercore.DiscoveryKey]*channel
	byRemote map[uint64]*channel
	ids      hypercore.Bitfield // of ours, those in use
	waiting  int                // channels without a feed
	opens    rate               // of the remote
	late     rate               // frames of the remote on channels that we closed
	window   window
}

func newChannels(x *Session) *channels {
	t := &channels{
		x: x, pages: hypercore.NewPageBudget(maxPages), asked: hypercore.NewWindow(),
		byKey: map[hypercore.DiscoveryKey]*channel{}, byRemote: map[uint64]*channel{},
	}
	t.windowed = slices.Contains(x.opened.Features, featureFeeds)
	t.ids.Set(0) // the space's own
	t.late = rate{limit: maxLate, per: time.Minute}
	t.opens = rate{limit: MaxOpens + 2*max(x.space.maxFeeds-MaxFeeds, 0), per: time.Minute}
	return t
}

// open opens our end for a feed that the remote has as well.
func (t *channels) open(f *Feed) error {
	if t.x.noBlocks || f.damaged != nil || t.x.space.isBlocked(f.Key()) {
		return nil
	}
	if t.x.share(f) {
		return nil
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	c := t.byKey[f.Discovery()]
	if c == nil {
		c = &channel{dk: f.Discovery()}
		t.byKey[c.dk] = c
	} else if c.feed == nil {
		t.waiting--
	}
	c.feed = f
	return t.openLocked(c)
}

// arrived opens our end for a feed that came into the set, if the remote waits
// for it.
func (t *channels) arrived(f *Feed) error {
	if !t.awaits(f.Discovery()) || t.x.noBlocks || f.damaged != nil || t.x.space.isBlocked(f.Key()) {
		return nil
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	c := t.byKey[f.Discovery()]
	if c == nil || c.feed != nil {
		return nil
	}
	t.waiting--
	c.feed = f
	return t.openLocked(c)
}

// awaits says whether the remote has opened a feed that isn't in our set, or wasn't.
func (t *channels) awaits(dk hypercore.DiscoveryKey) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	c := t.byKey[dk]
	return c != nil && c.feed == nil
}

func (t *channels) openLocked(c *channel) error {
	if t.closed || c.local != 0 || !t.x.mayShow(c.feed) {
		return nil
	}
	c.local = t.ids.NextClear(1)
	t.ids.Set(c.local)
	if err := t.x.out.control(c.local, &wire.Open{DiscoveryKey: c.dk}); err != nil {
		return err
	}
	return t.attachLocked(c)
}

// attachLocked starts the replication when both ends are open.
func (t *channels) attachLocked(c *channel) error {
	if c.local == 0 || c.remote == 0 || c.peer != nil {
		return nil
	}
	p, err := c.feed.Attach(hypercore.PeerOptions{
		Wake:      func() { t.x.out.wakeChannel(c) },
		NoHashes:  !slices.Contains(t.x.Features(), featureHashes),
		Pages:     t.pages,
		Ranges:    t.x.ranges,
		Window:    t.asked,
		Receiving: t.x.stream.receiving,
		Room:      t.x.room(),
		Portion:   t.x.portion(),
	})
	if err != nil {
		return err
	}
	c.peer = p
	c.stir(time.Now())
	t.x.out.wakeChannel(c)
	return nil
}

func (t *channels) remoteOpen(id uint64, dk hypercore.DiscoveryKey, now time.Time) error {
	if id == 0 {
		return &ProtocolError{Code: CodeProtocol, Reason: "Open on channel 0"}
	}
	feed, err := t.x.space.byDiscovery(dk)
	if err != nil {
		return err
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	// Once more with the lock, so that a feed that comes now is seen here or
	// finds the channel.
	for feed == nil && t.x.space.has(dk) {
		t.mu.Unlock()
		feed, err = t.x.space.byDiscovery(dk)
		t.mu.Lock()
		if err != nil {
			return err
		}
	}
	if feed != nil && (feed.damaged != nil || t.x.space.isBlocked(feed.Key())) {
		feed = nil // waits until it is recovered, or unblocked
	}
	return t.remoteOpenLocked(id, dk, feed, now)
}

func (t *channels) remoteOpenLocked(id uint64, dk hypercore.DiscoveryKey, feed *Feed, now time.Time) error {
	if !t.opens.take(1, now) {
		return &ProtocolError{Code: CodeLimit, Reason: fmt.Sprintf("over %d channels opened in a minute", t.opens.limit)}
	}
	if t.byRemote[id] != nil {
		return &ProtocolError{Code: CodeProtocol, Reason: fmt.Sprintf("Open on channel %d, which is open", id)}
	}
	c := t.byKey[dk]
	switch {
	case c != nil && c.remote != 0:
		return &ProtocolError{Code: CodeProtocol, Reason: fmt.Sprintf("Open of feed %.8s on two channels", dk)}
	case t.windowed && len(t.byRemote)-t.waiting >= maxRemoteOpen:
		return &ProtocolError{Code: CodeLimit, Reason: fmt.Sprintf("over %d channels open at once", maxRemoteOpen)}
	case c == nil && feed == nil && t.waiting >= MaxWaitingOpens:
		return t.declineLocked(dk, now)
	case c == nil:
		c = &channel{dk: dk, feed: feed}
		t.byKey[dk] = c
		if feed == nil {
			t.waiting++
		}
	}
	c.remote = id
	t.byRemote[id] = c
	if feed == nil || t.x.noBlocks {
		return nil
	}
	if c.feed == nil {
		c.feed = feed
		t.waiting--
	}
	if err := t.openLocked(c); err != nil {
		return err
	}
	return t.attachLocked(c)
}

// declineLocked answers an Open for which there is no room: with a Close of the
// discovery key on a number of ours that is free.
func (t *channels) declineLocked(dk hypercore.DiscoveryKey, now time.Time) error {
	if err := t.x.drop(now); err != nil {
		return err
	}
	return t.x.out.control(t.ids.NextClear(1), &wire.Close{DiscoveryKey: &dk})
}

func (t *channels) remoteClose(id uint64, dk *hypercore.DiscoveryKey, now time.Time) error {
	t.mu.Lock()
	c := t.byRemote[id]
	if c == nil && dk != nil {
		c = t.byKey[*dk] // declines our Open
	}
	if c == nil || c.remote != 0 && c.remote != id {
		t.mu.Unlock()
		return t.x.drop(now)
	}
	var p parting
	if c.peer != nil {
		p = c.parting(false)
		c.peer.Detach()
	}
	if c.feed == nil {
		t.waiting--
	}
	var err error
	if c.local != 0 && !c.closing {
		err = t.x.out.control(c.local, &wire.Close{})
	}
	ours := c.ours
	t.goneLocked(c)
	t.mu.Unlock()
	if p.feed != nil {
		t.x.parted(p)
	}
	if c.again || ours { // there is room for it, or another
		t.x.reopen(c)
	}
	return err
}

// replicating returns the replication that a frame on a channel of the remote is
// for, nil for none: then it is dropped.
func (t *channels) replicating(id uint64, now time.Time) (*hypercore.Peer, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	c := t.byRemote[id]
	if c == nil {
		return nil, t.x.drop(now)
	}
	c.stir(now)
	if c.closing && t.late.take(1, now) { // sent before our Close was there
		return nil, nil
	}
	if c.peer == nil {
		return nil, t.x.drop(now)
	}
	return c.peer, nil
}

// handle takes a message on a feed's channel.
func (t *channels) handle(id uint64, m hypercore.Message, now time.Time) error {
	p, err := t.replicating(id, now)
	if p == nil || err != nil {
		return err
	}
	if err := p.Handle(m, now); err != nil {
		return err
	}
	if _, ok := m.(*hypercore.Have); ok {
		t.x.space.noteChange()
	}
	return nil
}

// peerOf returns the replication of a feed, if both sides opened it.
func (t *channels) peerOf(dk hypercore.DiscoveryKey) *hypercore.Peer {
	t.mu.Lock()
	defer t.mu.Unlock()
	if c := t.byKey[dk]; c != nil {
		return c.peer
	}
	return nil
}

// close detaches from all feeds.
func (t *channels) close() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.closed = true
	for _, c := range t.byKey {
		if c.peer != nil {
			c.peer.Detach()
		}
	}
}
