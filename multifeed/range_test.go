package multifeed

import (
	"bytes"
	"fmt"
	"testing"

	"github.com/cobox-p2p/cobox-p2p/multifeed/wire"
)

func TestFeedsReplicateInRanges(t *testing.T) {
	secret := NewSecret()
	na, nb := newNode(t, "alice"), newNode(t, "bob")
	a := na.open(secret.Address(), WithSecret(secret))
	b := nb.open(secret.Address(), WithSecret(secret))
	sizes := []int{0, 100, 1 << 10, 70 << 10}
	counts := []int{3, 6000, 2000, 40}
	var feeds []*Feed
	for i, size := range sizes {
		w, err := a.Writer(fmt.Sprint("log", i))
		if err != nil {
			t.Fatal(err)
		}
		batch := make([][]byte, counts[i])
		for n := range batch {
			batch[n] = bytes.Repeat([]byte{byte(n)}, size)
		}
		if _, err := w.Append(within(t), batch...); err != nil {
			t.Fatal(err)
		}
		feeds = append(feeds, w)
	}
	wrapA, tapA := tapping()
	wrapB, tapB := tapping()
	connectWith(t, na, a, nb, b, setup{wrapA: wrapA, wrapB: wrapB, features: Features()})
	for i, f := range feeds {
		g := awaitFeed(t, b, f.Key())
		for n := range counts[i] {
			got, err := g.Get(within(t), uint64(n))
			if err != nil || !bytes.Equal(got, bytes.Repeat([]byte{byte(n)}, sizes[i])) {
				t.Fatalf("feed %d, block %d: %d bytes, %v", i, n, len(got), err)
			}
		}
	}
	live := writeIn(t, b, "live", "one", "two")
	wantBlock(t, a, live.Key(), 1, "two")
	wantSynced(t, a, b)
	if n := tapA.count(ofType(wire.TypeData)) + tapB.count(ofType(wire.TypeRequest)); n > 0 {
		t.Errorf("%d Data and Requests beside ranges", n)
	}
	if n := tapA.count(ofType(wire.TypeRangeData)); n == 0 || n > 150 {
		t.Errorf("%d ranges were sent", n)
	}
}

// Many small feeds at once share one window, and none is forgotten.
func TestManyFeedsShareAWindow(t *testing.T) {
	address := NewOpenAddress()
	na, nb := newNode(t, "alice"), newNode(t, "bob")
	a, b := na.open(address, WithEncryptionKey(NewEncryptionKey())), nb.open(address)
	const feeds = 700
	for i := range feeds {
		w, err := a.Writer(fmt.Sprint("log", i))
		if err != nil {
			t.Fatal(err)
		}
		if _, err := w.Append(within(t), bytes.Repeat([]byte{byte(i)}, 1<<(i%15)), []byte("end")); err != nil {
			t.Fatal(err)
		}
	}
	connectWith(t, na, a, nb, b, setup{features: Features()})
	wantSynced(t, a, b)
	if n := b.Len(); n != feeds {
		t.Fatalf("%d feeds, want %d", n, feeds)
	}
	for _, f := range b.Feeds() {
		if f.Durable() != 2 {
			t.Errorf("feed %.8s has %d blocks, want 2", f.Discovery(), f.Durable())
		}
	}
}
