package hypercore

import (
	"errors"
	"iter"

	"github.com/cobox-p2p/cobox-p2p/hypercore/merkle"
)

// Errors of every Storage.
var (
	ErrNoFeed   = errors.New("hypercore: feed not stored")
	ErrNoBlock  = errors.New("hypercore: block not stored")
	ErrNoRecord = errors.New("hypercore: record not stored")
	ErrClosed   = errors.New("hypercore: closed")
	// ErrStorageFailed wraps what a failed write or sync left behind: the
	// store takes no further writes until it is opened again.
	ErrStorageFailed = errors.New("hypercore: storage failed earlier, reopen it")
)

// Span is the blocks Start to Start+Count-1.
type Span struct{ Start, Count uint64 }

// End returns the number of the first block behind the span.
func (s Span) End() uint64 { return s.Start + s.Count }

// Head is the signed end of a feed. The zero Head is that of an empty feed.
type Head struct {
	Length    uint64 // blocks
	Size      uint64 // bytes of all blocks
	RootHash  merkle.Hash
	Signature Signature // over root hash and length; see Signable
}

// StoredFeed is what a store tells of a feed without opening it.
type StoredFeed struct {
	Key    Key
	Head   Head
	Blocks uint64 // blocks held
	Bytes  uint64 // bytes of the blocks held
}

// Storage holds all feeds of a node, and small records beside them. All methods
// may be called from several goroutines at once. Slices that it returns belong
// to the caller; slices given to it are not kept after the call.
//
// Reads see every batch whose Commit returned, durable or not. What the disk
// gives back is checked as far as the store can: a read of something that isn't
// what was written returns an error that wraps ErrDamaged.
type Storage interface {
	// Feeds yields every stored feed in ascending order of its key.
	Feeds() iter.Seq2[StoredFeed, error]
	// Feed returns one feed or ErrNoFeed.
	Feed(key Key) (StoredFeed, error)
	// Held yields the blocks held as ascending spans that do not touch.
	Held(key Key) iter.Seq2[Span, error]
	// Node returns a stored tree node, or merkle.ErrNoNode.
	Node(key Key, index uint64) (merkle.Node, error)
	// Blocks returns span.Count blocks from span.Start on, read together. It
	// returns ErrNoBlock when any of them is not held.
	Blocks(key Key, span Span) ([][]byte, error)
	// Record returns the value of a record or ErrNoRecord.
	Record(key []byte) ([]byte, error)
	// Records yields the records whose key begins with prefix, in ascending
	// order of their keys.
	Records(prefix []byte) iter.Seq2[Record, error]
	// Commit applies the whole batch or nothing of it. When it returns nil, the
	// batch can be read; it is durable when its Durable is called.
	Commit(b *Batch) error
	// Close makes everything durable, calls what Durable functions are left and
	// releases the store. It may be called twice.
	Close() error
}

// Record is a small value under a key of its owner's choice. A nil Value
// deletes the record.
type Record struct{ Key, Value []byte }

// Run is blocks that follow each other from Start on.
type Run struct {
	Start  uint64
	Blocks [][]byte
}

// Span returns the numbers of the blocks.
func (r Run) Span() Span { return Span{r.Start, uint64(len(r.Blocks))} }

// FeedWrite is the part of a batch that concerns one feed. Writing to a feed
// that is not stored creates it. Its parts are applied in the order Truncate,
// Clear, Nodes, Runs, Head. Writing a block or a node that is held already
// changes nothing or replaces it; by the tree's rules both are then the same. To
// replace a damaged block, a write clears it as well.
type FeedWrite struct {
	Key   Key
	Head  *Head // nil leaves the head as it is
	Nodes []merkle.Node
	Runs  []Run
	// Anchor is nodes that are held already: with them, Nodes and the blocks of
	// Runs lead up to the roots of Head. A store may keep them beside long runs,
	// so that what lies there can be verified when its index is lost.
	Anchor []merkle.Node
	// Clear removes blocks and gives their space back. Nodes stay.
	Clear []Span
	// Truncate removes all blocks and nodes that don't belong to the first
	// Head.Length blocks. It needs Head.
	Truncate bool
	// Drop removes the feed with all of its blocks, nodes and head and gives the
	// space back; the other fields are then ignored.
	Drop bool
}

// Batch is a set of changes that a Storage applies whole or not at all.
type Batch struct {
	Feeds   []FeedWrite
	Records []Record
	// Urgent says that somebody waits for durability: the store syncs at once,
	// in company of others that wait. Else it may take its time, a few hundred
	// milliseconds or some MiB, and sync many batches together.
	Urgent bool
	// Durable, if set, is called exactly once for a batch whose Commit returned
	// nil: with nil when the batch and all before it would outlive a power cut,
	// with an error when that can't be reached any more. It may be called before
	// Commit returns and must not block or call the store. Calls come in the
	// order of the commits.
	Durable func(error)
}
