package multifeed

import (
	"time"

	"github.com/cobox-p2p/cobox-p2p/hypercore"
	"github.com/cobox-p2p/cobox-p2p/multifeed/wire"
)

// window is what the channels of a session know that are opened only while they
// are needed. It is guarded by the lock of the channels.
type window struct {
	ours    int  // channels that we opened for what we lack, until both ends are closed
	crowded bool // feeds wait for one of them to be closed
}

const (
	// quietTime is how long nothing crosses a channel before it is closed.
	quietTime = 10 * time.Second
	// crowdedTime is that while other feeds wait for their channels and this one's
	// lacks something that the remote doesn't have.
	crowdedTime = time.Second
	// sweepTime is how often channels are looked at.
	sweepTime = quietTime / 4
)

// want opens our end of a feed's channel because we lack blocks that the remote
// may have.
func (t *channels) want(f *Feed) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	c := t.byKey[f.Discovery()]
	switch {
	case c != nil && c.closing:
		c.again = true
		return nil
	case t.closed || c != nil && c.local != 0:
		return nil
	case c == nil:
		c = &channel{dk: f.Discovery()}
		t.byKey[c.dk] = c
	case c.feed == nil:
		t.waiting--
	}
	c.feed = f
	if err := t.openLocked(c); err != nil {
		return err
	}
	if c.local == 0 { // it mustn't be shown yet
		if c.remote == 0 {
			delete(t.byKey, c.dk)
		}
		return nil
	}
	c.ours = true
	t.window.ours++
	return nil
}

// roomy says whether one more channel may be opened. If not, those that are of no
// use any more are closed as soon as they are.
func (t *channels) roomy() bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.window.ours < MaxWindow {
		return true
	}
	t.crowdLocked()
	return false
}

// crowdLocked makes channels be closed as soon as they are of no use.
func (t *channels) crowdLocked() {
	if t.window.crowded {
		return
	}
	t.window.crowded = true
	for _, c := range t.byKey {
		if c.ours && c.peer != nil {
			t.x.out.wakeChannel(c)
		}
	}
}

// uncrowd says that no feed waits for a channel any more.
func (t *channels) uncrowd() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.window.crowded = false
}

// idle sees, after its replication had nothing to say, whether a channel of ours
// can be closed, and does so.
func (t *channels) idle(c *channel, now time.Time) error {
	t.mu.Lock()
	if !c.ours || c.peer == nil || t.closed {
		t.mu.Unlock()
		return nil
	}
	crowded, peer, quiet := t.window.crowded, c.peer, c.quiet(now)
	if !crowded && quiet < quietTime {
		t.mu.Unlock()
		return nil
	}
	still, content := peer.Still()
	if !still || !content && quiet < crowdedTime {
		t.mu.Unlock()
		return nil
	}
	p := c.parting(true)
	err := t.shutLocked(c)
	t.mu.Unlock()
	t.x.parted(p)
	return err
}

// parting returns what the replication of the channel knows of the remote.
func (c *channel) parting(ours bool) parting {
	p := parting{feed: c.feed, ours: ours, length: c.peer.RemoteLength()}
	p.whole = c.peer.RemoteHas(hypercore.Span{Count: p.length})
	return p
}

// quiet returns how long nothing crossed the channel.
func (c *channel) quiet(now time.Time) time.Duration {
	return now.Sub(time.Unix(0, c.stirred.Load()))
}

// shutLocked sends our Close. The channel's numbers are free when the remote has
// answered it.
func (t *channels) shutLocked(c *channel) error {
	c.peer.Detach()
	c.peer, c.closing = nil, true
	return t.x.out.control(c.local, &wire.Close{})
}

// sweep looks at all channels of ours.
func (t *channels) sweep(now time.Time) error {
	t.mu.Lock()
	var look []*channel
	for _, c := range t.byKey {
		if c.ours && (c.quiet(now) >= quietTime || t.window.crowded) {
			look = append(look, c)
		}
	}
	t.mu.Unlock()
	for _, c := range look {
		if err := t.idle(c, now); err != nil {
			return err
		}
	}
	return nil
}

// goneLocked forgets a channel both of whose ends are closed.
func (t *channels) goneLocked(c *channel) {
	delete(t.byRemote, c.remote)
	if t.byKey[c.dk] == c {
		delete(t.byKey, c.dk)
	}
	if c.ours {
		c.ours = false
		t.window.ours--
	}
	if c.local != 0 {
		t.ids.ClearRange(c.local, 1)
	}
}

// opened says whether channels of ours are open.
func (t *channels) opened() bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.window.ours > 0
}

// stir notes that a message went either way.
func (c *channel) stir(now time.Time) { c.stirred.Store(now.UnixNano()) }
