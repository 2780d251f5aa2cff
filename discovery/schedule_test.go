package discovery

import (
	"context"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// inSchedule runs test beside a running schedule in virtual time.
func inSchedule(t *testing.T, test func(t *testing.T, s *schedule)) {
	synctest.Test(t, func(t *testing.T) {
		s := newSchedule()
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan struct{})
		go func() { defer close(done); s.Run(ctx) }()
		test(t, s)
		cancel()
		<-done
	})
}

func TestScheduleRunsWhenDue(t *testing.T) {
	inSchedule(t, func(t *testing.T, s *schedule) {
		var ran []time.Duration
		began := time.Now()
		j := newJob(laneNode, func(context.Context) time.Time {
			ran = append(ran, time.Since(began))
			return time.Now().Add(time.Hour)
		})
		s.ask(j, began.Add(3*time.Second))
		s.ask(j, began.Add(time.Second))   // earlier wins
		s.ask(j, began.Add(2*time.Second)) // later doesn't
		if got := s.next(j); !got.Equal(began.Add(time.Second)) {
			t.Errorf("next = %v", got.Sub(began))
		}
		time.Sleep(2*time.Hour + time.Minute)
		synctest.Wait()
		want := []time.Duration{time.Second, time.Hour + time.Second, 2*time.Hour + time.Second}
		if len(ran) != 3 || ran[0] != want[0] || ran[1] != want[1] || ran[2] != want[2] {
			t.Errorf("ran at %v, want %v", ran, want)
		}
	})
}

func TestScheduleAskWhileRunning(t *testing.T) {
	inSchedule(t, func(t *testing.T, s *schedule) {
		runs := 0
		j := newJob(laneNode, func(ctx context.Context) time.Time {
			runs++
			time.Sleep(time.Second)
			return time.Time{}
		})
		s.ask(j, time.Now())
		synctest.Wait()
		s.ask(j, time.Now())
		s.ask(j, time.Now())
		time.Sleep(time.Minute)
		synctest.Wait()
		if runs != 2 {
			t.Errorf("asked twice while running: %d runs, want 2", runs)
		}
	})
}

func TestScheduleParkAndDrop(t *testing.T) {
	inSchedule(t, func(t *testing.T, s *schedule) {
		runs, cancelled := 0, 0
		j := newJob(laneNode, func(ctx context.Context) time.Time {
			runs++
			<-ctx.Done()
			cancelled++
			return time.Time{}
		})
		s.ask(j, time.Now())
		synctest.Wait()
		s.park(j)
		s.ask(j, time.Now()) // a parked job may be asked for again, even while it ends
		synctest.Wait()
		if runs != 2 || cancelled != 1 {
			t.Fatalf("after park and ask: %d runs, %d cancelled", runs, cancelled)
		}
		s.drop(j)
		s.ask(j, time.Now())
		synctest.Wait()
		if runs != 2 || cancelled != 2 {
			t.Errorf("after drop: %d runs, %d cancelled", runs, cancelled)
		}
		waiting := newJob(laneNode, func(context.Context) time.Time { t.Error("dropped job ran"); return time.Time{} })
		s.ask(waiting, time.Now().Add(time.Second))
		s.drop(waiting)
		time.Sleep(time.Minute)
	})
}

func TestScheduleSlots(t *testing.T) {
	inSchedule(t, func(t *testing.T, s *schedule) {
		var mu sync.Mutex
		busy, most, runs := 0, 0, 0
		for range 100 {
			s.ask(newJob(laneAnnounce, func(context.Context) time.Time {
				mu.Lock()
				busy++
				runs++
				most = max(most, busy)
				mu.Unlock()
				time.Sleep(time.Second)
				mu.Lock()
				busy--
				mu.Unlock()
				return time.Time{}
			}), time.Now())
		}
		lookedUp := false // a full lane doesn't hold up another
		s.ask(newJob(laneLookup, func(context.Context) time.Time { lookedUp = true; return time.Time{} }), time.Now())
		synctest.Wait()
		if !lookedUp {
			t.Error("a full lane held up another one")
		}
		time.Sleep(time.Hour)
		mu.Lock()
		defer mu.Unlock()
		if most != MaxAnnouncing || runs != 100 {
			t.Errorf("%d runs, %d at once, want 100 and %d", runs, most, MaxAnnouncing)
		}
	})
}

func TestBackoffAndJitter(t *testing.T) {
	for range 1000 {
		if d := jitter(time.Hour); d < 54*time.Minute || d > 66*time.Minute {
			t.Fatalf("jitter(1h) = %v", d)
		}
	}
	within := func(failures int, want time.Duration) {
		t.Helper()
		if d := backoff(failures, time.Second, time.Minute); d < want*9/10 || d > want*11/10 {
			t.Errorf("backoff(%d) = %v, want about %v", failures, d, want)
		}
	}
	within(1, time.Second)
	within(2, 2*time.Second)
	within(6, 32*time.Second)
	within(7, time.Minute)
	within(1<<30, time.Minute)
}

func TestBucket(t *testing.T) {
	b := bucket{burst: 2, interval: time.Minute}
	now := time.Unix(1e9, 0)
	at := func(after, want time.Duration) {
		t.Helper()
		if got := b.take(now.Add(after)).Sub(now); got != want {
			t.Errorf("take at %v = %v, want %v", after, got, want)
		}
	}
	at(0, 0)
	at(time.Second, time.Second)
	at(2*time.Second, time.Minute)       // empty: the first comes back then
	at(59*time.Second, time.Minute)      // still
	at(time.Minute, time.Minute)         // back
	at(61*time.Second, 2*time.Minute)    // empty again
	at(time.Hour, time.Hour)             // full
	at(time.Hour, time.Hour)             //
	at(time.Hour, time.Hour+time.Minute) // empty
	at(2*time.Hour, 2*time.Hour)         //
}
