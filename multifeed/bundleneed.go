package multifeed

import (
	"context"
	"errors"
	"fmt"
	"io"

	"google.golang.org/protobuf/encoding/protowire"

	"github.com/cobox-p2p/cobox-p2p/hypercore"
	"github.com/cobox-p2p/cobox-p2p/hypercore/merkle"
	"github.com/cobox-p2p/cobox-p2p/multifeed/wire"
)

// MaxNeedFeeds is how many feeds a need names.
const MaxNeedFeeds = 1 << 20

// Need is what a node holds of a space's feeds, for who writes a bundle for it.
// Feeds that it doesn't name are needed whole.
type Need map[hypercore.Key]FeedNeed

// FeedNeed is what a node holds of a feed.
type FeedNeed struct {
	From   uint64 // the first block that it lacks; at most Length
	Length uint64 // of its tree in blocks
}

// Field numbers of a feed of a need.
const (
	needKey    = 1 // bytes, 32
	needFrom   = 2 // uvarint
	needLength = 3 // uvarint
)

// Need returns what is held here. Feeds that can't be opened are left out.
func (s *Space) Need() Need {
	n := make(Need, s.Len())
	for f := range s.All() {
		n[f.Key()] = f.need()
	}
	return n
}

func (f *Feed) need() FeedNeed {
	length := f.Length()
	from, _ := f.Missing(0)
	return FeedNeed{From: min(from, length), Length: length}
}

// WriteNeed writes what is held here to w, sealed for who knows the address, and
// returns the number of feeds. See interop/spec/bundle.md, "Need".
func (s *Space) WriteNeed(ctx context.Context, w io.Writer) (feeds int, err error) {
	b, err := newBundleWriter(w, s.address, needMagic)
	if err != nil {
		return 0, fmt.Errorf("write need: %w", err)
	}
	for f := range s.All() {
		if err := ctx.Err(); err != nil {
			return feeds, err
		}
		if feeds == MaxNeedFeeds {
			break
		}
		if err := b.say(needFeed, appendFeedNeed(nil, f.Key(), f.need())); err != nil {
			return feeds, fmt.Errorf("write need: %w", err)
		}
		feeds++
	}
	if err := b.out.Close(); err != nil {
		return feeds, fmt.Errorf("write need: %w", err)
	}
	return feeds, nil
}

// ReadNeed reads what WriteNeed wrote for this space. It returns ErrNotBundle,
// ErrNotForSpace, ErrBundleBroken, or what r said, and then no need.
func (s *Space) ReadNeed(r io.Reader) (Need, error) {
	n, err := readNeed(r, s.address, MaxNeedFeeds)
	if err != nil {
		return nil, fmt.Errorf("read need: %w", err)
	}
	return n, nil
}

// readNeed reads a need of at most limit feeds.
func readNeed(r io.Reader, address Address, limit int) (Need, error) {
	n := Need{}
	err := eachFrame(r, address, needMagic, func(channel uint64, m wire.Message) error {
		e, ok := m.(*hypercore.Extension)
		if !ok || channel != headChannel || e.ID != needFeed {
			return nil
		}
		key, f, err := decodeFeedNeed(e.Payload)
		if err != nil {
			return brokenBundle(err)
		}
		if n[key] = f; len(n) > limit {
			return brokenBundle(fmt.Errorf("over %d feeds", limit))
		}
		return nil
	})
	return n, err
}

func appendFeedNeed(b []byte, key hypercore.Key, f FeedNeed) []byte {
	b = protowire.AppendBytes(protowire.AppendTag(b, needKey, protowire.BytesType), key[:])
	b = protowire.AppendVarint(protowire.AppendTag(b, needFrom, protowire.VarintType), f.From)
	return protowire.AppendVarint(protowire.AppendTag(b, needLength, protowire.VarintType), f.Length)
}

func decodeFeedNeed(b []byte) (key hypercore.Key, f FeedNeed, err error) {
	if len(b) > maxBundleEntry {
		return key, f, fmt.Errorf("need of a feed of %d bytes", len(b))
	}
	named := false
	err = eachField(b, func(num protowire.Number, v field) error {
		ok := true
		switch num {
		case needKey:
			named = copyExactly(key[:], v.bytes)
			ok = named
		case needFrom:
			f.From, ok = v.number, v.varint
		case needLength:
			f.Length, ok = v.number, v.varint
		}
		if !ok {
			return fmt.Errorf("%w: need of a feed, field %d", errMalformed, num)
		}
		return nil
	})
	switch {
	case err != nil:
		return key, f, err
	case !named:
		return key, f, errors.New("need of no feed")
	case f.From > f.Length || f.Length > merkle.MaxLength:
		return key, f, fmt.Errorf("need of a feed from block %d of %d on", f.From, f.Length)
	}
	return key, f, nil
}
