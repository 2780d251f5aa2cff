package node

import (
	"errors"
	"fmt"
	"slices"
)

// Left is the answer to Leave.
type Left struct {
	Name         string `json:"name"`
	DiscoveryKey string `json:"discoveryKey"`
	Kept         bool   `json:"kept"`   // the blocks stayed in the store
	Feeds        int    `json:"feeds"`  // of the space
	Bytes        uint64 `json:"bytes"`  // of their blocks, deleted unless Kept
	Shared       int    `json:"shared"` // feeds that stayed because another space here has them
}

// Leave ends the sessions of a space and forgets it with its secret. Unless keep
// is set its blocks are deleted, but those of feeds that another space here has.
// Blocks that this node wrote and no connected peer says it holds would be lost
// with that, so Leave refuses then, unless force is set.
func (n *Node) Leave(name string, keep, force bool) (Left, error) {
	n.changing.Lock()
	defer n.changing.Unlock()
	s, err := n.find(name)
	if err != nil {
		return Left{}, err
	}
	if s.err == nil && !keep && !force && !s.entry.Leaving {
		if err := s.unshared(); err != nil {
			return Left{}, err
		}
	}
	l := Left{Name: s.entry.Name, DiscoveryKey: s.address.Discovery().String(), Kept: keep || s.Space == nil}
	if s.Space != nil {
		held := n.held(s)
		for _, f := range s.Feeds() {
			_, bytes := f.Held()
			l.Feeds++
			if !keep && held(f.Key()) {
				l.Shared++
				continue
			}
			l.Bytes += bytes
		}
	}
	return l, n.drop(s, keep)
}

// unshared returns an error when own blocks are at no connected peer.
func (s *space) unshared() error {
	p := s.Progress()
	var blocks uint64
	if p.Peers == 0 {
		for _, f := range s.Feeds() {
			if f.Own() {
				blocks += f.Durable()
			}
		}
	}
	for _, l := range p.Unshared {
		if l.Feed.Own() {
			blocks += l.Blocks
		}
	}
	if blocks == 0 {
		return nil
	}
	return fmt.Errorf("space %s: of what was written here, %s would be deleted and no peer connected now (%s) has it: run sync %q first, or leave with --keep to keep them on this disk, or with --force to lose them",
		s.entry.Name, Count(blocks, "block", "blocks"), Count(p.Peers, "peer", "peers"), s.entry.Name)
}

// drop leaves the space, deletes its blocks unless keep is set, and forgets it.
// The caller holds changing.
func (n *Node) drop(s *space, keep bool) error {
	s.end(errLeft)
	if s.member != nil {
		if err := s.member.Leave(); err != nil {
			return fmt.Errorf("leave space %s: %w", s.entry.Name, err)
		}
	}
	rest := slices.DeleteFunc(n.list(), func(o *space) bool { return o == s })
	if s.Space == nil || keep {
		if s.Space != nil {
			s.Space.Close()
		}
		return n.forget(s, rest)
	}
	leaving := *s
	leaving.entry.Leaving = true
	if err := n.saveLocked(append(slices.Clone(rest), &leaving)); err != nil {
		return err
	}
	if err := errors.Join(s.Space.Close(), s.Forget(n.held(&leaving)), s.handed.forget()); err != nil {
		return fmt.Errorf("delete the blocks of space %s: %w; the next start goes on with it", s.entry.Name, err)
	}
	return n.forget(s, rest)
}

// forget takes the space out of spaces.json and the book of peers.
func (n *Node) forget(s *space, rest []*space) error {
	if err := n.saveLocked(rest); err != nil {
		return err
	}
	n.net.book.Forget(s.address.Discovery())
	return n.limits.forget(s.address.Discovery())
}

// finishLeaving does what an interrupted leave did not.
func (n *Node) finishLeaving() error {
	for _, s := range n.list() {
		if !s.entry.Leaving || s.err != nil {
			continue
		}
		n.log.Info("leaving a space is being finished", "space", s.entry.Name)
		if err := n.drop(s, false); err != nil {
			return err
		}
	}
	return nil
}
