package storage_test

import (
	"errors"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/cobox-p2p/cobox-p2p/hypercore"
	"github.com/cobox-p2p/cobox-p2p/hypercore/merkle"
	"github.com/cobox-p2p/cobox-p2p/hypercore/storage"
)

// TestLimits commits a batch at each limit and one just above it.
func TestLimits(t *testing.T) {
	feed := func(w hypercore.FeedWrite) *hypercore.Batch {
		w.Key = hypercore.Key{7}
		return &hypercore.Batch{Feeds: []hypercore.FeedWrite{w}}
	}
	runs := func(start uint64, blocks ...[]byte) *hypercore.Batch {
		return feed(hypercore.FeedWrite{Runs: []hypercore.Run{{Start: start, Blocks: blocks}}})
	}
	record := func(key, value int) *hypercore.Batch {
		return &hypercore.Batch{Records: []hypercore.Record{{Key: make([]byte, key), Value: make([]byte, value)}}}
	}
	shared := make([]byte, storage.MaxBlock) // one buffer many times: only its length counts
	many := func(rest int) *hypercore.Batch {
		blocks := make([][]byte, storage.MaxBatch/storage.MaxBlock, storage.MaxBatch/storage.MaxBlock+1)
		for i := range blocks {
			blocks[i] = shared
		}
		return runs(0, append(blocks, shared[:rest])...)
	}
	for _, test := range []struct {
		name      string
		good, bad *hypercore.Batch
	}{
		{"block", runs(0, shared), runs(0, make([]byte, storage.MaxBlock+1))},
		{"run", runs(0, make([][]byte, storage.MaxRun)...), runs(0, make([][]byte, storage.MaxRun+1)...)},
		{"seq", runs(storage.MaxSeq-2, []byte{1}, []byte{2}), runs(storage.MaxSeq-1, []byte{1}, []byte{2})},
		{"key", record(storage.MaxRecordKey, 1), record(storage.MaxRecordKey+1, 1)},
		{"empty key", record(1, 1), record(0, 1)},
		{"value", record(1, storage.MaxRecordValue), record(1, storage.MaxRecordValue+1)},
		{"batch", nil, many(1)},
		{"anchor", feed(hypercore.FeedWrite{Anchor: make([]merkle.Node, storage.MaxAnchor)}), feed(hypercore.FeedWrite{Anchor: make([]merkle.Node, storage.MaxAnchor+1)})},
		{"spans to clear", feed(hypercore.FeedWrite{Clear: make([]hypercore.Span, storage.MaxClear)}), feed(hypercore.FeedWrite{Clear: make([]hypercore.Span, storage.MaxClear+1)})},
		{"clear", feed(hypercore.FeedWrite{Clear: []hypercore.Span{{Start: 5, Count: storage.MaxSeq - 5}}}), feed(hypercore.FeedWrite{Clear: []hypercore.Span{{Start: 5, Count: storage.MaxSeq - 4}}})},
		{"truncate", feed(hypercore.FeedWrite{Truncate: true, Head: &hypercore.Head{Length: storage.MaxSeq}}), feed(hypercore.FeedWrite{Truncate: true, Head: &hypercore.Head{Length: storage.MaxSeq + 1}})},
		{"nodes", nil, feed(hypercore.FeedWrite{Nodes: make([]merkle.Node, storage.MaxNodes+1)})},
	} {
		for name, s := range map[string]hypercore.Storage{
			"memory": storage.NewMemory(), "disk": openStore(t, "store", vfs.NewMem()),
		} {
			t.Run(test.name+"/"+name, func(t *testing.T) {
				test.bad.Records = append(test.bad.Records, hypercore.Record{Key: []byte("mark"), Value: []byte{1}})
				if err := s.Commit(test.bad); !errors.Is(err, storage.ErrBadBatch) {
					t.Errorf("Commit above the limit = %v, want ErrBadBatch", err)
				}
				for range s.Feeds() {
					t.Error("a refused batch made a feed")
				}
				for range s.Records(nil) {
					t.Error("a refused batch made a record")
				}
				if test.name == "run" && name == "memory" && !soak {
					return // takes seconds, and has no limit of its own
				}
				if test.good != nil {
					if err := s.Commit(test.good); err != nil {
						t.Errorf("Commit at the limit: %v", err)
					}
				}
				if err := s.Close(); err != nil {
					t.Error(err)
				}
			})
		}
	}
}
