package flattree

import (
	"encoding/json"
	"os"
	"slices"
	"strconv"
	"testing"
)

func TestVectors(t *testing.T) {
	file, err := os.ReadFile("../../interop/vectors/legacy.json")
	if err != nil {
		t.Fatal(err)
	}
	var v struct {
		FlatTree struct {
			FullRoots map[string][]uint64
			Table     []struct {
				Index, Offset, Parent, Sibling, LeftSpan, RightSpan uint64
				Depth                                               int
				Children                                            []uint64
			}
		}
	}
	if err := json.Unmarshal(file, &v); err != nil {
		t.Fatal(err)
	}
	if len(v.FlatTree.FullRoots) == 0 || len(v.FlatTree.Table) == 0 {
		t.Fatal("no vectors")
	}
	for units, want := range v.FlatTree.FullRoots {
		n, err := strconv.ParseUint(units, 10, 64)
		if err != nil {
			t.Fatal(err)
		}
		if got := FullRoots(nil, n/2); !slices.Equal(got, want) {
			t.Errorf("FullRoots(%d) = %v, want %v", n/2, got, want)
		}
	}
	for _, w := range v.FlatTree.Table {
		i := w.Index
		got := []uint64{uint64(Depth(i)), Offset(i), Parent(i), Sibling(i), LeftSpan(i), RightSpan(i), Index(w.Depth, w.Offset)}
		if want := []uint64{uint64(w.Depth), w.Offset, w.Parent, w.Sibling, w.LeftSpan, w.RightSpan, i}; !slices.Equal(got, want) {
			t.Errorf("node %d: %v, want %v", i, got, want)
		}
		l, r, ok := Children(i)
		if ok != (w.Children != nil) || ok && !slices.Equal([]uint64{l, r}, w.Children) {
			t.Errorf("Children(%d) = %d, %d, %v, want %v", i, l, r, ok, w.Children)
		}
	}
}

// subtree is a full tree as recursion finds it.
type subtree struct {
	index, parent, sibling, left, right uint64
	depth                               int
}

// find goes down to index from the root of 2^depth blocks, whose leftmost leaf
// is left.
func find(index uint64) subtree {
	depth, left, right := 53, uint64(0), uint64(1)<<54-2
	s := subtree{}
	for {
		root := (left + right) / 2
		if root == index {
			s.index, s.left, s.right, s.depth = root, left, right, depth
			return s
		}
		s.parent = root
		if index < root {
			s.sibling = (root + 1 + right) / 2
			right = root - 1
		} else {
			s.sibling = (left + root - 1) / 2
			left = root + 1
		}
		depth--
	}
}

func checkNode(t *testing.T, i uint64) {
	t.Helper()
	w := find(i)
	if Depth(i) != w.depth || LeftSpan(i) != w.left || RightSpan(i) != w.right {
		t.Errorf("node %d: depth %d, leaves %d to %d, want %+v", i, Depth(i), LeftSpan(i), RightSpan(i), w)
	}
	if w.depth < 53 && (Parent(i) != w.parent || Sibling(i) != w.sibling) {
		t.Errorf("node %d: parent %d, sibling %d, want %+v", i, Parent(i), Sibling(i), w)
	}
	if Index(Depth(i), Offset(i)) != i || Blocks(i) != (w.right-w.left)/2+1 {
		t.Errorf("node %d: offset %d, %d blocks", i, Offset(i), Blocks(i))
	}
	if l, r, ok := Children(i); ok != (w.depth > 0) || ok && (Parent(l) != i || Parent(r) != i || Sibling(l) != r || l >= r) {
		t.Errorf("Children(%d) = %d, %d, %v", i, l, r, ok)
	}
	if !Spans(i, w.left) || !Spans(i, w.right) || Spans(i, w.right+2) || w.left > 0 && Spans(i, w.left-2) {
		t.Errorf("Spans(%d) is wrong", i)
	}
}

func checkRoots(t *testing.T, length uint64) {
	t.Helper()
	next := uint64(0)
	last := uint64(1) << 62
	for _, r := range FullRoots(nil, length) {
		if LeftSpan(r) != next || Blocks(r) >= last || !Within(r, length) || Within(Parent(r), length) {
			t.Errorf("root %d of %d blocks is out of place", r, length)
		}
		next, last = RightSpan(r)+2, Blocks(r)
	}
	if next != 2*length {
		t.Errorf("roots of %d blocks end at leaf %d", length, next)
	}
}

func TestAgainstRecursion(t *testing.T) {
	for i := range uint64(5000) {
		checkNode(t, i)
		checkRoots(t, i)
	}
	for d := range 53 {
		for _, i := range []uint64{1<<d - 1, 1 << d, 1<<d + 1, 1<<53 - 1 - 1<<d} {
			checkNode(t, i)
			checkRoots(t, i/2)
		}
	}
	checkRoots(t, 1<<52)
	checkRoots(t, 1<<52-1)
}

func FuzzNode(f *testing.F) {
	f.Add(uint64(0))
	f.Add(uint64(1<<53 - 1))
	f.Add(uint64(1<<52 - 1))
	f.Fuzz(func(t *testing.T, i uint64) {
		// Out of range, nothing panics.
		Parent(i)
		_ = Sibling(i)
		_, _, _ = Children(i)
		_ = LeftSpan(i)
		_ = RightSpan(i)
		_ = Index(Depth(i), Offset(i))
		_ = FullRoots(nil, i)
		checkNode(t, i%(1<<53))
		checkRoots(t, i%(1<<52+1))
	})
}
