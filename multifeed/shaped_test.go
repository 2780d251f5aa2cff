package multifeed

import (
	"testing"
	"testing/synctest"
	"time"
)

// fillFeed appends size bytes in blocks to a writer of the space.
func fillFeed(t *testing.T, s *Space, size, block int) *Feed {
	t.Helper()
	w, err := s.Writer("log")
	if err != nil {
		t.Fatal(err)
	}
	blocks := make([][]byte, (1<<20)/block)
	for i := range blocks {
		blocks[i] = make([]byte, block)
	}
	for left := size / block; left > 0; left -= len(blocks) {
		if _, err := w.Append(within(t), blocks[:min(left, len(blocks))]...); err != nil {
			t.Fatal(err)
		}
	}
	return w
}

// arrival waits until the space has all of the feed and returns how long that took.
// It fails after limit.
func arrival(t *testing.T, s *Space, want *Feed, limit time.Duration) time.Duration {
	t.Helper()
	begun := time.Now()
	end := time.After(limit)
	for {
		changed := s.Changed()
		if f, err := s.Feed(want.Key()); err == nil && f.Durable() == want.Length() {
			return time.Since(begun)
		}
		select {
		case <-changed:
		case <-end:
			t.Fatalf("the feed did not arrive within %v", limit)
		}
	}
}

// Four seeders that are limited each are used together.
func TestFourSeeders(t *testing.T) {
	const size, rate, want = 40 << 20, 10 << 20, 36 << 20
	synctest.Test(t, func(t *testing.T) {
		secret := NewSecret()
		a := newNode(t, "alice").open(secret.Address(), WithSecret(secret))
		b := newNode(t, "bob").open(secret.Address())
		w := fillFeed(t, a, size, 64<<10)
		s := shape{rate, time.Millisecond, 1 << 20}
		for _, id := range []string{"seeder 1", "seeder 2", "seeder 3", "seeder 4"} {
			shapedPeers(t, id, a, "bob", b, s, s)
		}
		got := size / arrival(t, b, w, time.Minute).Seconds()
		t.Logf("%.1f MiB/s", got/(1<<20))
		if got < want {
			t.Errorf("%.1f MiB/s, want %d", got/(1<<20), want>>20)
		}
	})
}
