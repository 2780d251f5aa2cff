package host

import (
	"context"
	"encoding/hex"
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/core/record"

	"github.com/cobox-p2p/cobox-p2p/discovery"
	"github.com/cobox-p2p/cobox-p2p/multifeed"
)

// newsPause is the shortest time between two announcements of one feed.
const newsPause = time.Second

// news announces what this node writes in a space over gossip, and takes in what
// others announce. See interop/spec/announcements.md.
type news struct {
	m     *Membership
	topic *discovery.GossipTopic
	stop  func() // ends the events of the space
	wake  chan struct{}

	mu       sync.Mutex // guards all below
	heard    multifeed.Announced
	pending  map[*multifeed.Feed]struct{}
	told     map[*multifeed.Feed]time.Time // when a feed was last announced
	headless map[*multifeed.Feed]struct{}  // announced without the head that they have
	sequence uint64                        // of the last announcement
}

func newNews(m *Membership, g *discovery.Gossip) (*news, error) {
	w := &news{
		m: m, wake: make(chan struct{}, 1),
		pending: map[*multifeed.Feed]struct{}{},
		told:    map[*multifeed.Feed]time.Time{}, headless: map[*multifeed.Feed]struct{}{},
	}
	topic := m.space.Address().Topic()
	t, err := g.Join(discovery.GossipPrefix+hex.EncodeToString(topic[:]), w.judge)
	if err != nil {
		return nil, fmt.Errorf("announcements: %w", err)
	}
	w.topic = t
	w.stop = m.space.Notify(w.noted)
	return w, nil
}

// close ends the topic. It may be called twice.
func (w *news) close() {
	w.stop()
	w.topic.Leave()
}

// noted takes an event of the space: own feeds that came or grew are announced,
// and once more when the exchange with a peer has shown that their heads may be.
func (w *news) noted(e multifeed.Event) {
	added := e.Kind == multifeed.FeedAdded || e.Kind == multifeed.BlocksStored
	if e.Kind != multifeed.Exchanged && !(added && e.Feed.Own()) {
		return
	}
	w.mu.Lock()
	if added {
		w.pending[e.Feed] = struct{}{}
	} else {
		maps.Copy(w.pending, w.headless)
		clear(w.headless)
	}
	w.mu.Unlock()
	select {
	case w.wake <- struct{}{}:
	default:
	}
}

// run announces until ctx ends.
func (w *news) run(ctx context.Context) {
	timer := time.NewTimer(newsPause)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-w.wake:
		case <-timer.C:
		}
		due, next := w.due(time.Now())
		for _, f := range due {
			if err := w.publish(ctx, f); err != nil && ctx.Err() == nil {
				w.m.n.log.Debug("announcement failed", "space", short(w.m.key), "err", err)
			}
		}
		if next > 0 {
			timer.Reset(next)
		}
	}
}

// due takes out the feeds that may be announced now, and returns when to look
// again for the others, 0 when there are none.
func (w *news) due(now time.Time) (due []*multifeed.Feed, next time.Duration) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for f := range w.pending {
		wait := w.told[f].Add(newsPause).Sub(now)
		if wait > 0 {
			if next == 0 || wait < next {
				next = wait
			}
			continue
		}
		delete(w.pending, f)
		w.told[f] = now
		due = append(due, f)
	}
	maps.DeleteFunc(w.told, func(_ *multifeed.Feed, at time.Time) bool { return now.Sub(at) > newsPause })
	return due, next
}

func (w *news) publish(ctx context.Context, f *multifeed.Feed) error {
	host := w.m.n.host
	now := time.Now()
	entry := f.Entry()
	w.mu.Lock()
	if entry.Length == 0 && f.Length() > 0 {
		w.headless[f] = struct{}{}
	}
	// Above that of any earlier process, too.
	w.sequence = max(w.sequence+1, uint64(now.UnixNano()))
	sequence := w.sequence
	w.mu.Unlock()
	self, err := w.m.n.signedRecord()
	if err != nil {
		return err
	}
	sealed, err := multifeed.SealAnnouncement(w.m.space.Address(), multifeed.Announcement{
		Entry: entry, Author: []byte(host.ID()), Record: self, Sequence: sequence, Time: now,
	})
	if err != nil {
		return err
	}
	return w.topic.Publish(ctx, sealed)
}

// signedRecord returns the addresses of this node under its signature.
func (n *Networker) signedRecord() ([]byte, error) {
	key := n.host.Peerstore().PrivKey(n.host.ID())
	if key == nil {
		return nil, nil // a host that keeps its key to itself
	}
	addrs := n.host.Addrs()
	r := peer.PeerRecordFromAddrInfo(peer.AddrInfo{ID: n.host.ID(), Addrs: addrs[:min(len(addrs), discovery.MaxAddrs)]})
	e, err := record.Seal(r, key)
	if err != nil {
		return nil, fmt.Errorf("sign own addresses: %w", err)
	}
	b, err := e.Marshal()
	if err != nil {
		return nil, fmt.Errorf("sign own addresses: %w", err)
	}
	if len(b) > multifeed.MaxAnnouncedRecord {
		return nil, nil
	}
	return b, nil
}

// judge decides on an announcement from the gossip and takes in a good one.
func (w *news) judge(_ context.Context, from peer.ID, sealed []byte) discovery.Verdict {
	n := w.m.n
	a, err := multifeed.OpenAnnouncement(w.m.space.Address(), sealed)
	if err != nil || string(a.Author) != string(from) {
		return discovery.Reject
	}
	author := peer.AddrInfo{ID: from}
	if len(a.Record) > 0 {
		if author, err = openRecord(from, a.Record); err != nil {
			return discovery.Reject
		}
	}
	if n.allowed(from) != nil {
		return discovery.Ignore
	}
	w.mu.Lock()
	err = w.heard.Take(a, time.Now())
	w.mu.Unlock()
	if err != nil {
		return discovery.Ignore
	}
	if _, err := w.m.space.TakeAnnounced(a); err != nil {
		n.log.Debug("announcement skipped", "peer", from, "space", short(w.m.key), "err", err)
		return discovery.Ignore
	}
	w.m.offers.add(author, sourceGossip)
	return discovery.Accept
}

// openRecord returns the addresses that id signed, or an error when it didn't.
func openRecord(id peer.ID, b []byte) (peer.AddrInfo, error) {
	var r peer.PeerRecord
	e, err := record.ConsumeTypedEnvelope(b, &r)
	if err != nil {
		return peer.AddrInfo{}, err
	}
	if r.PeerID != id || !id.MatchesPublicKey(e.PublicKey) {
		return peer.AddrInfo{}, fmt.Errorf("record of another peer")
	}
	return peer.AddrInfo{ID: id, Addrs: slices.Clone(r.Addrs[:min(len(r.Addrs), discovery.MaxAddrs)])}, nil
}
