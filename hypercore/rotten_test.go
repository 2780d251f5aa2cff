package hypercore_test

import (
	"fmt"
	"iter"
	"slices"
	"sync"

	"github.com/cobox-p2p/cobox-p2p/hypercore"
	"github.com/cobox-p2p/cobox-p2p/hypercore/merkle"
	"github.com/cobox-p2p/cobox-p2p/hypercore/storage"
)

// How a stored thing is damaged.
type rot int

const (
	unread  rot = -1 // reading it is an error
	missing rot = -2 // it isn't there
	// From 0 on: the bit that is flipped, and nobody notices.
)

var errRot = fmt.Errorf("%w: bad sector", hypercore.ErrDamaged)

// rotten is a store of one feed on a bad disk. What is written again is right
// again: blocks after they were cleared, nodes and the head at once.
type rotten struct {
	*storage.Memory
	mu     sync.Mutex
	blocks map[uint64]rot
	nodes  map[uint64]rot
	head   func(*hypercore.StoredFeed) error
	held   []hypercore.Span // instead of what is held, if set
	writes []hypercore.FeedWrite
}

func newRotten(m *storage.Memory) *rotten {
	return &rotten{Memory: m, blocks: map[uint64]rot{}, nodes: map[uint64]rot{}}
}

func (s *rotten) heal() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.blocks, s.nodes, s.head, s.held = map[uint64]rot{}, map[uint64]rot{}, nil, nil
}

func (s *rotten) Feed(key hypercore.Key) (hypercore.StoredFeed, error) {
	f, err := s.Memory.Feed(key)
	s.mu.Lock()
	defer s.mu.Unlock()
	if err == nil && s.head != nil {
		err = s.head(&f)
	}
	return f, err
}

func (s *rotten) Held(key hypercore.Key) iter.Seq2[hypercore.Span, error] {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.held == nil {
		return s.Memory.Held(key)
	}
	held := slices.Clone(s.held)
	return func(yield func(hypercore.Span, error) bool) {
		for _, span := range held {
			if !yield(span, nil) {
				return
			}
		}
	}
}

func (s *rotten) Node(key hypercore.Key, index uint64) (merkle.Node, error) {
	n, err := s.Memory.Node(key, index)
	s.mu.Lock()
	defer s.mu.Unlock()
	r, bad := s.nodes[index]
	switch {
	case err != nil || !bad:
		return n, err
	case r == unread:
		return merkle.Node{}, errRot
	case r == missing:
		return merkle.Node{}, merkle.ErrNoNode
	case r < 8*merkle.HashSize:
		n.Hash[r/8] ^= 1 << (r % 8)
	default:
		n.Size ^= 1 << (r - 8*merkle.HashSize)
	}
	return n, nil
}

func (s *rotten) Blocks(key hypercore.Key, span hypercore.Span) ([][]byte, error) {
	blocks, err := s.Memory.Blocks(key, span)
	s.mu.Lock()
	defer s.mu.Unlock()
	for i, b := range blocks {
		r, bad := s.blocks[span.Start+uint64(i)]
		switch {
		case !bad:
		case r == unread:
			return nil, errRot
		case r == missing:
			return nil, hypercore.ErrNoBlock
		case len(b) == 0:
			blocks[i] = []byte{byte(r)}
		default:
			b[int(r)/8%len(b)] ^= 1 << (r % 8)
		}
	}
	return blocks, err
}

func (s *rotten) Commit(b *hypercore.Batch) error {
	if err := s.Memory.Commit(b); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, w := range b.Feeds {
		s.writes = append(s.writes, w)
		if w.Drop || w.Head != nil {
			s.head = nil
		}
		for _, span := range w.Clear {
			for seq := span.Start; seq < span.End() && seq < span.Start+1<<12; seq++ {
				delete(s.blocks, seq)
			}
			s.held = nil
		}
		for _, n := range w.Nodes {
			delete(s.nodes, n.Index)
		}
		if w.Drop {
			clear(s.blocks)
			clear(s.nodes)
			s.held = nil
		}
	}
	return nil
}

// stored returns the indexes of the stored nodes of a tree of length blocks.
func (s *rotten) stored(key hypercore.Key, length uint64) (indexes []uint64) {
	for index := range 2 * length {
		if _, err := s.Memory.Node(key, index); err == nil {
			indexes = append(indexes, index)
		}
	}
	return indexes
}
