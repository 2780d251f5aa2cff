package sleep

import (
	"context"
	"fmt"

	"github.com/cobox-p2p/cobox-p2p/hypercore"
	"github.com/cobox-p2p/cobox-p2p/hypercore/merkle"
)

// WriteFeed writes a feed into its folder in the store, like Write. A feed with
// a key pair that this store's master key derives from w.Name gets its name, any
// other the secret key itself.
func (s *Store) WriteFeed(ctx context.Context, w Writing, progress func(Progress)) (Report, error) {
	if w.Name != "" && (s.master == nil || s.master.KeyPair(w.Name).Public != w.Key) {
		w.Name = ""
	}
	dk := w.Key.Discovery()
	report, err := Write(ctx, s.path(dk), w, progress)
	if err == nil {
		s.feeds = append(s.feeds, dk)
		s.sort()
	}
	return report, err
}

// WriteSpace writes the private feed that names the feeds of a space, so that
// CoBox's multifeed finds them when it opens the space in this store. It is
// signed with a key that the store's master key derives, so it is made anew for
// each store. The feeds themselves are written with WriteFeed. A feed without a
// name, or with that of another, is named by a number, as multifeed names feeds of
// others.
func (s *Store) WriteSpace(ctx context.Context, space Space) error {
	if s.master == nil {
		return fmt.Errorf("write space to %s: no master key", s.dir)
	}
	if len(space.Feeds) > MaxListed {
		return fmt.Errorf("write space to %s: %d feeds, limit %d", s.dir, len(space.Feeds), MaxListed)
	}
	list, err := space.blocks()
	if err != nil {
		return fmt.Errorf("write space to %s: %w", s.dir, err)
	}
	name := space.Address.name() + listSuffix
	w := newList(s.master.KeyPair(name), list)
	w.Name = name
	_, err = s.WriteFeed(ctx, w, nil)
	return err
}

// blocks returns the blocks of the list.
func (sp *Space) blocks() ([][]byte, error) {
	var blocks [][]byte
	taken := map[string]bool{"": true}
	for _, f := range sp.Feeds {
		for n := len(blocks); taken[f.Name]; n++ {
			f.Name = fmt.Sprint(n)
		}
		taken[f.Name] = true
		b, err := appendListed(nil, f)
		if err != nil {
			return nil, err
		}
		blocks = append(blocks, b)
	}
	return blocks, nil
}

// memoryFeed is a small feed that is written out as it is made.
type memoryFeed struct {
	blocks [][]byte
	nodes  map[uint64]merkle.Node
}

// newList returns the feed of pair that holds the blocks.
func newList(pair hypercore.KeyPair, blocks [][]byte) Writing {
	m := &memoryFeed{blocks, map[uint64]merkle.Node{}}
	var roots merkle.Roots
	for seq, b := range blocks {
		for _, n := range roots.Append(merkle.Leaf(uint64(seq), b), nil) {
			m.nodes[n.Index] = n
		}
	}
	w := Writing{Key: pair.Public, KeyPair: pair, Source: m, Held: func(yield func(hypercore.Span, error) bool) {
		yield(hypercore.Span{Count: uint64(len(blocks))}, nil)
	}}
	if len(blocks) > 0 {
		w.Head = hypercore.Head{Length: roots.Length(), Size: roots.Size(), RootHash: roots.Hash()}
		w.Head.Signature = pair.Sign(hypercore.Signable(w.Head.RootHash, w.Head.Length))
	}
	return w
}

func (m *memoryFeed) Node(index uint64) (merkle.Node, error) {
	if n, ok := m.nodes[index]; ok {
		return n, nil
	}
	return merkle.Node{}, merkle.ErrNoNode
}

func (m *memoryFeed) Blocks(span hypercore.Span) ([][]byte, error) {
	return m.blocks[span.Start:span.End()], nil
}
