package main

import (
	"context"
	"fmt"
	"io"

	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/protocol"
)

const (
	bareProtocol protocol.ID = "/cobox-bench/bare/1.0.0"
	bareWrite                = 1 << 20 // bytes of one write
)

// serveBare sends as many bytes as the task's blocks have on each stream.
func serveBare(_ context.Context, t task, m *meter) error {
	h, err := newHost()
	if err != nil {
		return err
	}
	defer h.Close()
	pool := newPool(task{Size: bareWrite, Pool: poolCount(t.Blocks, bareWrite)})
	h.SetStreamHandler(bareProtocol, func(s network.Stream) {
		defer s.Close()
		for rest, i := t.Blocks*t.Size, 0; rest > 0; i++ {
			n, err := s.Write(pool[i%len(pool)][:min(rest, bareWrite)])
			if err != nil {
				return
			}
			rest -= n
		}
	})
	at, err := where(h)
	if err != nil {
		return err
	}
	return m.report(at)
}

// fetchBare reads a stream to its end and keeps nothing.
func fetchBare(ctx context.Context, t task, m *meter) error {
	h, err := newHost()
	if err != nil {
		return err
	}
	defer h.Close()
	info, err := t.From[0].info()
	if err != nil {
		return err
	}
	m.start()
	if err := h.Connect(ctx, info); err != nil {
		return err
	}
	s, err := h.NewStream(ctx, info.ID, bareProtocol)
	if err != nil {
		return err
	}
	defer s.Close()
	if err := s.CloseWrite(); err != nil { // which says what protocol it is
		return err
	}
	n, err := io.CopyBuffer(struct{ io.Writer }{io.Discard}, s, make([]byte, bareWrite))
	if err != nil {
		return err
	}
	if want := int64(t.Blocks * t.Size); n != want {
		return fmt.Errorf("%d bytes came, want %d", n, want)
	}
	r := m.read(t.Blocks)
	r.Payload, r.Wire = uint64(n), wireNow()
	return m.report(r)
}
