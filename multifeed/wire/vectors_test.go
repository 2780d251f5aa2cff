package wire

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"errors"
	"io"
	"os"
	"reflect"
	"testing"

	"github.com/cobox-p2p/cobox-p2p/hypercore"
)

// legacyVectors are bytes that the original npm packages made.
type legacyVectors struct {
	Frames []struct {
		Channel uint64
		Type    byte
		Name    string
		Message json.RawMessage
		Frame   string
	}
	ExtensionFrames []struct {
		Channel, ID uint64
		PayloadUTF8 string
		Frame       string
	}
	CapturedSession struct{ ResponderFrames, InitiatorFrames []string }
}

func readVectors(t testing.TB) legacyVectors {
	t.Helper()
	raw, err := os.ReadFile("../../interop/vectors/legacy.json")
	if err != nil {
		t.Fatal(err)
	}
	var v legacyVectors
	if err := json.Unmarshal(raw, &v); err != nil {
		t.Fatal(err)
	}
	return v
}

func unhex(t testing.TB, s string) []byte {
	t.Helper()
	b, err := hex.DecodeString(s)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// readOne reads the only frame in b.
func readOne(t testing.TB, b []byte) Frame {
	t.Helper()
	r := NewReader(bytes.NewReader(b), MaxFrame)
	f, err := r.ReadFrame()
	if err != nil {
		t.Fatalf("read %x: %v", b, err)
	}
	if _, err := r.ReadFrame(); err != io.EOF {
		t.Fatalf("read behind %x: %v, want EOF", b, err)
	}
	return f
}

// reencode decodes the frame in b and encodes its message again.
func reencode(t testing.TB, b []byte) (Message, []byte) {
	t.Helper()
	f := readOne(t, b)
	m, err := Decode(f)
	if err != nil {
		t.Fatalf("decode %x: %v", b, err)
	}
	out, err := AppendFrame(nil, f.Channel, m)
	if err != nil {
		t.Fatalf("encode %T: %v", m, err)
	}
	return m, out
}

// The original's encoder was given a Request without bytes and nodes here, which
// its replication never does: ours writes them, as the replication does.
const sparseRequest = "051708041801"

func TestLegacyFrames(t *testing.T) {
	for i, v := range readVectors(t).Frames {
		b := unhex(t, v.Frame)
		if v.Message == nil {
			if f := readOne(t, b); !f.KeepAlive {
				t.Errorf("frame %d: %+v, want a keep-alive", i, f)
			}
			continue
		}
		f := readOne(t, b)
		if f.Channel != v.Channel || f.Type != v.Type {
			t.Errorf("frame %d: channel %d type %d, want %d and %d", i, f.Channel, f.Type, v.Channel, v.Type)
		}
		m, got := reencode(t, b)
		want := v.Frame
		if want == sparseRequest {
			want = "09170804100018012000"
		}
		if hex.EncodeToString(got) != want {
			t.Errorf("frame %d, %s: encoded %x, want %s", i, v.Name, got, want)
		}
		if name := reflect.TypeOf(m).Elem().Name(); name != v.Name {
			t.Errorf("frame %d: decoded a %s, want %s", i, name, v.Name)
		}
		checkFields(t, m, v.Message)
	}
}

// checkFields compares those fields of m that the vector names.
func checkFields(t *testing.T, m Message, vector json.RawMessage) {
	t.Helper()
	var want map[string]any
	if err := json.Unmarshal(vector, &want); err != nil {
		t.Fatal(err)
	}
	got := map[string]any{}
	switch m := m.(type) {
	case *Open:
		got["discoveryKey"], got["capability"] = m.DiscoveryKey.String(), hex.EncodeToString(m.Capability)
	case *Close:
		if m.DiscoveryKey != nil {
			got["discoveryKey"] = m.DiscoveryKey.String()
		}
	case *hypercore.Options:
		names := []any{}
		for _, name := range m.Extensions {
			names = append(names, name)
		}
		got["extensions"], got["ack"] = names, m.Ack
	case *hypercore.Status:
		got["uploading"], got["downloading"] = m.Uploading, m.Downloading
	case *hypercore.Have:
		got["start"], got["length"], got["ack"] = float64(m.Start), float64(m.Length), m.Ack
		got["bitfield"] = hex.EncodeToString(m.Bitfield)
	case *hypercore.Unhave:
		got["start"], got["length"] = float64(m.Start), float64(m.Length)
	case *hypercore.Want:
		got["start"], got["length"] = float64(m.Start), float64(m.Length)
	case *hypercore.Unwant:
		got["start"], got["length"] = float64(m.Start), float64(m.Length)
	case *hypercore.Request:
		got["index"], got["bytes"] = float64(m.Index), float64(m.Bytes)
		got["hash"], got["nodes"] = m.Hash, float64(m.Nodes)
	case *hypercore.Cancel:
		got["index"] = float64(m.Index)
	case *hypercore.Data:
		nodes := []any{}
		for _, n := range m.Nodes {
			nodes = append(nodes, map[string]any{"index": float64(n.Index), "size": float64(n.Size), "hash": hex.EncodeToString(n.Hash[:])})
		}
		got["index"], got["value"], got["nodes"] = float64(m.Index), hex.EncodeToString(m.Value), nodes
		got["signature"] = hex.EncodeToString(m.Signature)
	}
	for field, value := range want {
		if !reflect.DeepEqual(got[field], value) {
			t.Errorf("%T: %s = %v, want %v", m, field, got[field], value)
		}
	}
}

func TestLegacyExtensionFrames(t *testing.T) {
	for i, v := range readVectors(t).ExtensionFrames {
		m, got := reencode(t, unhex(t, v.Frame))
		if hex.EncodeToString(got) != v.Frame {
			t.Errorf("frame %d: encoded %x, want %s", i, got, v.Frame)
		}
		x, ok := m.(*hypercore.Extension)
		if !ok || x.ID != v.ID || v.PayloadUTF8 != "" && string(x.Payload) != v.PayloadUTF8 {
			t.Errorf("frame %d: %+v, want ID %d and %q", i, m, v.ID, v.PayloadUTF8)
		}
	}
}

// Every frame that the original sent in a real session is encoded by us to the
// same bytes, read as one stream.
func TestLegacySession(t *testing.T) {
	s := readVectors(t).CapturedSession
	for _, frames := range [][]string{s.ResponderFrames, s.InitiatorFrames} {
		if len(frames) == 0 {
			t.Fatal("no frames")
		}
		var stream, got []byte
		for _, frame := range frames {
			stream = append(stream, unhex(t, frame)...)
		}
		r := NewReader(bytes.NewReader(stream), MaxFrame)
		for {
			f, err := r.ReadFrame()
			if errors.Is(err, io.EOF) {
				break
			}
			if err != nil {
				t.Fatal(err)
			}
			if f.KeepAlive {
				got = AppendKeepAlive(got)
				continue
			}
			m, err := Decode(f)
			if err != nil {
				t.Fatal(err)
			}
			if got, err = AppendFrame(got, f.Channel, m); err != nil {
				t.Fatal(err)
			}
		}
		if !bytes.Equal(got, stream) {
			t.Errorf("encoded\n%x, want\n%x", got, stream)
		}
	}
}
