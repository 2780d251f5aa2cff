package main

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"time"

	"github.com/cobox-p2p/cobox-p2p/multifeed"
)

// idlePatience is how long no space may come to be synced until the idle time
// begins all the same.
const idlePatience = 15 * time.Second

// numberedSecret returns that of the n-th of many spaces.
func numberedSecret(n int) (s multifeed.Secret) {
	copy(s[:], "bench space")
	binary.BigEndian.PutUint32(s[28:], uint32(n))
	return s
}

// serveSpaces joins many spaces with a block in each.
func serveSpaces(ctx context.Context, t task, m *meter) error {
	n, err := startNode(t.Dir)
	if err != nil {
		return err
	}
	defer n.close()
	if err := n.fillSpaces(ctx, t); err != nil {
		return err
	}
	at, err := where(n.host)
	if err != nil {
		return err
	}
	return m.report(at)
}

// fillSpaces joins the spaces of the task and appends a block in each.
func (n *node) fillSpaces(ctx context.Context, t task) error {
	for i := range t.Spaces {
		secret := numberedSecret(i)
		joined, err := n.join(secret, multifeed.WithSecret(secret))
		if err != nil {
			return err
		}
		writer, err := joined.Space().Writer("log")
		if err != nil {
			return err
		}
		if _, err := writer.Append(ctx, make([]byte, t.Size)); err != nil {
			return err
		}
	}
	return nil
}

// idleSpaces joins the same spaces, fetches what is in them from the one peer, and
// then measures what it costs to be there while nothing happens.
func idleSpaces(ctx context.Context, t task, m *meter) error {
	n, err := startNode(t.Dir)
	if err != nil {
		return err
	}
	defer n.close()
	all := &arrived{total: int64(t.Spaces), done: make(chan struct{})}
	for i := range t.Spaces {
		joined, err := n.seed(numberedSecret(i), 1)
		if err != nil {
			return err
		}
		all.follow(joined.Space())
	}
	info, err := t.From[0].info()
	if err != nil {
		return err
	}
	if err := n.net.Connect(ctx, info); err != nil {
		return err
	}
	if err := all.waitWhileMoving(ctx, idlePatience); err != nil {
		return err
	}
	if err := pause(ctx, t.SettleMs); err != nil {
		return err
	}
	before := wireNow()
	m.start()
	if err := pause(ctx, t.WindowMs); err != nil {
		return err
	}
	r := m.read(int(all.count.Load()))
	r.Wire = wireNow()
	r.Wire.In -= before.In
	r.Wire.Out -= before.Out
	if r.Count < t.Spaces {
		r.Remark = fmt.Sprintf("only %d of %d spaces were synced before", r.Count, t.Spaces)
	}
	return m.report(r)
}

// waitWhileMoving waits until all is there, or until nothing more comes.
func (a *arrived) waitWhileMoving(ctx context.Context, patience time.Duration) error {
	for last := int64(-1); a.count.Load() > last; {
		last = a.count.Load()
		soon, cancel := context.WithTimeout(ctx, patience)
		err := a.wait(soon)
		cancel()
		if err == nil || !errors.Is(err, context.DeadlineExceeded) {
			return err
		}
	}
	return ctx.Err()
}
