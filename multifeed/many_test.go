package multifeed

import (
	"errors"
	"fmt"
	"os"
	"runtime"
	"testing"
	"time"

	"github.com/cobox-p2p/cobox-p2p/multifeed/wire"
)

type (
	frame       = wire.Frame
	message     = wire.Message
	openMessage = wire.Open
)

// soak asks for the large sizes.
var soak = os.Getenv("COBOX_SOAK") != ""

var errNotNow = errors.New("not now")

func TestManyFeeds(t *testing.T) {
	n := 500
	switch {
	case soak:
		n = 2000
	case raceDetector:
		n = 60
	}
	manyFeeds(t, n)
}

// manyFeeds lets n feeds of one block each cross.
func manyFeeds(t *testing.T, n int) {
	secret := NewSecret()
	na, nb := newNode(t, "alice"), newNode(t, "bob")
	a := na.open(secret.Address(), WithSecret(secret))
	b := nb.open(secret.Address(), WithSecret(secret))
	for i := range n {
		writeIn(t, a, fmt.Sprint("feed ", i), "one")
	}
	before := heap()
	started := time.Now()
	l := connect(t, na, a, nb, b)
	// Synced before b has told of its last block would be wrong.
	wantSynced(t, b, a)
	took := time.Since(started)
	after := heap()
	sent, received := uint64(0), uint64(0)
	for _, x := range a.Sessions() {
		sent, received = x.Traffic()
	}
	t.Logf("%d feeds of one block: %v, %.1f KiB of heap a feed on both sides together, %d bytes sent and %d received a feed",
		n, took, float64(after-before)/1024/float64(n), sent/uint64(n), received/uint64(n))
	if got := len(b.Feeds()); got != n {
		t.Fatalf("%d feeds, want %d", got, n)
	}
	for _, f := range b.Feeds() {
		if f.Durable() != 1 {
			t.Errorf("feed %.8s: %d blocks, want 1", f.Discovery(), f.Durable())
		}
	}
	l.cancel()
	l.wait()

	// Again, with nothing new: the list alone crosses.
	connect(t, na, a, nb, b)
	wantSynced(t, a)
}

func heap() int64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}
