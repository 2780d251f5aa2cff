package hypercore_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/cobox-p2p/cobox-p2p/hypercore"
	"github.com/cobox-p2p/cobox-p2p/hypercore/merkle"
	"github.com/cobox-p2p/cobox-p2p/hypercore/storage"
)

// branch returns a feed of one key pair whose blocks from 4 on depend on tag, and
// a copy of it that has the first held blocks.
func branch(t *testing.T, tag byte, length, held uint64) (writer, copied *hypercore.Feed) {
	t.Helper()
	writer = mustOpen(t, storage.NewMemory(), pairOf(1), true)
	mustAppend(t, writer, blocksOf(0, 4)...)
	for seq := uint64(4); seq < length; seq++ {
		mustAppend(t, writer, []byte{tag, byte(seq)})
	}
	copied, _ = reading(t)
	for seq := range held {
		give(t, writer, copied, seq)
	}
	return writer, copied
}

// run carries messages between two feeds until both are silent for patience, or
// one finds the other at fault.
func run(t *testing.T, x, y *hypercore.Feed, patience time.Duration) error {
	t.Helper()
	w := newWorld(t, 1)
	p, q := w.link("x", x, y)
	defer w.cut(p)
	for end := w.now.Add(patience); ; {
		idle := true
		for _, s := range []*side{p, q} {
			m, err := s.peer.Next(w.now)
			if err != nil {
				t.Fatal(err)
			}
			if m == nil {
				continue
			}
			idle = false
			if err := s.other.peer.Handle(m, w.now); err != nil {
				return err
			}
		}
		if !idle {
			continue
		}
		if w.now = w.now.Add(time.Second); w.now.After(end) {
			return nil
		}
	}
}

// wantFork fails unless err blames the peer and holds the evidence.
func wantFork(t *testing.T, what string, err error) {
	t.Helper()
	var remote *hypercore.RemoteError
	var evidence *merkle.ForkError
	if !errors.As(err, &remote) || !errors.Is(err, hypercore.ErrForked) || !errors.As(err, &evidence) {
		t.Fatalf("%s: %v, want a RemoteError with ErrForked and evidence", what, err)
	}
}

// Honest peers that hold two branches find the fork although their requests say
// what they hold. Each side's first sight of it ends a session, no later one.
func TestForkEndsOneSession(t *testing.T) {
	_, ours := branch(t, 'a', 7, 6)
	_, theirs := branch(t, 'b', 8, 8)
	events := 0
	ours.Notify(func(e hypercore.Event) {
		if e.Kind == hypercore.Forked && e.From != nil {
			events++
		}
	})
	if err := ours.Forked(); err != nil {
		t.Fatalf("Forked before: %v", err)
	}
	wantFork(t, "first session", run(t, theirs, ours, time.Minute))
	if err := ours.Evidence().Verify(ours.Key()); err != nil {
		t.Error(err)
	}
	if err := ours.Forked(); !errors.Is(err, hypercore.ErrForked) || events != 1 {
		t.Errorf("Forked = %v after %d events, want ErrForked after 1", err, events)
	}
	for range 3 {
		if err := run(t, theirs, ours, 5*time.Minute); err != nil {
			t.Errorf("later session: %v", err)
		}
	}
	if events != 1 || ours.Length() != 7 || theirs.Length() != 8 {
		t.Errorf("%d events, lengths %d and %d, want 1, 7 and 8", events, ours.Length(), theirs.Length())
	}
	if b, err := ours.Get(context.Background(), 5); err != nil || string(b) != "a\x05" {
		t.Errorf("Get = %x, %v after the fork", b, err)
	}
	fresh, _ := reading(t)
	if err := run(t, ours, fresh, time.Minute); err != nil || !fresh.Has(hypercore.Span{Start: 0, Count: 6}) {
		t.Errorf("the feed is not served after the fork: %v", err)
	}
}

