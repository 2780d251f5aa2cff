package discovery

import (
	"testing"
	"testing/synctest"
	"time"
)

// The first announcement leaves the network to the first lookup, but not for long.
func TestAnnouncementWaitsForTheLookup(t *testing.T) {
	for _, took := range []time.Duration{0, announceHold / 2, 20 * announceHold} {
		synctest.Test(t, func(t *testing.T) {
			f := &fakeRouting{table: 50, took: took, records: testPeers(1, 2)}
			r := newFake(t, newFakeHost(), f.option)
			began := time.Now()
			topic := join(t, r, testKey(1), both, nil)
			if err := topic.Flushed(t.Context()); err != nil {
				t.Fatal(err)
			}
			p, l := f.times()
			if got, want := p[0].Sub(began), min(took, announceHold); got != want || l[0] != began {
				t.Errorf("with lookups of %v the announcement began after %v, want %v", took, got, want)
			}
			time.Sleep(2 * lookAgain)
			if _, l = f.times(); len(l) != 1 {
				t.Errorf("%d lookups though peers were found", len(l))
			}
		})
	}
}

// Two that join at once find nobody: each looks again when it has announced.
func TestWhoFoundNobodyLooksAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &fakeRouting{table: 50, took: time.Millisecond}
		r := newFake(t, newFakeHost(), f.option)
		topic := join(t, r, testKey(1), both, nil)
		if err := topic.Flushed(t.Context()); err != nil {
			t.Fatal(err)
		}
		time.Sleep(2 * lookAgain)
		if _, l := f.times(); len(l) != 2 {
			t.Errorf("%d lookups, want a second one after the announcement", len(l))
		}
		time.Sleep(MinRefresh - 2*lookAgain)
		if _, l := f.times(); len(l) != 2 {
			t.Errorf("%d lookups within MinRefresh", len(l))
		}
	})
}

// Many idle topics look up less often each, so that all together stay within
// LookupSpacing.
func TestManyIdleTopicsLookUpSeldom(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &fakeRouting{table: 50}
		r := newFake(t, newFakeHost(), f.option)
		const n = 500
		for i := range n {
			join(t, r, testKey(i), both, nil)
		}
		time.Sleep(12 * time.Hour) // the intervals have grown
		_, before := f.times()
		time.Sleep(12 * time.Hour)
		_, after := f.times()
		if got, most := len(after)-len(before), int(12*time.Hour/LookupSpacing)*12/10; got > most {
			t.Errorf("%d lookups in 12 hours, want at most %d", got, most)
		}
	})
}
