package storage

import (
	"bytes"
	"hash/crc32"
	"reflect"
	"slices"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/cobox-p2p/cobox-p2p/hypercore"
	"github.com/cobox-p2p/cobox-p2p/hypercore/merkle"
)

func testExtent() extent {
	return extent{
		start: 9, sizes: []uint32{0, 300, MaxBlock}, sums: []uint32{1, 2, 3},
		head:  &hypercore.Head{Length: 12, Size: 500, RootHash: merkle.Hash{1}, Signature: hypercore.Signature{2}},
		nodes: []merkle.Node{{Index: 7, Size: 8, Hash: merkle.Hash{9}}, {Index: 1}},
	}
}

func FuzzExtent(f *testing.F) {
	e := testExtent()
	f.Add(e.append(nil))
	e.head, e.nodes = nil, nil
	f.Add(e.append(nil))
	f.Add(e.append(nil)[:40])
	f.Fuzz(func(t *testing.T, b []byte) {
		// Without a right checksum nothing behind it would be reached.
		if len(b) > extentFixed+4 {
			n := min(len(b), max(extentFixed+4, int(b[6])<<8|int(b[7])))
			crc := crc32.Checksum(b[:n-4], castagnoli)
			b = append(slices.Clone(b[:n-4]), byte(crc>>24), byte(crc>>16), byte(crc>>8), byte(crc))
		}
		e, length, err := parseExtent(b)
		if err != nil {
			return
		}
		again, n, err := parseExtent(e.append(nil))
		if err != nil || !reflect.DeepEqual(again, e) || n > length {
			t.Fatalf("extent of %x is written as %x, %v", b[:length], e.append(nil), err)
		}
	})
}

func FuzzSegmentHeader(f *testing.F) {
	f.Add(appendSegmentHeader(nil, 5, 6, hypercore.Key{7}))
	f.Add([]byte(segmentMagic))
	f.Fuzz(func(t *testing.T, b []byte) {
		id, number, key, err := parseSegmentHeader(b)
		if err == nil && !bytes.Equal(appendSegmentHeader(nil, id, number, key), b[:segmentHeader]) {
			t.Fatalf("header %x is of segment %d of %d", b, number, id)
		}
	})
}

func FuzzRef(f *testing.F) {
	r := ref{3, 4, 5000, []uint32{0, 70000, 8}, []uint32{7, 8, 1 << 31}}
	f.Add(r.append(nil), uint64(6))
	f.Add([]byte{refVersion, 65, 0, 0}, uint64(100))
	f.Fuzz(func(t *testing.T, b []byte, end uint64) {
		r, err := parseRef(b, end)
		if err != nil {
			return
		}
		again, err := parseRef(r.append(nil), end)
		if err != nil || !reflect.DeepEqual(again, r) || r.end() != end {
			t.Fatalf("ref of %x is written as %x, %v", b, r.append(nil), err)
		}
		if offset, size := r.span(0, len(r.sizes)); offset+size > maxOffset+packBlocks*MaxBlock {
			t.Fatalf("ref of %x ends at %d", b, offset+size)
		}
	})
}

func FuzzSegmentRecord(f *testing.F) {
	f.Add(segmentRecord{200, 3}.append(nil))
	f.Fuzz(func(t *testing.T, b []byte) {
		r, err := parseSegmentRecord(b)
		if err != nil {
			return
		}
		if again, err := parseSegmentRecord(r.append(nil)); err != nil || again != r {
			t.Fatalf("segment record of %x is written as %x", b, r.append(nil))
		}
	})
}

func FuzzGarbage(f *testing.F) {
	g := garbage{1, 2, 3, 4}
	f.Add(g.key(), []byte{4})
	f.Fuzz(func(t *testing.T, key, value []byte) {
		if g, err := parseGarbage(key, value); err == nil && !bytes.Equal(g.key()[1:], key[1:]) {
			t.Fatalf("garbage of %x, %x = %v", key, value, g)
		}
	})
}

func FuzzSegmentName(f *testing.F) {
	f.Add(segmentName(1, 1<<63))
	f.Add("0000000000000001-+000000000000001.blocks")
	f.Fuzz(func(t *testing.T, name string) {
		if id, number, ok := parseSegmentName(name); ok && segmentName(id, number) != name {
			t.Fatalf("name %q is of %d, %d", name, id, number)
		}
	})
}