// An old copy of the writer's store meets what it signed before. While nobody was
// shown what it signed since, there is no fork.
func TestOldCopyOfTheWriterFindsTheOther(t *testing.T) {
	old, _ := branch(t, 'a', 5, 0)
	_, seeder := branch(t, 'b', 6, 6)
	events := watch(old, hypercore.Outrun)
	for range 3 {
		if err := run(t, seeder, old, time.Minute); err != nil {
			t.Errorf("session: %v", err)
		}
	}
	if old.Evidence() != nil || seeder.Evidence() != nil || *events != 1 {
		t.Errorf("evidence %v and %v, %d events, want none and 1", old.Evidence(), seeder.Evidence(), *events)
	}
	wantStopped(t, "unseen", old, hypercore.ErrOldCopy)

	old, _ = branch(t, 'a', 5, 0)
	old.ShowHead()
	wantFork(t, "session", run(t, seeder, old, time.Minute))
	wantStopped(t, "shown", old, hypercore.ErrForked)
}

// A forked feed takes what belongs to its head, also with a proof under a longer
// one, and nothing more.
func TestForkedFeedIsCompletedButDoesNotGrow(t *testing.T) {
	writer, copied := branch(t, 'a', 7, 2)
	other, _ := branch(t, 'b', 8, 0)
	d, err := other.Prove(6, 0, false)
	if err != nil {
		t.Fatal(err)
	}
	wantFork(t, "first sight", copied.Apply(context.Background(), d))
	var remote *hypercore.RemoteError
	if err := copied.Apply(context.Background(), d); !errors.Is(err, hypercore.ErrForked) || errors.As(err, &remote) {
		t.Errorf("second sight: %v, want ErrForked and no RemoteError", err)
	}
	mustAppend(t, writer, []byte("longer"), []byte("and longer"), []byte("still"))
	for seq := range uint64(7) {
		give(t, writer, copied, seq)
	}
	if d, err = writer.Prove(7, 0, false); err != nil {
		t.Fatal(err)
	}
	if err := copied.Apply(context.Background(), d); !errors.Is(err, hypercore.ErrForked) || errors.As(err, &remote) {
		t.Errorf("growth: %v, want ErrForked and no RemoteError", err)
	}
	if held, _ := copied.Held(); copied.Length() != 7 || held != 7 {
		t.Errorf("length = %d with %d blocks, want 7 with 7", copied.Length(), held)
	}
	if a, err := copied.Audit(context.Background()); err != nil || !a.Valid() {
		t.Errorf("Audit = %+v, %v", a, err)
	}
}

// Whatever of a second branch is shown, in whatever part, nothing of it is
// stored, and a whole proof of it is evidence.
func TestSecondBranchIsRefused(t *testing.T) {
	for seq := range uint64(8) {
		for _, hash := range []bool{false, true} {
			for _, digest := range []uint64{0, 1, 2, 3, 5, 9} {
				ours, wst := written(t, 3)
				other := mustOpen(t, storage.NewMemory(), pairOf(1), true)
				mustAppend(t, other, blocksOf(0, 3)...)
				mustAppend(t, ours, blocksOf(3, 4)...)
				mustAppend(t, other, []byte("other"), []byte("branch"), []byte("of"), []byte("this"), []byte("feed"))
				f, st := reading(t)
				give(t, ours, f, 6)
				give(t, ours, f, 3)
				head := f.Head()
				d, err := other.Prove(seq, digest, hash)
				if err != nil {
					t.Fatal(err)
				}
				err = f.Apply(context.Background(), d)
				checkSame(t, "reader", f, ours, st, wst)
				if f.Head() != head {
					t.Fatalf("head = %+v after the other branch, want %+v", f.Head(), head)
				}
				if digest == 0 && seq >= 3 && seq < 7 {
					wantFork(t, "block "+itoa(int(seq)), err)
				}
				if digest == 0 && seq == 7 && !errors.Is(err, merkle.ErrProofBranch) && !errors.Is(err, hypercore.ErrForked) {
					t.Errorf("block 7: %v, want ErrProofBranch or ErrForked", err)
				}
			}
		}
	}
}

