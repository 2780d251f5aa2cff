package hypercore_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/cobox-p2p/cobox-p2p/hypercore"
	"github.com/cobox-p2p/cobox-p2p/hypercore/storage"
)

// reveals fails when m tells of the feed from block length on.
func reveals(t *testing.T, m hypercore.Message, length uint64) {
	t.Helper()
	bad := false
	switch m := m.(type) {
	case *hypercore.Have:
		bad = m.Start+m.Length > length
		if m.Bitfield != nil {
			var b hypercore.Bitfield
			if err := b.SetRLE(m.Start, m.Bitfield, m.Length, hypercore.MaxPeerPages); err != nil {
				t.Errorf("bitfield: %v", err)
			}
			bad = b.End() > length
		}
	case *hypercore.Unhave:
		bad = m.Start+m.Length > length
	case *hypercore.Data:
		bad = m.Index >= length
		for _, n := range m.Nodes {
			bad = bad || n.Index/2 >= length
		}
	}
	if bad {
		t.Errorf("%s tells of what is not durable beyond %d blocks", describe(m), length)
	}
}

func TestOwnBlocksAreToldOnlyWhenDurable(t *testing.T) {
	writer, wst := written(t, 10)
	reader, rst := reading(t)
	w := newWorld(t, 1)
	up, down := w.link("wr", writer, reader)
	w.settle(0)
	wst.HoldSync()
	done := make(chan error, 1)
	go func() {
		_, err := writer.Append(context.Background(), blocksOf(10, 5)...)
		done <- err
	}()
	if err := writer.WaitLength(context.Background(), 15); err != nil {
		t.Fatal(err)
	}
	w.log = func(from *side, m hypercore.Message) {
		if from == up {
			reveals(t, m, 10)
		}
	}
	late, _ := reading(t)
	lateUp, _ := w.link("late", writer, late)
	w.log = func(from *side, m hypercore.Message) {
		if from == up || from == lateUp {
			reveals(t, m, 10)
		}
	}
	up.inbox = append(up.inbox,
		&hypercore.Want{Start: 0, Length: hypercore.MaxWant},
		&hypercore.Request{Index: 12}, &hypercore.Request{Index: 3}, &hypercore.Request{Bytes: writer.ByteLength() - 1, Index: 2})
	w.settle(time.Minute)
	select {
	case err := <-done:
		t.Fatalf("Append returned before the sync: %v", err)
	default:
	}
	if late.Length() != 10 || reader.Length() != 10 || writer.DurableHead().Length != 10 || writer.Durable() != 10 {
		t.Errorf("lengths = %d, %d, durable %d, want 10", late.Length(), reader.Length(), writer.DurableHead().Length)
	}
	if _, err := writer.Prove(12, 0, false); err == nil {
		t.Error("Prove of a block that is not durable: no error")
	}
	var asked *hypercore.Data
	w.log = func(_ *side, m hypercore.Message) {
		if d, ok := m.(*hypercore.Data); ok && d.Index == 12 && asked == nil {
			asked = d
		}
	}
	wst.ReleaseSync()
	if err := <-done; err != nil {
		t.Errorf("Append: %v", err)
	}
	_ = down
	w.settle(time.Minute)
	if asked == nil {
		t.Error("the request for block 12 was not answered after the sync")
	}
	checkAll(t, "reader", reader, writer, rst, wst)
	if late.Length() != 15 {
		t.Errorf("length of the late reader = %d, want 15", late.Length())
	}
}

func TestReceivedBlocksAreToldOnlyWhenDurable(t *testing.T) {
	m := newMesh(t, 3, 3, line...)
	m.grow(4)
	m.settle(0)
	m.stores[1].HoldSync()
	m.grow(20)
	onward := m.links[[2]int{1, 2}]
	m.log = func(from *side, msg hypercore.Message) {
		if from == onward || from == m.links[[2]int{0, 1}].other {
			reveals(t, msg, 4)
		}
	}
	m.settle(time.Minute)
	if got := m.feeds[1].Length(); got != 24 {
		t.Fatalf("length of the relay = %d, want 24", got)
	}
	onward.inbox = append(onward.inbox, &hypercore.Request{Index: 20})
	m.settle(time.Minute)
	if got := m.feeds[2].Length(); got != 4 {
		t.Errorf("length of the third = %d before the relay's sync, want 4", got)
	}
	if requests, _, _, _ := onward.peer.Owed(); requests != 1 {
		t.Errorf("%d requests wait for the sync, want 1", requests)
	}
	answered := false
	m.log = func(_ *side, msg hypercore.Message) {
		d, ok := msg.(*hypercore.Data)
		answered = answered || ok && d.Index == 20
	}
	m.stores[1].ReleaseSync()
	m.settle(time.Minute)
	m.checkAll()
	if !answered {
		t.Error("the request was not answered after the sync")
	}
}

