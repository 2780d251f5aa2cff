package hypercore_test

import (
	"context"
	"errors"
	"runtime"
	"sync"
	"testing"
	"time"

	"github.com/cobox-p2p/cobox-p2p/hypercore"
	"github.com/cobox-p2p/cobox-p2p/hypercore/merkle"
	"github.com/cobox-p2p/cobox-p2p/hypercore/storage"
)

// ledger is a store that notes every head that was signed here.
type ledger struct {
	*storage.Memory
	signed *sync.Map // length -> root hash
	twice  func(length uint64)
}

func (s ledger) Commit(b *hypercore.Batch) error {
	for _, w := range b.Feeds {
		if w.Head == nil {
			continue
		}
		if before, there := s.signed.LoadOrStore(w.Head.Length, w.Head.RootHash); there && before != w.Head.RootHash {
			s.twice(w.Head.Length)
		}
	}
	return s.Memory.Commit(b)
}

func watch(f *hypercore.Feed, kind hypercore.EventKind) *int {
	n := new(int)
	f.Notify(func(e hypercore.Event) {
		if e.Kind == kind {
			*n++
		}
	})
	return n
}

func wantStopped(t *testing.T, what string, f *hypercore.Feed, want error) {
	t.Helper()
	if _, err := f.Append(context.Background(), []byte("more")); !errors.Is(err, want) {
		t.Errorf("%s: Append: %v, want %v", what, err, want)
	}
	if f.Writable() {
		t.Errorf("%s: still writable", what)
	}
}

// A writer whose feed somebody else made longer writes no more, also when it is
// opened again.
func TestGrowthByAnotherEndsTheWriting(t *testing.T) {
	st := storage.NewMemory()
	old := mustOpen(t, st, pairOf(1), true)
	mustAppend(t, old, blocksOf(0, 3)...)
	other, _ := written(t, 5)
	events := watch(old, hypercore.Outrun)
	give(t, other, old, 3)
	wantStopped(t, "grown", old, hypercore.ErrOldCopy)
	if shown, agreed := old.Shown(); *events != 1 || shown != old.Head() || agreed != 5 {
		t.Errorf("%d events, shown %d and agreed %d, want 1, 5 and 5", *events, shown.Length, agreed)
	}
	give(t, other, old, 4)
	mustAppend(t, other, blocksOf(5, 2)...)
	give(t, other, old, 5)
	if old.Length() != 7 || *events != 1 {
		t.Errorf("length %d after %d events: it must grow on as a reader's", old.Length(), *events)
	}
	old.Close()
	again := mustOpen(t, st, pairOf(1), true)
	wantStopped(t, "opened again", again, hypercore.ErrOldCopy)
	again.Close()
	locked := mustOpen(t, st, pairOf(1), false)
	if err := locked.Unlock(pairOf(1)); err != nil {
		t.Error(err)
	}
	wantStopped(t, "unlocked", locked, hypercore.ErrOldCopy)
}

// Appends race with the proof of a longer head: each is part of the history that
// the other copy continues, or was never signed.
func TestNoAppendSlipsBehindGrowth(t *testing.T) {
	for round := range 30 {
		st := ledger{storage.NewMemory(), &sync.Map{}, func(length uint64) { t.Errorf("round %d: %d blocks signed twice", round, length) }}
		old := mustOpen(t, st, pairOf(1), true)
		mustAppend(t, old, blocksOf(0, 4)...)
		other, _ := written(t, 9)
		var wg sync.WaitGroup
		for range 8 {
			wg.Go(func() {
				for {
					if _, err := old.Append(context.Background(), blockOf(old.Length())); err != nil {
						if !errors.Is(err, hypercore.ErrOldCopy) {
							t.Errorf("round %d: Append: %v", round, err)
						}
						return
					}
				}
			})
		}
		for range round {
			runtime.Gosched()
		}
		for old.Writable() {
			d, err := other.Prove(min(old.Length(), other.Length()-1), 0, false)
			if err != nil {
				t.Fatal(err)
			}
			err = old.Apply(context.Background(), d)
			if err != nil && !errors.Is(err, hypercore.ErrOldCopy) && !errors.Is(err, merkle.ErrProofBranch) {
				t.Fatalf("round %d: Apply: %v", round, err)
			}
			if old.Length() >= other.Length() {
				if err := old.Compare(other.Head().Signed()); err == nil {
					old.Stop() // it wrote the very same blocks
				}
			}
		}
		wg.Wait()
	}
}

// Appends that wait for their turn end unsigned.
func TestWaitingAppendsEndUnsigned(t *testing.T) {
	st := &faulty{Memory: storage.NewMemory()}
	f := mustOpen(t, st, pairOf(1), true)
	mustAppend(t, f, blocksOf(0, 2)...)
	st.entered, st.gate = make(chan struct{}), make(chan struct{})
	results := make(chan error, 4)
	for range 4 {
		go func() {
			_, err := f.Append(context.Background(), []byte("x"))
			results <- err
		}()
	}
	<-st.entered // the first is at the store, signed
	for f.Waiting() < 3 {
		runtime.Gosched()
	}
	stopped := make(chan error)
	go func() { stopped <- f.Stop() }()
	<-st.entered
	close(st.gate)
	if err := <-stopped; err != nil {
		t.Fatal(err)
	}
	failed := 0
	for range 4 {
		if err := <-results; errors.Is(err, hypercore.ErrOldCopy) {
			failed++
		} else if err != nil {
			t.Error(err)
		}
	}
	if failed != 3 || f.Length() != 3 {
		t.Errorf("%d appends failed and the feed has %d blocks, want 3 and 3", failed, f.Length())
	}
}

