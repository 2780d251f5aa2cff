package hypercore

import (
	"math/rand/v2"
	"testing"
)

func TestDiscoverer(t *testing.T) {
	d := NewDiscoverer()
	if d.hash == nil {
		t.Error("the state of x/crypto/blake2b has changed")
	}
	r := rand.New(rand.NewPCG(1, 1))
	var key Key
	for range 100 {
		for i := range key {
			key[i] = byte(r.Uint32())
		}
		if got, want := d.Discovery(&key), key.Discovery(); got != want {
			t.Fatalf("Discovery of %s = %s, want %s", key, got, want)
		}
	}
	if n := testing.AllocsPerRun(100, func() { d.Discovery(&key) }); n != 0 {
		t.Errorf("%v allocations, want none", n)
	}
	d.hash = nil
	if got, want := d.Discovery(&key), key.Discovery(); got != want {
		t.Errorf("Discovery without the state = %s, want %s", got, want)
	}
}
