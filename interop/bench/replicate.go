package main

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/cobox-p2p/cobox-p2p/host"
	"github.com/cobox-p2p/cobox-p2p/multifeed"
)

// quietMs is for how long nothing may cross until what two nodes had to tell each
// other counts as told.
const quietMs = 500

// serveSpace answers for the space in the task's folder, as a seeder.
func serveSpace(_ context.Context, t task, m *meter) error {
	n, err := startNode(t.Dir)
	if err != nil {
		return err
	}
	defer n.close()
	if _, err := n.seed(spaceSecret, t.Feeds+t.Changed); err != nil {
		return err
	}
	at, err := where(n.host)
	if err != nil {
		return err
	}
	return m.report(at)
}

// fetchSpace fetches all feeds of the space from those that answer, until every
// block is durable.
func fetchSpace(ctx context.Context, t task, m *meter) error {
	n, err := startNode(t.Dir)
	if err != nil {
		return err
	}
	defer n.close()
	joined, err := n.seed(spaceSecret, t.Feeds)
	if err != nil {
		return err
	}
	total := t.Feeds * t.Blocks
	arrived := countArrived(joined.Space(), total)
	m.start()
	if err := connect(ctx, joined, t.From); err != nil {
		return err
	}
	if err := arrived.wait(ctx); err != nil {
		return err
	}
	r := m.read(total)
	r.Payload = uint64(total) * uint64(t.Size)
	r.Wire, r.Frames = wireNow(), framesOf(joined)
	if err := checkStored(n, t.Feeds, total); err != nil {
		return err
	}
	return m.report(r)
}

// meetAgain connects a node that holds the space with one that holds the same, in
// which some feeds have grown, until these are here and nothing crosses any more.
func meetAgain(ctx context.Context, t task, m *meter) error {
	n, err := startNode(t.Dir)
	if err != nil {
		return err
	}
	defer n.close()
	joined, err := n.seed(spaceSecret, t.Feeds)
	if err != nil {
		return err
	}
	arrived := countArrived(joined.Space(), t.Changed)
	m.start()
	if err := connect(ctx, joined, t.From); err != nil {
		return err
	}
	if err := arrived.wait(ctx); err != nil {
		return err
	}
	if err := waitExchanged(ctx, joined.Space()); err != nil {
		return err
	}
	r := m.read(t.Feeds)
	r.Payload = uint64(t.Changed) * setBlock
	if r.Frames, err = quietFrames(ctx, joined); err != nil {
		return err
	}
	r.Wire = wireNow()
	if err := checkStored(n, t.Feeds, t.Feeds+t.Changed); err != nil {
		return err
	}
	return m.report(r)
}

// arrived counts the blocks that became durable in a space.
type arrived struct {
	count atomic.Int64
	total int64
	once  sync.Once
	done  chan struct{}
}

func countArrived(space *multifeed.Space, total int) *arrived {
	a := &arrived{total: int64(total), done: make(chan struct{})}
	a.follow(space)
	return a
}

// follow counts those of one more space.
func (a *arrived) follow(space *multifeed.Space) {
	space.Notify(func(e multifeed.Event) {
		if e.Kind == multifeed.BlocksStored {
			a.add(int64(e.Span.Count))
		}
	})
	a.add(0)
}

func (a *arrived) add(n int64) {
	if a.count.Add(n) >= a.total {
		a.once.Do(func() { close(a.done) })
	}
}

func (a *arrived) wait(ctx context.Context) error {
	select {
	case <-a.done:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("%d of %d blocks: %w", a.count.Load(), a.total, ctx.Err())
	}
}

// waitExchanged returns when the two sides know what feeds each other has.
func waitExchanged(ctx context.Context, space *multifeed.Space) error {
	for {
		changed := space.Changed()
		if space.Exchanged() {
			return nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// quietFrames returns the frames of all sessions as soon as there were no new ones
// for a while.
func quietFrames(ctx context.Context, m *host.Membership) (*traffic, error) {
	last, since := *framesOf(m), time.Now()
	for time.Since(since) < quietMs*time.Millisecond {
		if err := pause(ctx, quietMs/10); err != nil {
			return nil, err
		}
		if now := *framesOf(m); now != last {
			last, since = now, time.Now()
		}
	}
	return &last, nil
}

func framesOf(m *host.Membership) *traffic {
	t := &traffic{}
	for _, p := range m.Peers() {
		t.In += p.Received
		t.Out += p.Sent
	}
	return t
}

func wireNow() *traffic {
	in, out := tcpBytes()
	return &traffic{In: in, Out: out}
}

// checkStored fails unless the store has just these feeds, all blocks of which are
// there, and as many blocks in all.
func checkStored(n *node, feeds, blocks int) error {
	gotFeeds, gotBlocks := 0, uint64(0)
	for f, err := range n.disk.Feeds() {
		if err != nil {
			return err
		}
		if f.Blocks != f.Head.Length {
			return fmt.Errorf("%d of %d blocks of feed %s are stored", f.Blocks, f.Head.Length, f.Key.Discovery())
		}
		gotFeeds++
		gotBlocks += f.Blocks
	}
	if gotFeeds != feeds || gotBlocks != uint64(blocks) {
		return fmt.Errorf("%d feeds with %d blocks are stored, want %d with %d", gotFeeds, gotBlocks, feeds, blocks)
	}
	return nil
}
