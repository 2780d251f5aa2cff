package multifeed

import (
	"bytes"
	"encoding/hex"
	"errors"
	"io"
	"net"
	"slices"
	"testing"
	"time"

	"google.golang.org/protobuf/encoding/protowire"

	"github.com/cobox-p2p/cobox-p2p/hypercore"
	"github.com/cobox-p2p/cobox-p2p/multifeed/wire"
)

// Computed without this code; interop/spec/handshake.md lists them too.
const (
	vectorHello1 = "080110001a20bfe9f67909ef8fc9df6ca3b3dfa4e88a398ffddd193d7a9e0feab30d7b42eb90" +
		"222001010101010101010101010101010101010101010101010101010101010101012a1011111111111111111111111111111111" +
		"30e0d4033a0d636f626f782f66656564732f313a0d636f626f782f72616e67652f31"
	vectorHello2 = "08011000222002020202020202020202020202020202020202020202020202020202020202022a1022222222222222222222222222222222" +
		"3a0d636f626f782f72616e67652f31"
	vectorTranscript = "65909071895dbde6b092b4b2261de5b1a72231049e4a339d465f0b557b400a4b"
	vectorProof1     = "ac6ed7542f489da064d8bd41031b8b412b9232a0da98fcc2c3686360bf0c7aa4"
	vectorProof2     = "9b78b72e397f52b808a9f3a337c429148e48517b702f1df5e8aa15c8d35ad44d"
)

var (
	partyA = Party{PeerID: peerA, Process: [16]byte(bytes.Repeat([]byte{0x11}, 16)), Silence: time.Minute,
		Features: []string{"cobox/feeds/1", "cobox/range/1"}}
	partyB = Party{PeerID: peerB, Process: [16]byte(bytes.Repeat([]byte{0x22}, 16)),
		Features: []string{"cobox/range/1"}}
)

// spaces returns a lookup of the addresses as the responder self knows them.
func spaces(self, remote []byte, addresses ...Address) func([32]byte) (Address, bool) {
	return func(tag [32]byte) (Address, bool) {
		for _, a := range addresses {
			if a.Tag(remote, self) == tag {
				return a, true
			}
		}
		return Address{}, false
	}
}

// script is a stream that brings fixed bytes and records what is written.
type script struct {
	net.Conn // nil; only for the methods that handshakes don't call
	in       bytes.Reader
	out      bytes.Buffer
	writes   []int
}

func newScript(frames ...[]byte) *script {
	s := &script{}
	s.in.Reset(slices.Concat(frames...))
	return s
}

func (s *script) Read(b []byte) (int, error)    { return s.in.Read(b) }
func (s *script) SetDeadline(t time.Time) error { return nil }
func (s *script) Write(b []byte) (int, error) {
	s.writes = append(s.writes, len(b))
	return s.out.Write(b)
}

// fixed returns a handshake with the nonce of the vectors.
func fixed(t *testing.T, s Stream, self, remote Party, nonce byte) *handshake {
	t.Helper()
	h, err := newHandshake(s, self, remote.PeerID)
	if err != nil {
		t.Fatal(err)
	}
	h.nonce = [32]byte(bytes.Repeat([]byte{nonce}, 32))
	return h
}

func fixedA(t *testing.T, in ...[]byte) (*script, *handshake) {
	s := newScript(in...)
	return s, fixed(t, s, partyA, partyB, 1)
}

func fixedB(t *testing.T, in ...[]byte) (*script, *handshake) {
	s := newScript(in...)
	return s, fixed(t, s, partyB, partyA, 2)
}