// unsynced is a store whose batches can be read but never become durable.
type unsynced struct{ *storage.Memory }

var errSync = errors.New("sync failed")

func (s unsynced) Commit(b *hypercore.Batch) error {
	durable := b.Durable
	b.Durable = nil
	err := s.Memory.Commit(b)
	if err == nil && durable != nil {
		durable(errSync)
	}
	return err
}

// A request for what will never be durable is answered with our own error, and
// whoever asks is not blamed for asking again.
func TestFailedSyncIsOurOwnError(t *testing.T) {
	writer, _ := written(t, 5)
	mem := storage.NewMemory()
	reader := mustOpen(t, mem, pairOf(1), false)
	give(t, writer, reader, 4)
	reader.Close()
	failing := mustOpen(t, unsynced{mem}, pairOf(1), false)
	woken := 0
	r := speak(t, failing, hypercore.PeerOptions{Wake: func() { woken++ }})
	r.hear()
	r.say(&hypercore.Request{Index: 4})
	if got := r.hear(); len(got) != 1 || kindOf(got[0]) != "Data" {
		t.Errorf("what is durable is answered with %s", list(got))
	}
	woken = 0
	give(t, writer, failing, 2)
	if woken == 0 {
		t.Error("nobody is woken to hear of the failure")
	}
	for range 2 * hypercore.MaxRemoteRequests {
		r.say(&hypercore.Request{Index: 2})
	}
	_, err := r.peer.Next(r.now)
	var remote *hypercore.RemoteError
	if !errors.Is(err, errSync) || errors.As(err, &remote) {
		t.Errorf("Next = %v, want the store's error", err)
	}
}

func TestSettledMeansDurable(t *testing.T) {
	f, st := written(t, 1)
	st.HoldSync()
	done := make(chan error, 1)
	go func() {
		_, err := f.Append(context.Background(), []byte("x"))
		done <- err
	}()
	if err := f.WaitLength(context.Background(), 2); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if err := f.Close(); err != nil {
			t.Fatal(err)
		}
	}
	select {
	case <-f.Settled():
		t.Error("settled before the sync")
	default:
	}
	st.ReleaseSync()
	<-f.Settled()
	if err := <-done; err != nil {
		t.Errorf("Append that was with the store at Close: %v", err)
	}
}

func TestEventsComeWhenDurable(t *testing.T) {
	writer, _ := written(t, 0)
	reader, rst := reading(t)
	w := newWorld(t, 1)
	up, down := w.link("wr", writer, reader)
	var stored, uploaded uint64
	writer.Notify(func(e hypercore.Event) {
		if e.Kind == hypercore.Uploaded && e.From == up.peer {
			uploaded += e.Span.Count
		}
	})
	stop := reader.Notify(func(e hypercore.Event) {
		if e.Kind == hypercore.Stored && e.From == down.peer {
			stored += e.Span.Count
		}
	})
	rst.HoldSync()
	mustAppend(t, writer, blocksOf(0, 7)...)
	w.settle(0)
	if stored != 0 || uploaded != 7 {
		t.Errorf("%d stored and %d uploaded before the reader's sync, want 0 and 7", stored, uploaded)
	}
	rst.ReleaseSync()
	if stored != 7 {
		t.Errorf("%d stored after the sync, want 7", stored)
	}
	stop()
	mustAppend(t, writer, blocksOf(7, 1)...)
	w.settle(0)
	if stored != 7 || uploaded != 8 {
		t.Errorf("%d stored and %d uploaded after stop, want 7 and 8", stored, uploaded)
	}
}
