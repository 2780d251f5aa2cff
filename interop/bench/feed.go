package main

import (
	"context"
	"fmt"
	"iter"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"github.com/cobox-p2p/cobox-p2p/hypercore"
	"github.com/cobox-p2p/cobox-p2p/hypercore/storage"
)

// storeName is the folder of the store below a task's folder.
const storeName = "store"

// pairOf returns the key pair of the n-th feed.
func pairOf(n int) hypercore.KeyPair {
	return hypercore.NewKeyPair([hypercore.SeedSize]byte{'b', 'e', 'n', 'c', 'h', byte(n), byte(n >> 8), byte(n >> 16)})
}

// openFeeds opens the store of a task with count feeds to write, encrypted if the
// task says so.
func openFeeds(t task, count int) (*storage.Store, []*hypercore.Feed, error) {
	st, err := storage.Open(filepath.Join(t.Dir, storeName))
	if err != nil {
		return nil, nil, err
	}
	feeds := make([]*hypercore.Feed, count)
	for i := range feeds {
		pair := pairOf(i)
		if feeds[i], err = hypercore.Open(st, pair.Public, pair); err != nil {
			st.Close()
			return nil, nil, err
		}
		if t.Seal {
			feeds[i] = feeds[i].WithSeal(hypercore.NewSeal([32]byte{1, 2, 3}))
		}
	}
	return st, feeds, nil
}

// appendFeed appends blocks to one feed: all as one stream, which is durable at
// the end, or batch by batch, each of which is durable before the next.
func appendFeed(ctx context.Context, t task, m *meter) error {
	pool := newPool(t)
	st, feeds, err := openFeeds(t, 1)
	if err != nil {
		return err
	}
	defer st.Close()
	m.start()
	if t.Batch == 0 {
		_, err = feeds[0].AppendSeq(ctx, poolSeq(pool, t.Blocks))
	} else {
		err = appendBatches(ctx, t, feeds[0], pool)
	}
	if err != nil {
		return err
	}
	if length := feeds[0].DurableHead().Length; length != uint64(t.Blocks) {
		return fmt.Errorf("%d blocks are durable, want %d", length, t.Blocks)
	}
	return m.stop(t.Blocks, nil)
}

// poolSeq yields count blocks.
func poolSeq(pool [][]byte, count int) iter.Seq2[[]byte, error] {
	return func(yield func([]byte, error) bool) {
		for i := range count {
			if !yield(pool[i%len(pool)], nil) {
				return
			}
		}
	}
}

func appendBatches(ctx context.Context, t task, f *hypercore.Feed, pool [][]byte) error {
	batch := make([][]byte, 0, t.Batch)
	for i := 0; i < t.Blocks; i += len(batch) {
		batch = batch[:0]
		for k := i; k < min(i+t.Batch, t.Blocks); k++ {
			batch = append(batch, pool[k%len(pool)])
		}
		if _, err := f.Append(ctx, batch...); err != nil {
			return err
		}
	}
	return nil
}

// appendEach appends blocks one by one from many goroutines, each of which waits
// until its block is durable. They share one feed, or as many as the task says.
func appendEach(ctx context.Context, t task, m *meter) error {
	pool := newPool(t)
	st, feeds, err := openFeeds(t, t.Feeds)
	if err != nil {
		return err
	}
	defer st.Close()
	took := make([][]time.Duration, t.Goroutines)
	errs := make([]error, t.Goroutines)
	for g := range took {
		took[g] = make([]time.Duration, 0, t.Blocks/t.Goroutines+1)
	}
	m.start()
	var wg sync.WaitGroup
	for g := range t.Goroutines {
		wg.Go(func() {
			f := feeds[g%len(feeds)]
			for i := g; i < t.Blocks; i += t.Goroutines {
				begun := time.Now()
				if _, errs[g] = f.Append(ctx, pool[i%len(pool)]); errs[g] != nil {
					return
				}
				took[g] = append(took[g], time.Since(begun))
			}
		})
	}
	wg.Wait()
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return m.stop(t.Blocks, latencyOf(slices.Concat(took...)))
}

// latencyOf sorts what it is given.
func latencyOf(took []time.Duration) *latency {
	if len(took) == 0 {
		return nil
	}
	slices.Sort(took)
	ms := func(part float64) float64 {
		return float64(took[int(part*float64(len(took)-1))]) / float64(time.Millisecond)
	}
	return &latency{P50: ms(0.5), P99: ms(0.99), Max: ms(1)}
}

// readFeed reads single blocks of a stored feed.
func readFeed(ctx context.Context, t task, m *meter) error {
	order, err := readOrder(t.Dir)
	if err != nil {
		return err
	}
	st, feeds, err := openFeeds(t, 1)
	if err != nil {
		return err
	}
	defer st.Close()
	return readAll(t, m, order, func(seq int) error {
		b, err := feeds[0].Get(ctx, uint64(seq))
		if err == nil && len(b) != t.Size {
			err = fmt.Errorf("block %d has %d bytes, want %d", seq, len(b), t.Size)
		}
		return err
	})
}
