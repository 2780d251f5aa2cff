package hypercore_test

import (
	"encoding/binary"
	"errors"
	"runtime"
	"strconv"
	"testing"
	"time"

	"github.com/cobox-p2p/cobox-p2p/hypercore"
	"github.com/cobox-p2p/cobox-p2p/hypercore/merkle"
)

func itoa(i int) string { return strconv.Itoa(i) }

// flood says messages until one is refused and returns how many were taken.
func flood(r *remote, message func(n uint64) hypercore.Message, most int) (int, error) {
	for n := range most {
		if err := r.peer.Handle(message(uint64(n)), r.now); err != nil {
			return n, err
		}
	}
	return most, nil
}

func TestFloodsAreBounded(t *testing.T) {
	f, _ := written(t, 3)
	for name, c := range map[string]struct {
		m    func(n uint64) hypercore.Message
		most int
		want error
	}{
		"requests": {func(n uint64) hypercore.Message { return &hypercore.Request{Index: n} }, hypercore.MaxRemoteRequests, hypercore.ErrTooManyRequests},
		"wants":    {func(n uint64) hypercore.Message { return &hypercore.Want{Start: 8192 * n, Length: 8192} }, hypercore.MaxRemoteWants, hypercore.ErrTooManyWants},
		"data":     {func(uint64) hypercore.Message { return &hypercore.Data{Index: 1, Value: []byte{1}} }, hypercore.MaxUnasked, nil},
	} {
		r := speak(t, f, hypercore.PeerOptions{})
		n, err := flood(r, c.m, c.most+1)
		var remote *hypercore.RemoteError
		if n != c.most || !errors.As(err, &remote) || !errors.Is(err, hypercore.ErrLimit) || c.want != nil && !errors.Is(err, c.want) {
			t.Errorf("%s: %d taken, then %v, want %d", name, n, err, c.most)
		}
		r.hear()
		r.now = r.now.Add(time.Minute + 1)
		if err := r.peer.Handle(c.m(0), r.now); err != nil {
			t.Errorf("%s after it was answered: %v", name, err)
		}
	}
}

// What waits already isn't remembered twice.
func TestEqualWantsAndRequestsCountOnce(t *testing.T) {
	f, _ := written(t, 3)
	r := speak(t, f, hypercore.PeerOptions{})
	r.hear()
	for range 2 * hypercore.MaxRemoteRequests {
		r.say(&hypercore.Want{Start: 0, Length: 8192}, &hypercore.Request{Index: 1}, &hypercore.Request{Index: 1, Hash: true})
	}
	if requests, wants, _, _ := r.peer.Owed(); requests != 2 || wants != 1 {
		t.Errorf("%d requests and %d wants are remembered, want 2 and 1", requests, wants)
	}
	if got := r.hear(); len(got) != 4 {
		t.Errorf("answered with %s, want two Haves, a block and a hash", list(got))
	}
}

func TestRangesAtTheLimits(t *testing.T) {
	const end = merkle.MaxSize
	f, _ := written(t, 3)
	for name, c := range map[string]struct{ good, bad hypercore.Message }{
		"have":          {&hypercore.Have{Start: 1, Length: end - 1}, &hypercore.Have{Start: 1, Length: end}},
		"have start":    {&hypercore.Have{Start: end, Length: 0}, &hypercore.Have{Start: end + 1, Length: 0}},
		"have wraps":    {&hypercore.Have{Start: 0, Length: 0}, &hypercore.Have{Start: 1 << 52, Length: 1<<64 - 1}},
		"unhave":        {&hypercore.Unhave{Start: 1, Length: end - 1}, &hypercore.Unhave{Start: 1, Length: end}},
		"want":          {&hypercore.Want{Start: 0, Length: hypercore.MaxWant}, &hypercore.Want{Start: 0, Length: hypercore.MaxWant + 8192}},
		"want start":    {&hypercore.Want{Start: 1<<53 - 8192, Length: 8192}, &hypercore.Want{Start: 1 << 53, Length: 8192}},
		"request":       {&hypercore.Request{Index: end}, &hypercore.Request{Index: end + 1}},
		"request bytes": {&hypercore.Request{Bytes: end}, &hypercore.Request{Bytes: end + 1}},
		"request nodes": {&hypercore.Request{Nodes: end}, &hypercore.Request{Nodes: end + 1}},
	} {
		r := speak(t, f, hypercore.PeerOptions{})
		r.hear()
		r.say(c.good)
		r.hear()
		if err := r.peer.Handle(c.bad, r.now); !errors.Is(err, hypercore.ErrRange) || !errors.Is(err, hypercore.ErrMalformed) {
			t.Errorf("%s: %s: %v, want ErrRange", name, describe(c.bad), err)
		}
	}
}

