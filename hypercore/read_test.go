package hypercore_test

import (
	"bytes"
	"context"
	"errors"
	"testing"
	"testing/synctest"

	"github.com/cobox-p2p/cobox-p2p/hypercore"
	"github.com/cobox-p2p/cobox-p2p/hypercore/merkle"
	"github.com/cobox-p2p/cobox-p2p/hypercore/storage"
)

func TestGetWaits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		writer, _ := written(t, 5)
		reader, _ := reading(t)
		type result struct {
			block []byte
			err   error
		}
		get := func(ctx context.Context, seq uint64) <-chan result {
			c := make(chan result, 1)
			go func() {
				b, err := reader.Get(ctx, seq)
				c <- result{b, err}
			}()
			synctest.Wait()
			return c
		}
		ctx, cancel := context.WithCancel(context.Background())
		known, beyond := get(context.Background(), 3), get(context.Background(), 6)
		given, closed := get(ctx, 100), get(context.Background(), 200)
		cancel()
		if r := <-given; !errors.Is(r.err, context.Canceled) {
			t.Errorf("Get whose ctx ended: %v, want Canceled", r.err)
		}
		w := newWorld(t, 1)
		w.link("wr", writer, reader)
		w.settle(0)
		if r := <-known; r.err != nil || !bytes.Equal(r.block, blockOf(3)) {
			t.Errorf("Get 3 = %x, %v", r.block, r.err)
		}
		mustAppend(t, writer, blocksOf(5, 2)...)
		w.settle(0)
		if r := <-beyond; r.err != nil || !bytes.Equal(r.block, blockOf(6)) {
			t.Errorf("Get beyond the length = %x, %v", r.block, r.err)
		}
		reader.Close()
		if r := <-closed; !errors.Is(r.err, hypercore.ErrClosed) {
			t.Errorf("Get at Close: %v, want ErrClosed", r.err)
		}
		if _, err := reader.Get(context.Background(), 3); !errors.Is(err, hypercore.ErrClosed) {
			t.Errorf("Get after Close: %v, want ErrClosed", err)
		}
		if _, err := reader.Attach(hypercore.PeerOptions{Wake: func() {}}); !errors.Is(err, hypercore.ErrClosed) {
			t.Errorf("Attach after Close: %v, want ErrClosed", err)
		}
	})
}

func TestSealedBlocksNeedTheirKey(t *testing.T) {
	ctx := context.Background()
	f, _ := written(t, 0)
	seal := hypercore.NewSeal([32]byte{1})
	mustAppend(t, f.WithSeal(seal), []byte("secret"))
	reader, _ := reading(t)
	w := newWorld(t, 1)
	w.link("wr", f, reader)
	w.settle(0)
	if b, err := reader.WithSeal(seal).Get(ctx, 0); err != nil || string(b) != "secret" {
		t.Errorf("Get with the key = %q, %v", b, err)
	}
	if b, err := reader.WithSeal(hypercore.NewSeal([32]byte{2})).Get(ctx, 0); !errors.Is(err, hypercore.ErrWrongKey) || b != nil {
		t.Errorf("Get with another key = %q, %v, want ErrWrongKey", b, err)
	}
	blind := reader.Blind()
	if b, err := blind.Get(ctx, 0); !errors.Is(err, hypercore.ErrSealed) || b != nil {
		t.Errorf("Get without a key = %q, %v, want ErrSealed", b, err)
	}
	if blind.Readable() || !reader.Readable() {
		t.Error("Readable is wrong")
	}
	b, err := blind.Block(ctx, 0)
	if err != nil || len(b) != len("secret")+hypercore.SealOverhead || bytes.Contains(b, []byte("secret")) {
		t.Errorf("Block = %q, %v", b, err)
	}
}

func TestReopenedFeedIsTheSame(t *testing.T) {
	writer, wst := written(t, 60)
	reader, rst := reading(t)
	reader.SetSparse(true)
	for _, seq := range []uint64{0, 7, 8, 9, 59} {
		give(t, writer, reader, seq)
	}
	for _, f := range []struct {
		f  *hypercore.Feed
		st *storage.Memory
	}{{writer, wst}, {reader, rst}} {
		f.f.Close()
		again := mustOpen(t, f.st, pairOf(1), false)
		blocks, size := f.f.Held()
		gotBlocks, gotSize := again.Held()
		if again.Head() != f.f.Head() || gotBlocks != blocks || gotSize != size || again.Durable() != blocks {
			t.Errorf("opened again: %+v with %d blocks of %d bytes, want %+v with %d of %d",
				again.Head(), gotBlocks, gotSize, f.f.Head(), blocks, size)
		}
		for seq := range uint64(60) {
			s := hypercore.Span{Start: seq, Count: 1}
			if again.Has(s) != f.f.Has(s) {
				t.Errorf("opened again: Has %d = %t", seq, again.Has(s))
			}
		}
	}
	again := mustOpen(t, wst, pairOf(1), true)
	mustAppend(t, again, blocksOf(60, 5)...)
	other, ost := written(t, 65)
	if again.Head() != other.Head() {
		t.Error("a feed that was opened again signs another head")
	}
	reader = mustOpen(t, rst, pairOf(1), false)
	w := newWorld(t, 1)
	w.link("wr", again, reader)
	w.settle(0)
	checkAll(t, "reader", reader, other, rst, ost)
}

