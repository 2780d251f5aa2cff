package multifeed

import (
	"errors"

	"github.com/cobox-p2p/cobox-p2p/hypercore"
)

// mayShow says whether the remote may hear of a feed. One that is written here
// waits until the remote's entry for it came, or its last page without one: an old
// copy must not show what it appended before it knows of the other.
func (x *Session) mayShow(f *Feed) bool {
	if !f.Writable() {
		return true
	}
	x.mu.Lock()
	defer x.mu.Unlock()
	_, compared := x.compared[f.Discovery()]
	return compared || x.remoteTold
}

// compare sees whether the head that the remote tells of a feed goes together with
// ours. A *ProtocolError is the remote's fault, any other error ours.
func (x *Session) compare(f *Feed, e Entry) error {
	if f.damaged != nil {
		return nil
	}
	err := f.Compare(hypercore.SignedHead{Length: e.Length, RootHash: e.RootHash, Signature: e.Signature})
	if _, ok := errors.AsType[*hypercore.RemoteError](err); ok {
		return &ProtocolError{Code: CodeProof, Reason: "feed set", Err: err}
	}
	if errors.Is(err, hypercore.ErrOldCopy) {
		x.space.startRetire(f)
	} else if err != nil && !errors.Is(err, hypercore.ErrForked) {
		return err
	}
	if f.Writable() {
		x.mu.Lock()
		x.compared[f.Discovery()] = struct{}{}
		x.mu.Unlock()
	}
	return nil
}

// hasTold notes that the remote sent its last page: of what it didn't name it holds
// nothing.
func (x *Session) hasTold() error {
	x.mu.Lock()
	x.remoteTold = true
	x.mu.Unlock()
	x.space.mu.Lock()
	x.space.compared = true
	x.space.mu.Unlock()
	x.out.wake()
	return x.table.release()
}

// released lets the session look again for feeds that the remote may hear of.
func (x *Session) released() {
	if err := x.table.release(); err != nil {
		x.end(err)
	}
	x.wishAll()
	if l, ok := x.exchange.(*Feeds); ok {
		l.tellHeld()
	}
	x.out.wake()
}

// release opens our end of channels that waited for mayShow.
func (t *channels) release() error {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, c := range t.byKey {
		if c.feed == nil || c.local != 0 || c.remote == 0 || t.x.noBlocks {
			continue
		}
		if err := t.openLocked(c); err != nil {
			return err
		}
	}
	return nil
}

// saveShown stores which heads of own feeds the session has shown.
func (t *channels) saveShown() error {
	t.mu.Lock()
	var own []*Feed
	for _, c := range t.byKey {
		if c.feed != nil && c.feed.Own() {
			own = append(own, c.feed)
		}
	}
	t.mu.Unlock()
	var errs []error
	for _, f := range own {
		errs = append(errs, f.SaveShown())
	}
	return errors.Join(errs...)
}