func TestOwnRequestsAreBounded(t *testing.T) {
	writer, _ := written(t, 1000)
	f, _ := reading(t)
	give(t, writer, f, 0)
	r := speak(t, f, hypercore.PeerOptions{})
	r.hear()
	r.say(&hypercore.Have{Start: 0, Length: 1000})
	if got := r.hear(); len(got) != hypercore.MaxRequests {
		t.Errorf("%d requests at once, want %d", len(got), hypercore.MaxRequests)
	}
	for range 1000 { // silent for hours
		r.now = r.now.Add(hypercore.RequestTimeout)
		r.hear()
	}
	if _, _, asked, _ := r.peer.Owed(); asked > hypercore.MaxRequests+hypercore.MaxMoved {
		t.Errorf("%d requests are remembered, want at most %d", asked, hypercore.MaxRequests+hypercore.MaxMoved)
	}
}

// A remote that does not read costs a bounded number of messages.
func TestHavesForSilentRemoteAreBounded(t *testing.T) {
	const length = 4 * hypercore.MaxHaves
	writer, _ := written(t, length)
	f, _ := reading(t)
	f.SetSparse(true)
	r := speak(t, f, hypercore.PeerOptions{})
	r.say(&hypercore.Want{Start: 0, Length: 8192})
	r.hear()
	for seq := uint64(0); seq < length; seq += 2 {
		give(t, writer, f, seq)
	}
	if _, wants, _, messages := r.peer.Owed(); messages > hypercore.MaxHaves || wants > hypercore.MaxRemoteWants {
		t.Errorf("%d messages and %d wants are owed", messages, wants)
	}
	for range hypercore.MaxRemoteWants - 1 {
		r.say(&hypercore.Want{Start: 0, Length: 8192})
	}
}

// growth returns the bytes allocated by f.
func growth(f func()) uint64 {
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	f()
	runtime.ReadMemStats(&after)
	return after.TotalAlloc - before.TotalAlloc
}

// W6: messages of a few bytes about enormous ranges. Memory that isn't touched
// costs no time, so what they allocate bounds both.
func TestW6TinyMessagesAboutHugeRanges(t *testing.T) {
	f, _ := written(t, 3)
	run := func(n uint64) []byte { return binary.AppendUvarint(nil, n<<2|3) }
	for name, m := range map[string]hypercore.Message{
		"have 2e8":           &hypercore.Have{Start: 0, Length: 2e8},
		"have all":           &hypercore.Have{Start: 0, Length: merkle.MaxSize},
		"have all but one":   &hypercore.Have{Start: 1, Length: merkle.MaxSize - 1},
		"have far":           &hypercore.Have{Start: 1 << 52, Length: 1 << 51},
		"unhave all":         &hypercore.Unhave{Start: 0, Length: merkle.MaxSize},
		"unhave in between":  &hypercore.Unhave{Start: 8191, Length: 1 << 45},
		"bitfield 256 MiB":   &hypercore.Have{Start: 0, Length: 1 << 31, Bitfield: run(256 << 20)},
		"bitfield 900 MiB":   &hypercore.Have{Start: 0, Length: 1 << 33, Bitfield: run(900 << 20)},
		"bitfield 2^62":      &hypercore.Have{Start: 0, Length: 1, Bitfield: run(1<<62 - 1)},
		"bitfield, range":    &hypercore.Have{Start: 0, Length: merkle.MaxSize, Bitfield: run(128 << 10)},
		"want at the end":    &hypercore.Want{Start: 1<<53 - 8192, Length: hypercore.MaxWant},
		"request at the end": &hypercore.Request{Index: merkle.MaxSize, Nodes: merkle.MaxSize},
		"seek at the end":    &hypercore.Request{Bytes: merkle.MaxSize},
	} {
		r := speak(t, f, hypercore.PeerOptions{})
		r.say(&hypercore.Have{Start: 0, Length: 1 << 40}, &hypercore.Have{Start: 1 << 41, Length: 8192})
		used := growth(func() {
			for range 5 {
				_ = r.peer.Handle(m, r.now)
				for range 100 {
					if m, err := r.peer.Next(r.now); m == nil || err != nil {
						break
					}
				}
			}
		})
		if used > 4<<20 {
			t.Errorf("%s: %d bytes allocated", name, used)
		}
		r.peer.Detach()
	}
	if f.Length() != 3 {
		t.Errorf("length = %d, want 3", f.Length())
	}
}
