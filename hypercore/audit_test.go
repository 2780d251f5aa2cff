package hypercore_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	"go.uber.org/goleak"

	"github.com/cobox-p2p/cobox-p2p/hypercore"
	"github.com/cobox-p2p/cobox-p2p/hypercore/flattree"
	"github.com/cobox-p2p/cobox-p2p/hypercore/merkle"
	"github.com/cobox-p2p/cobox-p2p/hypercore/storage"
)

// rots are the ways in which a node is damaged: every bit of hash and size, not
// to be read, gone.
func rots(bits int) []rot {
	all := []rot{unread, missing}
	for bit := range bits {
		all = append(all, rot(bit))
	}
	return all
}

const nodeBits = 8*merkle.HashSize + 53

// someRots are rots with one bit in seventeen.
func someRots(bits int) []rot {
	some := []rot{unread, missing}
	for bit := 0; bit < bits; bit += 17 {
		some = append(some, rot(bit))
	}
	return some
}

// rottenFeed returns a reader's feed that holds the blocks of a feed of length
// blocks that pick chooses, on a store that can rot, and the writer's feed.
func rottenFeed(t testing.TB, length uint64, pick func(seq uint64) bool) (copied, writer *hypercore.Feed, st *rotten, full *storage.Memory) {
	t.Helper()
	writer, full = written(t, length)
	mem := storage.NewMemory()
	first := mustOpen(t, mem, pairOf(1), false)
	for seq := range length {
		if pick == nil || pick(seq) {
			give(t, writer, first, seq)
		}
	}
	first.Close()
	st = newRotten(mem)
	return mustOpen(t, st, pairOf(1), false), writer, st, full
}

func mustAudit(t testing.TB, f *hypercore.Feed) hypercore.Audit {
	t.Helper()
	a, err := f.Audit(context.Background())
	if err != nil {
		t.Fatalf("Audit: %v", err)
	}
	return a
}

func mustRepair(t testing.TB, f *hypercore.Feed, a hypercore.Audit) hypercore.Repaired {
	t.Helper()
	r, err := f.Repair(context.Background(), a)
	if err != nil {
		t.Fatalf("Repair: %v", err)
	}
	return r
}

// TestEveryNodeFollowsFromTheRest damages every node of full trees in every way:
// no block is blamed, and Repair writes the node as it was.
func TestEveryNodeFollowsFromTheRest(t *testing.T) {
	for _, length := range []uint64{1, 2, 3, 6, 13} {
		f, writer, st, full := rottenFeed(t, length, nil)
		key := f.Key()
		ways := someRots(nodeBits)
		if length == 3 {
			ways = rots(nodeBits)
		}
		for _, index := range st.stored(key, length) {
			for _, r := range ways {
				st.nodes[index] = r
				a := mustAudit(t, f)
				if a.Damaged != 0 || a.Nodes != 1 || a.Lost != 0 || a.Head != nil || a.Blocks != length || a.Valid() {
					t.Fatalf("length %d, node %d, rot %d: %+v, want the node alone", length, index, r, a)
				}
				if done := mustRepair(t, f, a); done.Nodes != 1 || done.Blocks != 0 || done.Head {
					t.Fatalf("length %d, node %d, rot %d: repaired %+v", length, index, r, done)
				}
				if len(st.nodes) != 0 {
					t.Fatalf("length %d, node %d, rot %d: not written anew", length, index, r)
				}
				checkAll(t, fmt.Sprintf("length %d, node %d, rot %d", length, index, r), f, writer, st, full)
			}
		}
		if a := mustAudit(t, f); !a.Valid() {
			t.Errorf("length %d after all repairs: %+v", length, a)
		}
	}
}

// TestEveryBlockIsNamed damages every block in every way: it alone is named,
// cleared and fetched again.
func TestEveryBlockIsNamed(t *testing.T) {
	const length = 19
	f, writer, st, full := rottenFeed(t, length, nil)
	for seq := range uint64(length) {
		for _, r := range append(rots(min(8*len(blockOf(seq)), 16)), 0) {
			st.blocks[seq] = r
			what := fmt.Sprintf("block %d, rot %d", seq, r)
			a := mustAudit(t, f)
			if a.Damaged != 1 || !slices.Equal(a.Spans, []hypercore.Span{{Start: seq, Count: 1}}) || a.Nodes != 0 || a.Lost != 0 || a.Head != nil {
				t.Fatalf("%s: %+v, want the block alone", what, a)
			}
			if _, err := f.Block(context.Background(), seq); !errors.Is(err, hypercore.ErrDamaged) {
				t.Fatalf("%s: Block: %v, want ErrDamaged", what, err)
			}
			if d := f.Damage(); d.Blocks != 1 || f.Durable() != length-1 {
				t.Fatalf("%s: %+v, %d durable", what, d, f.Durable())
			}
			done := mustRepair(t, f, a)
			if done.Blocks != 1 || done.Nodes != 0 || f.Has(hypercore.Span{Start: seq, Count: 1}) || f.Damage().Blocks != 0 {
				t.Fatalf("%s: repaired %+v, %+v", what, done, f.Damage())
			}
			give(t, writer, f, seq)
			checkAll(t, what, f, writer, st, full)
			if blocks, bytes := f.Held(); blocks != length || bytes != writer.ByteLength() {
				t.Fatalf("%s: holds %d blocks of %d bytes, want %d of %d", what, blocks, bytes, length, writer.ByteLength())
			}
		}
	}
}

