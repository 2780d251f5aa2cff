package merkle

import (
	"bytes"
	"encoding/hex"
	"fmt"
	"testing"
)

func TestHashVectors(t *testing.T) {
	v := readVectors(t)
	for i, w := range v.LeafHashes {
		var block []byte
		if w.DataRepeat != nil {
			block = bytes.Repeat([]byte{w.DataRepeat.Byte}, w.DataRepeat.Count)
		} else {
			block = unhex(t, *w.DataHex)
		}
		got := Leaf(7, block)
		if want := (Node{Index: 14, Size: w.Size, Hash: Hash(unhex(t, w.Hash))}); got != want {
			t.Errorf("leaf %d = %+v, want %+v", i, got, want)
		}
	}
	for _, w := range v.ParentHashes {
		l, r, want := w.Left.node(t), w.Right.node(t), w.Parent.node(t)
		if Parent(l, r) != want || Parent(r, l) != want {
			t.Errorf("Parent = %+v, want %+v", Parent(l, r), want)
		}
	}
	for _, w := range v.RootHashes {
		got := RootHash(vectorNodes(t, w.Roots))
		if hex.EncodeToString(got[:]) != w.Hash {
			t.Errorf("RootHash = %x, want %s", got, w.Hash)
		}
	}
}

// TestLeafOfAnySize compares the two ways in which Leaf hashes.
func TestLeafOfAnySize(t *testing.T) {
	block := make([]byte, 3*smallBlock)
	for i := range block {
		block[i] = byte(i * 7)
	}
	for _, n := range []int{0, 1, 118, 119, 120, smallBlock - 1, smallBlock, smallBlock + 1, 3 * smallBlock} {
		if got, want := Leaf(0, block[:n]), naiveNode(nodeMap{}, [][]byte{block[:n]}, 0); got != want {
			t.Errorf("Leaf of %d bytes = %+v, want %+v", n, got, want)
		}
	}
}

var sink Node

func TestHashingDoesNotAllocate(t *testing.T) {
	if raceEnabled {
		t.Skip("pools drop what they hold at random under the race detector")
	}
	block := make([]byte, 1<<16)
	roots := make([]Node, maxRoots)
	for name, f := range map[string]func(){
		"small leaf": func() { sink = Leaf(1, block[:100]) },
		"large leaf": func() { sink = Leaf(1, block) },
		"parent":     func() { sink = Parent(Node{Index: 2}, Node{}) },
		"roots":      func() { sink.Hash = RootHash(roots) },
	} {
		if n := testing.AllocsPerRun(50, f); n >= 1 {
			t.Errorf("%s: %v allocations", name, n)
		}
	}
}

func BenchmarkLeaf(b *testing.B) {
	for _, size := range []int{100, 1 << 10, 2 << 10, 64 << 10} {
		block := make([]byte, size)
		b.Run(fmt.Sprint(size), func(b *testing.B) {
			b.SetBytes(int64(size))
			b.ReportAllocs()
			for range b.N {
				sink = Leaf(1, block)
			}
		})
	}
}

func BenchmarkParent(b *testing.B) {
	b.ReportAllocs()
	for range b.N {
		sink = Parent(Node{Index: 0}, Node{Index: 2})
	}
}

func BenchmarkRootHash(b *testing.B) {
	roots := make([]Node, 10)
	b.ReportAllocs()
	for range b.N {
		sink.Hash = RootHash(roots)
	}
}
