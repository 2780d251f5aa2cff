package multifeed

import (
	"bytes"
	"testing"
	"testing/synctest"
	"time"
)

func TestMeter(t *testing.T) {
	var m meter
	now := time.Unix(1000, 0)
	if got := m.now(now); got != 0 {
		t.Errorf("before anything went by: %v", got)
	}
	for range 4000 {
		now = now.Add(10 * time.Millisecond)
		m.add(1000, now)
	}
	if got := m.now(now); got < 98_000 || got > 102_000 {
		t.Errorf("1,000 bytes each 10 ms are %v a second", got)
	}
	if got := m.now(now.Add(meterTime)); got < 33_000 || got > 39_000 {
		t.Errorf("%v later %v a second, want about a third", meterTime, got)
	}
	if got := m.now(now.Add(10 * time.Minute)); got > 0.01 {
		t.Errorf("10 minutes later %v a second", got)
	}
}

func TestTimeLeft(t *testing.T) {
	for _, c := range []struct {
		blocks      uint64
		bytes, rate float64
		want        time.Duration
	}{
		{0, 0, 1e6, 0}, {0, 0, 0, 0}, {1, 1e6, slowest - 1, -1}, {1, 1e6, 1e5, 10 * time.Second}, {1, 1e300, slowest, 365 * 24 * time.Hour},
	} {
		if got := timeLeft(c.blocks, c.bytes, c.rate); got != c.want {
			t.Errorf("%d blocks of %v bytes at %v: %v, want %v", c.blocks, c.bytes, c.rate, got, c.want)
		}
	}
}

func TestProgressWithOnePeer(t *testing.T) {
	for name, features := range dialects {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { testProgressWithOnePeer(t, setup{features: features}) })
		})
	}
}

func testProgressWithOnePeer(t *testing.T, with setup) {
	const blocks, rate = 64, 16 << 10
	address, key := NewOpenAddress(), NewEncryptionKey()
	na, nb := newNode(t, "alice"), newNode(t, "bob")
	a := na.open(address, WithEncryptionKey(key), WithPace(NewPace(Schedule{Rate: rate}), nil))
	b := nb.open(address)
	w := writeIn(t, a, "log")
	for range blocks {
		if _, err := w.Append(t.Context(), bytes.Repeat([]byte{1}, 16<<10)); err != nil {
			t.Fatal(err)
		}
	}
	connectWith(t, na, a, nb, b, with)
	time.Sleep(32 * time.Second)
	synctest.Wait()
	at, of := a.Sessions()[0].Progress(), b.Sessions()[0].Progress()
	if !at.Exchanged || at.WeLack != 0 || at.TheyLack < 28 || at.TheyLack > 40 {
		t.Errorf("at the writer after half of it: %+v", at)
	}
	if of.TheyLack != 0 || of.WeLack < 28 || of.WeLack > 40 {
		t.Errorf("at the reader after half of it: %+v", of)
	}
	for _, r := range []float64{at.Up, of.Down} {
		if r < 0.9*rate || r > 1.1*rate {
			t.Errorf("the rate is %v, want about %d", r, rate)
		}
	}
	near(t, "the rest by the writer", at.UpLeft, time.Duration(at.TheyLack)*time.Second)
	near(t, "the rest by the reader", of.DownLeft, time.Duration(of.WeLack)*time.Second)
	time.Sleep(2 * time.Minute)
	synctest.Wait()
	at, of = a.Sessions()[0].Progress(), b.Sessions()[0].Progress()
	if at.TheyLack != 0 || at.UpLeft != 0 || of.WeLack != 0 || of.DownLeft != 0 || at.Up > 1 {
		t.Errorf("at the end %+v, %+v", at, of)
	}
}
