package main

import (
	"context"
	"encoding/binary"
	"fmt"
	"path/filepath"
	"runtime"
	"slices"
	"sync"

	"github.com/cobox-p2p/cobox-p2p/hypercore"
	"github.com/cobox-p2p/cobox-p2p/hypercore/corestore"
	"github.com/cobox-p2p/cobox-p2p/hypercore/merkle"
	"github.com/cobox-p2p/cobox-p2p/hypercore/storage"
	"github.com/cobox-p2p/cobox-p2p/multifeed"
)

const (
	setBatch   = 1000   // feeds that one commit makes
	setPortion = 50_000 // feeds that are signed before they are stored
	setBlock   = 100    // bytes of the one block of each feed
)

// setAddress is the open space whose feed set is made and opened.
var setAddress = multifeed.Address{Kind: multifeed.KindOpen, Key: [32]byte{'b', 'e', 'n', 'c', 'h'}}

// openSpace opens the space with room for count feeds.
func openSpace(st hypercore.Storage, count int) (*multifeed.Space, func(), error) {
	store := corestore.New(st, corestore.MasterKey{1})
	space, err := multifeed.Open(store, setAddress, multifeed.WithMaxFeeds(count))
	if err != nil {
		store.Close()
		return nil, nil, err
	}
	return space, func() { space.Close(); store.Close() }, nil
}

// makeSet makes a store of feeds with a signed block each, all in one space.
func makeSet(ctx context.Context, t task, m *meter) error {
	st, err := storage.Open(filepath.Join(t.Dir, storeName))
	if err != nil {
		return err
	}
	defer st.Close()
	space, closeSpace, err := openSpace(st, t.Feeds)
	if err != nil {
		return err
	}
	defer closeSpace()
	m.start()
	for first := 0; first < t.Feeds; first += setPortion {
		feeds := signedFeeds(first, min(setPortion, t.Feeds-first))
		if err := storePortion(ctx, st, space, feeds); err != nil {
			return err
		}
	}
	return m.stop(t.Feeds, nil)
}

// storePortion adds feeds to the space, which opens none of them, and stores them.
func storePortion(ctx context.Context, st *storage.Store, space *multifeed.Space, feeds []hypercore.FeedWrite) error {
	_, err := space.AddAll(ctx, func(yield func(hypercore.Key, multifeed.Admission) bool) {
		for i := range feeds {
			if !yield(feeds[i].Key, multifeed.Admission{}) {
				return
			}
		}
	})
	if err != nil {
		return err
	}
	for batch := range slices.Chunk(feeds, setBatch) {
		if err := st.Commit(&hypercore.Batch{Feeds: batch}); err != nil {
			return err
		}
	}
	return nil
}

// signedFeeds returns feeds of one block each, number first and those after it,
// made on all processors.
func signedFeeds(first, count int) []hypercore.FeedWrite {
	feeds := make([]hypercore.FeedWrite, count)
	workers := runtime.GOMAXPROCS(0)
	var wg sync.WaitGroup
	for w := range workers {
		wg.Go(func() {
			for i := w; i < count; i += workers {
				feeds[i] = signedFeed(first + i)
			}
		})
	}
	wg.Wait()
	return feeds
}

func signedFeed(n int) hypercore.FeedWrite {
	pair := pairOf(n)
	block := binary.BigEndian.AppendUint64(make([]byte, 0, setBlock), uint64(n))[:setBlock]
	var roots merkle.Roots
	nodes := roots.Append(merkle.Leaf(0, block), nil)
	head := hypercore.Head{Length: 1, Size: roots.Size(), RootHash: roots.Hash()}
	head.Signature = pair.Sign(hypercore.Signable(head.RootHash, head.Length))
	return hypercore.FeedWrite{
		Key: pair.Public, Head: &head, Nodes: nodes,
		Runs: []hypercore.Run{{Blocks: [][]byte{block}}},
	}
}

// openSet opens the store and the space.
func openSet(_ context.Context, t task, m *meter) error {
	return withSet(t, m, func(*storage.Store) error { return nil })
}

// listSet opens the store and the space and reads the head of every feed.
func listSet(ctx context.Context, t task, m *meter) error {
	return withSet(t, m, func(st *storage.Store) error {
		count := 0
		for f, err := range st.Feeds() {
			if err != nil {
				return err
			}
			if f.Head.Length != 1 {
				return fmt.Errorf("feed %s has %d blocks, want 1", f.Key.Discovery(), f.Head.Length)
			}
			count++
		}
		if count != t.Feeds {
			return fmt.Errorf("the store has %d feeds, want %d", count, t.Feeds)
		}
		return ctx.Err()
	})
}

// withSet measures how long the store and the space take to open and then what
// visit does.
func withSet(t task, m *meter, visit func(*storage.Store) error) error {
	m.start()
	st, err := storage.Open(filepath.Join(t.Dir, storeName))
	if err != nil {
		return err
	}
	defer st.Close()
	space, closeSpace, err := openSpace(st, t.Feeds)
	if err != nil {
		return err
	}
	defer closeSpace()
	if n := space.Len(); n != t.Feeds {
		return fmt.Errorf("the space has %d feeds, want %d", n, t.Feeds)
	}
	if err := visit(st); err != nil {
		return err
	}
	return m.stop(t.Feeds, nil)
}