// TestExtentLimits parses headers at the limits and just beyond.
func TestExtentLimits(t *testing.T) {
	most := extent{start: MaxSeq - extentBlocks, sizes: make([]uint32, extentBlocks), sums: make([]uint32, extentBlocks),
		head: &hypercore.Head{}, nodes: make([]merkle.Node, extentNodes)}
	for i := range most.sizes {
		most.sizes[i] = MaxBlock
	}
	b := most.append(nil)
	if len(b) > maxExtentHeader {
		t.Fatalf("largest header has %d bytes, limit %d", len(b), maxExtentHeader)
	}
	if _, length, err := parseExtent(b); err != nil || length != len(b) {
		t.Errorf("largest header of %d bytes = %d, %v", len(b), length, err)
	}
	for name, change := range map[string]func(e *extent){
		"blocks": func(e *extent) {
			e.sizes, e.sums, e.start = append(e.sizes, 1), append(e.sums, 1), 0
		},
		"nodes":    func(e *extent) { e.nodes = append(e.nodes, merkle.Node{}) },
		"seq":      func(e *extent) { e.start++ },
		"size":     func(e *extent) { e.sizes = append([]uint32{MaxBlock + 1}, e.sizes[1:]...) },
		"no block": func(e *extent) { e.sizes, e.sums = nil, nil },
	} {
		e := most
		change(&e)
		if _, _, err := parseExtent(e.append(nil)); err == nil {
			t.Errorf("extent beyond the limit of %s was taken", name)
		}
	}
}

// TestNextExtent checks where extents end.
func TestNextExtent(t *testing.T) {
	big, small := make([]byte, MaxBlock), make([]byte, 10)
	for _, c := range []struct {
		blocks [][]byte
		want   int
	}{
		{[][]byte{small}, 1},
		{slices.Repeat([][]byte{big}, 10), extentBytes / MaxBlock},
		{append([][]byte{small}, slices.Repeat([][]byte{big}, 10)...), extentBytes/MaxBlock + 1},
		{make([][]byte, extentBlocks+5), extentBlocks},
	} {
		if got := nextExtent(c.blocks); got != c.want {
			t.Errorf("extent of %d blocks takes %d, want %d", len(c.blocks), got, c.want)
		}
	}
	for _, least := range []int{longRunBytes, looseRunBytes} {
		if !longRun([][]byte{make([]byte, least-1), {1}}, least) || longRun([][]byte{make([]byte, least-1)}, least) {
			t.Errorf("runs are not long from %d bytes on", least)
		}
	}
}

// TestSegmentAlone reads a data file without its index: every block of the file
// is there with its checksum, and what is needed to verify it.
func TestSegmentAlone(t *testing.T) {
	disk := vfs.NewMem()
	s, err := Open("store", WithFS(disk))
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	key := hypercore.Key{3}
	var blocks [][]byte
	for i := range 100 {
		blocks = append(blocks, bytes.Repeat([]byte{byte(i)}, 9000))
	}
	head := hypercore.Head{Length: 150, Signature: hypercore.Signature{8}}
	anchor := merkle.Node{Index: 31, Size: 5}
	inside, outside := merkle.Node{Index: 2 * 60}, merkle.Node{Index: 63}
	for i := range 2 {
		err := s.Commit(&hypercore.Batch{Feeds: []hypercore.FeedWrite{{
			Key: key, Head: &head, Anchor: []merkle.Node{anchor}, Nodes: []merkle.Node{inside, outside},
			Runs: []hypercore.Run{{Start: uint64(50 + 50*i), Blocks: blocks[50*i:][:50]}},
		}}})
		if err != nil {
			t.Fatal(err)
		}
	}
	f, err := disk.Open(s.segmentPath(0, 0))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		t.Fatal(err)
	}
	b := make([]byte, info.Size())
	if _, err := f.ReadAt(b, 0); err != nil {
		t.Fatal(err)
	}
	if id, number, k, err := parseSegmentHeader(b); err != nil || id != 0 || number != 0 || k != key {
		t.Fatalf("header of the segment = %d, %d, %x, %v", id, number, k, err)
	}
	b = b[segmentHeader:]
	for i := range 2 {
		e, length, err := parseExtent(b)
		if err != nil || e.start != uint64(50+50*i) || len(e.sizes) != 50 || *e.head != head {
			t.Fatalf("extent %d = %v, %v", i, e, err)
		}
		want := []merkle.Node{anchor, outside}
		if i == 1 {
			want = []merkle.Node{anchor, inside, outside}
		}
		if !slices.Equal(e.nodes, want) {
			t.Errorf("nodes of extent %d = %v, want %v", i, e.nodes, want)
		}
		b = b[length:]
		for j, size := range e.sizes {
			if !bytes.Equal(b[:size], blocks[50*i+j]) || crc32.Checksum(b[:size], castagnoli) != e.sums[j] {
				t.Errorf("block %d of extent %d isn't what was written", j, i)
			}
			b = b[size:]
		}
	}
	if len(b) > 0 {
		t.Errorf("%d bytes behind the last extent", len(b))
	}
}

