package merkle

import (
	"errors"
	"fmt"
	"testing"

	"github.com/cobox-p2p/cobox-p2p/hypercore/flattree"
)

func FuzzVerifyRange(f *testing.F) {
	w := letters(13)
	empty, some := newReader(w), newReader(w)
	some.mustApply(f, w.claim(f, 6, 0, 0, false))
	some.mustApply(f, w.claim(f, 6, 5, some.digest(5), true))
	readers := []*reader{empty, some, full(f, w, 7), full(f, w, 13)}
	for _, r := range readers {
		for seq := range uint64(13) {
			for _, count := range []uint64{1, 3, 13 - seq} {
				if seq+count <= 13 {
					f.Add(packRange(w.rangeClaim(f, 13, count, r.asks(seq, count))))
					f.Add(packRange(w.whole(f, seq+count, seq, count)))
				}
			}
		}
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		c := unpackRange(w, b)
		for i, r := range readers {
			v, err := r.verifyRange(c)
			if r.checks > 1 || errors.Is(err, ErrProofFork) {
				t.Fatalf("reader %d: %d checks, %v", i, r.checks, err)
			}
			if err != nil {
				if !errors.Is(err, ErrProof) && !errors.Is(err, ErrProofBranch) {
					t.Fatalf("error of no kind: %v", err)
				}
				continue
			}
			if err := r.soundRange(c, v); err != nil {
				t.Fatalf("reader %d: %v: %+v", i, err, c)
			}
			agrees(t, r, c, v)
		}
	})
}

// packRange and unpackRange write a claim as few bytes, as pack and unpack do.
func packRange(c RangeClaim) []byte {
	b := []byte{byte(c.Start), byte(len(c.Leaves)), byte(c.Length), 0, 0}
	if c.Signature != nil {
		b[3] = byte(c.Length)
	}
	for _, n := range c.Nodes {
		b = append(b, byte(n.Index), 0, 0, 0)
	}
	return b
}

func unpackRange(w *writer, b []byte) RangeClaim {
	if len(b) < 5 {
		return RangeClaim{}
	}
	c := RangeClaim{Start: uint64(b[0]), Length: uint64(b[2])}
	for seq := c.Start; seq < c.Start+uint64(b[1]); seq++ {
		leaf := Node{Index: 2 * seq}
		if seq < uint64(len(w.blocks)) {
			leaf = w.nodes[leaf.Index]
		}
		if b[4] != 0 && seq == c.Start {
			leaf.Hash[0] ^= b[4]
		}
		c.Leaves = append(c.Leaves, leaf)
	}
	if n := int(b[3]); n > 0 && n < len(w.signed) {
		c.Signature = w.signed[n]
	}
	for b = b[5:]; len(b) >= 4; b = b[4:] {
		n := w.nodes[uint64(b[0])]
		n.Index ^= uint64(b[1])
		n.Size += uint64(int8(b[2]))
		n.Hash[0] ^= b[3]
		c.Nodes = append(c.Nodes, n)
	}
	return c
}

// FuzzProveRange gives any request to ProveRange: it panics on none, and what it
// returns are nodes of the tree beside the range, none twice.
func FuzzProveRange(f *testing.F) {
	w := letters(40)
	f.Add(uint64(9), uint64(3), uint64(2), uint64(2), uint64(0), uint64(0), uint64(0))
	f.Add(uint64(40), uint64(33), uint64(5), uint64(9), uint64(20), uint64(1<<63+5), uint64(1))
	f.Add(uint64(40), uint64(3), uint64(30), uint64(1<<64-1), uint64(1<<64-1), uint64(1<<64-1), uint64(1<<64-2))
	f.Fuzz(func(t *testing.T, length, start, count, more, asker, left, right uint64) {
		length = length%40 + 1
		start %= length
		count = count%(length-start) + 1
		asked := RangeAsked{Start: start, Count: max(count, more), Length: asker, Edges: Edges{left, right}}
		p, err := ProveRange(w.nodes, length, count, asked)
		if err != nil {
			t.Fatal(err)
		}
		seen := map[uint64]bool{}
		for _, n := range p.Nodes {
			beside := flattree.RightSpan(n.Index) < 2*start || flattree.LeftSpan(n.Index) > 2*(start+count-1)
			if seen[n.Index] || n != w.nodes[n.Index] || !flattree.Within(n.Index, length) || !beside {
				t.Fatalf("node %d", n.Index)
			}
			seen[n.Index] = true
		}
		if p.Length != 0 && p.Length != length || len(p.Nodes) > MaxRangeNodes {
			t.Fatalf("%d nodes up to %d blocks", len(p.Nodes), p.Length)
		}
	})
}

