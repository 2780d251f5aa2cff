package reconcile

import (
	"crypto/sha256"
	"encoding/binary"
	"math/rand/v2"
	"slices"
	"testing"
)

// keyOf returns the key number n, spread evenly.
func keyOf(n int) Key { return sha256.Sum256(binary.BigEndian.AppendUint64(nil, uint64(n))) }

// hashOf returns the hash number n.
func hashOf(n int) EntryHash {
	return EntryHash(binary.BigEndian.AppendUint64(make([]byte, 8), uint64(n)))
}

// content is what a set holds, as a map.
type content map[Key]EntryHash

// feeds returns a content of count keys from number first on.
func feeds(first, count int) content {
	c := content{}
	for i := range count {
		c[keyOf(first+i)] = hashOf(first + i)
	}
	return c
}

func (c content) set() *Set {
	s := New()
	for key, hash := range c {
		s.Set(key, hash)
	}
	return s
}

// lacks returns the keys of c, in order, that other doesn't have with that hash.
func (c content) lacks(other content) []Key {
	var keys []Key
	for key, hash := range c {
		if h, ok := other[key]; !ok || h != hash {
			keys = append(keys, key)
		}
	}
	return sorted(keys)
}

func sorted(keys []Key) []Key {
	slices.SortFunc(keys, func(a, b Key) int { return slices.Compare(a[:], b[:]) })
	return keys
}

// pair is two sides, the first the initiator, and what went between them.
type pair struct {
	t     testing.TB
	side  [2]*Session
	sent  [2][]Key // by each side
	bytes [2]int
	most  int // bytes of a payload
	trips int // half round trips until nothing but the ends was left to be sent
	max   int // keys of one Send
}

func newPair(t testing.TB, a, b *Snapshot, key byte) *pair {
	k := SessionKey([32]byte{key})
	return &pair{
		t: t, max: 256,
		side: [2]*Session{NewSession(a, k, true), NewSession(b, k, false)},
	}
}

// write returns what one side writes until it has nothing to write.
func (p *pair) write(i int) (payloads [][]byte) {
	for {
		keys := p.side[i].Send(p.max)
		b := p.side[i].Next()
		if len(keys) == 0 && b == nil {
			return payloads
		}
		p.sent[i] = append(p.sent[i], keys...)
		if b != nil {
			payloads = append(payloads, b)
			p.bytes[i] += len(b)
			p.most = max(p.most, len(b))
		}
	}
}

// run lets both sides write and read in step until neither has anything to write.
func (p *pair) run() {
	p.t.Helper()
	for trip := 1; ; trip++ {
		if trip > 1000 {
			p.t.Fatalf("no end after %d half trips", trip)
		}
		before := len(p.sent[0]) + len(p.sent[1])
		out := [2][][]byte{p.write(0), p.write(1)}
		if len(out[0])+len(out[1]) == 0 {
			return
		}
		if trip == 1 || len(p.sent[0])+len(p.sent[1]) > before {
			p.trips = trip
		}
		for i, payloads := range out {
			for _, b := range payloads {
				if err := p.side[1-i].Handle(b); err != nil {
					p.t.Fatalf("side %d: Handle(%.40x) = %v", 1-i, b, err)
				}
			}
		}
	}
}

// check runs and compares what was sent with what differs.
func (p *pair) check(a, b content) {
	p.t.Helper()
	p.run()
	want := [2][]Key{a.lacks(b), b.lacks(a)}
	for i := range p.side {
		if got := sorted(p.sent[i]); !slices.Equal(got, want[i]) {
			p.t.Errorf("side %d sent %d entries, want %d", i, len(got), len(want[i]))
		}
		if !p.side[i].Done() || !p.side[i].Told() || !p.side[i].RemoteTold() {
			p.t.Errorf("side %d is not done", i)
		}
		if got, want := p.side[i].Equal(), len(want[0])+len(want[1]) == 0; got != want {
			p.t.Errorf("side %d: Equal() = %v, want %v", i, got, want)
		}
		s := p.side[i]
		if len(s.say)+len(s.owed)+s.scans != 0 {
			p.t.Errorf("side %d has something left: %d to say, %d owed, %d scans", i, len(s.say), len(s.owed), s.scans)
		}
	}
	if p.most > MaxPayload {
		p.t.Errorf("a payload of %d bytes, at most %d", p.most, MaxPayload)
	}
}

func TestFigures(t *testing.T) {
	base, set := content{}, New()
	for _, c := range []struct {
		feeds, changed     int
		each, total, trips int // bytes that one side sends, and both
	}{
		{0, 0, 32, 64, 1},
		{10_000, 0, 32, 64, 1},
		{10_000, 10, 3000, 4500, 5},
		{100_000, 0, 32, 64, 1},
		{100_000, 10, 4000, 5000, 6},
		{100_000, 100, 18_500, 27_000, 6},
	} {
		if set.Len() != c.feeds {
			base = feeds(0, c.feeds)
			set = base.set()
		}
		view := set.Snapshot()
		for seed := range uint64(4) {
			r := rand.New(rand.NewPCG(1, seed))
			var changed []Key
			for n := range c.changed {
				changed = append(changed, keyOf(r.IntN(c.feeds/c.changed)+n*(c.feeds/c.changed)))
				set.Set(changed[n], hashOf(-1))
			}
			p := newPair(t, view, set.Snapshot(), byte(seed))
			p.run()
			for i := range p.side {
				if got := sorted(p.sent[i]); !slices.Equal(got, sorted(changed)) {
					t.Errorf("%d feeds, seed %d: side %d sent %d entries, want %d", c.feeds, seed, i, len(got), len(changed))
				}
			}
			t.Logf("%d feeds, %d changed: bytes %d, half trips %d", c.feeds, c.changed, p.bytes, p.trips)
			if p.trips > c.trips || max(p.bytes[0], p.bytes[1]) > c.each || p.bytes[0]+p.bytes[1] > c.total {
				t.Errorf("seed %d: %d bytes in %d half trips, want at most %d each, %d together, in %d",
					seed, p.bytes, p.trips, c.each, c.total, c.trips)
			}
			for _, key := range changed {
				set.Set(key, base[key])
			}
		}
	}
}