func control(t *testing.T, body []byte) []byte {
	t.Helper()
	b, err := wire.AppendControl(nil, body)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func unhex(t *testing.T, s string) []byte {
	t.Helper()
	b, err := hex.DecodeString(s)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// vectorBytes returns what the initiator and the responder send.
func vectorBytes(t *testing.T) (a1, a2, b []byte) {
	t.Helper()
	proof := func(s string) []byte { return control(t, wire.AppendProof(nil, [32]byte(unhex(t, s)))) }
	return control(t, unhex(t, vectorHello1)), proof(vectorProof1),
		append(control(t, unhex(t, vectorHello2)), proof(vectorProof2)...)
}

func TestHandshakeVectors(t *testing.T) {
	address := testSecret.Address()
	got := transcript(address, peerA, peerB, unhex(t, vectorHello1), unhex(t, vectorHello2))
	wantHex(t, "transcript", got, vectorTranscript)
	wantHex(t, "proof of the initiator", proof(byInitiator, address, got), vectorProof1)
	wantHex(t, "proof of the responder", proof(byResponder, address, got), vectorProof2)

	a1, a2, b := vectorBytes(t)
	frame, err := wire.AppendFrame(nil, 7, &hypercore.Want{Start: 8192})
	if err != nil {
		t.Fatal(err)
	}
	sa, ha := fixedA(t, b, frame)
	oa, err := ha.initiate(address)
	if err != nil || !bytes.Equal(sa.out.Bytes(), append(a1, a2...)) {
		t.Fatalf("initiator sent %x, %v", sa.out.Bytes(), err)
	}
	sb, hb := fixedB(t, a1, a2, frame)
	ob, err := hb.respond(spaces(peerB, peerA, address))
	if err != nil || !bytes.Equal(sb.out.Bytes(), b) {
		t.Fatalf("responder sent %x, %v", sb.out.Bytes(), err)
	}
	for name, o := range map[string]*Opened{"initiator": oa, "responder": ob} {
		remote := map[bool]Party{true: partyB, false: partyA}[o.Initiator]
		if o.Initiator != (name == "initiator") || o.Address != address || o.Transcript != got ||
			!slices.Equal(o.Features, []string{"cobox/range/1"}) || !slices.Equal(o.Remote.Features, remote.Features) ||
			!bytes.Equal(o.Remote.PeerID, remote.PeerID) || o.Remote.Process != remote.Process || o.Remote.Silence != remote.Silence {
			t.Errorf("%s: opened %+v", name, o)
		}
		// What came with the last bytes of the handshake is not lost.
		if f, err := o.Reader.ReadFrame(); err != nil || f.Channel != 7 || f.Type != wire.TypeWant {
			t.Errorf("%s: frame behind the handshake: %+v, %v", name, f, err)
		}
	}
}

// No byte of either side's handshake can be changed.
func TestHandshakeFlips(t *testing.T) {
	address := testSecret.Address()
	a1, a2, b := vectorBytes(t)
	a := append(a1, a2...)
	for i := range len(a) * 8 {
		bad := bytes.Clone(a)
		bad[i/8] ^= 1 << (i % 8)
		_, h := fixedB(t, bad)
		if o, err := h.respond(spaces(peerB, peerA, address)); err == nil || o != nil {
			t.Errorf("responder took bit %d of byte %d flipped", i%8, i/8)
		}
	}
	for i := range len(b) * 8 {
		bad := bytes.Clone(b)
		bad[i/8] ^= 1 << (i % 8)
		s, h := fixedA(t, bad)
		if o, err := h.initiate(address); err == nil || o != nil {
			t.Errorf("initiator took bit %d of byte %d flipped", i%8, i/8)
		}
		if s.out.Len() > len(a1) {
			t.Errorf("initiator sent its proof before the responder's held, bit %d", i)
		}
	}
}

func TestHandshakeTruncated(t *testing.T) {
	address := testSecret.Address()
	a1, a2, b := vectorBytes(t)
	a := append(a1, a2...)
	for n := range a {
		_, h := fixedB(t, a[:n])
		if _, err := h.respond(spaces(peerB, peerA, address)); !errors.Is(err, io.ErrUnexpectedEOF) {
			t.Errorf("responder after %d bytes: %v", n, err)
		}
	}
	for n := range b {
		_, h := fixedA(t, b[:n])
		if _, err := h.initiate(address); !errors.Is(err, io.ErrUnexpectedEOF) {
			t.Errorf("initiator after %d bytes: %v", n, err)
		}
	}
}

// Recorded bytes are worth nothing against a new nonce.
func TestHandshakeReplay(t *testing.T) {
	address := testSecret.Address()
	a1, a2, b := vectorBytes(t)
	_, err := Respond(t.Context(), newScript(a1, a2), partyB, peerA, spaces(peerB, peerA, address))
	if !errors.Is(err, ErrBadProof) {
		t.Errorf("responder: %v", err)
	}
	if _, err := Initiate(t.Context(), newScript(b), partyA, peerB, address); !errors.Is(err, ErrBadProof) {
		t.Errorf("initiator: %v", err)
	}
}

// A tag sent back to who made it names no space.
func TestHandshakeEchoedTag(t *testing.T) {
	a1, _, _ := vectorBytes(t)
	s := newScript(a1, control(t, wire.AppendProof(nil, [32]byte{})))
	// B got A's Hello and opens a stream to A with it.
	_, err := Respond(t.Context(), s, partyA, peerB, spaces(peerA, peerB, testSecret.Address()))
	if !errors.Is(err, ErrUnknownSpace) || CodeOf(err) != CodeRefused {
		t.Errorf("echoed tag: %v", err)
	}
}

// Who doesn't know the address sees the same for a space that is joined and for
// one that isn't.
func TestHandshakeProber(t *testing.T) {
	a1, _, _ := vectorBytes(t)
	tails := map[string][]byte{
		"bad proof": control(t, wire.AppendProof(nil, [32]byte{9})),
		"malformed": control(t, []byte{0xff}),
		"too long":  {0xff, 0x7f},
		"nothing":   nil,
	}
	for name, tail := range tails {
		known, unknown := newScript(a1, tail), newScript(a1, tail)
		_, err1 := Respond(t.Context(), known, partyB, peerA, spaces(peerB, peerA, testSecret.Address()))
		_, err2 := Respond(t.Context(), unknown, partyB, peerA, spaces(peerB, peerA))
		if err1 == nil || err2 == nil || CodeOf(err1) != CodeOf(err2) {
			t.Errorf("%s: %v and %v", name, err1, err2)
		}
		if !slices.Equal(known.writes, unknown.writes) {
			t.Errorf("%s: writes of %v and %v bytes", name, known.writes, unknown.writes)
		}
		if name == "bad proof" && (!errors.Is(err1, ErrBadProof) || !errors.Is(err2, ErrUnknownSpace) || CodeOf(err1) != CodeRefused) {
			t.Errorf("%v and %v", err1, err2)
		}
	}
}

// A Hello may hold unknown fields, which the transcript covers, up to the limit
// of a control frame.
func TestHandshakeLargestHello(t *testing.T) {
	address := testSecret.Address()
	lookup := spaces(peerB, peerA, address)
	hello := unhex(t, vectorHello1)
	pad := func(size int) []byte {
		rest := size - len(hello) - 2 - 2 // tag of field 99 and length
		b := protowire.AppendTag(bytes.Clone(hello), 99, protowire.BytesType)
		return protowire.AppendBytes(b, make([]byte, rest))
	}
	full := pad(wire.MaxControl)
	sum := transcript(address, peerA, peerB, full, unhex(t, vectorHello2))
	s, h := fixedB(t, control(t, full), control(t, wire.AppendProof(nil, proof(byInitiator, address, sum))))
	if _, err := h.respond(lookup); err != nil || s.out.Len() == 0 {
		t.Errorf("Hello of %d bytes: %v", len(full), err)
	}
	over := protowire.AppendBytes(nil, pad(wire.MaxControl+1))
	s, h = fixedB(t, over)
	if _, err := h.respond(lookup); CodeOf(err) != CodeProtocol || s.out.Len() != 0 {
		t.Errorf("Hello of one byte more: %v", err)
	}
}

func TestHandshakeRefusals(t *testing.T) {
	address := testSecret.Address()
	hello := func(h wire.Hello) []byte {
		b, err := wire.AppendHello(nil, h)
		if err != nil {
			t.Fatal(err)
		}
		return control(t, b)
	}
	tag := address.Tag(peerA, peerB)
	tests := []struct {
		name    string
		code    Code
		respond bool
		in      []byte
	}{
		{"older initiator", CodeVersion, true, hello(wire.Hello{Major: 0, Tag: &tag})},
		{"newer initiator", CodeVersion, true, hello(wire.Hello{Major: 2, Tag: &tag})},
		{"newer responder", CodeVersion, false, hello(wire.Hello{Major: 2})},
		{"initiator without tag", CodeProtocol, true, hello(wire.Hello{Major: 1})},
		{"responder with tag", CodeProtocol, false, hello(wire.Hello{Major: 1, Tag: &tag})},
		{"empty Hello of the initiator", CodeProtocol, true, []byte{0}},
		{"empty Hello of the responder", CodeProtocol, false, []byte{0}},
	}
	for _, tt := range tests {
		var err error
		if tt.respond {
			_, err = Respond(t.Context(), newScript(tt.in), partyB, peerA, spaces(peerB, peerA, address))
		} else {
			_, err = Initiate(t.Context(), newScript(tt.in), partyA, peerB, address)
		}
		if CodeOf(err) != tt.code {
			t.Errorf("%s: %v, want %v", tt.name, err, tt.code)
		}
	}
	if _, err := Initiate(t.Context(), newScript(), partyA, peerA, address); !errors.Is(err, ErrSelf) || CodeOf(err) != CodeRefused {
		t.Errorf("own peer ID: %v", err)
	}
	if _, err := Respond(t.Context(), newScript(), partyA, peerA, nil); !errors.Is(err, ErrSelf) {
		t.Errorf("own peer ID: %v", err)
	}
	// Our own mistakes are not the peer's.
	own := []Party{{}, {PeerID: peerA, Features: []string{""}}, {PeerID: peerA, Silence: time.Millisecond}}
	for i, p := range own {
		if _, err := Initiate(t.Context(), newScript(), p, peerB, address); CodeOf(err) != CodeInternal {
			t.Errorf("own party %d: %v", i, err)
		}
	}
	if _, err := Initiate(t.Context(), newScript(), partyA, peerB, Address{}); CodeOf(err) != CodeInternal {
		t.Errorf("zero address: %v", err)
	}
}

func TestHandshakeFeatures(t *testing.T) {
	tests := []struct{ a, b, want []string }{
		{nil, []string{"x"}, nil},
		{[]string{"b", "a", "c"}, []string{"c", "b", "z"}, []string{"b", "c"}},
		{[]string{"x", "x"}, []string{"x", "x"}, []string{"x"}},
	}
	for _, tt := range tests {
		if got := common(tt.a, tt.b); !slices.Equal(got, tt.want) {
			t.Errorf("common of %q and %q = %q, want %q", tt.a, tt.b, got, tt.want)
		}
	}
}
