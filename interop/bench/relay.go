package main

import (
	"fmt"
	"net"
	"sync"
	"time"
)

const (
	relayChunk = 16 << 10 // bytes that go on at a time
	// relayBurst is what the line makes up for when it was idle or its process was
	// not run in time: so much of its rate, and no more.
	relayBurst = 50 * time.Millisecond
)

// relay is a line to a process on loopback that gives out a limited number of
// bytes a second. The other way is free.
type relay struct {
	listener net.Listener
	to       string
	rate     int // bytes a second

	wg    sync.WaitGroup
	mu    sync.Mutex // guards all below
	ended bool
	conns map[net.Conn]struct{}
}

// newRelay starts a relay to a port of this machine.
func newRelay(port, rate int) (*relay, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	r := &relay{listener: l, to: fmt.Sprintf("127.0.0.1:%d", port), rate: rate, conns: map[net.Conn]struct{}{}}
	r.wg.Go(r.accept)
	return r, nil
}

// port returns where the relay listens.
func (r *relay) port() int { return r.listener.Addr().(*net.TCPAddr).Port }

func (r *relay) accept() {
	for {
		near, err := r.listener.Accept()
		if err != nil {
			return
		}
		far, err := net.Dial("tcp", r.to)
		if err != nil {
			near.Close()
			continue
		}
		if !r.keep(near, far) {
			return
		}
		r.wg.Go(func() { pass(far, near, 0) })
		r.wg.Go(func() { pass(near, far, r.rate) })
	}
}

// keep lets close find the connections, or closes them when it was too late.
func (r *relay) keep(conns ...net.Conn) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, c := range conns {
		if r.ended {
			c.Close()
			continue
		}
		r.conns[c] = struct{}{}
	}
	return !r.ended
}

// pass copies what comes from one connection to the other, at rate bytes a second
// if that isn't 0, and closes both when it ends.
func pass(to, from net.Conn, rate int) {
	defer to.Close()
	defer from.Close()
	buf := make([]byte, relayChunk)
	free := time.Now() // when the line can take more
	for {
		n, err := from.Read(buf)
		if rate > 0 {
			if least := time.Now().Add(-relayBurst); free.Before(least) {
				free = least
			}
			free = free.Add(time.Duration(n) * time.Second / time.Duration(rate))
			time.Sleep(time.Until(free))
		}
		if _, writeErr := to.Write(buf[:n]); writeErr != nil || err != nil {
			return
		}
	}
}

// close ends the relay and all that goes through it.
func (r *relay) close() {
	r.mu.Lock()
	r.ended = true
	for c := range r.conns {
		c.Close()
	}
	r.mu.Unlock()
	r.listener.Close()
	r.wg.Wait()
}
