package wire

import (
	"bytes"
	"encoding/hex"
	"io"
	"math"
	"reflect"
	"slices"
	"testing"

	"github.com/cobox-p2p/cobox-p2p/hypercore"
	"github.com/cobox-p2p/cobox-p2p/hypercore/merkle"
)

// The bytes of ranges, each frame on channel 1.
var rangeFrames = []struct {
	frame   string
	message Message
}{
	{"051b08001001", &hypercore.RangeRequest{Count: 1}},
	{"0e1b084010ac021864204d28013001", &hypercore.RangeRequest{Start: 64, Count: 300, Length: 100, Left: 77, Right: 1, Urgent: true}},
	{"081c08401201611200", &hypercore.RangeData{Start: 64, Blocks: [][]byte{[]byte("a"), {}}}},
	{
		"721c0800120162" +
			"1a260802122007070707070707070707070707070707070707070707070707070707070707071809" +
			"2002" + "2a40" + hex.EncodeToString(bytes.Repeat([]byte{5}, 64)),
		&hypercore.RangeData{
			Blocks: [][]byte{[]byte("b")}, Nodes: []merkle.Node{{Index: 2, Hash: merkle.Hash(hash32), Size: 9}},
			Length: 2, Signature: bytes.Repeat([]byte{5}, 64),
		},
	},
}

func TestRangeFrames(t *testing.T) {
	for i, tt := range rangeFrames {
		got, err := AppendFrame(nil, 1, tt.message)
		if err != nil || hex.EncodeToString(got) != tt.frame {
			t.Errorf("row %d: encoded %x, %v, want %s", i, got, err, tt.frame)
			continue
		}
		m, err := Decode(readOne(t, got))
		if err != nil || !reflect.DeepEqual(m, tt.message) {
			t.Errorf("row %d: decoded %+v, %v, want %+v", i, m, err, tt.message)
		}
	}
}

func TestRangesAtTheirLimits(t *testing.T) {
	seq, block := field(1, uint64(4)), field(2, []byte{})
	full := repeated(MaxRangeBlocks, block)
	node := merkle.Node{Index: 2, Hash: merkle.Hash(hash32), Size: 9}
	for i, tt := range []struct {
		typ  byte
		body []byte
		want Message
	}{
		{TypeRangeRequest, slices.Concat(field(1, uint64(MaxSafe)), field(2, uint64(MaxSafe)), field(3, uint64(MaxSafe)), field(4, uint64(MaxSafe)), field(5, uint64(MaxSafe)), field(6, uint64(math.MaxUint64))),
			&hypercore.RangeRequest{Start: MaxSafe, Count: MaxSafe, Length: MaxSafe, Left: MaxSafe, Right: MaxSafe, Urgent: true}},
		{TypeRangeData, slices.Concat(full, seq), &hypercore.RangeData{Start: 4, Blocks: slices.Repeat([][]byte{{}}, MaxRangeBlocks)}},
		{TypeRangeData, slices.Concat(seq, block, repeated(MaxRangeNodes, field(3, plainNode))),
			&hypercore.RangeData{Start: 4, Blocks: [][]byte{{}}, Nodes: slices.Repeat([]merkle.Node{node}, MaxRangeNodes)}},
		{TypeRangeData, slices.Concat(seq, block, field(4, uint64(MaxSafe))), &hypercore.RangeData{Start: 4, Blocks: [][]byte{{}}, Length: MaxSafe}},
	} {
		got, err := Decode(Frame{Type: tt.typ, Body: tt.body})
		if err != nil || !reflect.DeepEqual(got, tt.want) {
			t.Errorf("row %d: %.200v, %v, want %.200v", i, got, err, tt.want)
			continue
		}
		checkRoundTrip(t, tt.want)
	}
}

