package multifeed

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync/atomic"
	"unicode"
	"unicode/utf8"

	"google.golang.org/protobuf/encoding/protowire"

	"github.com/cobox-p2p/cobox-p2p/hypercore"
)

// Feed is one feed of a space. What it inherits of hypercore.Feed seals and
// opens blocks with the space's key.
//
// A Feed stays open as long as somebody holds it.
type Feed struct {
	*hypercore.Feed
	space     *Space
	place     uint32 // in the space's set
	name      string
	admission Admission // zero in open spaces
	own       atomic.Bool
	retired   atomic.Bool
	ration    *hypercore.Ration // of this feed alone; nil without limits
	damaged   error             // why the stored feed can't be opened; else nil
	give      func()            // gives back what the feed has open; refers to no Feed
}

// Name returns the writer's name for a feed of this node, and for others the
// number of feeds that were there before it arrived, in decimal.
func (f *Feed) Name() string { return f.name }

// Own says whether this node writes the feed.
func (f *Feed) Own() bool { return f.own.Load() }

// Damaged returns nil, or why the feed can't be opened, which wraps
// hypercore.ErrDamaged. Such a feed is empty, and every use of it returns that
// error. See Space.Recover.
func (f *Feed) Damaged() error { return f.damaged }

// Admission returns the proof that the feed belongs to a signed space.
func (f *Feed) Admission() Admission { return f.admission }

// KnownLength returns the feed's length in blocks as far as anybody showed a
// signed head of it; the blocks need not be here yet.
func (f *Feed) KnownLength() uint64 {
	length := f.Length()
	s := f.space
	s.mu.Lock()
	defer s.mu.Unlock()
	known := s.set.known[f.place]
	if known <= length {
		delete(s.set.known, f.place)
	}
	return max(known, length)
}

// noteKnown takes the length of an entry whose head was verified if it is the
// longest.
func (f *Feed) noteKnown(length uint64) {
	if length <= f.Length() {
		return
	}
	s := f.space
	s.mu.Lock()
	defer s.mu.Unlock()
	s.set.known[f.place] = max(length, s.set.known[f.place])
}

// checkName returns ErrName for what can't be a writer's name.
func checkName(name string) error {
	if name == "" || len(name) > MaxName || !utf8.ValidString(name) || strings.ContainsFunc(name, unicode.IsControl) {
		return ErrName
	}
	return nil
}

// Records of a space's feeds lie under recordPrefix, the address and the feed
// key.
const (
	recordPrefix  = "space/"
	fieldNumber   = 1 // uvarint: feeds that were there before
	fieldName     = 2 // bytes: the writer's name, own feeds only
	fieldAdmit    = 3 // bytes: admission, signed spaces only
	fieldInstance = 4 // bytes: instance, own feeds only
	fieldSeed     = 5 // bytes: seed of the key pair, feeds that came with their keys only
	fieldOurs     = 6 // uvarint 1: with fieldSeed, nobody else writes the feed any more
	fieldRetired  = 7 // uvarint 1: was written here and is no more
)

func (s *Space) recordPrefix() []byte {
	return append(append([]byte(recordPrefix), byte(s.address.Kind)), s.address.Key[:]...)
}

type feedRecord struct {
	key       hypercore.Key
	number    uint64
	name      string
	instance  Instance
	admission Admission
	seed      []byte // nil, or hypercore.SeedSize bytes
	ours      bool
	retired   bool
	offered   bool // not stored: a peer offered the feed
}

// pair returns the keys that came with the feed.
func (r feedRecord) pair() (pair hypercore.KeyPair, ok bool) {
	if r.seed == nil {
		return pair, false
	}
	return hypercore.NewKeyPair([hypercore.SeedSize]byte(r.seed)), true
}

func (r feedRecord) encode() []byte {
	b := protowire.AppendVarint(protowire.AppendTag(nil, fieldNumber, protowire.VarintType), r.number)
	if r.name != "" {
		b = protowire.AppendString(protowire.AppendTag(b, fieldName, protowire.BytesType), r.name)
	}
	if r.name != "" && r.seed == nil {
		b = protowire.AppendBytes(protowire.AppendTag(b, fieldInstance, protowire.BytesType), r.instance[:])
	}
	if r.seed != nil {
		b = protowire.AppendBytes(protowire.AppendTag(b, fieldSeed, protowire.BytesType), r.seed)
		b = protowire.AppendVarint(protowire.AppendTag(b, fieldOurs, protowire.VarintType), protowire.EncodeBool(r.ours))
	}
	if r.retired {
		b = protowire.AppendVarint(protowire.AppendTag(b, fieldRetired, protowire.VarintType), 1)
	}
	if r.admission != (Admission{}) {
		b = protowire.AppendBytes(protowire.AppendTag(b, fieldAdmit, protowire.BytesType), r.admission[:])
	}
	return b
}

var errRecord = errors.New("multifeed: damaged record of a feed")

func decodeFeedRecord(key, value []byte) (r feedRecord, err error) {
	if len(key) < hypercore.KeySize {
		return r, errRecord
	}
	r.key = hypercore.Key(key[len(key)-hypercore.KeySize:])
	for len(value) > 0 {
		num, typ, n := protowire.ConsumeTag(value)
		if n < 0 {
			return r, errRecord
		}
		value = value[n:]
		size := protowire.ConsumeFieldValue(num, typ, value)
		if size < 0 {
			return r, errRecord
		}
		field := value[:size]
		value = value[size:]
		if num == fieldNumber && typ == protowire.VarintType {
			r.number, _ = protowire.ConsumeVarint(field)
		}
		if num == fieldOurs && typ == protowire.VarintType {
			ours, _ := protowire.ConsumeVarint(field)
			r.ours = ours == 1
		}
		if num == fieldRetired && typ == protowire.VarintType {
			retired, _ := protowire.ConsumeVarint(field)
			r.retired = retired == 1
		}
		if typ != protowire.BytesType {
			continue
		}
		b, _ := protowire.ConsumeBytes(field)
		switch {
		case num == fieldName:
			r.name = string(b)
		case num == fieldAdmit && len(b) == len(r.admission):
			r.admission = Admission(b)
		case num == fieldInstance && len(b) == len(r.instance):
			r.instance = Instance(b)
		case num == fieldSeed && len(b) == hypercore.SeedSize:
			r.seed = slices.Clone(b)
		}
	}
	return r, nil
}

// writerName returns the corestore name of a writer. See interop/spec/keys.md,
// "Writers".
func writerName(a Address, name string, i Instance) string {
	return fmt.Sprintf("@multifeed:%x:@multifeed:feed:%s\n%x", a.Key, name, i)
}
