package wire

import (
	"bytes"
	"math"
	"reflect"
	"slices"
	"strings"
	"testing"

	"google.golang.org/protobuf/encoding/protowire"

	"github.com/cobox-p2p/cobox-p2p/hypercore"
	"github.com/cobox-p2p/cobox-p2p/hypercore/merkle"
)

// field returns a field of bytes, or of a varint.
func field[V uint64 | []byte](num protowire.Number, v V) []byte {
	switch v := any(v).(type) {
	case uint64:
		return protowire.AppendVarint(protowire.AppendTag(nil, num, protowire.VarintType), v)
	case []byte:
		return protowire.AppendBytes(protowire.AppendTag(nil, num, protowire.BytesType), v)
	}
	panic("unreachable")
}

func repeated(n int, b []byte) []byte { return bytes.Repeat(b, n) }

var (
	hash32    = bytes.Repeat([]byte{7}, 32)
	plainNode = slices.Concat(field(1, uint64(2)), field(2, hash32), field(3, uint64(9)))
)

// Each row is a body just at a limit, or allowed though unusual.
func TestDecodeAccepts(t *testing.T) {
	key := hypercore.DiscoveryKey(hash32)
	name := strings.Repeat("n", MaxExtensionName)
	node := merkle.Node{Index: 2, Hash: merkle.Hash(hash32), Size: 9}
	seq := field(1, uint64(4))
	tests := []struct {
		typ  byte
		body []byte
		want Message
	}{
		{TypeOpen, field(1, hash32), &Open{DiscoveryKey: key}},
		{TypeOpen, slices.Concat(field(2, hash32), field(1, hash32)), &Open{key, hash32}},
		{TypeClose, nil, &Close{}},
		{TypeClose, field(1, hash32), &Close{&key}},
		{TypeOptions, nil, &hypercore.Options{}},
		{TypeOptions, repeated(MaxExtensions, field(1, []byte(name))), &hypercore.Options{Extensions: slices.Repeat([]string{name}, MaxExtensions)}},
		{TypeStatus, nil, &hypercore.Status{}},
		{TypeStatus, field(2, uint64(math.MaxUint64)), &hypercore.Status{Downloading: true}},
		{TypeHave, seq, &hypercore.Have{Start: 4, Length: 1}},
		{TypeHave, slices.Concat(seq, field(2, uint64(0))), &hypercore.Have{Start: 4}},
		{TypeHave, slices.Concat(seq, field(3, []byte{})), &hypercore.Have{Start: 4, Length: 1, Bitfield: []byte{}}},
		{TypeHave, slices.Concat(seq, field(3, make([]byte, MaxBitfield))), &hypercore.Have{Start: 4, Length: 1, Bitfield: make([]byte, MaxBitfield)}},
		{TypeHave, slices.Concat(field(1, uint64(MaxSafe)), field(2, uint64(MaxSafe)), field(4, uint64(1))), &hypercore.Have{Start: MaxSafe, Length: MaxSafe, Ack: true}},
		{TypeUnhave, seq, &hypercore.Unhave{Start: 4, Length: 1}},
		{TypeWant, seq, &hypercore.Want{Start: 4}},
		{TypeUnwant, slices.Concat(seq, field(2, uint64(8))), &hypercore.Unwant{Start: 4, Length: 8}},
		{TypeRequest, slices.Concat(seq, field(2, uint64(MaxSafe)), field(4, uint64(MaxSafe))), &hypercore.Request{Index: 4, Bytes: MaxSafe, Nodes: MaxSafe}},
		{TypeCancel, slices.Concat(seq, field(3, uint64(1))), &hypercore.Cancel{Index: 4, Hash: true}},
		{TypeData, seq, &hypercore.Data{Index: 4}},
		{TypeData, slices.Concat(seq, field(2, []byte{}), field(4, make([]byte, 64))), &hypercore.Data{Index: 4, Value: []byte{}, Signature: make([]byte, 64)}},
		{TypeData, slices.Concat(seq, repeated(MaxNodes, field(3, plainNode))), &hypercore.Data{Index: 4, Nodes: slices.Repeat([]merkle.Node{node}, MaxNodes)}},
		{TypeExtension, []byte{5}, &hypercore.Extension{ID: 5, Payload: []byte{}}},
		{TypeExtension, protowire.AppendVarint(nil, MaxSafe), &hypercore.Extension{ID: MaxSafe, Payload: []byte{}}},
		// The last of several counts.
		{TypeCancel, slices.Concat(field(1, uint64(1)), field(1, uint64(2))), &hypercore.Cancel{Index: 2}},
		// Unknown fields of every wire type but groups.
		{TypeCancel, slices.Concat(field(99, uint64(1)), seq, field(7, []byte("x")), []byte{0x4d, 1, 2, 3, 4}, []byte{0x49, 1, 2, 3, 4, 5, 6, 7, 8}), &hypercore.Cancel{Index: 4}},
		{13, []byte{0xff}, &Unknown{13}},
		{14, nil, &Unknown{14}},
	}
	for i, tt := range tests {
		got, err := Decode(Frame{Type: tt.typ, Body: tt.body})
		if err != nil || !reflect.DeepEqual(got, tt.want) {
			t.Errorf("row %d: %.200v, %v, want %.200v", i, got, err, tt.want)
		}
		if _, ok := tt.want.(*Unknown); !ok {
			checkRoundTrip(t, tt.want)
		}
	}
}

