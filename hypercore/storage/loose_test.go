package storage_test

import (
	"bytes"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cockroachdb/pebble/v2/vfs/errorfs"

	"github.com/cobox-p2p/cobox-p2p/hypercore"
	"github.com/cobox-p2p/cobox-p2p/hypercore/storage"
)

// syncCount counts the syncs of data files and of the log.
type syncCount struct {
	mu         sync.Mutex // guards both
	data, logs int
}

func (c *syncCount) String() string { return "syncCount" }

// MaybeError implements errorfs.Injector.
func (c *syncCount) MaybeError(op errorfs.Op) error {
	if !isSync(op) {
		return nil
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case strings.HasSuffix(op.Path, ".blocks"):
		c.data++
	case isLog(op):
		c.logs++
	}
	return nil
}

func (c *syncCount) take() (data, logs int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	data, logs = c.data, c.logs
	c.data, c.logs = 0, 0
	return data, logs
}

// TestLooseRuns commits runs for which nobody waits. They are readable at once,
// and share one sync of each data file, in front of that of the log, when the
// delay is over, when there are many bytes, or with an urgent batch. Durable is
// called after both.
func TestLooseRuns(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		count := new(syncCount)
		s, err := storage.Open("store", storage.WithFS(errorfs.Wrap(vfs.NewMem(), count)))
		if err != nil {
			t.Fatal(err)
		}
		defer s.Close()
		next := [2]int{}
		var durable atomic.Int64
		content := randomRun(0, 1, storage.SyncBytes/16).Blocks[0]
		commit := func(feed, count, size int, urgent bool) {
			t.Helper()
			run := hypercore.Run{Start: uint64(next[feed])}
			for range count {
				run.Blocks = append(run.Blocks, content[:size])
			}
			key := hypercore.Key{byte(feed)}
			next[feed] += count
			err := s.Commit(&hypercore.Batch{
				Feeds: []hypercore.FeedWrite{{Key: key, Runs: []hypercore.Run{run}}}, Urgent: urgent,
				Durable: func(err error) {
					if err != nil {
						t.Error(err)
					}
					durable.Add(1)
				},
			})
			if err != nil {
				t.Fatal(err)
			}
			got, err := s.Blocks(key, run.Span())
			if err != nil || !bytes.Equal(got[count-1], run.Blocks[count-1]) {
				t.Fatalf("blocks are not readable at once: %v", err)
			}
		}
		expect := func(when string, batches, data, logs int) {
			t.Helper()
			synctest.Wait()
			d, l := count.take()
			if n := int(durable.Swap(0)); n != batches || d != data || l != logs {
				t.Fatalf("%s: %d batches durable, %d syncs of data files, %d of the log, want %d, %d, %d",
					when, n, d, l, batches, data, logs)
			}
		}
		synctest.Wait()
		count.take()
		for range 20 {
			commit(0, 1, storage.LooseRunBytes, false)
			commit(1, 1024, 100, false)
		}
		expect("before the delay", 0, 0, 0)
		time.Sleep(storage.SyncDelay)
		expect("after the delay", 40, 2, 1)
		for range 3 {
			commit(0, 1, storage.LooseRunBytes, false)
		}
		commit(1, 1, 10, true)
		expect("with an urgent batch", 4, 1, 1)
		commit(0, 1, storage.LooseRunBytes-1, false)
		time.Sleep(storage.SyncDelay)
		expect("of a run that is not long", 1, 0, 1)
		for range 3 {
			commit(0, 8, storage.SyncBytes/16, false)
		}
		expect("after many bytes", 2, 1, 1)
		time.Sleep(storage.SyncDelay)
		expect("and the rest", 1, 1, 1)
	})
}

// TestManyLooseFiles commits runs to more feeds than may wait for a sync
// together.
func TestManyLooseFiles(t *testing.T) {
	disk := vfs.NewCrashableMem()
	s := openStore(t, "store", disk)
	var batch hypercore.Batch
	run := randomRun(0, 1, storage.LooseRunBytes)
	for i := range 200 {
		w := hypercore.FeedWrite{Key: hypercore.Key{byte(i), 1}, Runs: []hypercore.Run{run}}
		if i%2 == 0 {
			batch.Feeds = append(batch.Feeds, w)
		} else if err := s.Commit(&hypercore.Batch{Feeds: []hypercore.FeedWrite{w}}); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.Commit(&batch); err != nil {
		t.Fatal(err)
	}
	commitSwept(t, s)
	left := openStore(t, "store", disk.CrashClone(vfs.CrashCloneCfg{}))
	for i := range 200 {
		got, err := left.Blocks(hypercore.Key{byte(i), 1}, run.Span())
		if err != nil || !bytes.Equal(got[0], run.Blocks[0]) {
			t.Fatalf("feed %d: %v", i, err)
		}
	}
}