// TestVerifyRangeAsVerify: with honest answers, block by block comes to the same.
func TestVerifyRangeAsVerify(t *testing.T) {
	w := letters(14)
	for head := uint64(0); head <= 14; head += 2 {
		thin := newReader(w)
		if head > 0 {
			thin.mustApply(t, w.claim(t, head, head/2, 0, false))
		}
		for _, r := range []*reader{full(t, w, head), thin} {
			for length := uint64(1); length <= 14; length += 3 {
				for start := uint64(0); start < length && start <= head; start++ {
					for count := uint64(1); start+count <= length; count += 2 {
						for _, c := range []RangeClaim{w.whole(t, length, start, count), w.rangeClaim(t, length, count, r.asks(start, count))} {
							v, err := r.verifyRange(c)
							if err != nil {
								t.Fatalf("%d from %d of %d, head %d: %v", count, start, length, head, err)
							}
							agrees(t, r, c, v)
						}
					}
				}
			}
		}
	}
}

// TestRangeOfOneBlock: the proof of a range of one block is that of the block.
func TestRangeOfOneBlock(t *testing.T) {
	w := letters(21)
	for head := uint64(0); head <= 21; head += 3 {
		r := newReader(w)
		if head > 0 {
			r.mustApply(t, w.claim(t, head, head/3, 0, false))
		}
		for length := max(head, 1); length <= 21; length++ {
			for seq := range length {
				ranged := w.rangeClaim(t, length, 1, r.asks(seq, 1))
				single := w.claim(t, length, seq, r.digest(seq), false)
				if fmt.Sprint(ranged.Nodes) != fmt.Sprint(single.Nodes) || string(ranged.Signature) != string(single.Signature) {
					t.Errorf("block %d of %d, head %d: %+v, want %+v", seq, length, head, ranged.Nodes, single.Nodes)
				}
			}
		}
	}
}

func TestRebuild(t *testing.T) {
	w := letters(300)
	r := full(t, w, 3)
	c := w.rangeClaim(t, 300, 297, r.asks(3, 297))
	c.Rebuild()
	for again := range 2 { // what Rebuild made is used up by the first
		v, err := r.verifyRange(c)
		if err != nil || v.Count != 297 || r.soundRange(c, v) != nil {
			t.Errorf("time %d: %d blocks, %v", again, v.Count, err)
		}
	}
	bad := copyRange(c)
	bad.Leaves[4].Size = 1 << 60
	bad.tree = nil
	bad.Rebuild()
	wantRangeError(t, r, bad, ErrProofSize, "rebuilt with an impossible size")

	// A failed run leaves nothing behind in the nodes of the next.
	c = w.rangeClaim(t, 300, 297, r.asks(3, 297))
	c.Rebuild()
	c.Nodes = append(c.Nodes, Node{Index: 602})
	wantRangeError(t, r, c, ErrProofSpare, "node to spare")
	c.Nodes = c.Nodes[:len(c.Nodes)-1]
	if v, err := r.verifyRange(c); err != nil || r.soundRange(c, v) != nil {
		t.Errorf("second run: %v", err)
	}
}

func TestVerifyRangeAllocatesNothingPerNode(t *testing.T) {
	if raceEnabled {
		t.Skip("counts differ with the race detector")
	}
	w := letters(4096)
	r := newReader(w)
	c := w.whole(t, 4096, 0, 4096)
	yes := func(Hash, uint64) error { return nil }
	allocs := testing.AllocsPerRun(3, func() {
		if _, err := VerifyRange(r.nodes, r.head, c, yes); err != nil {
			t.Fatal(err)
		}
	})
	if allocs > 16 {
		t.Errorf("%v allocations for 4,096 blocks", allocs)
	}
}