// Evidence outlives the process, and what is damaged of it counts for nothing.
func TestEvidenceIsKept(t *testing.T) {
	a, b := forkAt(t, 3, 6, 8)
	reader, st := reading(t)
	for seq := range a.Length() {
		give(t, a, reader, seq)
	}
	d, err := b.Prove(6, 0, false)
	if err != nil {
		t.Fatal(err)
	}
	wantFork(t, "block 6", reader.Apply(context.Background(), d))
	raw := reader.Evidence().Append(nil)
	reader.Close()
	again := mustOpen(t, st, pairOf(1), true)
	if e := again.Evidence(); e == nil || string(e.Append(nil)) != string(raw) || !errors.Is(again.Forked(), hypercore.ErrForked) {
		t.Fatalf("opened again: evidence %v, forked %v", e, again.Forked())
	}
	wantStopped(t, "forked", again, hypercore.ErrForked)
	again.Close()
	raw[len(raw)-1] ^= 1
	key := forkRecord(reader.Key())
	if err := st.Commit(&hypercore.Batch{Records: []hypercore.Record{{Key: key, Value: raw}}}); err != nil {
		t.Fatal(err)
	}
	if again = mustOpen(t, st, pairOf(1), false); again.Forked() != nil {
		t.Errorf("damaged evidence: %v", again.Forked())
	}
}

// What somebody shows of a fork is believed when it proves one, also where no
// contradiction was seen, and nothing else stops a feed.
func TestTakeEvidence(t *testing.T) {
	a, b := forkAt(t, 3, 6, 8)
	e := evidenceOf(t, a, b, 5, false)
	reader, _ := reading(t)
	give(t, a, reader, 0)
	bad := *e
	bad.Theirs = bad.Ours
	var remote *hypercore.RemoteError
	if err := reader.TakeEvidence(&bad); !errors.As(err, &remote) || !errors.Is(err, hypercore.ErrEvidence) || reader.Forked() != nil {
		t.Errorf("no evidence: %v, %v", err, reader.Forked())
	}
	mustAppend(t, a, []byte("more"))
	give(t, a, reader, 6)
	events := watch(reader, hypercore.Forked)
	for range 2 {
		if err := reader.TakeEvidence(e); err != nil || reader.Evidence() != e || *events != 1 {
			t.Errorf("evidence: %v, %v, %d events", err, reader.Evidence(), *events)
		}
	}
	outrun := watch(a, hypercore.Outrun)
	if err := a.TakeEvidence(e); err != nil || *outrun != 1 {
		t.Errorf("at the writer: %v, %d events", err, *outrun)
	}
	wantStopped(t, "writer", a, hypercore.ErrForked)
}

// flipped is a store in which one node is not what was written.
type flipped struct {
	hypercore.Storage
	index uint64
}

func (s flipped) Node(key hypercore.Key, index uint64) (merkle.Node, error) {
	n, err := s.Storage.Node(key, index)
	if index == s.index {
		n.Hash[0] ^= 1
	}
	return n, err
}

// A node that the disk has changed looks like another branch. It is no fork.
func TestDamagedNodeIsNoFork(t *testing.T) {
	for index := range uint64(30) {
		f, st := written(t, 16)
		if index == 15 {
			continue // the root, which is in memory
		}
		reader := mustOpen(t, flipped{st, index}, pairOf(1), false)
		other, _ := written(t, 16)
		for seq := range f.Length() {
			d, err := other.Prove(seq, 0, false)
			if err != nil {
				t.Fatal(err)
			}
			var remote *hypercore.RemoteError
			err = reader.Apply(context.Background(), d)
			if err != nil && (errors.As(err, &remote) || !errors.Is(err, hypercore.ErrDamaged)) || reader.Forked() != nil {
				t.Fatalf("node %d, block %d: %v, forked %v", index, seq, err, reader.Forked())
			}
		}
	}
}

func forkRecord(key hypercore.Key) []byte { return append([]byte("fork/"), key[:]...) }
