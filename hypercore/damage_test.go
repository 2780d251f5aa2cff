package hypercore_test

import (
	"context"
	"errors"
	"strings"
	"testing"

	"github.com/cobox-p2p/cobox-p2p/hypercore"
	"github.com/cobox-p2p/cobox-p2p/hypercore/storage"
)

// TestDamagedBlockIsTakenBack lets a seeder come upon a block that it can't read
// when a peer asks for it: the session goes on, the peer gets everything else,
// and nobody is told of the block any more.
func TestDamagedBlockIsTakenBack(t *testing.T) {
	const length, bad = 20, 7
	seeder, writer, st, _ := rottenFeed(t, length, nil)
	reader, _ := reading(t)
	var events []hypercore.Span
	seeder.Notify(func(e hypercore.Event) {
		if e.Kind == hypercore.Damaged {
			events = append(events, e.Span)
		}
	})
	st.blocks[bad] = unread
	w := newWorld(t, 3)
	up, down := w.link("seeder", seeder, reader)
	w.settle(0)
	if blocks, _ := reader.Held(); blocks != length-1 || reader.Has(hypercore.Span{Start: bad, Count: 1}) {
		t.Fatalf("the reader holds %d blocks, want all but block %d", blocks, bad)
	}
	if down.peer.RemoteHas(hypercore.Span{Start: bad, Count: 1}) {
		t.Error("the reader still takes the seeder for a source of the block")
	}
	if len(events) != 1 || events[0] != (hypercore.Span{Start: bad, Count: 1}) {
		t.Errorf("events %v, want one for block %d", events, bad)
	}
	if _, err := seeder.Block(context.Background(), bad); !errors.Is(err, hypercore.ErrDamaged) ||
		!strings.Contains(err.Error(), "block 7") || !strings.Contains(err.Error(), seeder.Discovery().String()) {
		t.Errorf("Block = %v, want ErrDamaged that names block and feed", err)
	}
	if d := seeder.Damage(); d.Blocks != 1 || seeder.Durable() != length-1 {
		t.Errorf("Damage = %+v, %d durable", d, seeder.Durable())
	}
	// Who comes later hears nothing of it, and an answer is given if asked.
	late, _ := reading(t)
	_, second := w.link("late", seeder, late)
	w.settle(0)
	if second.peer.RemoteHas(hypercore.Span{Start: bad, Count: 1}) || second.peer.RemoteLength() != length {
		t.Errorf("a later peer hears of block %d, or of %d blocks", bad, second.peer.RemoteLength())
	}
	second.other.inbox = append(second.other.inbox, &hypercore.Request{Index: bad})
	before := second.other.sent["Unhave"]
	w.settle(0)
	if second.other.sent["Unhave"] == before {
		t.Error("a request for the damaged block was not answered")
	}
	// Mended by a third party, it goes to all.
	mustRepair(t, seeder, mustAudit(t, seeder))
	w.link("writer", writer, seeder)
	w.settle(0)
	for _, f := range []*hypercore.Feed{seeder, reader, late} {
		if seq, missing := f.Missing(0); missing {
			t.Errorf("block %d is still missing", seq)
		}
	}
	if s := up.peer.Stats(); s.GotBlocks != 0 {
		t.Errorf("the seeder got %d blocks of the reader", s.GotBlocks)
	}
}

// TestDamagedNodeStopsNobody lets a seeder come upon a node that it can't read.
func TestDamagedNodeStopsNobody(t *testing.T) {
	const length = 16
	for index := range uint64(2*length - 1) {
		seeder, _, st, _ := rottenFeed(t, length, nil)
		st.nodes[index] = []rot{unread, missing}[index%2]
		reader, _ := reading(t)
		w := newWorld(t, index)
		w.link("seeder", seeder, reader)
		w.settle(0)
		a := mustAudit(t, seeder)
		mustRepair(t, seeder, a)
		w.settle(0)
		if seq, missing := reader.Missing(0); missing || reader.Length() != length || a.Damaged != 0 {
			t.Errorf("node %d: block %d is missing after the repair; %+v", index, seq, a)
		}
	}
}

