package multifeed

import (
	"errors"
	"fmt"
	"unicode/utf8"

	"google.golang.org/protobuf/encoding/protowire"
)

// aboutName is the channel-0 extension that carries an About.
const aboutName = "cobox/about/1"

// About is what a node tells the peers of a space about itself, after the
// handshake. Nothing of it is verified.
type About struct {
	Name   string // at most MaxName bytes of UTF-8
	Fields []byte // the application's, at most MaxAboutFields bytes
}

func (a About) check() error {
	if len(a.Name) > MaxName || !utf8.ValidString(a.Name) {
		return fmt.Errorf("multifeed: the name of a node has at most %d bytes of UTF-8", MaxName)
	}
	if len(a.Fields) > MaxAboutFields {
		return fmt.Errorf("multifeed: fields of an about have at most %d bytes", MaxAboutFields)
	}
	return nil
}

// Field numbers of an About: 1 name, 2 fields.
func (a About) encode() []byte {
	var b []byte
	if a.Name != "" {
		b = protowire.AppendString(protowire.AppendTag(b, 1, protowire.BytesType), a.Name)
	}
	if a.Fields != nil {
		b = protowire.AppendBytes(protowire.AppendTag(b, 2, protowire.BytesType), a.Fields)
	}
	return b
}

func decodeAbout(b []byte) (a About, err error) {
	err = eachField(b, func(num protowire.Number, v field) error {
		if (num == 1 || num == 2) && v.bytes == nil {
			return fmt.Errorf("%w: about with a field that is no bytes", errMalformed)
		}
		switch num {
		case 1:
			a.Name = string(v.bytes)
		case 2:
			a.Fields = append([]byte{}, v.bytes...)
		}
		return nil
	})
	if err == nil {
		err = a.check()
	}
	return a, err
}

// field is one field of a protobuf message of ours.
type field struct {
	varint bool
	number uint64 // of a varint
	bytes  []byte // nil for other types than bytes
}

// errMalformed is wrapped by the errors for a message that breaks its format.
var errMalformed = errors.New("malformed message")

// eachField calls f for every field of a message, those of fixed size without a
// value. Groups are refused. The bytes are parts of b.
func eachField(b []byte, f func(protowire.Number, field) error) error {
	for len(b) > 0 {
		num, typ, n := protowire.ConsumeTag(b)
		if n < 0 || typ == protowire.StartGroupType || typ == protowire.EndGroupType {
			return fmt.Errorf("%w: no field number and type", errMalformed)
		}
		b = b[n:]
		size := protowire.ConsumeFieldValue(num, typ, b)
		if size < 0 {
			return fmt.Errorf("%w: field %d cut off", errMalformed, num)
		}
		var v field
		switch typ {
		case protowire.VarintType:
			v.varint = true
			v.number, _ = protowire.ConsumeVarint(b)
		case protowire.BytesType:
			v.bytes, _ = protowire.ConsumeBytes(b)
		}
		if err := f(num, v); err != nil {
			return err
		}
		b = b[size:]
	}
	return nil
}
