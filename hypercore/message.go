package hypercore

import "github.com/cobox-p2p/cobox-p2p/hypercore/merkle"

// Message is one message on a feed's channel: one of the pointer types below.
// Fields and meanings are those of hypercore-protocol 8. A nil []byte is an
// absent field, an empty one a present field without content.
type Message interface{ message() }

type (
	// Options names the channel's extensions, sorted, and asks for acks.
	Options struct {
		Extensions []string
		Ack        bool
	}
	// Status says what the sender does on the channel. Both are true until said
	// otherwise.
	Status struct{ Uploading, Downloading bool }
	// Have says that the sender holds blocks: Length from Start on, or those of
	// Bitfield (run-length encoded, first bit is Start) in that range.
	Have struct {
		Start, Length uint64 // Length 1 when absent
		Bitfield      []byte
		Ack           bool
	}
	// Unhave takes a Have back.
	Unhave struct{ Start, Length uint64 } // Length 1 when absent
	// Want asks for a Have of the range and for news of it. Both are multiples
	// of 8192.
	Want struct{ Start, Length uint64 }
	// Unwant ends a Want.
	Unwant struct{ Start, Length uint64 }
	// Request asks for the block Index, or for its hash only. Nodes is a digest
	// of the tree nodes that the sender holds; see merkle.Digest.
	Request struct {
		Index uint64
		Bytes uint64 // seek: ask for the block at this byte instead of Index
		Hash  bool
		Nodes uint64
	}
	// Cancel takes a Request back, and without Hash a RangeRequest that starts at
	// Index.
	Cancel struct {
		Index, Bytes uint64
		Hash         bool
	}
	// Data answers a Request. Value is nil in the answer to a Request for a
	// hash, and empty for an empty block.
	Data struct {
		Index     uint64
		Value     []byte
		Nodes     []merkle.Node
		Signature []byte
	}
	// RangeRequest asks for Count blocks from Start on under one proof, where both
	// sides have the range feature. See interop/spec/feed.md, "Ranges".
	RangeRequest struct {
		Start, Count uint64
		Length       uint64 // of the sender's head
		Left, Right  uint64 // digests of the first and the last block; see merkle.RangeEdges
		Urgent       bool   // somebody waits: it is answered before those that are not
	}
	// RangeData answers a RangeRequest with one block or more from Start on, which
	// Nodes prove. An empty block may be nil.
	RangeData struct {
		Start     uint64
		Blocks    [][]byte
		Nodes     []merkle.Node
		Length    uint64 // of the tree in whose roots the proof ends; 0: it ends at nodes that the asker holds
		Signature []byte // of Length blocks; nil when that is 0
	}
	// Extension is a message of an application extension. ID is the place of
	// its name in the sender's Options.
	Extension struct {
		ID      uint64
		Payload []byte
	}
)

func (*Options) message()      {}
func (*Status) message()       {}
func (*Have) message()         {}
func (*Unhave) message()       {}
func (*Want) message()         {}
func (*Unwant) message()       {}
func (*Request) message()      {}
func (*Cancel) message()       {}
func (*Data) message()         {}
func (*RangeRequest) message() {}
func (*RangeData) message()    {}
func (*Extension) message()    {}