// checkRoundTrip fails unless m comes back from its own frame.
func checkRoundTrip(t *testing.T, m Message) {
	t.Helper()
	b, err := AppendFrame([]byte("before"), 9, m)
	if err != nil {
		t.Fatalf("encode %.200v: %v", m, err)
	}
	f := readOne(t, bytes.TrimPrefix(b, []byte("before")))
	got, err := Decode(f)
	if err != nil || f.Channel != 9 || !reflect.DeepEqual(got, m) {
		t.Fatalf("%.200v came back as %.200v, %v", m, got, err)
	}
}

// Each row breaks one rule.
func TestDecodeRefuses(t *testing.T) {
	seq := field(1, uint64(4))
	over := uint64(MaxSafe + 1)
	nodeWith := func(fields ...[]byte) []byte { return slices.Concat(seq, field(3, slices.Concat(fields...))) }
	tests := []struct {
		typ         byte
		name, field string
		body        []byte
	}{
		{TypeOpen, "Open", "discoveryKey", nil},
		{TypeOpen, "Open", "discoveryKey", field(2, hash32)},
		{TypeOpen, "Open", "discoveryKey", field(1, make([]byte, 31))},
		{TypeOpen, "Open", "discoveryKey", field(1, make([]byte, 33))},
		{TypeOpen, "Open", "discoveryKey", field(1, uint64(1))},
		{TypeOpen, "Open", "capability", slices.Concat(field(1, hash32), field(2, []byte{}))},
		{TypeOpen, "Open", "capability", slices.Concat(field(1, hash32), field(2, make([]byte, 33)))},
		{TypeClose, "Close", "discoveryKey", field(1, []byte{})},
		{TypeOptions, "Options", "extensions", repeated(MaxExtensions+1, field(1, []byte{}))},
		{TypeOptions, "Options", "extensions", field(1, make([]byte, MaxExtensionName+1))},
		{TypeOptions, "Options", "extensions", field(1, []byte{0xff})},
		{TypeStatus, "Status", "uploading", field(1, []byte{1})},
		{TypeHave, "Have", "start", nil},
		{TypeHave, "Have", "start", field(1, over)},
		{TypeHave, "Have", "length", slices.Concat(seq, field(2, over))},
		{TypeHave, "Have", "bitfield", slices.Concat(seq, field(3, make([]byte, MaxBitfield+1)))},
		{TypeUnhave, "Unhave", "start", field(2, uint64(1))},
		{TypeWant, "Want", "length", slices.Concat(seq, field(2, over))},
		{TypeUnwant, "Unwant", "start", nil},
		{TypeRequest, "Request", "index", nil},
		{TypeRequest, "Request", "bytes", slices.Concat(seq, field(2, over))},
		{TypeRequest, "Request", "nodes", slices.Concat(seq, field(4, over))},
		{TypeCancel, "Cancel", "index", nil},
		{TypeData, "Data", "index", field(2, []byte("v"))},
		{TypeData, "Data", "index", field(1, over)},
		{TypeData, "Data", "signature", slices.Concat(seq, field(4, []byte{}))},
		{TypeData, "Data", "signature", slices.Concat(seq, field(4, make([]byte, 63)))},
		{TypeData, "Data", "signature", slices.Concat(seq, field(4, make([]byte, 65)))},
		{TypeData, "Data", "nodes", slices.Concat(seq, repeated(MaxNodes+1, field(3, plainNode)))},
		{TypeData, "Node", "index", nodeWith(field(2, hash32), field(3, uint64(1)))},
		{TypeData, "Node", "hash", nodeWith(seq, field(3, uint64(1)))},
		{TypeData, "Node", "size", nodeWith(seq, field(2, hash32))},
		{TypeData, "Node", "size", nodeWith(seq, field(2, hash32), field(3, over))},
		{TypeData, "Node", "hash", nodeWith(seq, field(2, hash32[1:]), field(3, uint64(1)))},
		{TypeExtension, "Extension", "id", nil},
		{TypeExtension, "Extension", "id", []byte{0x80}},
		{TypeExtension, "Extension", "id", protowire.AppendVarint(nil, over)},
		{TypeCancel, "Cancel", "unknown", slices.Concat(seq, []byte{0x4b, 0x4c})},
		{TypeCancel, "Cancel", "unknown", slices.Concat(seq, []byte{0x4c})},
		{TypeCancel, "Cancel", "unknown", slices.Concat(seq, []byte{0x4e})},
		{TypeCancel, "Cancel", "unknown", slices.Concat(seq, []byte{0x4a, 5, 1})},
		{TypeCancel, "Cancel", "field number", []byte{0}},
		{TypeCancel, "Cancel", "field number", []byte{0x80}},
		{TypeCancel, "Cancel", "index", []byte{0x08}},
		{TypeCancel, "Cancel", "index", []byte{0x0b}},
	}
	for i, tt := range tests {
		m, err := Decode(Frame{Type: tt.typ, Body: tt.body})
		if m != nil {
			t.Errorf("row %d: decoded %.200v", i, m)
		}
		wantFormat(t, err, tt.name, tt.field)
	}
}

