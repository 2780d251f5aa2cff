package merkle

import (
	"crypto/ed25519"
	"errors"
	"fmt"
	"slices"
	"testing"

	"github.com/cobox-p2p/cobox-p2p/hypercore/flattree"
)

func TestFeedVectors(t *testing.T) {
	v := readVectors(t)
	key := ed25519.PublicKey(unhex(t, v.Feed.Files.Key))
	var r Roots
	for _, s := range v.Feed.Steps {
		r.Append(Leaf(r.Length(), unhex(t, s.Block)), nil)
		if r.Length() != s.Length || r.Size() != s.ByteLength {
			t.Errorf("length %d, size %d, want %d, %d", r.Length(), r.Size(), s.Length, s.ByteLength)
		}
		if want := vectorNodes(t, s.Roots); !slices.Equal(r.Nodes(), want) {
			t.Errorf("roots of %d blocks = %+v, want %+v", s.Length, r.Nodes(), want)
		}
		if want := Hash(unhex(t, s.TreeHash)); r.Hash() != want {
			t.Errorf("Hash after %d blocks = %x, want %x", s.Length, r.Hash(), want)
		}
		if err := realCheck(key, unhex(t, s.Signature))(r.Hash(), r.Length()); err != nil {
			t.Errorf("signature of %d blocks: %v", s.Length, err)
		}
	}
}

func TestRootsGrowLikeNaiveTree(t *testing.T) {
	var blocks [][]byte
	var r Roots
	all := nodeMap{}
	for i := range 130 {
		blocks = append(blocks, fmt.Appendf(nil, "%*d", i%9, i))
		before := r.Clone()
		gained := r.Append(Leaf(uint64(i), blocks[i]), nil)
		for _, n := range gained {
			all[n.Index] = n
		}
		want := naiveTree(blocks)
		if len(want) != len(all) {
			t.Fatalf("%d nodes of %d blocks, want %d", len(all), len(blocks), len(want))
		}
		for index, n := range want {
			if all[index] != n {
				t.Fatalf("node %d of %d blocks = %+v, want %+v", index, len(blocks), all[index], n)
			}
		}
		loaded, err := LoadRoots(all, r.Length())
		if err != nil || loaded.Hash() != r.Hash() || loaded.Size() != r.Size() || loaded.Length() != r.Length() {
			t.Fatalf("LoadRoots(%d) = %+v, %v", r.Length(), loaded, err)
		}
		if before.Length() != uint64(i) {
			t.Fatal("a clone grew")
		}
		if i > 0 && before.Hash() != RootHash(naiveRoots(naiveTree(blocks[:i]), uint64(i))) {
			t.Fatalf("a clone of %d blocks changed", i)
		}
	}
	nodes := r.Nodes()
	nodes[0] = Node{}
	if r.nodes[0] == (Node{}) {
		t.Error("Nodes shares memory")
	}
}

func naiveRoots(all nodeMap, length uint64) []Node {
	var nodes []Node
	for _, index := range flattree.FullRoots(nil, length) {
		nodes = append(nodes, all[index])
	}
	return nodes
}

func TestNewRootsRefuses(t *testing.T) {
	at := func(indexes ...uint64) (nodes []Node) {
		for _, i := range indexes {
			nodes = append(nodes, Node{Index: i, Size: 1})
		}
		return nodes
	}
	for _, good := range [][]Node{nil, at(0), at(1), at(1, 4), at(3, 9, 12), at(MaxLength - 1), {{Index: 1, Size: MaxSize - 1}, {Index: 4, Size: 1}}} {
		if _, err := NewRoots(good); err != nil {
			t.Errorf("NewRoots(%v): %v", good, err)
		}
	}
	for _, bad := range [][]Node{
		at(2), at(0, 2), at(4, 1), at(1, 1), at(1, 5), at(3, 12), at(0, 1), at(3, 9, 12, 14),
		at(MaxLength), at(MaxLength-1, MaxSize), at(MaxSize), at(MaxSize + 1), at(1<<64 - 1), make([]Node, 54),
		{{Index: 1, Size: MaxSize}, {Index: 4, Size: 1}}, {{Index: 0, Size: MaxSize + 1}},
		{{Index: 1, Size: 1<<64 - 1}, {Index: 4, Size: 2}},
	} {
		if _, err := NewRoots(bad); !errors.Is(err, ErrRoots) {
			t.Errorf("NewRoots(%v): %v, want ErrRoots", bad, err)
		}
	}
	if _, err := LoadRoots(nodeMap{}, 1); !errors.Is(err, ErrNoNode) {
		t.Errorf("LoadRoots of nothing: %v", err)
	}
	if _, err := LoadRoots(nodeMap{}, MaxLength+1); !errors.Is(err, ErrRoots) {
		t.Errorf("LoadRoots beyond the limit: %v", err)
	}
}

func TestAppendPanicsOnWrongLeaf(t *testing.T) {
	longest := Roots{nodes: []Node{{Index: MaxLength - 1}}, length: MaxLength}
	large := Roots{nodes: []Node{{Index: 0, Size: MaxSize}}, length: 1, size: MaxSize}
	large.Append(Node{Index: 2}, nil) // an empty block still fits
	for name, f := range map[string]func(){
		"wrong block": func() { new(Roots).Append(Node{Index: 2}, nil) },
		"parent":      func() { new(Roots).Append(Node{Index: 1}, nil) },
		"too long":    func() { longest.Append(Node{Index: 2 * MaxLength}, nil) },
		"too large":   func() { large.Append(Node{Index: 4, Size: 1}, nil) },
	} {
		func() {
			defer func() {
				if recover() == nil {
					t.Errorf("%s: no panic", name)
				}
			}()
			f()
		}()
	}
}

func TestSeek(t *testing.T) {
	w := newWriter("w", "aa", "", "bbb", "c", "", "dddd", "e")
	offset := uint64(0)
	for seq, block := range w.blocks {
		for i := range block {
			s, within, err := Seek(w.nodes, w.roots, offset)
			if err != nil || s != uint64(seq) || within != uint64(i) {
				t.Errorf("Seek(%d) = %d, %d, %v, want %d, %d", offset, s, within, err, seq, i)
			}
			offset++
		}
	}
	if _, _, err := Seek(w.nodes, w.roots, offset); !errors.Is(err, ErrNoNode) {
		t.Errorf("Seek behind the end: %v", err)
	}
	delete(w.nodes, 1)
	if _, _, err := Seek(w.nodes, w.roots, 0); !errors.Is(err, ErrNoNode) {
		t.Errorf("Seek without node 1: %v", err)
	}
}
