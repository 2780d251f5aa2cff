package discovery

import (
	"fmt"
	"sync"

	dht "github.com/libp2p/go-libp2p-kad-dht"
	"github.com/libp2p/go-libp2p-kad-dht/provider"
	"github.com/multiformats/go-multihash"
)

// SweepFrom is how many topics a rendezvous has when it leaves announcing them
// again to kad-dht's sweeping provider, which tells the nodes of one part of the
// DHT of all keys there at once: for 1,000 keys in a DHT of 20 nodes a thirteenth
// of the bytes and an eighteenth of the time of the processor. It doesn't say when
// a key was announced, so the first announcement of each is made by itself, and
// all of them where the keys are few.
const SweepFrom = 64

// sweeper announces keys again and again.
type sweeper interface {
	// StartProviding announces the keys that are new, with force all of them, and
	// then each once in every ReprovideInterval.
	StartProviding(force bool, keys ...multihash.Multihash) error
	StopProviding(keys ...multihash.Multihash) error
	Close() error
}

// sweep is the sweeper of a rendezvous, made when it is first needed.
type sweep struct {
	make func() (sweeper, error) // nil: the routing has none

	mu     sync.Mutex // guards all below
	is     sweeper
	closed bool
}

// sweepOf returns a function that makes the sweeper of a routing, nil if it can
// have none.
func sweepOf(r any) func() (sweeper, error) {
	d, ok := r.(*dht.IpfsDHT)
	if !ok {
		return nil
	}
	return func() (sweeper, error) {
		return provider.New(
			provider.WithHost(d.Host()), provider.WithRouter(d), provider.WithMessageSender(d.MessageSender()),
			provider.WithSelfAddrs(d.FilteredAddrs), provider.WithReprovideInterval(ReprovideInterval),
		)
	}
}

// take leaves a key to the sweeper, which announces it at once. It returns false
// when there is none.
func (s *sweep) take(key multihash.Multihash) (bool, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.make == nil || s.closed {
		return false, nil
	}
	if s.is == nil {
		is, err := s.make()
		if err != nil {
			return false, fmt.Errorf("announce by sweeps: %w", err)
		}
		s.is = is
	}
	if err := s.is.StartProviding(false, key); err != nil {
		return false, fmt.Errorf("announce by sweeps: %w", err)
	}
	return true, nil
}

// drop takes a key away from the sweeper.
func (s *sweep) drop(key multihash.Multihash) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.is == nil || s.closed {
		return nil
	}
	return s.is.StopProviding(key)
}

// again announces keys that the sweeper has.
func (s *sweep) again(keys []multihash.Multihash) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.is == nil || s.closed || len(keys) == 0 {
		return nil
	}
	return s.is.StartProviding(true, keys...)
}

func (s *sweep) close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.closed = true
	if s.is == nil {
		return nil
	}
	return s.is.Close()
}