func TestEncodeRefuses(t *testing.T) {
	tests := []Message{
		&Open{Capability: []byte{}},
		&Open{Capability: make([]byte, 31)},
		&hypercore.Options{Extensions: make([]string, MaxExtensions+1)},
		&hypercore.Options{Extensions: []string{strings.Repeat("n", MaxExtensionName+1)}},
		&hypercore.Options{Extensions: []string{"\xff"}},
		&hypercore.Have{Start: MaxSafe + 1, Length: 1},
		&hypercore.Have{Length: 1, Bitfield: make([]byte, MaxBitfield+1)},
		&hypercore.Want{Length: MaxSafe + 1},
		&hypercore.Data{Nodes: make([]merkle.Node, MaxNodes+1)},
		&hypercore.Data{Nodes: []merkle.Node{{Size: MaxSafe + 1}}},
		&hypercore.Data{Signature: make([]byte, 63)},
		&hypercore.Data{Value: make([]byte, MaxFrame)},
		&hypercore.Extension{ID: MaxSafe + 1},
		&Unknown{13},
		nil,
	}
	for i, m := range tests {
		if got, err := AppendFrame([]byte("before"), 1, m); err == nil || string(got) != "before" {
			t.Errorf("row %d: %d bytes, %v, want an error and dst alone", i, len(got), err)
		}
	}
	if _, err := AppendFrame(nil, MaxChannel, &Close{}); err != nil {
		t.Errorf("largest channel: %v", err)
	}
	if _, err := AppendFrame(nil, MaxChannel+1, &Close{}); err == nil {
		t.Error("channel over the limit was encoded")
	}
}

// The largest frame that is encoded is the largest that is read.
func TestLargestFrame(t *testing.T) {
	const around = 1 + 2 + 1 + 4 // header, index, value's tag and length
	b, err := AppendFrame(nil, 1, &hypercore.Data{Value: make([]byte, MaxFrame-around)})
	if err != nil || len(b) != 4+MaxFrame {
		t.Fatalf("%d bytes, %v", len(b), err)
	}
	m, err := Decode(readOne(t, b))
	if d, ok := m.(*hypercore.Data); err != nil || !ok || len(d.Value) != MaxFrame-around {
		t.Fatalf("%T, %v", m, err)
	}
	if _, err := AppendFrame(nil, 1, &hypercore.Data{Value: make([]byte, MaxFrame-around+1)}); err == nil {
		t.Error("one byte more was encoded")
	}
}

// Decoding costs memory in proportion to the body, whatever it says.
func TestDecodeMemory(t *testing.T) {
	body := slices.Concat(field(1, uint64(1)), field(2, make([]byte, 1<<20)))
	body = append(body, repeated(MaxNodes, field(3, plainNode))...)
	got := allocated(func() {
		if _, err := Decode(Frame{Type: TypeData, Body: body}); err != nil {
			t.Fatal(err)
		}
	})
	if limit := uint64(4 * MaxNodes * 48); got > limit {
		t.Errorf("1 MiB with %d nodes cost %d bytes, want at most %d", MaxNodes, got, limit)
	}
}

func FuzzDecode(f *testing.F) {
	v := readVectors(f)
	for _, x := range v.Frames {
		if x.Message != nil {
			fr := readOne(f, unhex(f, x.Frame))
			f.Add(fr.Type, fr.Body)
		}
	}
	for _, x := range v.CapturedSession.ResponderFrames {
		fr := readOne(f, unhex(f, x))
		f.Add(fr.Type, fr.Body)
	}
	for _, x := range rangeFrames {
		fr := readOne(f, unhex(f, x.frame))
		f.Add(fr.Type, fr.Body)
	}
	f.Fuzz(func(t *testing.T, typ byte, body []byte) {
		m, err := Decode(Frame{Type: typ & 15, Body: body})
		if err != nil {
			if _, ok := err.(*FormatError); !ok || m != nil {
				t.Fatalf("%v, error of no known kind: %v", m, err)
			}
			return
		}
		if _, ok := m.(*Unknown); !ok {
			checkRoundTrip(t, m)
		}
	})
}
