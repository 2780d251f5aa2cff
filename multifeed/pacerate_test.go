package multifeed

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// near fails unless got is at most a tenth and a little away from want.
func near(t *testing.T, what string, got, want time.Duration) {
	t.Helper()
	if off := (got - want).Abs(); off > want/10+200*time.Millisecond {
		t.Errorf("%s took %v, want about %v", what, got, want)
	}
}

func TestPaceKeepsTheRateAndTakesTurns(t *testing.T) {
	for _, rate := range []Rate{MinRate, 100 << 10, 10 << 20} {
		synctest.Test(t, func(t *testing.T) {
			p := NewPace(Schedule{Rate: rate})
			const goers = 8
			var passed [goers]atomic.Int64
			ctx, end := context.WithTimeout(t.Context(), 10*time.Second)
			defer end()
			var wg sync.WaitGroup
			for i := range goers {
				wg.Go(func() {
					for p.wait(ctx, p.part(maxWrite), false) == nil {
						passed[i].Add(int64(p.part(maxWrite)))
					}
				})
			}
			wg.Wait()
			var all, least, most int64
			least = 1 << 62
			for i := range passed {
				n := passed[i].Load()
				all, least, most = all+n, min(least, n), max(most, n)
			}
			want := int64(rate) * 10
			if part := int64(p.part(maxWrite)); all > want+2*part || all < want*9/10 || most-least > part {
				t.Errorf("rate %v: %d bytes in 10 s, want %d; each between %d and %d with parts of %d", rate, all, want, least, most, part)
			}
		})
	}
}

func TestUrgentBytesWaitForOnePartOfBlocks(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := NewPace(Schedule{Rate: 10 << 10})
		ctx, end := context.WithCancel(t.Context())
		var wg sync.WaitGroup
		for range 64 {
			wg.Go(func() {
				for p.wait(ctx, p.part(maxWrite), false) == nil {
				}
			})
		}
		time.Sleep(5 * time.Second)
		for range 20 {
			before := time.Now()
			if err := p.wait(ctx, 100, true); err != nil {
				t.Fatal(err)
			}
			if took := time.Since(before); took > 150*time.Millisecond {
				t.Errorf("100 urgent bytes waited %v", took)
			}
			time.Sleep(time.Second)
		}
		end()
		wg.Wait()
		if err := p.wait(ctx, 100, false); !errors.Is(err, context.Canceled) {
			t.Errorf("wait after the end = %v", err)
		}
	})
}

func TestPaceFollowsItsScheduleAndSet(t *testing.T) {
	synctest.Test(t, func(t *testing.T) { // begins at midnight UTC
		s := Schedule{Rate: 100 << 10, Windows: []Window{{From: 1, To: 3, Rate: 0}}}
		p := NewPace(s)
		p.now = func() time.Time { return time.Now().UTC() }
		send := func(n int) time.Duration {
			before := time.Now()
			for n > 0 {
				part := p.part(min(n, maxWrite))
				if err := p.wait(t.Context(), part, false); err != nil {
					t.Fatal(err)
				}
				n -= part
			}
			return time.Since(before)
		}
		near(t, "1 MiB by day", send(1<<20), 10*time.Second)
		time.Sleep(51 * time.Second)
		if got := send(1 << 30); got > 0 {
			t.Errorf("1 GiB without a limit took %v", got)
		}
		time.Sleep(2 * time.Minute)
		near(t, "1 MiB after the window", send(1<<20), 10*time.Second)
		if err := p.Set(Schedule{Rate: MinRate - 1}); !errors.Is(err, ErrSchedule) {
			t.Errorf("Set below the least rate: %v", err)
		}
		if err := p.Set(Schedule{Rate: 1 << 20}); err != nil {
			t.Fatal(err)
		}
		near(t, "10 MiB under a higher limit", send(10<<20), 10*time.Second)
		if p.Rate() != 1<<20 || p.Schedule().Rate != 1<<20 || p.Passed() != 1<<30+12<<20 {
			t.Errorf("rate %v, schedule %v, passed %d", p.Rate(), p.Schedule(), p.Passed())
		}
	})
}

func TestReadingIsCountedAndAskedLess(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		own, shared := NewPace(Schedule{Rate: 1 << 20}), NewPace(Schedule{Rate: MinRate})
		x := &Session{space: &Space{down: []*Pace{own, shared}}}
		now := time.Now()
		if room, again := x.askRoom(now); room != MinRate || !again.IsZero() {
			t.Errorf("room before = %d, again %v", room, again)
		}
		if err := x.paceRead(t.Context(), 64<<10); err != nil {
			t.Fatal(err)
		}
		near(t, "reading 64 KiB", time.Since(now), 64<<10*time.Second/time.Duration(minReading))
		room, again := x.askRoom(time.Now())
		if room != 0 {
			t.Errorf("room after = %d, want 0", room)
		}
		near(t, "the debt", again.Sub(now), 64*time.Second)
		time.Sleep(time.Until(again))
		if room, _ := x.askRoom(time.Now()); room != MinRate {
			t.Errorf("room when the debt is paid = %d", room)
		}
	})
}

// A limit far below what a block needs within any timeout slows a session and
// doesn't end it, on whichever side it is.
func TestTinyLimitsDontEndASession(t *testing.T) {
	for name, features := range dialects {
		for _, side := range []string{"up", "down"} {
			t.Run(side+", "+name, func(t *testing.T) { testTinyLimit(t, features, side) })
		}
	}
}

func testTinyLimit(t *testing.T, features []string, side string) {
	synctest.Test(t, func(t *testing.T) {
		address, key := NewOpenAddress(), NewEncryptionKey()
		na, nb := newNode(t, "alice"), newNode(t, "bob")
		slow := NewPace(Schedule{Rate: 2 << 10})
		upA, downB := slow, (*Pace)(nil)
		if side == "down" {
			upA, downB = nil, slow
		}
		a := na.open(address, WithEncryptionKey(key), WithPace(upA, nil))
		b := nb.open(address, WithEncryptionKey(key), WithPace(nil, downB))
		block := bytes.Repeat([]byte("x"), 128<<10)
		w := writeIn(t, a, "log", string(block), string(block), "end")
		var ended atomic.Bool
		b.Notify(func(e Event) {
			if e.Kind == SessionEnded {
				ended.Store(true)
			}
		})
		l := connectWith(t, na, a, nb, b, setup{silenceA: 20 * time.Second, silenceB: 20 * time.Second, features: features})
		began := time.Now()
		ctx, cancel := context.WithTimeout(t.Context(), 30*time.Minute)
		defer cancel()
		if p, err := b.WaitSynced(ctx); err != nil {
			t.Fatalf("%s: not synced: %+v, %v", side, p, err)
		}
		near(t, fmt.Sprintf("256 KiB at 2 KiB/s, %s", side), time.Since(began), 128*time.Second)
		if ended.Load() {
			t.Errorf("%s: the session ended", side)
		}
		f, err := b.Feed(w.Key())
		if err != nil {
			t.Fatal(err)
		}
		if s := f.Stats(); s.Unasked > 0 || s.GotBlocks != 3 {
			t.Errorf("%s: %+v, want 3 blocks once", side, s)
		}
		l.cancel()
		l.wait()
	})
}