func TestCompare(t *testing.T) {
	ctx := context.Background()
	for _, c := range []struct {
		name                    string
		common, length, theirs  uint64
		shown                   bool
		want                    error
		agreed                  uint64
		forked, writable, older bool
	}{
		{name: "same", common: 5, length: 5, theirs: 5, agreed: 5, writable: true},
		{name: "theirs is shorter", common: 5, length: 7, theirs: 5, agreed: 5, writable: true},
		{name: "nothing", common: 5, length: 5, theirs: 0, writable: true},
		{name: "theirs is longer", common: 5, length: 5, theirs: 6, want: hypercore.ErrOldCopy},
		{name: "theirs is longer, ours was shown", common: 5, length: 5, theirs: 6, shown: true, want: hypercore.ErrOldCopy},
		{name: "another branch", common: 5, length: 6, theirs: 6, want: hypercore.ErrOldCopy},
		{name: "another branch, ours was shown", common: 5, length: 6, theirs: 6, shown: true, want: hypercore.ErrForked, forked: true},
		{name: "a shorter branch", common: 5, length: 9, theirs: 7, want: hypercore.ErrOldCopy},
		{name: "a shorter branch, ours was shown", common: 5, length: 9, theirs: 7, shown: true, want: hypercore.ErrOldCopy},
	} {
		t.Run(c.name, func(t *testing.T) {
			ours, theirs := forkAt(t, c.common, c.length, c.theirs)
			if c.theirs < c.common {
				theirs = mustOpen(t, storage.NewMemory(), pairOf(1), true)
			}
			if c.shown {
				ours.ShowHead()
			}
			err := ours.Compare(theirs.Head().Signed())
			if !errors.Is(err, c.want) || (err == nil) != (c.want == nil) {
				t.Errorf("Compare: %v, want %v", err, c.want)
			}
			if _, agreed := ours.Shown(); agreed != c.agreed {
				t.Errorf("agreed on %d blocks, want %d", agreed, c.agreed)
			}
			if ours.Writable() != c.writable || (ours.Evidence() != nil) != c.forked {
				t.Errorf("writable %t, evidence %v", ours.Writable(), ours.Evidence())
			}
			if e := ours.Evidence(); e != nil && e.Verify(ours.Key()) != nil {
				t.Error(e.Verify(ours.Key()))
			}
		})
	}
	f, _ := written(t, 3)
	forged := f.Head().Signed()
	forged.Length++
	var remote *hypercore.RemoteError
	if err := f.Compare(forged); !errors.As(err, &remote) || !f.Writable() {
		t.Errorf("forged head: %v", err)
	}
	if _, err := f.Append(ctx, []byte("on")); err != nil {
		t.Error(err)
	}
}

// A reader finds out from two heads alone that a feed has forked.
func TestReaderComparesHeads(t *testing.T) {
	a, b := forkAt(t, 2, 4, 4)
	reader, _ := reading(t)
	for seq := range a.Length() {
		give(t, a, reader, seq)
	}
	if err := reader.Compare(a.Head().Signed()); err != nil {
		t.Error(err)
	}
	if err := reader.Compare(b.Head().Signed()); !errors.Is(err, hypercore.ErrForked) || reader.Evidence() == nil {
		t.Errorf("Compare: %v", err)
	}
}

// Two copies that are as long find out of each other while they are connected to
// one reader, from what that says it holds.
func TestCopiesOfOneLengthFindEachOther(t *testing.T) {
	for seed := range uint64(20) {
		common := seed % 7
		a, b := forkAt(t, common, common, common)
		hub, _ := reading(t)
		for seq := range common {
			give(t, a, hub, seq)
		}
		a.ShowHead()
		b.ShowHead()
		w := newWorld(t, seed)
		w.noHashes = seed%2 == 1
		w.link("a", a, hub)
		w.link("b", b, hub)
		w.settle(time.Second)
		mustAppend(t, a, []byte("of a"))
		mustAppend(t, b, []byte("of b"))
		w.settle(time.Minute)
		if hub.Forked() != nil || a.Writable() == b.Writable() {
			t.Fatalf("seed %d: writable %t and %t, forked %v", seed, a.Writable(), b.Writable(), hub.Forked())
		}
		winner, other := a, b
		if b.Writable() {
			winner, other = b, a
		}
		wantStopped(t, "other", other, hypercore.ErrOldCopy)
		mustAppend(t, winner, []byte("more"))
		w.settle(time.Second)
		if hub.Length() != common+2 {
			t.Fatalf("seed %d: the reader has %d blocks, want %d", seed, hub.Length(), common+2)
		}
	}
}

// A writer whose blocks go to several readers doubts none of them.
func TestWriterDoubtsNoReader(t *testing.T) {
	for seed := range uint64(10) {
		writer, _ := written(t, 3)
		w := newWorld(t, seed)
		asked := 0
		w.log = func(from *side, m hypercore.Message) {
			if _, ok := m.(*hypercore.Request); ok && from.name[0] == 'w' && from.name[len(from.name)-1] == '<' {
				asked++
			}
		}
		var readers []*hypercore.Feed
		for range 3 {
			r, _ := reading(t)
			w.link("w", writer, r)
			for _, other := range readers {
				w.link("r", other, r)
			}
			readers = append(readers, r)
		}
		for range 20 {
			mustAppend(t, writer, blockOf(writer.Length()))
			for range w.rng.IntN(30) {
				w.step()
			}
		}
		w.settle(time.Second)
		if asked != 0 {
			t.Fatalf("seed %d: the writer asked %d times", seed, asked)
		}
	}
}
