package main

import (
	"context"
	"encoding/binary"
	"errors"
	"time"

	"github.com/cobox-p2p/cobox-p2p/multifeed"
)

// serveLive appends durable blocks one by one as soon as somebody has come. Each
// begins with the time at which its append began.
func serveLive(ctx context.Context, t task, m *meter) error {
	n, err := startNode(t.Dir)
	if err != nil {
		return err
	}
	defer n.close()
	joined, err := n.join(spaceSecret, multifeed.WithSecret(spaceSecret))
	if err != nil {
		return err
	}
	writer, err := joined.Space().Writer("live")
	if err != nil {
		return err
	}
	at, err := where(n.host)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	failed := make(chan error, 1)
	go func() { failed <- appendLive(ctx, t, joined.Space(), writer) }()
	if err := m.report(at); err != nil {
		return err
	}
	cancel()
	if err := <-failed; !errors.Is(err, context.Canceled) {
		return err
	}
	return nil
}

func appendLive(ctx context.Context, t task, space *multifeed.Space, writer *multifeed.Feed) error {
	if err := waitExchanged(ctx, space); err != nil {
		return err
	}
	if err := pause(ctx, t.SettleMs); err != nil {
		return err
	}
	block := make([]byte, t.Size)
	for range t.Blocks {
		binary.BigEndian.PutUint64(block, uint64(machineClock()))
		if _, err := writer.Append(ctx, block); err != nil {
			return err
		}
		if err := pause(ctx, t.EveryMs); err != nil {
			return err
		}
	}
	return nil
}

// fetchLive reads these blocks and measures how long each took from the beginning
// of its append until it was read here.
func fetchLive(ctx context.Context, t task, m *meter) error {
	n, err := startNode(t.Dir)
	if err != nil {
		return err
	}
	defer n.close()
	joined, err := n.join(spaceSecret, multifeed.WithSecret(spaceSecret))
	if err != nil {
		return err
	}
	m.start()
	if err := connect(ctx, joined, t.From); err != nil {
		return err
	}
	took := make([]time.Duration, 0, t.Blocks)
	for f := range joined.Space().Watch(ctx) {
		for seq := range t.Blocks {
			block, err := f.Get(ctx, uint64(seq))
			if err != nil {
				return err
			}
			took = append(took, time.Duration(machineClock()-int64(binary.BigEndian.Uint64(block))))
		}
		break
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	r := m.read(t.Blocks)
	r.Latency = latencyOf(took[t.Skip:])
	return m.report(r)
}
