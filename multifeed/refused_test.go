package multifeed

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
	"unicode/utf8"

	"google.golang.org/protobuf/encoding/protowire"

	"github.com/cobox-p2p/cobox-p2p/hypercore"
)

func TestRefusalCodec(t *testing.T) {
	full := Refusal{Feed: hypercore.DiscoveryKey{1, 2}, Code: RefusedFeeds, Text: strings.Repeat("ä", MaxRefusalText/2)}
	for _, r := range []Refusal{full, {Feed: full.Feed}, {Feed: full.Feed, Code: RefusedBlocked}} {
		if got, err := decodeRefusal(r.encode()); err != nil || got != r {
			t.Errorf("decoded %+v, %v, want %+v", got, err, r)
		}
	}
	feed := protowire.AppendBytes(protowire.AppendTag(nil, 1, protowire.BytesType), full.Feed[:])
	code := func(n uint64) []byte {
		return protowire.AppendVarint(protowire.AppendTag(bytes.Clone(feed), 2, protowire.VarintType), n)
	}
	text := func(s string) []byte {
		return protowire.AppendString(protowire.AppendTag(bytes.Clone(feed), 3, protowire.BytesType), s)
	}
	if r, err := decodeRefusal(code(1 << 40)); err != nil || r.Code != RefusedByPolicy {
		t.Errorf("a code of later: %+v, %v", r, err)
	}
	if r, err := decodeRefusal(text("two\nlines\x1b[31m")); err != nil || r.Text != "two lines [31m" {
		t.Errorf("text %q, %v", r.Text, err)
	}
	for name, b := range map[string][]byte{
		"empty": nil, "no feed": full.encode()[34:], "short feed": protowire.AppendBytes(protowire.AppendTag(nil, 1, protowire.BytesType), full.Feed[:31]),
		"long text": text(strings.Repeat("x", MaxRefusalText+1)), "bad text": text("\xff"), "cut": full.encode()[:40],
		"code is bytes": protowire.AppendBytes(protowire.AppendTag(bytes.Clone(feed), 2, protowire.BytesType), nil),
	} {
		if r, err := decodeRefusal(b); !errors.Is(err, errMalformed) {
			t.Errorf("%s: %+v, %v, want malformed", name, r, err)
		}
	}
}

func FuzzRefusal(f *testing.F) {
	f.Add(Refusal{Code: 3, Text: "full"}.encode())
	f.Fuzz(func(t *testing.T, b []byte) {
		r, err := decodeRefusal(b)
		if err != nil {
			return
		}
		if again, err := decodeRefusal(r.encode()); err != nil || again != r || !utf8.ValidString(r.Text) {
			t.Fatalf("%+v became %+v, %v", r, again, err)
		}
	})
}

func TestRefusalOfAnError(t *testing.T) {
	dk := hypercore.DiscoveryKey{7}
	long := strings.Repeat("ü", MaxRefusalText)
	for _, c := range []struct {
		err  error
		code RefusalCode
		text string
	}{
		{fmt.Errorf("%w: %w", errRefused, errors.New("not\tyours")), RefusedByPolicy, "not yours"},
		{fmt.Errorf("%w: %w", errRefused, errors.New(long)), RefusedByPolicy, long[:MaxRefusalText]},
		{fmt.Errorf("%w: %w: 3", errRefused, ErrTooMany), RefusedFeeds, strings.TrimPrefix(ErrTooMany.Error(), "multifeed: ")},
		{fmt.Errorf("%w: %w", errRefused, ErrBlocked), RefusedBlocked, "feed is blocked here"},
	} {
		if r := refusalOf(dk, c.err); r.Feed != dk || r.Code != c.code || r.Text != c.text {
			t.Errorf("refusal of %v = %+v", c.err, r)
		}
	}
}

// What a policy refuses, the other side is told once; what it may think of
// otherwise later comes without another session.
func TestPolicyTellsWhyAndReconsiders(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		address, key := NewOpenAddress(), NewEncryptionKey()
		na, nb := newNode(t, "alice"), newNode(t, "bob")
		refuse := errors.New("only on Sundays")
		a := na.open(address, WithEncryptionKey(key))
		b := nb.open(address, WithEncryptionKey(key), WithPolicy(func(Offer) error { return refuse }))
		w := writeIn(t, a, "log", "one")
		var events atomic.Int32
		a.Notify(func(e Event) {
			if r, ok := errors.AsType[*Refusal](e.Err); e.Kind == RefusedByPeer {
				if events.Add(1); !ok || r.Feed != w.Discovery() || !strings.Contains(r.Error(), "only on") && r.Code != NotRefused {
					t.Errorf("event %+v", e)
				}
			}
		})
		connect(t, na, a, nb, b)
		synctest.Wait()
		if r := refusedBy(t, a)[w.Discovery()]; r.Code != RefusedByPolicy || r.Text != "only on Sundays" || events.Load() != 1 {
			t.Errorf("told %+v, %d events", r, events.Load())
		}
		b.Reconsider()
		synctest.Wait()
		if events.Load() != 1 || b.Len() != 0 {
			t.Errorf("%d events, %d feeds while the policy stays", events.Load(), b.Len())
		}
		refuse = nil
		b.Reconsider()
		synctest.Wait()
		if events.Load() != 2 || len(refusedBy(t, a)) != 0 {
			t.Errorf("%d events, refused %v, want it taken back", events.Load(), refusedBy(t, a))
		}
		wantBlock(t, b, w.Key(), 0, "one")
	})
}

func TestRefusalsAreBounded(t *testing.T) {
	nv := newNode(t, "victim")
	v := nv.open(NewOpenAddress())
	x := v.newSession(&Opened{Stream: nil, deadlines: &deadlines{stream: nullStream{}}}, func(error) {}, nil)
	now := time.Now()
	refusal := func(i int) []byte {
		return Refusal{Feed: hypercore.DiscoveryKey{byte(i), byte(i >> 8)}, Code: RefusedByPolicy}.encode()
	}
	for i := range MaxRefusals + 1 {
		if err := x.handleRefused(refusal(i), now); err != nil {
			t.Fatalf("refusal %d: %v", i, err)
		}
	}
	if got := len(x.RefusedBy()); got != MaxRefusals {
		t.Errorf("%d refusals are kept, want %d", got, MaxRefusals)
	}
	var err error
	for i := 0; err == nil && i < 2*MaxDropped; i++ {
		err = x.handleRefused(refusal(i), now)
	}
	if p, ok := errors.AsType[*ProtocolError](err); !ok || p.Code != CodeLimit {
		t.Errorf("a flood of refusals: %v, want LIMIT", err)
	}
	if err := x.handleRefused([]byte{0xff}, now); CodeOf(err) != CodeProtocol {
		t.Errorf("a broken one: %v", err)
	}
	for i := range MaxRefusalsMinute + 10 {
		x.refuse(hypercore.DiscoveryKey{byte(i), byte(i >> 8)}, ErrBlocked)
		x.refuse(hypercore.DiscoveryKey{byte(i), byte(i >> 8)}, ErrBlocked)
	}
	if got := len(x.Refused()); got != MaxRefusalsMinute || len(x.out.messages) != got {
		t.Errorf("told of %d, %d messages, want %d", got, len(x.out.messages), MaxRefusalsMinute)
	}
}

// nullStream is a stream that nobody uses.
type nullStream struct{ Stream }

func (nullStream) SetReadDeadline(time.Time) error { return nil }
