package storage

import (
	"bytes"
	"slices"
	"testing"

	"github.com/cobox-p2p/cobox-p2p/hypercore"
	"github.com/cobox-p2p/cobox-p2p/hypercore/merkle"
)

func TestPackBounds(t *testing.T) {
	small, half, big := make([]byte, 10), make([]byte, packBytes/2), make([]byte, packBytes+1)
	for _, test := range []struct {
		blocks [][]byte
		want   int
	}{
		{slices.Repeat([][]byte{small}, packBlocks), packBlocks},
		{slices.Repeat([][]byte{small}, packBlocks+1), packBlocks},
		{[][]byte{half, half, nil, nil}, 4},
		{[][]byte{half, half, small}, 2},
		{[][]byte{small, big, small}, 1},
		{[][]byte{big, small}, 1},
		{[][]byte{nil}, 1},
	} {
		count, length := nextPack(test.blocks)
		if count != test.want {
			t.Errorf("pack of %d blocks from %d bytes on takes %d, want %d", len(test.blocks), len(test.blocks[0]), count, test.want)
		}
		b := make([]byte, length)
		putPack(b, test.blocks[:count])
		p, err := parsePack(b)
		if err != nil || p.count != count {
			t.Errorf("parsePack = %d blocks, %v, want %d", p.count, err, count)
			continue
		}
		if got := p.appendBlocks(nil, 0, count); !slices.EqualFunc(got, test.blocks[:count], bytes.Equal) {
			t.Error("pack has other blocks than were put in")
		}
	}
}

func FuzzPack(f *testing.F) {
	for _, blocks := range [][][]byte{{{1, 2}, nil, {3}}, {nil}, {make([]byte, 300)}} {
		count, length := nextPack(blocks)
		b := make([]byte, length)
		putPack(b, blocks[:count])
		f.Add(b)
	}
	f.Add([]byte{1, 1, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1})
	f.Fuzz(func(t *testing.T, b []byte) {
		p, err := parsePack(b)
		if err != nil {
			return
		}
		blocks := p.appendBlocks(nil, 0, p.count)
		if len(blocks) != p.count || p.count == 0 || p.count > packBlocks {
			t.Fatalf("%d blocks of a pack of %d", len(blocks), p.count)
		}
		for from := range blocks {
			if got := p.appendBlocks(nil, from, p.count); !slices.EqualFunc(got, blocks[from:], bytes.Equal) {
				t.Fatalf("blocks from %d on differ from those of the whole pack", from)
			}
		}
	})
}

func FuzzHead(f *testing.F) {
	h := headRecord{id: 1, head: hypercore.Head{Length: 2, Size: 3}, blocks: 4, bytes: 5}
	f.Add(h.append(nil))
	f.Add(h.append(nil)[1:])
	f.Fuzz(func(t *testing.T, b []byte) {
		h, err := parseHead(b)
		if err != nil {
			return
		}
		if again, err := parseHead(h.append(nil)); err != nil || again != h {
			t.Fatalf("head of %x is written as %x", b, h.append(nil))
		}
	})
}

func FuzzHeld(f *testing.F) {
	var h heldBits
	f.Add(h.append(nil))
	h.fill(3, 70, true)
	h.fill(4000, heldPage, true)
	f.Add(h.append(nil))
	for i := 0; i < heldPage; i += 2 {
		h.fill(i, i+1, true)
	}
	f.Add(h.append(nil))
	f.Add([]byte{heldRuns, 0x80, 0x20, 1})
	f.Fuzz(func(t *testing.T, b []byte) {
		var h, again heldBits
		if h.parse(b) != nil {
			return
		}
		if err := again.parse(h.append(nil)); err != nil || again != h {
			t.Fatalf("page of %x is written as %x, %v", b, h.append(nil), err)
		}
		if spans := h.appendSpans(nil, 7); len(spans) > 0 && spans[len(spans)-1].End() > 8*heldPage {
			t.Fatalf("page 7 holds %v", spans)
		}
	})
}

func FuzzNode(f *testing.F) {
	page := make([]byte, pageSize)
	n := merkle.Node{Index: 131, Size: 9, Hash: merkle.Hash{1}}
	_, place, _ := pageOf(n.Index)
	putNode(page[place*storedNodeSize:], &n)
	f.Add(uint64(131), page)
	f.Add(uint64(131), page[:storedNodeSize])
	f.Fuzz(func(t *testing.T, index uint64, b []byte) {
		if n, err := parseNode(index, b); err == nil && n.Index != index {
			t.Fatalf("parseNode(%d) = %v", index, n)
		}
		if _, place, ok := pageOf(index); ok {
			if n, err := parsePageNode(index, place, b); err == nil && n.Index != index {
				t.Fatalf("parsePageNode(%d) = %v", index, n)
			}
		}
	})
}

func FuzzMarker(f *testing.F) {
	f.Add([]byte("cobox store 2\n"))
	f.Add([]byte("cobox store "))
	f.Fuzz(func(t *testing.T, b []byte) {
		if _, err := parseMarker(b); err == nil && !bytes.HasPrefix(b, []byte(markerText)) {
			t.Fatalf("parseMarker took %q", b)
		}
	})
}

func TestFullPages(t *testing.T) {
	var nodes []merkle.Node
	for i := range uint64(pageStride * 2) {
		nodes = append(nodes, merkle.Node{Index: pageStride + i})
	}
	if got := fullPages(nodes); len(got) != 2 {
		t.Fatalf("%d full pages, want 2", len(got))
	}
	nodes[3] = nodes[4] // one missing, one twice
	if got := fullPages(nodes); len(got) != 1 {
		t.Fatalf("%d full pages with a node missing, want 1", len(got))
	}
	if got := fullPages(nodes[4:pageNodes]); got != nil {
		t.Fatalf("full pages of %d nodes", len(nodes[4:pageNodes]))
	}
}

// TestSpanSet adds every span of a small range to every set of two others.
func TestSpanSet(t *testing.T) {
	const n = 7
	var spans []hypercore.Span
	for start := range uint64(n) {
		for count := range n - start + 1 {
			spans = append(spans, hypercore.Span{Start: start, Count: count})
		}
	}
	for _, a := range spans {
		for _, b := range spans {
			for _, c := range spans {
				var set spanSet
				for _, span := range []hypercore.Span{a, b, c} {
					set = set.add(span)
				}
				checkSet(t, set, n, a, b, c)
			}
		}
	}
}

func checkSet(t *testing.T, set spanSet, n uint64, spans ...hypercore.Span) {
	t.Helper()
	for seq := range n + 1 {
		want := false
		for _, span := range spans {
			want = want || seq >= span.Start && seq < span.End()
		}
		if set.contains(hypercore.Span{Start: seq, Count: 1}) != want {
			t.Fatalf("set of %v = %v, has %d: want %v", spans, set, seq, want)
		}
	}
	for i := range set {
		if set[i].Count == 0 || i > 0 && set[i].Start <= set[i-1].End() {
			t.Fatalf("set of %v = %v: spans are empty, touch or descend", spans, set)
		}
	}
}
