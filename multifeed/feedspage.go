package multifeed

import (
	"encoding/binary"
	"fmt"

	"google.golang.org/protobuf/encoding/protowire"

	"github.com/cobox-p2p/cobox-p2p/hypercore"
	"github.com/cobox-p2p/cobox-p2p/hypercore/merkle"
)

// Field numbers of a message of cobox/feeds/1, beside pageEntry, pageLast and
// pageFork. See interop/spec/feedset.md, "cobox/feeds/1".
const (
	feedsReconcile = 5 // bytes: a payload of the reconciliation
	feedsLacks     = 6 // message Lacks
	feedsStanding  = 7 // bytes: standings, each name, uvarint length, uvarint blocks that lack of it
)

// Field numbers of Lacks.
const (
	lacksCount = 1 // uvarint: feeds of which the sender lacks blocks
	lacksNames = 2 // bytes: the names of all of them, or absent
)

// nameSize is how many bytes of a discovery key name a feed where a wrong guess
// does no harm.
const nameSize = 8

// lacks is how many feeds a side has not all blocks of.
type lacks struct {
	count uint64
	named bool   // Invariant: then names has nameSize bytes for each
	names []byte // of discovery keys
}

func (l lacks) append(b []byte) []byte {
	body := protowire.AppendVarint(protowire.AppendTag(nil, lacksCount, protowire.VarintType), l.count)
	if l.count > 0 && l.named {
		body = protowire.AppendBytes(protowire.AppendTag(body, lacksNames, protowire.BytesType), l.names)
	}
	return protowire.AppendBytes(protowire.AppendTag(b, feedsLacks, protowire.BytesType), body)
}

var errLacks = fmt.Errorf("%w: lacks", errMalformed)

func decodeLacks(b []byte) (l lacks, err error) {
	if b == nil {
		return l, errLacks
	}
	err = eachField(b, func(num protowire.Number, v field) error {
		switch {
		case num == lacksCount && v.varint:
			l.count = v.number
		case num == lacksCount || num == lacksNames && v.bytes == nil:
			return fmt.Errorf("%w: field %d", errLacks, num)
		case num == lacksNames:
			l.names = v.bytes
		}
		return nil
	})
	if err != nil {
		return l, err
	}
	if len(l.names) > 0 && (l.count > MaxLacksNamed || uint64(len(l.names)) != l.count*nameSize) {
		return l, fmt.Errorf("%w: %d bytes of names for %d feeds", errLacks, len(l.names), l.count)
	}
	l.named = l.count == 0 || len(l.names) > 0
	return l, nil
}

// standing is how a side stands with a feed that both know.
type standing struct {
	name   uint64 // the first 8 bytes of the discovery key
	length uint64 // of its durable head, in blocks
	lacks  uint64 // how many of these it has not
}

func (s standing) append(b []byte) []byte {
	b = binary.BigEndian.AppendUint64(b, s.name)
	return binary.AppendUvarint(binary.AppendUvarint(b, s.length), s.lacks)
}

var errStanding = fmt.Errorf("%w: standing", errMalformed)

// eachStanding calls f for every standing of a field.
func eachStanding(b []byte, f func(standing) error) error {
	for len(b) > 0 {
		if len(b) < nameSize {
			return errStanding
		}
		s := standing{name: binary.BigEndian.Uint64(b)}
		b = b[nameSize:]
		for _, n := range []*uint64{&s.length, &s.lacks} {
			v, size := binary.Uvarint(b)
			if size <= 0 || v > merkle.MaxSize {
				return errStanding
			}
			*n, b = v, b[size:]
		}
		if s.lacks > s.length {
			return errStanding
		}
		if err := f(s); err != nil {
			return err
		}
	}
	return nil
}

// feedsPage is what a message of cobox/feeds/1 has, decoded but for entries and
// forks. It refers to the message.
type feedsPage struct {
	entries   [][]byte
	reconcile []byte
	lacks     *lacks
	standings []byte
	forks     [][]byte
	last      bool
}

func decodeFeedsPage(b []byte) (p feedsPage, err error) {
	err = eachField(b, func(num protowire.Number, v field) error {
		switch num {
		case pageEntry, pageFork, feedsReconcile, feedsLacks, feedsStanding:
			if v.bytes == nil {
				return fmt.Errorf("%w: field %d is no bytes", errMalformed, num)
			}
		}
		switch num {
		case pageEntry:
			p.entries = append(p.entries, v.bytes)
		case pageFork:
			p.forks = append(p.forks, v.bytes)
		case feedsReconcile:
			p.reconcile = v.bytes
		case feedsLacks:
			l, err := decodeLacks(v.bytes)
			p.lacks = &l
			return err
		case feedsStanding:
			p.standings = v.bytes
		case pageLast:
			if !v.varint {
				return fmt.Errorf("%w: a last that is no number", errMalformed)
			}
			p.last = v.number != 0
		}
		return nil
	})
	return p, err
}

// nameOf returns what names a feed in standings.
func nameOf(dk hypercore.DiscoveryKey) uint64 { return indexOf(dk) }
