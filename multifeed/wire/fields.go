package wire

import (
	"fmt"
	"unicode/utf8"

	"google.golang.org/protobuf/encoding/protowire"
)

// fields walks over the protobuf fields of one message. After next the value is
// taken by exactly one of its other methods. The first error ends the walk. A
// field that comes twice counts with its last value.
type fields struct {
	message string // for errors
	rest    []byte
	num     protowire.Number
	typ     protowire.Type
	seen    uint32 // bit n is set when field n came
	err     error
}

func (f *fields) fail(field, format string, args ...any) {
	if f.err == nil {
		f.err = &FormatError{f.message, field, fmt.Sprintf(format, args...)}
	}
}

// next steps to the next field, false at the end or after an error.
func (f *fields) next() bool {
	if f.err != nil || len(f.rest) == 0 {
		return false
	}
	num, typ, n := protowire.ConsumeTag(f.rest)
	if n < 0 {
		f.fail("field number", "not a field number and wire type")
		return false
	}
	f.num, f.typ, f.rest = num, typ, f.rest[n:]
	if num < 32 {
		f.seen |= 1 << num
	}
	return true
}

// skip passes over an unknown field. Groups are refused: they nest.
func (f *fields) skip() {
	if f.typ == protowire.StartGroupType || f.typ == protowire.EndGroupType {
		f.fail("unknown", "is a group")
		return
	}
	n := protowire.ConsumeFieldValue(f.num, f.typ, f.rest)
	if n < 0 {
		f.fail("unknown", "cut off or of no known wire type")
		return
	}
	f.rest = f.rest[n:]
}

// require fails unless the field came.
func (f *fields) require(num protowire.Number, field string) {
	if f.err == nil && f.seen&(1<<num) == 0 {
		f.fail(field, "missing")
	}
}

// uint takes a varint of at most limit.
func (f *fields) uint(field string, limit uint64) uint64 {
	if f.typ != protowire.VarintType {
		f.fail(field, "wire type %d, want a varint", f.typ)
		return 0
	}
	v, n := protowire.ConsumeVarint(f.rest)
	if n < 0 {
		f.fail(field, "varint cut off or too long")
		return 0
	}
	if v > limit {
		f.fail(field, "%d, at most %d", v, limit)
		return 0
	}
	f.rest = f.rest[n:]
	return v
}

// bool takes a bool, which is a varint that isn't 0.
func (f *fields) bool(field string) bool { return f.uint(field, 1<<64-1) != 0 }

// bytes takes a byte string of at most limit bytes. It is not nil, and a part
// of the message.
func (f *fields) bytes(field string, limit int) []byte {
	if f.typ != protowire.BytesType {
		f.fail(field, "wire type %d, want bytes", f.typ)
		return nil
	}
	b, n := protowire.ConsumeBytes(f.rest)
	if n < 0 {
		f.fail(field, "cut off")
		return nil
	}
	if len(b) > limit {
		f.fail(field, "%d bytes, at most %d", len(b), limit)
		return nil
	}
	f.rest = f.rest[n:]
	return b[:len(b):len(b)]
}

// exactly takes a byte string of size bytes, nil after an error.
func (f *fields) exactly(field string, size int) []byte {
	b := f.bytes(field, size)
	if f.err == nil && len(b) != size {
		f.fail(field, "%d bytes, want %d", len(b), size)
	}
	if f.err != nil {
		return nil
	}
	return b
}

// hash takes a byte string of 32 bytes, zero after an error.
func (f *fields) hash(field string) (h [32]byte) {
	copy(h[:], f.exactly(field, len(h)))
	return h
}

// string takes UTF-8 of at most limit bytes.
func (f *fields) string(field string, limit int) string {
	b := f.bytes(field, limit)
	if !utf8.Valid(b) {
		f.fail(field, "not UTF-8")
		return ""
	}
	return string(b)
}
