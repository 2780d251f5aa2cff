package hypercore_test

import (
	"context"
	"errors"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/cobox-p2p/cobox-p2p/hypercore"
	"github.com/cobox-p2p/cobox-p2p/hypercore/merkle"
	"github.com/cobox-p2p/cobox-p2p/hypercore/storage"
)

// oldCopy returns a writer that has length blocks, of which shown were shown and
// the first common are those of the seeder.
func oldCopy(t *testing.T, common, shown, length, seeded uint64) (old, seeder *hypercore.Feed, oldSt, seederSt *storage.Memory) {
	t.Helper()
	oldSt, seederSt = storage.NewMemory(), storage.NewMemory()
	old, seeder = mustOpen(t, oldSt, pairOf(1), true), mustOpen(t, seederSt, pairOf(1), true)
	if seeded > 0 {
		mustAppend(t, seeder, blocksOf(0, seeded)...)
	}
	for old.Length() < length {
		if old.Length() < common {
			mustAppend(t, old, blockOf(old.Length()))
		} else {
			mustAppend(t, old, []byte{'o', byte(old.Length())})
		}
		if old.Length() == shown {
			old.ShowHead()
		}
	}
	return old, seeder, oldSt, seederSt
}

// An old copy returns to what it has shown and follows the other copy from there,
// with the sessions that it has.
func TestOldCopyFollowsTheOther(t *testing.T) {
	rng := rand.New(rand.NewPCG(3, 0))
	for round := range 40 {
		shown := rng.Uint64N(20)
		common := shown + rng.Uint64N(10)
		length, seeded := common+rng.Uint64N(10), common+1+rng.Uint64N(20)
		old, seeder, oldSt, seederSt := oldCopy(t, common, shown, length, seeded)
		w := newWorld(t, uint64(round))
		up, down := w.link("seeder", seeder, old)
		if length >= seeded {
			down.peer.Detach() // it has to learn of the other copy some other way
		}
		w.settle(time.Minute)
		if err := old.Stop(); err != nil {
			t.Fatal(err)
		}
		unseen := old.Length()
		if s, _ := old.Shown(); s.Length > unseen {
			t.Fatalf("round %d: shown %d of %d blocks", round, s.Length, unseen)
		} else {
			unseen -= s.Length
		}
		dropped, err := old.DropUnseen(context.Background(), hypercore.Record{Key: []byte("note"), Value: []byte{1}})
		if err != nil || dropped != unseen {
			t.Fatalf("round %d: dropped %d blocks, %v, want %d", round, dropped, err, unseen)
		}
		if _, err := oldSt.Record([]byte("note")); err != nil {
			t.Fatalf("round %d: %v", round, err)
		}
		checkSame(t, "after the cut", old, seeder, oldSt, seederSt)
		if length >= seeded {
			w.cut(up)
			w.link("again", seeder, old)
		}
		w.settle(time.Minute)
		checkAll(t, "old copy", old, seeder, oldSt, seederSt)
		if old.Forked() != nil || seeder.Forked() != nil {
			t.Fatalf("round %d: forked: %v, %v", round, old.Forked(), seeder.Forked())
		}
	}
}

// Nothing of what went is left: not in memory, not in the store, not after a
// reopen, and the remotes are told.
func TestDropUnseenLeavesNothing(t *testing.T) {
	old, _, st, _ := oldCopy(t, 4, 4, 11, 0)
	r := speak(t, old, hypercore.PeerOptions{})
	r.hear()
	r.say(&hypercore.Want{Start: 0, Length: hypercore.MaxWant})
	r.hear()
	if _, err := old.DropUnseen(context.Background()); !errors.Is(err, hypercore.ErrWritable) {
		t.Fatalf("while it is written: %v", err)
	}
	if err := old.Stop(); err != nil {
		t.Fatal(err)
	}
	if _, err := old.Prove(4, 0, false); !errors.Is(err, hypercore.ErrNoBlock) || old.ShowHead().Length != 4 || old.Unseen() != 7 {
		t.Errorf("a stopped feed shows %d blocks, %d unseen, Prove: %v", old.ShowHead().Length, old.Unseen(), err)
	}
	give(t, old, mustOpen(t, storage.NewMemory(), pairOf(1), false), 3)
	if n, err := old.DropUnseen(context.Background()); n != 7 || err != nil {
		t.Fatalf("DropUnseen = %d, %v, want 7", n, err)
	}
	r.expect(&hypercore.Unhave{Start: 4, Length: 7})
	check := func(f *hypercore.Feed) {
		t.Helper()
		if held, _ := f.Held(); f.Length() != 4 || f.DurableHead() != f.Head() || held != 4 || f.Durable() != 4 {
			t.Errorf("length %d, durable %d, %d blocks", f.Length(), f.DurableHead().Length, held)
		}
		if a, err := f.Audit(context.Background()); err != nil || !a.Valid() {
			t.Errorf("Audit = %+v, %v", a, err)
		}
	}
	check(old)
	for index := uint64(7); index < 24; index++ {
		if n, err := st.Node(old.Key(), index); !errors.Is(err, merkle.ErrNoNode) {
			t.Errorf("node %d = %v, %v", index, n, err)
		}
	}
	if n, err := old.DropUnseen(context.Background()); n != 0 || err != nil {
		t.Errorf("again: %d, %v", n, err)
	}
	old.Close()
	check(mustOpen(t, st, pairOf(1), false))
}

// Of a feed that nobody was ever shown nothing is left.
func TestDropUnseenToNothing(t *testing.T) {
	old, seeder, oldSt, seederSt := oldCopy(t, 0, 99, 5, 3)
	if err := old.Compare(seeder.Head().Signed()); !errors.Is(err, hypercore.ErrOldCopy) {
		t.Fatal(err)
	}
	if n, err := old.DropUnseen(context.Background()); n != 5 || err != nil {
		t.Fatalf("DropUnseen = %d, %v, want 5", n, err)
	}
	if old.Head() != (hypercore.Head{}) {
		t.Errorf("head = %+v", old.Head())
	}
	if err := run(t, seeder, old, time.Minute); err != nil {
		t.Fatal(err)
	}
	checkAll(t, "old copy", old, seeder, oldSt, seederSt)
}

// The same on a disk, where long runs lie apart from the index.
func TestDropUnseenOnADisk(t *testing.T) {
	dir := t.TempDir()
	st, err := storage.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	f := mustOpen(t, st, pairOf(1), true)
	mustAppend(t, f, make([]byte, 300<<10), []byte("shown"))
	f.ShowHead()
	mustAppend(t, f, []byte("unseen"))
	mustAppend(t, f, make([]byte, 400<<10))
	if err := f.Stop(); err != nil {
		t.Fatal(err)
	}
	if n, err := f.DropUnseen(context.Background()); n != 2 || err != nil {
		t.Fatalf("DropUnseen = %d, %v, want 2", n, err)
	}
	f.Close()
	st.Close()
	if st, err = storage.Open(dir); err != nil {
		t.Fatal(err)
	}
	defer st.Close()
	f = mustOpen(t, st, pairOf(1), true)
	if held, bytes := f.Held(); f.Length() != 2 || held != 2 || bytes != 300<<10+5 || f.Writable() {
		t.Errorf("length %d, %d blocks of %d bytes, writable %t", f.Length(), held, bytes, f.Writable())
	}
	if a, err := f.Audit(context.Background()); err != nil || !a.Valid() {
		t.Errorf("Audit = %+v, %v", a, err)
	}
}