// TestOnlyTheDamagedIsFetched lets a reader repair many things at once while a
// seeder is connected.
func TestOnlyTheDamagedIsFetched(t *testing.T) {
	const length = 300
	f, writer, st, full := rottenFeed(t, length, nil)
	damaged := []uint64{0, 17, 18, 63, 64, 128, 255, 256, 299}
	for i, seq := range damaged {
		st.blocks[seq] = []rot{unread, 3, missing}[i%3]
	}
	for i, index := range []uint64{5, 80, 127, 255, 543, 420, 401} {
		st.nodes[index] = []rot{missing, 5, unread, nodeBits - 3}[i%4]
	}
	a := mustAudit(t, f)
	if a.Damaged != uint64(len(damaged)) || a.Nodes != 7 || a.Lost != 0 || a.Blocks != length {
		t.Fatalf("Audit = %+v, want %d blocks and 7 nodes", a, len(damaged))
	}
	w := newWorld(t, 7)
	_, down := w.link("seeder", writer, f)
	w.settle(0)
	if n := down.sent["Request"]; n != 0 {
		t.Errorf("%d requests before the repair, want none", n)
	}
	mustRepair(t, f, a)
	w.settle(0)
	if n := down.sent["Request"]; n != len(damaged) {
		t.Errorf("%d requests after the repair, want %d", n, len(damaged))
	}
	if s := down.peer.Stats(); s.GotBlocks != uint64(len(damaged)) {
		t.Errorf("got %d blocks, want %d", s.GotBlocks, len(damaged))
	}
	checkAll(t, "repaired", f, writer, st, full)
	if a := mustAudit(t, f); !a.Valid() {
		t.Errorf("after all: %+v", a)
	}
}

// provable is a plain model of what can be proved: a node is known when it is
// stored as it was or both of its children are known, a leaf also when its block
// is; a block is right when it is as it was and all above it has known children.
type provable struct {
	length uint64
	node   func(index uint64) bool // stored as it was
	block  func(seq uint64) bool   // held as it was
}

func (p *provable) known(index uint64) bool {
	left, right, inner := flattree.Children(index)
	if p.node(index) {
		return true
	}
	if !inner {
		return p.block(index / 2)
	}
	return p.known(left) && p.known(right)
}

func (p *provable) right(seq uint64) bool {
	if !p.block(seq) {
		return false
	}
	for index := 2 * seq; ; index = flattree.Parent(index) {
		sibling := flattree.Sibling(index)
		if !flattree.Within(sibling, p.length) {
			return true
		}
		if !p.known(index) || !p.known(sibling) {
			return false
		}
	}
}

// TestAuditAgainstModel damages random trees, full and sparse, at random. What
// the audit calls damaged is what the model can't prove; after Repair a seeder
// brings exactly that back.
func TestAuditAgainstModel(t *testing.T) {
	const runs = 40
	for seed := range uint64(runs) {
		rng := rand.New(rand.NewPCG(seed, 1))
		length := 1 + rng.Uint64N(150)
		density := []int{100, 60, 10}[rng.IntN(3)]
		f, writer, st, full := rottenFeed(t, length, func(uint64) bool { return rng.IntN(100) < density })
		what := fmt.Sprintf("seed %d, %d blocks, %d%%", seed, length, density)
		key := f.Key()
		for range rng.IntN(8) {
			if nodes := st.stored(key, f.Length()); len(nodes) > 0 {
				st.nodes[nodes[rng.IntN(len(nodes))]] = rots(256)[rng.IntN(2+256)]
			}
			if seq := rng.Uint64N(length); rng.IntN(2) == 0 && f.Has(hypercore.Span{Start: seq, Count: 1}) {
				st.blocks[seq] = rots(8)[rng.IntN(10)]
			}
		}
		p := provable{length: f.Length()}
		p.block = func(seq uint64) bool {
			_, bad := st.blocks[seq]
			return !bad && f.Has(hypercore.Span{Start: seq, Count: 1})
		}
		p.node = func(index uint64) bool {
			_, err := st.Memory.Node(key, index)
			_, bad := st.nodes[index]
			return !bad && err == nil
		}
		var want []uint64
		for seq := range f.Length() {
			if f.Has(hypercore.Span{Start: seq, Count: 1}) && !p.right(seq) {
				want = append(want, seq)
			}
		}
		a := mustAudit(t, f)
		var got []uint64
		for _, s := range a.Spans {
			for seq := s.Start; seq < s.End(); seq++ {
				got = append(got, seq)
			}
		}
		if !slices.Equal(got, want) || a.Damaged != uint64(len(want)) {
			t.Fatalf("%s: damaged %v, want %v; nodes %v, blocks %v", what, got, want, st.nodes, st.blocks)
		}
		mustRepair(t, f, a)
		for _, seq := range want {
			if f.Has(hypercore.Span{Start: seq, Count: 1}) {
				t.Fatalf("%s: block %d is still held", what, seq)
			}
		}
		if a := mustAudit(t, f); !a.Valid() {
			t.Fatalf("%s: after repair: %+v", what, a)
		}
		w := newWorld(t, seed)
		_, down := w.link("seeder", writer, f)
		missing := length
		if blocks, _ := f.Held(); true {
			missing -= blocks
		}
		w.settle(0)
		if s := down.peer.Stats(); s.GotBlocks != missing {
			t.Fatalf("%s: got %d blocks, want %d", what, s.GotBlocks, missing)
		}
		checkAll(t, what, f, writer, st.Memory, full)
		if a := mustAudit(t, f); !a.Valid() {
			t.Fatalf("%s: after all: %+v; nodes %v", what, a, st.nodes)
		}
	}
}

