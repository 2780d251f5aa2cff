package reconcile

import (
	"maps"
	"math/rand/v2"
	"slices"
	"testing"
)

// twist returns two contents that differ from base in up to most places each.
func twist(r *rand.Rand, base content, next func() Key, most int) (a, b content) {
	a, b = maps.Clone(base), maps.Clone(base)
	keys := sorted(slices.Collect(maps.Keys(base)))
	for _, side := range []content{a, b} {
		for range r.IntN(most + 1) {
			switch r.IntN(3) {
			case 0:
				side[next()] = hashOf(r.IntN(2) - 2)
			case 1:
				if len(keys) > 0 {
					side[keys[r.IntN(len(keys))]] = hashOf(-1 - r.IntN(9))
				}
			case 2:
				if len(keys) > 0 {
					delete(side, keys[r.IntN(len(keys))])
				}
			}
		}
	}
	return a, b
}

func TestRandomSetsSendWhatDiffers(t *testing.T) {
	sizes := []int{0, 1, 20, 63, 64, 65, 66, 130, 700, 5000}
	for seed := range uint64(100) {
		r := rand.New(rand.NewPCG(3, seed))
		shared := []int{0, 0, 1, 2, 5}[r.IntN(5)]
		next := crowd(r, shared)
		if r.IntN(2) == 0 {
			next = func() Key { return keyOf(r.Int()) }
		}
		base := content{}
		for range sizes[r.IntN(len(sizes))] {
			base[next()] = hashOf(r.IntN(5))
		}
		a, b := twist(r, base, next, []int{1, 5, 100, 1000}[r.IntN(4)])
		p := newPair(t, a.set().Snapshot(), b.set().Snapshot(), byte(seed))
		p.max = 1 + r.IntN(300)
		if p.check(a, b); t.Failed() {
			t.Fatalf("seed %d: %d and %d entries, keys share up to %d bytes", seed, len(a), len(b), shared)
		}
	}
}

// TestOneSidedSets: what one side lacks altogether is sent without lists, and a
// small set beside a large one is looked through while entries are sent.
func TestOneSidedSets(t *testing.T) {
	large := feeds(0, 10_000)
	for _, c := range []struct {
		name       string
		other      content
		trips, all int // bytes of both sides
	}{
		{"none", content{}, 2, 60},
		{"a few of it", feeds(0, 10), 5, 1800},
		{"a few others", feeds(20_000, 10), 5, 1800},
		{"some of both", feeds(9990, 50), 5, 2000},
		{"nothing in common", feeds(20_000, 2000), 5, 70_000},
	} {
		for first := range 2 {
			a, b := large, c.other
			if first == 1 {
				a, b = b, a
			}
			p := newPair(t, a.set().Snapshot(), b.set().Snapshot(), 1)
			p.check(a, b)
			t.Logf("%s: %d bytes, %d half trips", c.name, p.bytes, p.trips)
			if p.trips > c.trips || p.bytes[0]+p.bytes[1] > c.all {
				t.Errorf("%s: %d bytes in %d half trips, want at most %d in %d", c.name, p.bytes, p.trips, c.all, c.trips)
			}
		}
	}
}

// TestLongTurns: what doesn't fit into a turn is said in a later one.
func TestLongTurns(t *testing.T) {
	a, b := feeds(0, 20_000), feeds(20_000, 25_000)
	av, bv := a.set().Snapshot(), b.set().Snapshot()
	for room := 1; room < 4; room++ {
		p := newPair(t, av, bv, 1)
		p.side[0].room, p.side[1].room = room, room
		p.check(a, b)
		if turns := p.side[0].spent.turns; turns < 4-room {
			t.Errorf("%d turns, want more", turns)
		}
	}
}

// TestChangesDuringASession: both sides speak of their snapshots to the end.
func TestChangesDuringASession(t *testing.T) {
	a, b := feeds(0, 3000), feeds(100, 3000)
	as, bs := a.set(), b.set()
	p := newPair(t, as.Snapshot(), bs.Snapshot(), 1)
	r := rand.New(rand.NewPCG(4, 4))
	change := func(s *Set) {
		for range 200 {
			s.Set(keyOf(r.IntN(5000)), hashOf(r.Int()))
			s.Delete(keyOf(r.IntN(5000)))
		}
		s.Snapshot()
	}
	for trip := 0; !p.side[0].Done() || !p.side[1].Done(); trip++ {
		for i := range p.side {
			change(as)
			change(bs)
			for _, b := range p.write(i) {
				if err := p.side[1-i].Handle(b); err != nil {
					t.Fatal(err)
				}
			}
		}
	}
	p.check(a, b)
}

