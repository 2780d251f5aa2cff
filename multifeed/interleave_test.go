package multifeed

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"github.com/cobox-p2p/cobox-p2p/hypercore"
	"github.com/cobox-p2p/cobox-p2p/hypercore/corestore"
	"github.com/cobox-p2p/cobox-p2p/hypercore/storage"
	"github.com/cobox-p2p/cobox-p2p/multifeed/wire"
)

// handSide is one side of a session without goroutines: the test decides when
// it writes a frame and when it reads one.
type handSide struct {
	space  *Space
	x      *Session
	w      *writer
	out    []wire.Frame // written and not yet read by the other side
	opened map[hypercore.DiscoveryKey]int
	closed int
}

func newHandSide(t *testing.T, s *Space) *handSide {
	x := s.newSession(&Opened{Address: s.address, Remote: Party{PeerID: []byte("remote")}}, func(err error) {
		t.Errorf("session ended: %v", err)
	}, nil)
	if err := x.enter(); err != nil {
		t.Fatal(err)
	}
	return &handSide{space: s, x: x, w: newWriter(x), opened: map[hypercore.DiscoveryKey]int{}}
}

// write lets the side write one frame and says whether there was one.
func (h *handSide) write(now time.Time) (bool, error) {
	more, err := h.w.gather(now)
	if err != nil || len(h.w.buf) == 0 {
		return more, err
	}
	f, err := wire.NewReader(bytes.NewReader(h.w.buf), wire.MaxFrame).ReadFrame()
	if err != nil {
		return false, err
	}
	h.w.buf = nil
	m, err := wire.Decode(f)
	if err != nil {
		return false, err
	}
	switch m := m.(type) {
	case *wire.Open:
		h.opened[m.DiscoveryKey]++
	case *wire.Close:
		h.closed++
	}
	h.out = append(h.out, f)
	return true, nil
}

// read lets the side read the oldest frame of the other one.
func (h *handSide) read(from *handSide, now time.Time) error {
	if len(from.out) == 0 {
		return nil
	}
	f := from.out[0]
	from.out = from.out[1:]
	return h.x.handle(f, now)
}

// Both sides learn of the same feeds in any order, from each other and from
// elsewhere, while frames are under way.
func TestW2ChannelsDoNotFlapInAnyInterleaving(t *testing.T) {
	rounds := 1000
	if raceDetector && !soak {
		rounds = 100 // one goroutine: the detector finds nothing here and costs much
	}
	foreign := keysOf(5)
	for seed := range rounds {
		if !interleave(t, uint64(seed), foreign) {
			t.Fatalf("seed %d", seed)
		}
	}
}

func interleave(t *testing.T, seed uint64, foreign []hypercore.Key) bool {
	rng := rand.New(rand.NewPCG(seed, 2))
	address, key := Address{Kind: KindOpen, Key: [32]byte{1}}, EncryptionKey{2}
	var sides [2]*handSide
	union := map[hypercore.DiscoveryKey]bool{}
	var todo []func()
	for i := range sides {
		store := corestore.New(storage.NewMemory(), corestore.MasterKey{byte(i), 1})
		defer store.Close()
		s, err := Open(store, address, WithEncryptionKey(key), WithInstance(Instance{}))
		if err != nil {
			t.Fatal(err)
		}
		add := func(k hypercore.Key) {
			if _, err := s.Add(k, Admission{}); err != nil {
				t.Errorf("Add: %v", err)
			}
		}
		for _, k := range foreign[:rng.IntN(len(foreign))] {
			switch rng.IntN(3) {
			case 0:
				add(k)
			case 1:
				todo = append(todo, func() { add(k) })
			default:
				continue
			}
			union[k.Discovery()] = true
		}
		write := func() { union[writeIn(t, s, "log", "one").Discovery()] = true }
		if rng.IntN(2) == 0 {
			write()
		} else {
			todo = append(todo, write, write)
		}
		sides[i] = newHandSide(t, s)
	}
	rng.Shuffle(len(todo), func(i, j int) { todo[i], todo[j] = todo[j], todo[i] })
	now := time.Unix(1e9, 0)
	step := func(what int) (err error) {
		i := what % 2
		if what < 2 {
			_, err = sides[i].write(now)
			return err
		}
		return sides[i].read(sides[1-i], now)
	}
	for idle := [2]bool{}; !idle[0] || !idle[1] || len(todo) > 0; {
		if len(todo) > 0 && rng.IntN(4) == 0 {
			todo[0]()
			todo, idle = todo[1:], [2]bool{}
		}
		what := rng.IntN(4)
		under := len(sides[0].out) + len(sides[1].out)
		err := step(what)
		if len(sides[0].out)+len(sides[1].out) != under {
			idle = [2]bool{}
		} else if what < 2 && under == 0 {
			idle[what] = true
		}
		if err != nil {
			t.Errorf("side %d, step %d: %v", what%2, what/2, err)
			return false
		}
	}
	return settledWell(t, sides, union)
}

