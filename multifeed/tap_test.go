package multifeed

import (
	"bytes"
	"encoding/binary"
	"net"
	"slices"
	"sync"
	"testing"

	"github.com/cobox-p2p/cobox-p2p/hypercore"
	"github.com/cobox-p2p/cobox-p2p/multifeed/wire"
)

// tap is a connection that keeps what its owner writes.
type tap struct {
	net.Conn

	mu      sync.Mutex // guards all below
	skip    int        // control frames of the handshake left
	rest    []byte     // not yet a whole frame
	frames  []wire.Frame
	decoded []wire.Message // nil for a keep-alive
	bad     error          // of the first frame that does not decode
}

// tapping returns a function for setup and where to find the tap.
func tapping() (func(net.Conn) net.Conn, *tap) {
	t := &tap{skip: 2}
	return func(c net.Conn) net.Conn { t.Conn = c; return t }, t
}

func (t *tap) Write(p []byte) (int, error) {
	t.mu.Lock()
	t.rest = append(t.rest, p...)
	for {
		size, n := binary.Uvarint(t.rest)
		if n <= 0 || uint64(len(t.rest)) < uint64(n)+size {
			break
		}
		frame := slices.Clone(t.rest[:n+int(size)])
		t.rest = t.rest[len(frame):]
		if t.skip > 0 {
			t.skip--
			continue
		}
		t.takeLocked(frame)
	}
	t.mu.Unlock()
	return t.Conn.Write(p)
}

func (t *tap) takeLocked(frame []byte) {
	f, err := wire.NewReader(bytes.NewReader(frame), wire.MaxFrame).ReadFrame()
	var m wire.Message
	if err == nil && !f.KeepAlive {
		m, err = wire.Decode(f)
	}
	if err != nil && t.bad == nil {
		t.bad = err
	}
	t.frames, t.decoded = append(t.frames, f), append(t.decoded, m)
}

// count returns how many frames were written that match, all for nil.
func (t *tap) count(match func(wire.Frame, wire.Message) bool) (n int) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for i, f := range t.frames {
		if match == nil || match(f, t.decoded[i]) {
			n++
		}
	}
	return n
}

func ofType(typ byte) func(wire.Frame, wire.Message) bool {
	return func(f wire.Frame, _ wire.Message) bool { return !f.KeepAlive && f.Type == typ }
}

// opens returns how often each feed was opened.
func (t *tap) opens() map[hypercore.DiscoveryKey]int {
	t.mu.Lock()
	defer t.mu.Unlock()
	opens := map[hypercore.DiscoveryKey]int{}
	for _, m := range t.decoded {
		if m, ok := m.(*wire.Open); ok {
			opens[m.DiscoveryKey]++
		}
	}
	return opens
}

// seldom fails unless what was opened is closed, and none of the feeds was opened
// more than three times: for what was there, and twice for what came later.
func (t *tap) seldom(tt *testing.T, feeds int) {
	tt.Helper()
	total := 0
	opens := t.opens()
	for dk, n := range opens {
		if total += n; n > 3 {
			tt.Errorf("feed %.8s was opened %d times", dk, n)
		}
	}
	if len(opens) > feeds {
		tt.Errorf("%d feeds were opened, want %d at the most", len(opens), feeds)
	}
	if n := t.count(ofType(wire.TypeClose)); n != total {
		tt.Errorf("%d Opens and %d Closes were sent", total, n)
	}
}

// steady fails unless each feed was opened once and none was closed.
func (t *tap) steady(tt *testing.T, feeds int) {
	tt.Helper()
	opens := t.opens()
	for dk, n := range opens {
		if n != 1 {
			tt.Errorf("feed %.8s was opened %d times", dk, n)
		}
	}
	if len(opens) != feeds {
		tt.Errorf("%d feeds were opened, want %d", len(opens), feeds)
	}
	if n := t.count(ofType(wire.TypeClose)); n > 0 {
		tt.Errorf("%d Closes were sent", n)
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.bad != nil {
		tt.Errorf("a frame does not decode: %v", t.bad)
	}
}