func TestRangesRefused(t *testing.T) {
	seq, block, over := field(1, uint64(4)), field(2, []byte("b")), uint64(MaxSafe+1)
	for i, tt := range []struct {
		typ         byte
		name, field string
		body        []byte
	}{
		{TypeRangeRequest, "RangeRequest", "start", field(2, uint64(1))},
		{TypeRangeRequest, "RangeRequest", "count", seq},
		{TypeRangeRequest, "RangeRequest", "count", slices.Concat(seq, field(2, uint64(0)))},
		{TypeRangeRequest, "RangeRequest", "count", slices.Concat(seq, field(2, over))},
		{TypeRangeRequest, "RangeRequest", "length", slices.Concat(seq, field(2, uint64(1)), field(3, over))},
		{TypeRangeRequest, "RangeRequest", "left", slices.Concat(seq, field(2, uint64(1)), field(4, over))},
		{TypeRangeRequest, "RangeRequest", "right", slices.Concat(seq, field(2, uint64(1)), field(5, over))},
		{TypeRangeRequest, "RangeRequest", "urgent", slices.Concat(seq, field(2, uint64(1)), field(6, []byte{1}))},
		{TypeRangeData, "RangeData", "start", block},
		{TypeRangeData, "RangeData", "block", seq},
		{TypeRangeData, "RangeData", "block", slices.Concat(seq, field(2, uint64(1)))},
		{TypeRangeData, "RangeData", "block", slices.Concat(seq, repeated(MaxRangeBlocks+1, field(2, []byte{})))},
		{TypeRangeData, "RangeData", "nodes", slices.Concat(seq, block, repeated(MaxRangeNodes+1, field(3, plainNode)))},
		{TypeRangeData, "RangeData", "length", slices.Concat(seq, block, field(4, over))},
		{TypeRangeData, "RangeData", "signature", slices.Concat(seq, block, field(5, make([]byte, 63)))},
		{TypeRangeData, "RangeData", "signature", slices.Concat(seq, block, field(5, make([]byte, 65)))},
	} {
		m, err := Decode(Frame{Type: tt.typ, Body: tt.body})
		if m != nil {
			t.Errorf("row %d: decoded %.200v", i, m)
		}
		wantFormat(t, err, tt.name, tt.field)
	}
	for i, m := range []Message{
		&hypercore.RangeRequest{},
		&hypercore.RangeRequest{Count: MaxSafe + 1},
		&hypercore.RangeData{},
		&hypercore.RangeData{Blocks: make([][]byte, MaxRangeBlocks+1)},
		&hypercore.RangeData{Blocks: make([][]byte, 1), Nodes: make([]merkle.Node, MaxRangeNodes+1)},
		&hypercore.RangeData{Blocks: make([][]byte, 1), Signature: make([]byte, 63)},
		&hypercore.RangeData{Blocks: [][]byte{make([]byte, MaxFrame)}},
	} {
		if got, err := AppendFrame([]byte("before"), 1, m); err == nil || string(got) != "before" {
			t.Errorf("message %d: %d bytes, %v, want an error and dst alone", i, len(got), err)
		}
	}
}

// A body of nothing but blocks and tags costs memory in proportion.
func TestRangeDecodeMemory(t *testing.T) {
	body := slices.Concat(field(1, uint64(1)), repeated(MaxRangeBlocks, field(2, []byte{})))
	got := allocated(func() {
		if _, err := Decode(Frame{Type: TypeRangeData, Body: body}); err != nil {
			t.Fatal(err)
		}
	})
	if limit := uint64(2 * MaxRangeBlocks * 24); got > limit {
		t.Errorf("%d bytes cost %d, want at most %d", len(body), got, limit)
	}
}

// Bodies that are read into recycled buffers are as they were sent, and a frame
// that is announced and doesn't come takes none.
func TestRangeBodiesAreRecycled(t *testing.T) {
	for _, size := range []int{smallFrame, pooledFrom - 1, pooledFrom, pooledFrom + 1, rangeBody, rangeBody + 1} {
		var stream []byte
		for i := range 4 {
			stream = append(stream, rawFrame(0x1c, bytes.Repeat([]byte{byte(i + 1)}, size))...)
		}
		r := NewReader(bytes.NewReader(stream), MaxFrame)
		for i := range 4 {
			f, err := r.ReadFrame()
			if err != nil || !bytes.Equal(f.Body, bytes.Repeat([]byte{byte(i + 1)}, size)) {
				t.Fatalf("frame %d of %d bytes: %d bytes, %v", i, size, len(f.Body), err)
			}
			Recycle(f.Body)
		}
	}
	for rangeBuffers.Get() != nil {
	}
	head := rawFrame(0x1c, make([]byte, rangeBody))[:pooledFrom]
	got := allocated(func() {
		if _, err := NewReader(bytes.NewReader(head), MaxFrame).ReadFrame(); err != io.ErrUnexpectedEOF {
			t.Fatal(err)
		}
	})
	if limit := uint64(pooledFrom + 2*maxChunk); got > limit {
		t.Errorf("a frame that did not come cost %d bytes, want at most %d", got, limit)
	}
}
