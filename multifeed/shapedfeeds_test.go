package multifeed

import (
	"context"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/cobox-p2p/cobox-p2p/hypercore"
	"github.com/cobox-p2p/cobox-p2p/hypercore/merkle"
)

// sameFeeds puts feeds of one block each into the spaces of all nodes, and returns
// the key pairs of the first ones.
func sameFeeds(t *testing.T, secret Secret, feeds, pairs int, nodes []*node, spaces []*Space) []hypercore.KeyPair {
	t.Helper()
	batch := hypercore.Batch{}
	var first []hypercore.KeyPair
	for i := range feeds {
		pair := hypercore.NewKeyPair([hypercore.SeedSize]byte{1, byte(i), byte(i >> 8)})
		if i < pairs {
			first = append(first, pair)
		}
		block := make([]byte, 100)
		var roots merkle.Roots
		stored := roots.Append(merkle.Leaf(0, block), nil)
		head := hypercore.Head{Length: 1, Size: roots.Size(), RootHash: roots.Hash()}
		head.Signature = pair.Sign(hypercore.Signable(head.RootHash, head.Length))
		batch.Feeds = append(batch.Feeds, hypercore.FeedWrite{
			Key: pair.Public, Head: &head, Nodes: stored, Runs: []hypercore.Run{{Blocks: [][]byte{block}}},
		})
	}
	for i, n := range nodes {
		if err := n.mem.Commit(&batch); err != nil {
			t.Fatal(err)
		}
		_, err := spaces[i].AddAll(context.Background(), func(yield func(hypercore.Key, Admission) bool) {
			for _, f := range batch.Feeds {
				if !yield(f.Key, secret.Admit(f.Key)) {
					return
				}
			}
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	return first
}

// Two nodes that hold the same feeds, ten of which have grown at one, know what
// differs after three round trips. How many bytes that takes is shown by
// TestSetBytesFollowTheDifference.
func TestMeetingAgainTakesThreeRoundTrips(t *testing.T) {
	const changed, roundTrip = 10, 100 * time.Millisecond
	feeds := 2000
	switch {
	case soak:
		feeds = 10_000
	case raceDetector:
		feeds = 100
	}
	synctest.Test(t, func(t *testing.T) {
		secret := NewSecret()
		na, nb := newNode(t, "alice"), newNode(t, "bob")
		a, b := na.open(secret.Address()), nb.open(secret.Address())
		pairs := sameFeeds(t, secret, feeds, changed, []*node{na, nb}, []*Space{a, b})
		for _, pair := range pairs {
			grow(t, na, pair)
		}
		var stored atomic.Int64
		var begun, exchanged, arrived atomic.Int64 // times, 0 for not yet
		b.Notify(func(e Event) {
			now := time.Now().UnixNano()
			switch e.Kind {
			case SessionStarted:
				begun.Store(now)
			case Exchanged:
				exchanged.Store(now)
			case BlocksStored:
				if stored.Add(int64(e.Span.Count)) == changed {
					arrived.Store(now)
				}
			}
		})
		s := shape{1 << 30, roundTrip / 2, 4 << 20}
		shapedPeers(t, "alice", a, "bob", b, s, s)
		time.Sleep(20 * roundTrip)
		if exchanged.Load() == 0 || arrived.Load() == 0 {
			t.Fatalf("exchanged %v, %d of %d blocks", exchanged.Load() != 0, stored.Load(), changed)
		}
		toKnow, toHave := time.Duration(exchanged.Load()-begun.Load()), time.Duration(arrived.Load()-begun.Load())
		sent, received := b.Sessions()[0].Traffic()
		told := int(sent+received) - changed*100
		t.Logf("%d feeds: known after %v, there after %v, %d bytes besides the blocks", feeds, toKnow, toHave, told)
		if limit := 3*roundTrip + time.Millisecond; toKnow > limit {
			t.Errorf("known after %v, want %v", toKnow, limit)
		}
	})
}

// grow appends a block to a feed in the node's store.
func grow(t *testing.T, n *node, pair hypercore.KeyPair) {
	t.Helper()
	f, err := hypercore.Open(n.mem, pair.Public, pair)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.Append(context.Background(), make([]byte, 100)); err != nil {
		t.Fatal(err)
	}
}