// TestSizesAreProvedFromBelow shifts bytes between two siblings, which their
// parent's hash doesn't show.
func TestSizesAreProvedFromBelow(t *testing.T) {
	f, writer, st, full := rottenFeed(t, 16, nil)
	key := f.Key()
	for _, pair := range [][2]uint64{{0, 2}, {9, 13}, {7, 23}, {24, 26}} {
		l, _ := st.Memory.Node(key, pair[0])
		r, _ := st.Memory.Node(key, pair[1])
		l.Size, r.Size = l.Size+3, r.Size-3
		if err := st.Memory.Commit(&hypercore.Batch{Feeds: []hypercore.FeedWrite{{Key: key, Nodes: []merkle.Node{l, r}}}}); err != nil {
			t.Fatal(err)
		}
		a := mustAudit(t, f)
		if a.Damaged != 0 || a.Nodes != 2 {
			t.Fatalf("nodes %v: %+v, want 2 nodes", pair, a)
		}
		mustRepair(t, f, a)
		checkAll(t, fmt.Sprint(pair), f, writer, st, full)
	}
}

// TestAuditOfManyBlocks checks that the parts of a large feed come together, that
// progress is told, and that ctx ends all of it.
func TestAuditOfManyBlocks(t *testing.T) {
	defer goleak.VerifyNone(t)
	const length = 5*1024 + 77
	writer, mem := written(t, length)
	writer.Close()
	st := newRotten(mem)
	f := mustOpen(t, st, pairOf(1), false)
	for seq := uint64(0); seq < length; seq += 1000 {
		st.blocks[seq] = unread
	}
	last, calls := uint64(0), 0
	a, err := f.Audit(context.Background(), hypercore.WithProgress(func(blocks uint64) {
		if blocks < last {
			t.Errorf("progress went from %d to %d", last, blocks)
		}
		last = blocks
		calls++
	}))
	if err != nil || a.Blocks != length || a.Damaged != 6 || len(a.Spans) != 6 || last != length || calls < 5 {
		t.Errorf("Audit = %+v, %v; progress ended at %d after %d calls", a, err, last, calls)
	}
	ctx, cancel := context.WithCancel(context.Background())
	_, err = f.Audit(ctx, hypercore.WithProgress(func(uint64) { cancel() }))
	if !errors.Is(err, context.Canceled) {
		t.Errorf("Audit with its ctx ended = %v", err)
	}
	f.Close()
	if _, err := f.Audit(context.Background()); !errors.Is(err, hypercore.ErrClosed) {
		t.Errorf("Audit of a closed feed = %v", err)
	}
}

// TestAuditLimits checks the bounds of what an audit names, just below and above.
func TestAuditLimits(t *testing.T) {
	const length = 2*hypercore.MaxAuditSpans + 2
	writer, mem := written(t, length)
	writer.Close()
	st := newRotten(mem)
	f := mustOpen(t, st, pairOf(1), false)
	for n := uint64(0); n <= hypercore.MaxAuditSpans; n++ {
		st.blocks[2*n] = unread
		if n < hypercore.MaxAuditSpans-1 {
			continue
		}
		a := mustAudit(t, f)
		if a.Damaged != n+1 || len(a.Spans) != int(min(n+1, hypercore.MaxAuditSpans)) {
			t.Errorf("%d damaged blocks: counted %d, named %d spans", n+1, a.Damaged, len(a.Spans))
		}
	}
}

// BenchmarkAudit audits feeds in memory; every block costs two node reads and
// its hash.
func BenchmarkAudit(b *testing.B) {
	for _, size := range []int{100, 64 << 10} {
		b.Run(fmt.Sprint(size), func(b *testing.B) {
			f := mustOpen(b, storage.NewMemory(), pairOf(1), true)
			blocks := make([][]byte, min(20_000, (64<<20)/size))
			for i := range blocks {
				blocks[i] = make([]byte, size)
			}
			mustAppend(b, f, blocks...)
			b.SetBytes(int64(size * len(blocks)))
			for b.Loop() {
				if a := mustAudit(b, f); !a.Valid() {
					b.Fatalf("%+v", a)
				}
			}
			b.ReportMetric(float64(len(blocks)*b.N)/b.Elapsed().Seconds(), "blocks/s")
		})
	}
}