// TestHandles opens more files than are kept, and drops one that is in use.
func TestHandles(t *testing.T) {
	disk := vfs.NewMem()
	opened, closed := 0, 0
	h := handles{open: func(id, number uint64) (vfs.File, error) {
		if number == 99 {
			return nil, ErrDamaged
		}
		opened++
		f, err := disk.OpenReadWrite(segmentName(id, number), vfs.WriteCategoryUnspecified)
		return countedFile{f, &closed}, err
	}}
	use := func(number uint64) *handle {
		t.Helper()
		f, err := h.get(1, number)
		if err != nil {
			t.Fatal(err)
		}
		return f
	}
	var held []*handle
	for n := range uint64(maxHandles + 1) {
		held = append(held, use(n))
	}
	if opened != maxHandles+1 || closed != 0 {
		t.Fatalf("%d opened, %d closed of files in use", opened, closed)
	}
	for _, f := range held {
		h.put(f)
	}
	if closed != 1 {
		t.Errorf("%d files closed, want the one beyond %d", closed, maxHandles)
	}
	h.put(use(maxHandles))
	if opened != maxHandles+1 {
		t.Error("a file that was open was opened again")
	}
	f := use(maxHandles)
	h.drop(1, maxHandles)
	if closed != 1 {
		t.Error("a file in use was closed")
	}
	h.put(f)
	if closed != 2 {
		t.Error("a dropped file stays open")
	}
	if _, err := h.get(1, 99); err != ErrDamaged {
		t.Errorf("get of a file that can't be opened = %v", err)
	}
	h.close()
	if opened != closed || len(h.files) != 0 {
		t.Errorf("%d files opened, %d closed, %d left", opened, closed, len(h.files))
	}
}

type countedFile struct {
	vfs.File
	closed *int
}

func (f countedFile) Close() error { *f.closed++; return f.File.Close() }

// TestRefCache checks that a ref isn't remembered that was read before a removal.
func TestRefCache(t *testing.T) {
	var c refCache
	r := &ref{first: 64, sizes: make([]uint32, 10), sums: make([]uint32, 10)}
	before := c.generation()
	c.put(1, r, before)
	if c.get(1, 64) != r || c.get(1, 73) != r || c.get(1, 74) != nil || c.get(2, 64) != nil {
		t.Error("cache doesn't return what was put")
	}
	for i := range uint64(refCacheSize / 2) {
		c.put(2, &ref{first: i * packBlocks, sizes: make([]uint32, 1)}, before)
	}
	if c.get(1, 70) != r {
		t.Error("a ref in use was forgotten with the older generation")
	}
	c.clear()
	c.put(1, r, before)
	if c.get(1, 64) != nil {
		t.Error("cache holds a ref that was read before the removal")
	}
}

// TestJoinRuns checks joined runs against a map.
func TestJoinRuns(t *testing.T) {
	block := func(n int) []byte { return []byte{byte(n)} }
	for _, runs := range [][][2]int{
		{{0, 3}, {3, 2}}, {{5, 2}, {0, 5}}, {{0, 4}, {2, 4}}, {{0, 9}, {2, 3}}, {{0, 2}, {4, 2}}, {{1, 0}, {3, 1}, {2, 0}}, {{4, 1}, {4, 3}, {7, 1}},
	} {
		want := map[uint64]bool{}
		var in []hypercore.Run
		for _, r := range runs {
			run := hypercore.Run{Start: uint64(r[0])}
			for i := range r[1] {
				run.Blocks = append(run.Blocks, block(r[0]+i))
				want[uint64(r[0]+i)] = true
			}
			in = append(in, run)
		}
		end := -1
		for _, run := range joinRuns(in) {
			if int(run.Start) <= end || len(run.Blocks) == 0 {
				t.Errorf("runs of %v touch or descend at %d", runs, run.Start)
			}
			for i, b := range run.Blocks {
				seq := run.Start + uint64(i)
				if !want[seq] || b[0] != byte(seq) {
					t.Errorf("runs of %v hold %d at %d", runs, b[0], seq)
				}
				delete(want, seq)
			}
			end = int(run.Span().End())
		}
		if len(want) > 0 {
			t.Errorf("runs of %v lack %v", runs, want)
		}
	}
}