func TestConfirm(t *testing.T) {
	for _, same := range []bool{true, false} {
		a, b := feeds(0, 500).set(), feeds(10, 500).set()
		if same {
			b = a
		}
		p := newPair(t, a.Snapshot(), b.Snapshot(), 1)
		p.side[0].Confirm([32]byte{1}) // too early
		p.run()
		if _, known := p.side[1].Matches([32]byte{1}); known {
			t.Error("a fingerprint at the end, before the end")
		}
		p.side[0].Confirm([32]byte{2})
		p.side[0].Confirm([32]byte{3}) // again
		p.side[1].Confirm([32]byte{4})
		p.run()
		for i, other := range []byte{4, 2} {
			for n := range byte(6) {
				if equal, known := p.side[i].Matches([32]byte{n}); !known || equal != (n == other) {
					t.Errorf("side %d: Matches(%d) = %v, %v", i, n, equal, known)
				}
			}
		}
	}
}

// shorten cuts the ids of both sides to so many bits.
func (p *pair) shorten(bits int) {
	for _, s := range p.side {
		s.keyed.ids = 1<<bits - 1
	}
}

// TestSameIDs: entries whose ids agree are all sent when one side has more of them,
// and nothing is sent twice. One for one they count as equal, which the
// fingerprint at the end shows.
func TestSameIDs(t *testing.T) {
	for seed := range uint64(50) {
		r := rand.New(rand.NewPCG(5, seed))
		next := func() Key { return keyOf(r.Int()) }
		base := feeds(0, []int{5, 60, 100, 3000}[r.IntN(4)])
		a, b := twist(r, base, next, 20)
		p := newPair(t, a.set().Snapshot(), b.set().Snapshot(), byte(seed))
		p.shorten(3 + r.IntN(10))
		p.max = 1 + r.IntN(50)
		p.run()
		for i, c := range []content{a, b} {
			sent := sorted(slices.Clone(p.sent[i]))
			if !slices.Equal(slices.Compact(slices.Clone(sent)), sent) {
				t.Errorf("seed %d: side %d sent an entry twice", seed, i)
			}
			for _, key := range sent {
				if _, ok := c[key]; !ok {
					t.Errorf("seed %d: side %d sent what it doesn't have", seed, i)
				}
			}
			if !p.side[i].Done() {
				t.Errorf("seed %d: side %d is not done", seed, i)
			}
		}
	}
}

// TestSameIDsInOneList: of two entries with one id, of which the other side has
// one, both are sent, each way.
func TestSameIDsInOneList(t *testing.T) {
	a := feeds(0, 2)
	b := content{keyOf(0): hashOf(0)}
	for first := range 2 {
		sets := [2]content{a, b}
		if first == 1 {
			sets = [2]content{b, a}
		}
		p := newPair(t, sets[0].set().Snapshot(), sets[1].set().Snapshot(), 1)
		p.shorten(0)
		p.run()
		if n := len(p.sent[first]); n != 2 {
			t.Errorf("side %d sent %d entries, want 2", first, n)
		}
		if n := len(p.sent[1-first]); n != 1 {
			t.Errorf("side %d sent %d entries, want 1", 1-first, n)
		}
	}
}

// TestDeepTrie: below the depth that has names on the wire each side sends all.
func TestDeepTrie(t *testing.T) {
	a := content{}
	for n := range 100 {
		key := Key{8: byte(n), 9: 1}
		a[key] = hashOf(n)
	}
	b := maps.Clone(a)
	b[Key{8: 7, 9: 1}] = hashOf(-1)
	p := newPair(t, a.set().Snapshot(), b.set().Snapshot(), 1)
	p.run()
	for i := range p.side {
		if len(p.sent[i]) != 100 || !p.side[i].Done() {
			t.Errorf("side %d sent %d entries, done %v", i, len(p.sent[i]), p.side[i].Done())
		}
	}
}
