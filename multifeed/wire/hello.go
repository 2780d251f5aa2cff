package wire

import (
	"fmt"

	"google.golang.org/protobuf/encoding/protowire"
)

// Limits of the handshake's messages, which decoders and encoders enforce.
const (
	// MaxFeatures is the most features in one Hello.
	MaxFeatures = 32
	// MaxFeature is the longest name of a feature in bytes.
	MaxFeature = 64
	// MaxVersion is the largest major or minor version.
	MaxVersion = 1<<16 - 1
	// MinSilence and MaxSilence bound, in milliseconds, the longest silence that
	// a peer may say it tolerates, 0 apart. A shorter one would make others send
	// keep-alives without end.
	MinSilence = 1000
	MaxSilence = 24 * 60 * 60 * 1000
)

// Hello is the first message of either side. See interop/spec/handshake.md.
type Hello struct {
	Major, Minor uint16
	Tag          *[32]byte // of the space, only from the initiator
	Nonce        [32]byte
	Process      [16]byte // made at the start of the process
	Silence      uint64   // milliseconds; 0 when the sender tolerates any
	Features     []string // printable ASCII, in the sender's order
}

// DecodeHello returns the Hello of a control frame's body, or *FormatError.
func DecodeHello(body []byte) (Hello, error) {
	f := fields{message: "Hello", rest: body}
	var h Hello
	for f.next() {
		switch f.num {
		case 1:
			h.Major = uint16(f.uint("major", MaxVersion))
		case 2:
			h.Minor = uint16(f.uint("minor", MaxVersion))
		case 3:
			tag := f.hash("tag")
			h.Tag = &tag
		case 4:
			h.Nonce = f.hash("nonce")
		case 5:
			copy(h.Process[:], f.exactly("process", len(h.Process)))
		case 6:
			h.Silence = f.uint("silence", MaxSilence)
		case 7:
			f.feature(&h)
		default:
			f.skip()
		}
	}
	f.require(1, "major")
	f.require(4, "nonce")
	f.require(5, "process")
	if h.Silence != 0 && h.Silence < MinSilence {
		f.fail("silence", "%d ms, at least %d", h.Silence, MinSilence)
	}
	if f.err != nil {
		return Hello{}, f.err
	}
	return h, nil
}

func (f *fields) feature(h *Hello) {
	if len(h.Features) == MaxFeatures {
		f.fail("feature", "more than %d", MaxFeatures)
		return
	}
	b := f.bytes("feature", MaxFeature)
	if f.err == nil && !isFeature(string(b)) {
		f.fail("feature", "empty or not printable ASCII")
	}
	h.Features = append(h.Features, string(b))
}

// isFeature says whether s is 1 to MaxFeature bytes of printable ASCII.
func isFeature(s string) bool {
	for _, c := range []byte(s) {
		if c < 0x20 || c > 0x7e {
			return false
		}
	}
	return len(s) >= 1 && len(s) <= MaxFeature
}

// AppendHello appends the body of the Hello's control frame. It returns dst as
// it was and an error for a Hello that DecodeHello would refuse.
func AppendHello(dst []byte, h Hello) ([]byte, error) {
	if len(h.Features) > MaxFeatures {
		return dst, fmt.Errorf("wire: %d features, at most %d", len(h.Features), MaxFeatures)
	}
	if h.Silence > MaxSilence || h.Silence != 0 && h.Silence < MinSilence {
		return dst, fmt.Errorf("wire: silence of %d ms, want 0 or %d to %d", h.Silence, MinSilence, MaxSilence)
	}
	e := encoder{writing: true, dst: dst}
	e.uint(1, uint64(h.Major))
	e.uint(2, uint64(h.Minor))
	if h.Tag != nil {
		e.bytes(3, h.Tag[:])
	}
	e.bytes(4, h.Nonce[:])
	e.bytes(5, h.Process[:])
	if h.Silence != 0 {
		e.uint(6, h.Silence)
	}
	for _, name := range h.Features {
		if !isFeature(name) {
			e.fail("feature %.80q is not 1 to %d bytes of printable ASCII", name, MaxFeature)
		}
		e.string(7, name)
	}
	if e.err != nil {
		return dst, fmt.Errorf("wire: encode Hello: %w", e.err)
	}
	return e.dst, nil
}

// DecodeProof returns the proof of a control frame's body, or *FormatError.
func DecodeProof(body []byte) ([32]byte, error) {
	f := fields{message: "Proof", rest: body}
	var proof [32]byte
	for f.next() {
		switch f.num {
		case 1:
			proof = f.hash("proof")
		default:
			f.skip()
		}
	}
	f.require(1, "proof")
	if f.err != nil {
		return [32]byte{}, f.err
	}
	return proof, nil
}

// AppendProof appends the body of the Proof's control frame.
func AppendProof(dst []byte, proof [32]byte) []byte {
	return protowire.AppendBytes(protowire.AppendTag(dst, 1, protowire.BytesType), proof[:])
}