// settledWell says whether both sides hold the union of all feeds and blocks,
// each opened once.
func settledWell(t *testing.T, sides [2]*handSide, union map[hypercore.DiscoveryKey]bool) bool {
	for i, h := range sides {
		if len(h.space.Feeds()) != len(union) || !h.x.Exchanged() || h.closed != 0 || h.x.dropped.count != 0 {
			t.Errorf("side %d: %d feeds of %d, exchanged %v, %d Closes, %d frames dropped",
				i, len(h.space.Feeds()), len(union), h.x.Exchanged(), h.closed, h.x.dropped.count)
		}
		for _, f := range h.space.Feeds() {
			if n := h.opened[f.Discovery()]; n != 1 {
				t.Errorf("side %d: feed %.8s was opened %d times", i, f.Discovery(), n)
			}
			other, err := sides[1-i].space.Feed(f.Key())
			if err != nil || other.Durable() != f.Durable() || f.Durable() < f.KnownLength() {
				t.Errorf("side %d: feed %.8s has %d blocks of %d, not as on the other side", i, f.Discovery(), f.Durable(), f.KnownLength())
			}
		}
		if p := h.space.Progress(); !p.Synced() {
			t.Errorf("side %d: not synced: %+v", i, p)
		}
	}
	return !t.Failed()
}

// The same with goroutines, for the race detector.
func TestW2ChannelsDoNotFlapInParallel(t *testing.T) {
	rounds := 5
	if soak {
		rounds = 200
	}
	for range rounds {
		address, key := NewOpenAddress(), NewEncryptionKey()
		na, nb := newNode(t, "alice"), newNode(t, "bob")
		a := na.open(address, WithEncryptionKey(key))
		b := nb.open(address, WithEncryptionKey(key))
		foreign := keysOf(20)
		wrapA, tapA := tapping()
		wrapB, tapB := tapping()
		connectWith(t, na, a, nb, b, setup{wrapA: wrapA, wrapB: wrapB, features: byList.features})
		var wg sync.WaitGroup
		for _, s := range []*Space{a, b} {
			wg.Go(func() {
				for i, k := range foreign {
					if _, err := s.Add(k, Admission{}); err != nil {
						t.Error(err)
					}
					if i%5 == 0 {
						writeIn(t, s, fmt.Sprint("w", i), "one", "two")
					}
				}
			})
		}
		wg.Wait()
		for _, s := range []*Space{a, b} {
			for n := 0; n < len(foreign)+8; n = len(s.Feeds()) {
				changed := s.Changed()
				if len(s.Feeds()) < len(foreign)+8 {
					<-changed
				}
			}
		}
		wantSynced(t, a, b)
		tapA.steady(t, len(foreign)+8)
		tapB.steady(t, len(foreign)+8)
	}
}