// damaged is a store whose answers are changed.
type damaged struct {
	*storage.Memory
	feed func(*hypercore.StoredFeed)
	node func(*merkle.Node) error
}

func (d *damaged) Feed(key hypercore.Key) (hypercore.StoredFeed, error) {
	f, err := d.Memory.Feed(key)
	if d.feed != nil {
		d.feed(&f)
	}
	return f, err
}

func (d *damaged) Node(key hypercore.Key, index uint64) (merkle.Node, error) {
	n, err := d.Memory.Node(key, index)
	if err == nil && d.node != nil {
		err = d.node(&n)
	}
	return n, err
}

func TestDamagedStoreIsNoticed(t *testing.T) {
	for name, c := range map[string]struct {
		feed func(*hypercore.StoredFeed)
		node func(*merkle.Node) error
		want error
	}{
		"root hash of the head": {feed: func(f *hypercore.StoredFeed) { f.Head.RootHash[3] ^= 1 }, want: hypercore.ErrDamaged},
		"size of the head":      {feed: func(f *hypercore.StoredFeed) { f.Head.Size++ }, want: hypercore.ErrDamaged},
		"shorter head":          {feed: func(f *hypercore.StoredFeed) { f.Head.Length-- }, want: hypercore.ErrDamaged},
		"longer head":           {feed: func(f *hypercore.StoredFeed) { f.Head.Length++ }, want: hypercore.ErrDamaged},
		"endless head":          {feed: func(f *hypercore.StoredFeed) { f.Head.Length = 1 << 60 }, want: hypercore.ErrDamaged},
		"lost head":             {feed: func(f *hypercore.StoredFeed) { f.Head = hypercore.Head{} }, want: hypercore.ErrDamaged},
		"hash of a root":        {node: func(n *merkle.Node) error { n.Hash[0] ^= 1; return nil }, want: hypercore.ErrDamaged},
		"size of a root":        {node: func(n *merkle.Node) error { n.Size = merkle.MaxSize; return nil }, want: hypercore.ErrDamaged},
		"missing root":          {node: func(*merkle.Node) error { return merkle.ErrNoNode }, want: hypercore.ErrDamaged},
		"disk error":            {node: func(*merkle.Node) error { return errDisk }, want: errDisk},
	} {
		f, st := written(t, 11)
		_, err := hypercore.Open(&damaged{st, c.feed, c.node}, f.Key(), hypercore.KeyPair{})
		if !errors.Is(err, c.want) || errors.Is(err, hypercore.ErrDamaged) != (c.want == hypercore.ErrDamaged) {
			t.Errorf("%s: %v, want %v", name, err, c.want)
		}
	}
}

func TestSeek(t *testing.T) {
	f, _ := written(t, 40)
	offset := uint64(0)
	for seq := range uint64(40) {
		for within := range uint64(len(blockOf(seq))) {
			if s, in, err := f.Seek(offset); s != seq || in != within || err != nil {
				t.Fatalf("Seek %d = %d, %d, %v, want %d, %d", offset, s, in, err, seq, within)
			}
			offset++
		}
	}
	if _, _, err := f.Seek(offset); !errors.Is(err, hypercore.ErrNoBlock) {
		t.Errorf("Seek beyond the end: %v, want ErrNoBlock", err)
	}
}

func TestMissingAndChanged(t *testing.T) {
	writer, _ := written(t, 20)
	reader, _ := reading(t)
	if _, ok := reader.Missing(0); ok {
		t.Error("an empty feed misses blocks")
	}
	changed := reader.Changed()
	give(t, writer, reader, 0)
	select {
	case <-changed:
	default:
		t.Error("Changed was not closed")
	}
	if seq, ok := reader.Missing(0); !ok || seq != 1 {
		t.Errorf("Missing = %d, %t, want 1", seq, ok)
	}
	if !reader.Has(hypercore.Span{Start: 0, Count: 1}) || reader.Has(hypercore.Span{Start: 0, Count: 2}) {
		t.Error("Has is wrong")
	}
}

func TestEmptyBlockIsNoHash(t *testing.T) {
	f := mustOpen(t, frugal{storage.NewMemory()}, pairOf(1), true)
	mustAppend(t, f, []byte{})
	if d, err := f.Prove(0, 0, false); err != nil || d.Value == nil {
		t.Errorf("Prove of an empty block = %s, %v", describe(d), err)
	}
}
