package multifeed

import (
	"errors"
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"

	"google.golang.org/protobuf/encoding/protowire"

	"github.com/cobox-p2p/cobox-p2p/hypercore"
)

// RefusalCode says why a feed is refused. The numbers never change.
type RefusalCode byte

// The codes. Others that a peer sends stand for RefusedByPolicy.
const (
	NotRefused        RefusalCode = 0 // any more
	RefusedByPolicy   RefusalCode = 1 // the owner doesn't want it
	RefusedFeeds      RefusalCode = 2 // the space has as many feeds as its limit allows
	RefusedFeedBytes  RefusalCode = 3 // the feed has as many bytes there
	RefusedSpaceBytes RefusalCode = 4 // the space has
	RefusedNodeBytes  RefusalCode = 5 // the node has
	RefusedBlocked    RefusalCode = 6 // the feed is blocked
)

var refusalNames = [...]string{
	NotRefused: "none", RefusedByPolicy: "policy", RefusedFeeds: "feeds", RefusedFeedBytes: "bytes of the feed",
	RefusedSpaceBytes: "bytes of the space", RefusedNodeBytes: "bytes of the node", RefusedBlocked: "blocked",
}

// String names the code.
func (c RefusalCode) String() string {
	if int(c) < len(refusalNames) {
		return refusalNames[c]
	}
	return refusalNames[RefusedByPolicy]
}

// Refusal says that one side of a session takes in nothing, or nothing more, of a
// feed.
type Refusal struct {
	Feed hypercore.DiscoveryKey
	Code RefusalCode
	Text string // for people; nobody verified it
}

// Error returns the text.
func (r *Refusal) Error() string {
	return fmt.Sprintf("multifeed: the peer takes nothing more of feed %.8s: %s", r.Feed, r.Text)
}

// refusalOf puts why into what a peer is told.
func refusalOf(dk hypercore.DiscoveryKey, why error) Refusal {
	r := Refusal{Feed: dk, Code: RefusedByPolicy}
	for _, c := range []struct {
		err  error
		code RefusalCode
	}{
		{ErrTooMany, RefusedFeeds}, {ErrFeedBytes, RefusedFeedBytes}, {ErrSpaceBytes, RefusedSpaceBytes},
		{ErrNodeBytes, RefusedNodeBytes}, {ErrBlocked, RefusedBlocked},
	} {
		if errors.Is(why, c.err) {
			r.Code, r.Text = c.code, strings.TrimPrefix(c.err.Error(), "multifeed: ")
			return r
		}
	}
	r.Text = clean(strings.TrimPrefix(why.Error(), errRefused.Error()+": "))
	return r
}

// clean returns text as a refusal may have it.
func clean(text string) string {
	text = strings.Map(func(c rune) rune {
		if c == utf8.RuneError || unicode.IsControl(c) {
			return ' '
		}
		return c
	}, text)
	for len(text) > MaxRefusalText {
		_, size := utf8.DecodeLastRuneInString(text)
		text = text[:len(text)-size]
	}
	return text
}

// Field numbers of a refusal. See interop/spec/feedset.md, "Refusals".
const (
	refusedFeed = 1 // bytes, 32: discovery key
	refusedCode = 2 // uvarint
	refusedText = 3 // bytes, at most MaxRefusalText of UTF-8
)

func (r Refusal) encode() []byte {
	b := protowire.AppendBytes(protowire.AppendTag(nil, refusedFeed, protowire.BytesType), r.Feed[:])
	b = protowire.AppendVarint(protowire.AppendTag(b, refusedCode, protowire.VarintType), uint64(r.Code))
	if r.Text != "" {
		b = protowire.AppendString(protowire.AppendTag(b, refusedText, protowire.BytesType), r.Text)
	}
	return b
}

var errRefusal = fmt.Errorf("%w: refusal", errMalformed)

func decodeRefusal(b []byte) (r Refusal, err error) {
	var known bool
	err = eachField(b, func(num protowire.Number, v field) error {
		ok := true
		switch num {
		case refusedFeed:
			known = copyExactly(r.Feed[:], v.bytes)
			ok = known
		case refusedCode:
			ok = v.varint
			if r.Code = RefusalCode(v.number); v.number > uint64(RefusedBlocked) {
				r.Code = RefusedByPolicy
			}
		case refusedText:
			ok = v.bytes != nil && len(v.bytes) <= MaxRefusalText && utf8.Valid(v.bytes)
			r.Text = clean(string(v.bytes))
		}
		if !ok {
			return fmt.Errorf("%w: field %d", errRefusal, num)
		}
		return nil
	})
	if err == nil && !known {
		err = fmt.Errorf("%w: no discovery key", errRefusal)
	}
	return r, err
}
