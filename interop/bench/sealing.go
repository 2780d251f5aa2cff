package main

import (
	"context"
	"runtime"
	"sync"
	"sync/atomic"

	"github.com/cobox-p2p/cobox-p2p/hypercore"
	"github.com/cobox-p2p/cobox-p2p/hypercore/merkle"
)

// sealShare is how many blocks a goroutine takes at a time.
const sealShare = 16

// sealAndHash seals all blocks and hashes the tree over them on all processors,
// and keeps nothing of it: what an encrypted append costs without a store.
func sealAndHash(ctx context.Context, t task, m *meter) error {
	pool := newPool(t)
	seal := hypercore.NewSeal([32]byte{1, 2, 3})
	leaves := make([]merkle.Node, t.Blocks)
	var next atomic.Int64
	m.start()
	var wg sync.WaitGroup
	for range runtime.GOMAXPROCS(0) {
		wg.Go(func() {
			buf := make([]byte, 0, t.Size+hypercore.SealOverhead)
			for ctx.Err() == nil {
				first := int(next.Add(sealShare)) - sealShare
				if first >= t.Blocks {
					return
				}
				for i := first; i < min(first+sealShare, t.Blocks); i++ {
					leaves[i] = merkle.Leaf(uint64(i), seal.Seal(buf, pool[i%len(pool)]))
				}
			}
		})
	}
	wg.Wait()
	var roots merkle.Roots
	var nodes []merkle.Node
	for _, leaf := range leaves {
		nodes = roots.Append(leaf, nodes[:0])
	}
	pair := pairOf(0)
	pair.Sign(hypercore.Signable(roots.Hash(), roots.Length()))
	if err := ctx.Err(); err != nil {
		return err
	}
	return m.stop(t.Blocks, nil)
}
