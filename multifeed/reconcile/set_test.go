package reconcile

import (
	"bytes"
	"maps"
	"math/rand/v2"
	"runtime"
	"slices"
	"testing"

	"golang.org/x/crypto/blake2b"
)

// naive returns the fingerprint of entries in order whose keys agree in the first
// bits, as interop/spec/feedset.md says it, without a trie.
func naive(entries []entry, depth int) [32]byte {
	if len(entries) == 0 {
		return [32]byte{}
	}
	text := "cobox/1 leaf"
	if len(entries) > 64 {
		text = "cobox/1 inner"
	}
	b := append([]byte(text), byte(depth))
	for i := range (depth + 7) / 8 {
		c := entries[0].key[i]
		if i == depth/8 {
			c &= 0xf0
		}
		b = append(b, c)
	}
	if len(entries) <= 64 {
		for _, e := range entries {
			b = append(append(b, e.key[:]...), e.hash[:]...)
		}
		return blake2b.Sum256(b)
	}
	children, step := 16, 4
	if depth == 0 {
		children, step = 256, 8
	}
	for i := range children {
		var part []entry
		for _, e := range entries {
			at := int(e.key[depth/8])
			if depth > 0 {
				at = at >> (4 - depth%8) & 15
			}
			if at == i {
				part = append(part, e)
			}
		}
		sum := naive(part, depth+step)
		b = append(b, sum[:]...)
	}
	return blake2b.Sum256(b)
}

func (c content) naive() [32]byte {
	var entries []entry
	for key, hash := range c {
		entries = append(entries, entry{key, hash})
	}
	slices.SortFunc(entries, func(a, b entry) int { return bytes.Compare(a.key[:], b.key[:]) })
	return naive(entries, 0)
}

// content returns what a view holds.
func (v *Snapshot) content() content {
	c := content{}
	if v.root != nil {
		for _, e := range v.root.gather(nil) {
			c[e.key] = e.hash
		}
	}
	return c
}

// crowd returns keys of which many agree in their first bytes, up to so many.
func crowd(r *rand.Rand, shared int) func() Key {
	stem := keyOf(r.Int())
	return func() Key {
		key := keyOf(r.IntN(1000))
		copy(key[:r.IntN(shared+1)], stem[:])
		return key
	}
}

func TestSetAgreesWithAMap(t *testing.T) {
	for seed := range uint64(6) {
		r := rand.New(rand.NewPCG(2, seed))
		next := crowd(r, int(seed))
		type view struct {
			*Snapshot
			content content
		}
		var views []view
		set, model := New(), content{}
		for step := range 3000 {
			key := next()
			if grow := step%1500 < 1100; grow || r.IntN(4) == 0 {
				hash := hashOf(r.IntN(3))
				old, there := model[key]
				if got, want := set.Set(key, hash), !there || old != hash; got != want {
					t.Fatalf("seed %d, step %d: Set = %v, want %v", seed, step, got, want)
				}
				model[key] = hash
			} else {
				_, there := model[key]
				if got := set.Delete(key); got != there {
					t.Fatalf("seed %d, step %d: Delete = %v, want %v", seed, step, got, there)
				}
				delete(model, key)
			}
			if got := set.Len(); got != len(model) {
				t.Fatalf("seed %d, step %d: Len = %d, want %d", seed, step, got, len(model))
			}
			if step%500 == 0 {
				views = append(views, view{set.Snapshot(), maps.Clone(model)})
			}
			if step%250 == 0 && set.Fingerprint() != model.naive() {
				t.Fatalf("seed %d, step %d: fingerprint of %d entries is wrong", seed, step, len(model))
			}
		}
		for i, v := range views {
			if !maps.Equal(v.Snapshot.content(), v.content) || v.Fingerprint() != v.content.naive() || v.Len() != len(v.content) {
				t.Errorf("seed %d: view %d has changed", seed, i)
			}
			for key, want := range v.content {
				if got, ok := v.Get(key); !ok || got != want {
					t.Fatalf("seed %d: view %d: Get = %x, %v, want %x", seed, i, got, ok, want)
				}
			}
		}
	}
}

func TestSetIsEmptyAgain(t *testing.T) {
	set, model := New(), feeds(0, 300)
	for key, hash := range model {
		set.Set(key, hash)
	}
	for key := range model {
		set.Delete(key)
	}
	if set.Len() != 0 || set.root != nil || set.Fingerprint() != [32]byte{} {
		t.Errorf("%d entries, fingerprint %x, want none", set.Len(), set.Fingerprint())
	}
	if set.Delete(Key{}) {
		t.Error("deleted from an empty set")
	}
}

// TestMemory sees to it that an entry costs at most 40 bytes beside its key and
// hash.
func TestMemory(t *testing.T) {
	const count = 100_000
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	set := New()
	for n := range count {
		set.Set(keyOf(n), hashOf(n))
	}
	set.Fingerprint()
	runtime.GC()
	runtime.ReadMemStats(&after)
	each := float64(after.HeapAlloc-before.HeapAlloc)/count - 48
	t.Logf("%.1f bytes an entry beside key and hash", each)
	if each > 40 {
		t.Errorf("%.1f bytes an entry beside key and hash, want at most 40", each)
	}
	runtime.KeepAlive(set)
}
