package hypercore_test

import (
	"bytes"
	"context"
	"errors"
	"slices"
	"testing"

	"github.com/cobox-p2p/cobox-p2p/hypercore"
	"github.com/cobox-p2p/cobox-p2p/hypercore/merkle"
	"github.com/cobox-p2p/cobox-p2p/hypercore/storage"
)

// askedFor returns a fresh reader of which one remote, that claims all blocks,
// was asked for block 0, and an honest remote beside it.
func askedFor(t *testing.T, writer *hypercore.Feed) (f *hypercore.Feed, st *storage.Memory, r, honest *remote) {
	t.Helper()
	f, st = reading(t)
	all := &hypercore.Have{Start: 0, Length: writer.Length()}
	r = speak(t, f, hypercore.PeerOptions{})
	honest = speak(t, f, hypercore.PeerOptions{})
	r.hear()
	r.say(all)
	if got := r.hear(); len(got) != 1 || got[0].(*hypercore.Request).Index != 0 {
		t.Fatalf("asked for %s, want block 0", list(got))
	}
	honest.hear()
	honest.say(all)
	return f, st, r, honest
}

// refused fails unless the peer answers m with a RemoteError and stores nothing
// of it.
func refused(t *testing.T, what string, f *hypercore.Feed, st *storage.Memory, r *remote, m hypercore.Message) error {
	t.Helper()
	head := f.Head()
	blocks, _ := f.Held()
	nodes := storedNodes(st, f.Key())
	err := r.peer.Handle(m, r.now)
	var remote *hypercore.RemoteError
	if !errors.As(err, &remote) || remote.Feed != f.Discovery() {
		t.Errorf("%s: %v, want a RemoteError", what, err)
	}
	if held, _ := f.Held(); f.Head() != head || held != blocks || storedNodes(st, f.Key()) != nodes {
		t.Errorf("%s: something was stored", what)
	}
	return err
}

func storedNodes(st hypercore.Storage, key hypercore.Key) (n int) {
	for index := range uint64(32) {
		if _, err := st.Node(key, index); err == nil {
			n++
		}
	}
	return n
}

func copyData(d *hypercore.Data) *hypercore.Data {
	return &hypercore.Data{
		Index: d.Index, Value: bytes.Clone(d.Value),
		Nodes: slices.Clone(d.Nodes), Signature: bytes.Clone(d.Signature),
	}
}

// changes yields every way to flip a bit of each byte of d, and some others.
func changes(d *hypercore.Data) map[string]func(*hypercore.Data) {
	all := map[string]func(*hypercore.Data){
		"no value":       func(d *hypercore.Data) { d.Value = nil },
		"empty value":    func(d *hypercore.Data) { d.Value = []byte{} },
		"longer value":   func(d *hypercore.Data) { d.Value = append(d.Value, 0) },
		"no signature":   func(d *hypercore.Data) { d.Signature = nil },
		"63 bytes":       func(d *hypercore.Data) { d.Signature = d.Signature[:63] },
		"65 bytes":       func(d *hypercore.Data) { d.Signature = append(d.Signature, 0) },
		"no nodes":       func(d *hypercore.Data) { d.Nodes = nil },
		"too many nodes": func(d *hypercore.Data) { d.Nodes = make([]merkle.Node, merkle.MaxProofNodes+1) },
		"node to spare":  func(d *hypercore.Data) { d.Nodes = append(d.Nodes, merkle.Node{Index: 101}) },
	}
	for i := range d.Value {
		all["value byte "+itoa(i)] = func(d *hypercore.Data) { d.Value[i] ^= 1 << (i % 8) }
	}
	for i := range d.Signature {
		all["signature byte "+itoa(i)] = func(d *hypercore.Data) { d.Signature[i] ^= 1 << (i % 8) }
	}
	for i := range d.Nodes {
		name := "node " + itoa(i)
		all[name+" twice"] = func(d *hypercore.Data) { d.Nodes = append(d.Nodes, d.Nodes[i]) }
		all[name+" missing"] = func(d *hypercore.Data) { d.Nodes = slices.Delete(d.Nodes, i, i+1) }
		for b := range merkle.HashSize {
			all[name+" hash byte "+itoa(b)] = func(d *hypercore.Data) { d.Nodes[i].Hash[b] ^= 1 << (b % 8) }
		}
		for b := range 64 {
			all[name+" size bit "+itoa(b)] = func(d *hypercore.Data) { d.Nodes[i].Size ^= 1 << b }
			all[name+" index bit "+itoa(b)] = func(d *hypercore.Data) { d.Nodes[i].Index ^= 1 << b }
		}
		if i > 0 {
			all[name+" takes size from the one before"] = func(d *hypercore.Data) { d.Nodes[i].Size++; d.Nodes[i-1].Size-- }
		}
	}
	return all
}

func TestEveryChangeIsRefused(t *testing.T) {
	writer, wst := written(t, 13)
	good, err := writer.Prove(0, 0, false)
	if err != nil {
		t.Fatal(err)
	}
	f, st, r, honest := askedFor(t, writer)
	for name, change := range changes(good) {
		bad := copyData(good)
		change(bad)
		refused(t, name, f, st, r, bad)
	}
	honest.now = honest.now.Add(hypercore.GrowPatience)
	if got := honest.hear(); len(got) == 0 {
		t.Fatal("the honest remote is asked for nothing")
	}
	honest.say(copyData(good))
	checkSame(t, "reader", f, writer, st, wst)
	if f.Length() != 13 || !f.Has(hypercore.Span{Start: 0, Count: 1}) {
		t.Errorf("the honest answer was not stored: length = %d", f.Length())
	}
}

// A parent commits only to the sum of its children's sizes. What a lie about
// the share of each could change is refused or not stored.
func TestShiftedSizesAreNotStored(t *testing.T) {
	writer, wst := written(t, 8)
	for _, digest := range []uint64{0} {
		hash, err := writer.Prove(2, digest, true)
		if err != nil {
			t.Fatal(err)
		}
		bad := copyData(hash)
		bad.Nodes[0].Size--
		bad.Nodes[1].Size++
		f, st := reading(t)
		if err := f.Apply(context.Background(), bad); err != nil {
			var remote *hypercore.RemoteError
			if !errors.As(err, &remote) {
				t.Errorf("shifted sizes: %v, want none or a RemoteError", err)
			}
		}
		checkSame(t, "shifted", f, writer, st, wst)
		give(t, writer, f, 2)
		checkSame(t, "shifted, then the block", f, writer, st, wst)
	}
}

func TestBlockOfAnotherFeedIsRefused(t *testing.T) {
	other := mustOpen(t, storage.NewMemory(), pairOf(2), true)
	mustAppend(t, other, blocksOf(0, 13)...)
	writer, _ := written(t, 13)
	f, st, r, _ := askedFor(t, writer)
	d, err := other.Prove(0, 0, false)
	if err != nil {
		t.Fatal(err)
	}
	if err := refused(t, "foreign block", f, st, r, d); !errors.Is(err, merkle.ErrProofSignature) {
		t.Errorf("foreign block: %v, want ErrProofSignature", err)
	}
	over := &hypercore.Data{Index: 0, Value: make([]byte, hypercore.MaxBlock+1)}
	if err := refused(t, "block over the limit", f, st, r, over); !errors.Is(err, hypercore.ErrBlockSize) {
		t.Errorf("block over the limit: %v, want ErrBlockSize", err)
	}
}
