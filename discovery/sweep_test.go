package discovery

import (
	"errors"
	"fmt"
	"maps"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/multiformats/go-multihash"
)

// fakeSweeper remembers what it has.
type fakeSweeper struct {
	mu     sync.Mutex
	keys   map[string]int // how often each was announced at once
	closed int
	fails  error
}

func (f *fakeSweeper) StartProviding(force bool, keys ...multihash.Multihash) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.fails != nil {
		return f.fails
	}
	for _, k := range keys {
		if _, has := f.keys[string(k)]; force || !has {
			f.keys[string(k)]++
		}
	}
	return nil
}

func (f *fakeSweeper) StopProviding(keys ...multihash.Multihash) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, k := range keys {
		delete(f.keys, string(k))
	}
	return nil
}

func (f *fakeSweeper) Close() error { f.closed++; return nil }

func (f *fakeSweeper) has() map[string]int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return maps.Clone(f.keys)
}

func (f *fakeSweeper) option(c *config) error {
	c.sweeper = func() (sweeper, error) { return f, nil }
	return nil
}

// Many keys are left to the sweeper when they are due again, few are not.
func TestManyKeysAreSwept(t *testing.T) {
	for _, n := range []int{SweepFrom - 1, SweepFrom} {
		t.Run(fmt.Sprint(n, " keys"), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f, s := &fakeRouting{table: 50}, &fakeSweeper{keys: map[string]int{}}
				r := newFake(t, newFakeHost(), f.option, s.option)
				var topics []*Topic
				for i := range n {
					topics = append(topics, join(t, r, testKey(i), Mode{Announce: true}, nil))
				}
				time.Sleep(ReprovideInterval / 2)
				if got := len(s.has()); got != 0 {
					t.Fatalf("%d keys swept at the first announcement", got)
				}
				time.Sleep(ReprovideInterval)
				want := 0
				if n >= SweepFrom {
					want = n
				}
				if got := len(s.has()); got != want {
					t.Fatalf("%d keys swept, want %d", got, want)
				}
				before, _ := f.times()
				time.Sleep(2 * ReprovideInterval)
				after, _ := f.times()
				if want > 0 && len(after) != len(before) {
					t.Errorf("%d announcements by itself of keys that are swept", len(after)-len(before))
				}
				topics[0].Leave()
				topics[1].Update(Mode{})
				if got := len(s.has()); got != max(want-2, 0) {
					t.Errorf("%d keys swept after two ended", got)
				}
				r.renewAll(t.Context())
				synctest.Wait()
				for key, times := range s.has() {
					if times != 2 {
						t.Fatalf("key %x announced %d times by the sweeper, want anew after a change of addresses", key, times)
					}
				}
				r.Close()
				if want > 0 && s.closed != 1 {
					t.Errorf("sweeper closed %d times", s.closed)
				}
			})
		})
	}
}

// Without the sweeper keys are announced one by one, however many.
func TestSweeperThatFails(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f, s := &fakeRouting{table: 50}, &fakeSweeper{keys: map[string]int{}, fails: errors.New("full")}
		r := newFake(t, newFakeHost(), f.option, s.option)
		for i := range SweepFrom {
			join(t, r, testKey(i), Mode{Announce: true}, nil)
		}
		time.Sleep(ReprovideInterval * 3 / 2)
		if p, _ := f.times(); len(p) != 2*SweepFrom {
			t.Errorf("%d announcements, want each of %d twice", len(p), SweepFrom)
		}
	})
}

// The library's sweeper puts records where others find them, and ends.
func TestSweeperOfTheDHT(t *testing.T) {
	hub := newHost(t)
	newDHT(t, hub)
	h := newHost(t)
	d := newDHT(t, h, infoOf(hub))
	if err := h.Connect(patience(t), infoOf(hub)); err != nil {
		t.Fatal(err)
	}
	r := newRendezvous(t, h, WithRouting(d))
	flushed(t, join(t, r, testKey(1), both, nil)) // the DHT is there
	taken, err := r.sweep.take(CID(testKey(2)).Hash())
	if err != nil || !taken {
		t.Fatalf("take = %v, %v", taken, err)
	}
	if err := r.sweep.drop(CID(testKey(2)).Hash()); err != nil {
		t.Error(err)
	}
	if err := r.Close(); err != nil {
		t.Error(err)
	}
	if taken, _ := r.sweep.take(CID(testKey(3)).Hash()); taken {
		t.Error("a key was taken after the end")
	}
}