// TestWrongNodeBlamesNobody flips bits of a reader's nodes, unnoticed, while it
// fetches from an honest peer: the peer is not blamed, no fork is found, and what
// comes mends the nodes.
func TestWrongNodeBlamesNobody(t *testing.T) {
	const length = 16
	for _, bit := range []rot{0, 77, nodeBits - 50, unread} {
		for _, held := range []uint64{0, 5, 15} {
			f, writer, st, full := rottenFeed(t, length, func(seq uint64) bool { return seq == held })
			for _, index := range st.stored(f.Key(), length) {
				st.nodes[index] = bit
			}
			w := newWorld(t, held)
			w.link("writer", writer, f) // deliver fails the test when a peer is blamed
			w.settle(0)
			if err := f.Forked(); err != nil {
				t.Fatalf("held %d, rot %d: %v", held, bit, err)
			}
			a := mustAudit(t, f)
			mustRepair(t, f, a)
			w.settle(0)
			checkAll(t, "mended", f, writer, st, full)
			if a := mustAudit(t, f); !a.Valid() {
				t.Fatalf("held %d, rot %d: %+v; nodes %v", held, bit, a, st.nodes)
			}
		}
	}
}

// TestOwnBlocksComeBack repairs the feed of a writer from a seeder; the writer
// goes on with the same history.
func TestOwnBlocksComeBack(t *testing.T) {
	writer, full := written(t, 30)
	seeder, sst := reading(t)
	for seq := range uint64(30) {
		give(t, writer, seeder, seq)
	}
	writer.Close()
	st := newRotten(full)
	st.blocks[3], st.blocks[29], st.nodes[27], st.nodes[50] = unread, 4, missing, unread
	writer = mustOpen(t, st, pairOf(1), true)
	a := mustAudit(t, writer)
	if a.Damaged != 2 || a.Nodes != 2 {
		t.Fatalf("Audit = %+v", a)
	}
	mustAppend(t, writer, blockOf(30))
	mustRepair(t, writer, a)
	w := newWorld(t, 1)
	w.link("seeder", seeder, writer)
	w.settle(0)
	checkAll(t, "writer", writer, seeder, st, sst)
	if a := mustAudit(t, writer); !a.Valid() || writer.Forked() != nil || seeder.Forked() != nil {
		t.Errorf("after all: %+v, %v, %v", a, writer.Forked(), seeder.Forked())
	}
}

// TestTransientErrorIsForgotten lets a block be read again after all.
func TestTransientErrorIsForgotten(t *testing.T) {
	f, _, st, _ := rottenFeed(t, 10, nil)
	r := speak(t, f, hypercore.PeerOptions{})
	r.say(&hypercore.Want{Start: 0, Length: hypercore.MaxWant})
	r.hear()
	st.blocks[4] = unread
	if _, err := f.Get(context.Background(), 4); !errors.Is(err, hypercore.ErrDamaged) || !errors.Is(err, errRot) {
		t.Fatalf("Get = %v, want ErrDamaged and its cause", err)
	}
	if got := r.hear(); len(got) != 1 || kindOf(got[0]) != "Unhave" {
		t.Errorf("the peer heard %s, want an Unhave", list(got))
	}
	st.heal()
	if _, err := f.Get(context.Background(), 4); !errors.Is(err, hypercore.ErrDamaged) {
		t.Errorf("Get before an audit = %v", err)
	}
	if a := mustAudit(t, f); !a.Valid() {
		t.Errorf("Audit = %+v", a)
	}
	if got := r.hear(); len(got) != 1 || kindOf(got[0]) != "Have" {
		t.Errorf("the peer heard %s, want a Have", list(got))
	}
	if _, err := f.Get(context.Background(), 4); err != nil || f.Durable() != 10 {
		t.Errorf("Get after an audit = %v, %d durable", err, f.Durable())
	}
}

// TestStaleAuditRemovesNothingNew repairs twice by one audit.
func TestStaleAuditRemovesNothingNew(t *testing.T) {
	f, writer, st, full := rottenFeed(t, 10, nil)
	st.blocks[2] = 1
	a := mustAudit(t, f)
	mustRepair(t, f, a)
	give(t, writer, f, 2)
	if done := mustRepair(t, f, a); done.Blocks != 0 {
		t.Errorf("a second repair by the same audit removed %d blocks", done.Blocks)
	}
	checkAll(t, "twice", f, writer, st, full)
	other := mustOpen(t, storage.NewMemory(), pairOf(2), true)
	mustAppend(t, other, blocksOf(0, 10)...)
	if _, err := other.Repair(context.Background(), a); !errors.Is(err, hypercore.ErrChanged) {
		t.Errorf("Repair by the audit of another feed = %v, want ErrChanged", err)
	}
	f.Close()
	if _, err := f.Repair(context.Background(), a); !errors.Is(err, hypercore.ErrClosed) {
		t.Errorf("Repair of a closed feed = %v, want ErrClosed", err)
	}
}
