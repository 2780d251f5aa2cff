package multifeed

import (
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/cobox-p2p/cobox-p2p/hypercore"
	"github.com/cobox-p2p/cobox-p2p/hypercore/merkle"
	"github.com/cobox-p2p/cobox-p2p/multifeed/wire"
)

// claim tells of a feed of the attacker's own with a head of enormous length, which
// it has signed, and opens it as soon as the victim does. It answers nothing that it is
// asked there, and asks for what it doesn't read.
func (p *hostile) claim(secret Secret, number byte) {
	pair := hypercore.NewKeyPair([hypercore.SeedSize]byte{number, 0x66})
	root := merkle.Hash{number}
	const length = 1 << 40
	p.set(pageOfEntries([]Entry{{
		Feed: pair.Public, Length: length, RootHash: root, Signature: pair.Sign(hypercore.Signable(root, length)), Admission: secret.Admit(pair.Public),
	}}))
	p.flush()
	p.shareFeed(1, pair.Public)
	p.frame(1, wire.TypeHave, numbers(0, length))
	p.flush()
}

// flood sends some of everything, each virtual millisecond, until it is cut.
func (p *hostile) flood(number int) {
	for i := 0; ; i++ {
		ok := p.set(varintField(pageLast, 1))
		if number%2 == 0 {
			ok = ok && p.frame(1, wire.TypeUnhave, numbers(uint64(i), 1<<30)) && p.frame(1, wire.TypeHave, numbers(uint64(i), 1<<30))
		}
		if number%3 == 0 {
			ok = ok && p.frame(1, wire.TypeRangeRequest, numbers(uint64(i%hypercore.MaxRemoteRanges), 1<<30))
		}
		if !ok || !p.flush() {
			return
		}
		time.Sleep(time.Millisecond)
	}
}

// An honest peer's blocks come at 0.9 of their rate at least while six hostile ones
// do their worst: nothing waits for them.
func TestHonestPeerKeepsItsRate(t *testing.T) {
	const size, rate, attackers = 8 << 20, 50 * megabit, 6
	transfer := func(attacked bool) (took time.Duration) {
		synctest.Test(t, func(t *testing.T) {
			secret := NewSecret()
			a := newNode(t, "alice").open(secret.Address(), WithSecret(secret))
			nv := newNode(t, "bob")
			v := nv.open(secret.Address())
			w := fillFeed(t, a, size, 16<<10)
			for i := range attackers {
				if !attacked {
					break
				}
				p := newHostile(t, fmt.Sprint("attacker", i), nv, v)
				p.drain()
				p.begin()
				p.claim(secret, byte(i))
				done := make(chan struct{})
				go func() { defer close(done); p.flood(i) }()
				t.Cleanup(func() { p.conn.Close(); <-done })
			}
			s := shape{rate, 10 * time.Millisecond, 1 << 20}
			begun := time.Now()
			shapedPeers(t, "alice", a, "bob", v, s, s)
			took = arrival(t, v, w, time.Minute)
			if all := time.Since(begun); all > took {
				took = all
			}
		})
		return took
	}
	alone, attacked := transfer(false), transfer(true)
	t.Logf("%v alone, %v under attack", alone, attacked)
	if float64(alone) < 0.9*float64(attacked) {
		t.Errorf("%v under attack, %v alone", attacked, alone)
	}
}
