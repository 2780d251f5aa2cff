package hypercore_test

import (
	"fmt"
	"testing"

	"github.com/cobox-p2p/cobox-p2p/hypercore"
	"github.com/cobox-p2p/cobox-p2p/hypercore/storage"
)

// What was shown goes with the next append, not in a commit of its own, and with
// the close.
func TestShownRidesWithAppends(t *testing.T) {
	st := &faulty{Memory: storage.NewMemory()}
	f := mustOpen(t, st, pairOf(1), true)
	for range 5 {
		mustAppend(t, f, blockOf(f.Length()))
	}
	if n := records(t, st, "own/"); n != 1 || st.count() != 5 || f.Unseen() != 5 {
		t.Errorf("%d records, %d commits and %d blocks unseen, want 1, 5 and 5", n, st.count(), f.Unseen())
	}
	shown := f.ShowHead()
	for range 100 {
		f.ShowHead()
	}
	mustAppend(t, f, blockOf(5))
	if n := records(t, st, "own/"); n != 1 || st.count() != 6 {
		t.Errorf("%d records and %d commits, want 1 and 6", n, st.count())
	}
	f2 := mustOpen(t, st, pairOf(1), true) // as after a crash
	if got, _ := f2.Shown(); got != shown {
		t.Errorf("shown = %d blocks, want %d", got.Length, shown.Length)
	}
	f2.Close()
	if d, err := f.Prove(2, 0, false); err != nil || len(d.Signature) == 0 {
		t.Fatal(err)
	}
	f.Close()
	f.Close()
	if st.count() != 7 {
		t.Errorf("%d commits after Close, want 7", st.count())
	}
	f = mustOpen(t, st, pairOf(1), true)
	if got, _ := f.Shown(); got.Length != 6 {
		t.Errorf("shown = %d blocks after a proof, want 6", got.Length)
	}
	mustAppend(t, f, blockOf(6))
}

// What a feed has when it is first written on came from somewhere else.
func TestBlocksFromElsewhereWereShown(t *testing.T) {
	st := storage.NewMemory()
	copied := mustOpen(t, st, pairOf(1), false)
	source, _ := written(t, 4)
	for seq := range source.Length() {
		give(t, source, copied, seq)
	}
	if err := copied.Unlock(pairOf(1)); err != nil {
		t.Fatal(err)
	}
	if shown, agreed := copied.Shown(); shown != copied.Head() || agreed != 4 || copied.Unseen() != 0 {
		t.Errorf("shown %d, agreed %d, unseen %d, want 4, 4 and 0", shown.Length, agreed, copied.Unseen())
	}
	mustAppend(t, copied, []byte("on"))
	copied.Close()
	if again := mustOpen(t, st, pairOf(1), true); again.Unseen() != 1 {
		t.Errorf("opened again, %d unseen, want 1", again.Unseen())
	}
}

func records(t *testing.T, st hypercore.Storage, prefix string) (n int) {
	t.Helper()
	for _, err := range st.Records([]byte(prefix)) {
		if err != nil {
			t.Fatal(err)
		}
		n++
	}
	return n
}

// A store that has lost blocks that were shown is not written on, even when they
// have come back.
func TestLostEndEndsTheWriting(t *testing.T) {
	full, _ := written(t, 6)
	st := storage.NewMemory()
	f := mustOpen(t, st, pairOf(1), true)
	mustAppend(t, f, blocksOf(0, 6)...)
	f.ShowHead()
	f.Close()
	if err := st.Commit(&hypercore.Batch{Feeds: []hypercore.FeedWrite{{Key: f.Key(), Drop: true}}}); err != nil {
		t.Fatal(err)
	}
	f = mustOpen(t, st, pairOf(1), true)
	wantStopped(t, "emptied", f, hypercore.ErrOldCopy)
	for seq := range full.Length() {
		give(t, full, f, seq)
	}
	f.Close()
	wantStopped(t, "filled again", mustOpen(t, st, pairOf(1), true), hypercore.ErrOldCopy)
}

func TestDamagedOwnRecordEndsTheWriting(t *testing.T) {
	key := pairOf(1).Public
	for _, value := range [][]byte{{}, {0}, {2, 0, 0, 0}, {1}, {1, 0, 0}, {1, 0, 0, 0, 0}, {1, 0, 3, 3}, append([]byte{1, 0, 3, 3}, make([]byte, 97)...)} {
		st := storage.NewMemory()
		if err := st.Commit(&hypercore.Batch{Records: []hypercore.Record{{Key: append([]byte("own/"), key[:]...), Value: value}}}); err != nil {
			t.Fatal(err)
		}
		wantStopped(t, fmt.Sprintf("record %x", value), mustOpen(t, st, pairOf(1), true), hypercore.ErrOldCopy)
	}
}
