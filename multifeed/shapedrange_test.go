package multifeed

import (
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/cobox-p2p/cobox-p2p/hypercore"
)

// megabit is in bytes a second.
const megabit = 1_000_000 / 8

// A line with a round trip of 100 ms is kept full as soon as the first block has
// come.
func TestLongLineIsKeptFull(t *testing.T) {
	const rate, roundTrip = 50 * megabit, 100 * time.Millisecond
	size := 16 << 20
	if soak {
		size = 256 << 20
	}
	for _, block := range []int{64 << 10, 1 << 10} {
		synctest.Test(t, func(t *testing.T) {
			secret := NewSecret()
			a := newNode(t, "alice").open(secret.Address(), WithSecret(secret))
			b := newNode(t, "bob").open(secret.Address())
			w := fillFeed(t, a, size, block)
			s := shape{rate, roundTrip / 2, 4 << 20}
			begun := time.Now()
			first, early := firstArrival(b)
			shapedPeers(t, "alice", a, "bob", b, s, s)
			took := arrival(t, b, w, 5*time.Minute)
			before := first().Sub(begun)
			sealed := (size/block - int(early())) * (block + hypercore.SealOverhead)
			got := float64(sealed) / (took - before).Seconds()
			t.Logf("blocks of %d B: the first after %v, then %.3f of the line", block, before, got/rate)
			if got < 0.9*rate {
				t.Errorf("blocks of %d B: %.3f of the line's rate, want 0.9", block, got/rate)
			}
			if most := 8 * roundTrip; before > most {
				t.Errorf("blocks of %d B: the first came after %v, want %v at most", block, before, most)
			}
		})
	}
}

// firstArrival returns when the first blocks of the space became durable, and how
// many these were.
func firstArrival(s *Space) (at func() time.Time, count func() uint64) {
	var mu sync.Mutex
	var first time.Time
	var blocks uint64
	s.Notify(func(e Event) {
		mu.Lock()
		defer mu.Unlock()
		if e.Kind == BlocksStored && first.IsZero() {
			first, blocks = time.Now(), e.Span.Count
		}
	})
	return func() time.Time { mu.Lock(); defer mu.Unlock(); return first },
		func() uint64 { mu.Lock(); defer mu.Unlock(); return blocks }
}

// What was asked of a peer that turns slow or dead is asked of another within a
// second.
func TestSlowOrDeadPeer(t *testing.T) {
	const size, rate = 12 << 20, 50 * megabit
	for name, turn := range map[string]func(*line){
		"dead": func(l *line) { l.dead = true },
		"slow": func(l *line) { l.shape.rate = rate / 100 },
	} {
		synctest.Test(t, func(t *testing.T) {
			secret := NewSecret()
			a := newNode(t, "alice").open(secret.Address(), WithSecret(secret))
			b := newNode(t, "bob").open(secret.Address())
			w := fillFeed(t, a, size, 64<<10)
			s := shape{rate, 10 * time.Millisecond, 64 << 10}
			shapedPeers(t, "good", a, "bob", b, s, s)
			bad, _ := shapedPeers(t, "bad", a, "bob", b, s, s)
			time.Sleep(500 * time.Millisecond)
			f, err := b.Feed(w.Key())
			if err != nil {
				t.Fatal(err)
			}
			left := size - int(f.Durable())*64<<10
			bad.out.alter(turn)
			took := arrival(t, b, w, time.Minute)
			least := time.Duration(left) * time.Second / rate
			t.Logf("%s: %d bytes left took %v, at the rate of the other peer %v", name, left, took, least)
			if most := least + time.Second; took > most {
				t.Errorf("%s: took %v, want %v", name, took, most)
			}
		})
	}
}
