package main

import (
	"context"
	"path/filepath"

	"github.com/cobox-p2p/cobox-p2p/hypercore"
	"github.com/cobox-p2p/cobox-p2p/hypercore/corestore"
	"github.com/cobox-p2p/cobox-p2p/hypercore/storage"
	"github.com/cobox-p2p/cobox-p2p/multifeed"
)

// spaceSecret is that of the space which is replicated. It is a signed one, as
// new spaces are: each feed has an admission to be checked.
var spaceSecret = multifeed.Secret{'b', 'e', 'n', 'c', 'h'}

// makeSpace makes a store with feeds of the space: one of many blocks, or many of
// one block each, of which the first ones may get one more.
func makeSpace(ctx context.Context, t task, m *meter) error {
	st, err := storage.Open(filepath.Join(t.Dir, storeName))
	if err != nil {
		return err
	}
	defer st.Close()
	m.start()
	if t.Feeds == 1 {
		err = makeLong(ctx, t, st)
	} else {
		err = makeMany(ctx, t, st)
	}
	for i := 0; i < t.Changed && err == nil; i++ {
		err = appendTo(ctx, st, i, [][]byte{make([]byte, setBlock)})
	}
	if err != nil {
		return err
	}
	return m.stop(t.Feeds*t.Blocks+t.Changed, nil)
}

// makeLong makes one feed of all blocks.
func makeLong(ctx context.Context, t task, st *storage.Store) error {
	pool := newPool(t)
	pair := pairOf(0)
	if err := admit(ctx, st, 1, []hypercore.FeedWrite{{Key: pair.Public}}); err != nil {
		return err
	}
	f, err := hypercore.Open(st, pair.Public, pair)
	if err != nil {
		return err
	}
	_, err = f.AppendSeq(ctx, poolSeq(pool, t.Blocks))
	return err
}

// makeMany makes feeds of one block, each with its admission.
func makeMany(ctx context.Context, t task, st *storage.Store) error {
	for first := 0; first < t.Feeds; first += setPortion {
		count := min(setPortion, t.Feeds-first)
		feeds := signedFeeds(first, count)
		if err := admit(ctx, st, first+count, feeds); err != nil {
			return err
		}
		for n := 0; n < count; n += setBatch {
			if err := st.Commit(&hypercore.Batch{Feeds: feeds[n:min(n+setBatch, count)]}); err != nil {
				return err
			}
		}
	}
	return nil
}

// admit adds feeds to the space, which has count of them then.
func admit(ctx context.Context, st *storage.Store, count int, feeds []hypercore.FeedWrite) error {
	store := corestore.New(st, corestore.MasterKey{1})
	defer store.Close()
	space, err := multifeed.Open(store, spaceSecret.Address(),
		multifeed.WithSecret(spaceSecret), multifeed.WithMaxFeeds(max(count, multifeed.MaxFeeds)))
	if err != nil {
		return err
	}
	defer space.Close()
	_, err = space.AddAll(ctx, func(yield func(hypercore.Key, multifeed.Admission) bool) {
		for i := range feeds {
			if !yield(feeds[i].Key, spaceSecret.Admit(feeds[i].Key)) {
				return
			}
		}
	})
	return err
}

// appendTo appends blocks to the n-th feed.
func appendTo(ctx context.Context, st *storage.Store, n int, blocks [][]byte) error {
	pair := pairOf(n)
	f, err := hypercore.Open(st, pair.Public, pair)
	if err != nil {
		return err
	}
	_, err = f.Append(ctx, blocks...)
	return err
}
