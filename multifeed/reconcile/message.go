package reconcile

import (
	"fmt"

	"google.golang.org/protobuf/encoding/protowire"
)

// Field numbers of a payload. See interop/spec/feedset.md, "Reconciliation".
const (
	fieldWhole  = 1 // bytes, wholeSize: fingerprint of the whole set; the first payload alone
	fieldCount  = 2 // uvarint: entries of the set, with fieldWhole
	fieldPrints = 3 // bytes: uvarint prefix, fingerprints of all its children; repeated in it
	fieldList   = 4 // bytes: uvarint prefix, uvarint count, ids; repeated in it
	fieldWant   = 5 // bytes: uvarint prefix, uvarint mask of places in a list; repeated in it
	fieldTurn   = 6 // uvarint: the turn ends, turnAll or turnMore
	fieldTold   = 7 // uvarint, 1: all entries that the other side lacks were sent
	fieldAgain  = 8 // bytes, wholeSize: fingerprint of the whole set at the end
)

const (
	turnAll  = 1 // all was said
	turnMore = 2 // there is more to be said in the next turn
)

// payload is a payload in the making: the contents of its fields.
type payload struct {
	whole, again        *[wholeSize]byte
	count               uint64
	prints, lists, want []byte
	turn                uint64
	told                bool
}

// frameSize is more than the bytes of a payload that aren't in prints, lists and
// want.
const frameSize = 128

// size is at least how many bytes the payload has.
func (p *payload) size() int { return frameSize + len(p.prints) + len(p.lists) + len(p.want) }

func (p *payload) encode() []byte {
	var b []byte
	number := func(num protowire.Number, v uint64) {
		b = protowire.AppendVarint(protowire.AppendTag(b, num, protowire.VarintType), v)
	}
	text := func(num protowire.Number, v []byte) {
		if len(v) > 0 {
			b = protowire.AppendBytes(protowire.AppendTag(b, num, protowire.BytesType), v)
		}
	}
	if p.whole != nil {
		text(fieldWhole, p.whole[:])
		number(fieldCount, p.count)
	}
	text(fieldPrints, p.prints)
	text(fieldList, p.lists)
	text(fieldWant, p.want)
	if p.turn != 0 {
		number(fieldTurn, p.turn)
	}
	if p.told {
		number(fieldTold, 1)
	}
	if p.again != nil {
		text(fieldAgain, p.again[:])
	}
	return b
}

// decode returns the contents of a payload; its slices are parts of b. Of a field
// that comes twice the last counts.
func decode(b []byte) (p payload, err error) {
	for len(b) > 0 {
		num, typ, n := protowire.ConsumeTag(b)
		if n < 0 || typ == protowire.StartGroupType || typ == protowire.EndGroupType {
			return p, fmt.Errorf("%w: no field number and type", ErrMalformed)
		}
		b = b[n:]
		size := protowire.ConsumeFieldValue(num, typ, b)
		if size < 0 {
			return p, fmt.Errorf("%w: field %d cut off", ErrMalformed, num)
		}
		if !p.take(num, typ, b[:size]) {
			return p, fmt.Errorf("%w: field %d", ErrMalformed, num)
		}
		b = b[size:]
	}
	return p, nil
}

// take notes a field and says whether it may be so.
func (p *payload) take(num protowire.Number, typ protowire.Type, b []byte) bool {
	var number uint64
	var text []byte
	switch typ {
	case protowire.VarintType:
		number, _ = protowire.ConsumeVarint(b)
	case protowire.BytesType:
		text, _ = protowire.ConsumeBytes(b)
	}
	varint, bytes := typ == protowire.VarintType, typ == protowire.BytesType
	switch num {
	case fieldWhole, fieldAgain:
		if len(text) != wholeSize {
			return false
		}
		sum := [wholeSize]byte(text)
		if num == fieldWhole {
			p.whole = &sum
			return true
		}
		p.again = &sum
		return true
	case fieldCount:
		p.count = number
		return varint
	case fieldPrints:
		p.prints = text
		return bytes
	case fieldList:
		p.lists = text
		return bytes
	case fieldWant:
		p.want = text
		return bytes
	case fieldTurn:
		p.turn = number
		return varint && (number == turnAll || number == turnMore)
	case fieldTold:
		p.told = number == 1
		return varint && p.told
	}
	return true
}

// items takes apart the content of fieldPrints, fieldList or fieldWant.
type items struct{ rest []byte }

func (i *items) next() bool { return len(i.rest) > 0 }

func (i *items) uvarint() (uint64, error) {
	v, n := protowire.ConsumeVarint(i.rest)
	if n < 0 {
		return 0, fmt.Errorf("%w: number cut off", ErrMalformed)
	}
	i.rest = i.rest[n:]
	return v, nil
}

func (i *items) prefix() (prefix, error) {
	v, err := i.uvarint()
	if err == nil && (v == 0 || !prefix(v).valid()) {
		err = fmt.Errorf("%w: %#x is no prefix", ErrMalformed, v)
	}
	return prefix(v), err
}

// shorts returns the bytes of so many shorts.
func (i *items) shorts(count int) ([]byte, error) {
	if len(i.rest) < count*shortSize {
		return nil, fmt.Errorf("%w: list cut off", ErrMalformed)
	}
	b := i.rest[:count*shortSize]
	i.rest = i.rest[len(b):]
	return b, nil
}
