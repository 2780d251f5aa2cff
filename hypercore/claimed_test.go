package hypercore_test

import (
	"testing"

	"github.com/cobox-p2p/cobox-p2p/hypercore"
	"github.com/cobox-p2p/cobox-p2p/hypercore/flattree"
	"github.com/cobox-p2p/cobox-p2p/hypercore/merkle"
	"github.com/cobox-p2p/cobox-p2p/hypercore/storage"
)

// claimed returns a feed whose writer signed a head of length blocks of which
// there is none: nobody has to write much to be long.
func claimed(t testing.TB, length uint64) *hypercore.Feed {
	t.Helper()
	pair := pairOf(1)
	var nodes []merkle.Node
	for _, index := range flattree.FullRoots(nil, length) {
		nodes = append(nodes, merkle.Node{Index: index, Size: 1, Hash: merkle.Hash{byte(index)}})
	}
	roots, err := merkle.NewRoots(nodes)
	if err != nil {
		t.Fatal(err)
	}
	head := hypercore.Head{Length: length, Size: roots.Size(), RootHash: roots.Hash()}
	head.Signature = pair.Sign(hypercore.Signable(head.RootHash, length))
	st := storage.NewMemory()
	err = st.Commit(&hypercore.Batch{Feeds: []hypercore.FeedWrite{{Key: pair.Public, Head: &head, Nodes: nodes}}})
	if err != nil {
		t.Fatal(err)
	}
	return mustOpen(t, st, pair, false)
}

// However long a remote says to be, it gets wants only as far as our head goes,
// and however long that is, only so many.
func TestClaimedLengthIsFollowedWithinBounds(t *testing.T) {
	for _, c := range []struct{ head, atOnce, all int }{
		{3, 1, 1},
		{hypercore.MaxWant - 1, 1, 1},
		{hypercore.MaxWant, 1, 2},
		{7*hypercore.MaxWant + 5, 1, 8},
		{1 << 40, hypercore.MaxWantsOut, hypercore.MaxWanted},
	} {
		r := speak(t, claimed(t, uint64(c.head)), hypercore.PeerOptions{})
		r.say(&hypercore.Have{Start: 0, Length: merkle.MaxSize})
		wants := wantsIn(r.hear())
		if most := min(c.all, hypercore.MaxWantsOut); wants != most {
			t.Errorf("head %d: %d wants at once, want %d", c.head, wants, most)
		}
		for range 2 * hypercore.MaxWanted {
			r.say(&hypercore.Have{Start: 0, Length: hypercore.MaxWant, Bitfield: []byte{}})
			more := wantsIn(r.hear())
			if wants += more; more == 0 && wants < c.all {
				break
			}
		}
		if wants != c.all {
			t.Errorf("head %d: %d wants in all, want %d", c.head, wants, c.all)
		}
	}
}

func wantsIn(all []hypercore.Message) (n int) {
	for _, m := range all {
		if _, ok := m.(*hypercore.Want); ok {
			n++
		}
	}
	return n
}

// What lies beyond the ranges that were wanted is forgotten but for the length.
func TestOnlyWhatCanMatterIsRemembered(t *testing.T) {
	f := claimed(t, hypercore.MaxWant+5)
	r := speak(t, f, hypercore.PeerOptions{})
	const horizon = 2 * hypercore.MaxWant
	one := hypercore.AppendRLE(nil, bitsOf(0), 0, 8192)
	r.say(&hypercore.Have{Start: horizon - 1, Length: 2}, &hypercore.Have{Start: 3 * horizon, Length: 8192},
		&hypercore.Have{Start: horizon - 8, Length: 8, Bitfield: one}, &hypercore.Have{Start: horizon, Length: 8, Bitfield: one})
	for seq, want := range map[uint64]bool{horizon - 8: true, horizon - 1: true, horizon: false, 3 * horizon: false} {
		if got := r.peer.RemoteHas(hypercore.Span{Start: seq, Count: 1}); got != want {
			t.Errorf("block %d is remembered: %t, want %t", seq, got, want)
		}
	}
	if got := r.peer.RemoteLength(); got != 3*horizon+8192 {
		t.Errorf("RemoteLength = %d, want %d", got, 3*horizon+8192)
	}
}

func bitsOf(blocks ...uint64) *hypercore.Bitfield {
	var b hypercore.Bitfield
	for _, seq := range blocks {
		b.Set(seq)
	}
	return &b
}
