package storage

import (
	"bytes"
	"errors"
	"fmt"
	"testing"
	"testing/synctest"

	"github.com/cockroachdb/pebble/v2/record"
	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/cobox-p2p/cobox-p2p/hypercore"
)

// cutBatches is how many batches unmarkedStore commits.
const cutBatches = 5

// unmarkedStore makes a store of batches, each with a run of its own number in a
// data file, a record, and nothing else, and takes the marks out of its log: as if
// a power cut had come before the first sync, after the system had written back
// everything.
func unmarkedStore(t *testing.T) *vfs.MemFS {
	t.Helper()
	disk := vfs.NewMem()
	var s *Store
	synctest.Test(t, func(t *testing.T) { // no time passes, so that Close alone syncs
		var err error
		if s, err = Open("store", WithFS(disk)); err != nil {
			t.Fatal(err)
		}
		for i := range cutBatches {
			if err := s.Commit(cutBatch(i)); err != nil {
				t.Fatal(err)
			}
		}
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
	})
	logs, err := s.liveLogs()
	if err != nil || len(logs) != 1 {
		t.Fatalf("logs %v, %v", logs, err)
	}
	name := disk.PathJoin("store", indexFolder, logs[0])
	f, err := disk.Open(name)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	number, _ := parseFileNumber(logs[0][:6])
	r := recordReader(record.NewReader, f, number)
	for {
		offset := r.Offset()
		rec, err := r.Next()
		if err != nil {
			t.Fatalf("log without a mark: %v", err)
		}
		var b bytes.Buffer
		if _, err := b.ReadFrom(rec); err != nil {
			t.Fatal(err)
		}
		entry, err := firstEntry(&b)
		if err != nil {
			t.Fatal(err)
		}
		if n, mark, _, _ := parseNote(entry); mark && n.number == cutBatches {
			b := readPart(t, disk, name, 0, offset)
			short, err := disk.Create(name, vfs.WriteCategoryUnspecified)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := short.Write(b); err != nil {
				t.Fatal(err)
			}
			if err := short.Close(); err != nil {
				t.Fatal(err)
			}
			return disk
		}
	}
}

func cutBatch(i int) *hypercore.Batch {
	run := hypercore.Run{Start: uint64(10 * i)}
	for j := range 10 {
		run.Blocks = append(run.Blocks, bytes.Repeat([]byte{byte(i), byte(j)}, 5000))
	}
	return &hypercore.Batch{
		Feeds:   []hypercore.FeedWrite{{Key: hypercore.Key{7}, Head: &hypercore.Head{Length: run.Span().End()}, Runs: []hypercore.Run{run}}},
		Records: []hypercore.Record{{Key: fmt.Appendf(nil, "batch %d", i), Value: []byte{1}}},
	}
}

// checkBatches fails the test unless the store holds the first n batches.
func checkBatches(t *testing.T, s *Store, n int) {
	t.Helper()
	for i := range cutBatches {
		w := cutBatch(i)
		_, recordErr := s.Record(w.Records[0].Key)
		got, err := s.Blocks(w.Feeds[0].Key, w.Feeds[0].Runs[0].Span())
		if i >= n {
			if !errors.Is(recordErr, hypercore.ErrNoRecord) || !errors.Is(err, hypercore.ErrNoBlock) {
				t.Errorf("batch %d of %d is there: %v, %v", i, n, recordErr, err)
			}
			continue
		}
		if recordErr != nil || err != nil {
			t.Errorf("batch %d of %d: %v, %v", i, n, recordErr, err)
			continue
		}
		for j := range got {
			if !bytes.Equal(got[j], w.Feeds[0].Runs[0].Blocks[j]) {
				t.Errorf("block %d of batch %d isn't what was written", j, i)
			}
		}
	}
	f, err := s.Feed(hypercore.Key{7})
	if n == 0 && errors.Is(err, hypercore.ErrNoFeed) {
		return
	}
	if err != nil || f.Head.Length != uint64(10*n) || f.Blocks != f.Head.Length || f.Bytes != 10000*f.Blocks {
		t.Errorf("feed after %d batches = %+v, %v", n, f, err)
	}
}

// TestCutLog takes blocks of batches that were not durable from the disk: the
// first such batch and those behind it are undone, and the store goes on.
func TestCutLog(t *testing.T) {
	const name = "store/data/0000000000000000-0000000000000000.blocks"
	probe := unmarkedStore(t)
	e, length := extentAt(t, probe, name, segmentHeader)
	step := int64(length) + int64(e.body()) // all extents are of the same size
	at := func(i int) int64 { return segmentHeader + int64(i)*step }
	write := func(t *testing.T, disk *vfs.MemFS, offset int64, b []byte) {
		f, err := disk.OpenReadWrite(name, vfs.WriteCategoryUnspecified)
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		if _, err := f.WriteAt(b, offset); err != nil {
			t.Fatal(err)
		}
	}
	for what, c := range map[string]struct {
		left int
		do   func(t *testing.T, disk *vfs.MemFS)
	}{
		"nothing":    {cutBatches, func(*testing.T, *vfs.MemFS) {}},
		"first byte": {0, func(t *testing.T, d *vfs.MemFS) { write(t, d, at(0)+int64(length), []byte{99}) }},
		"last byte":  {4, func(t *testing.T, d *vfs.MemFS) { write(t, d, at(5)-1, []byte{99}) }},
		"page":       {2, func(t *testing.T, d *vfs.MemFS) { write(t, d, at(3)-8192, make([]byte, 4096)) }},
		"two batches": {1, func(t *testing.T, d *vfs.MemFS) {
			write(t, d, at(2)-50, make([]byte, 9))
			write(t, d, at(4)-50, make([]byte, 9))
		}},
		"header":       {3, func(t *testing.T, d *vfs.MemFS) { write(t, d, at(3)+20, []byte{99}) }},
		"older extent": {3, func(t *testing.T, d *vfs.MemFS) { write(t, d, at(3), readPart(t, d, name, at(1), step)) }},
		"file header":  {0, func(t *testing.T, d *vfs.MemFS) { write(t, d, 10, []byte{99}) }},
		"file": {0, func(t *testing.T, d *vfs.MemFS) {
			if err := d.Remove(name); err != nil {
				t.Fatal(err)
			}
		}},
		"end": {2, func(t *testing.T, d *vfs.MemFS) {
			b := readPart(t, d, name, 0, at(3)-1)
			if err := d.Remove(name); err != nil {
				t.Fatal(err)
			}
			write(t, d, 0, b)
		}},
	} {
		t.Run(what, func(t *testing.T) {
			disk := unmarkedStore(t)
			c.do(t, disk)
			for range 2 {
				s, err := Open("store", WithFS(disk), WithoutRebuild())
				if err != nil {
					t.Fatal(err)
				}
				checkBatches(t, s, c.left)
				if err := s.Close(); err != nil {
					t.Fatal(err)
				}
			}
			s, err := Open("store", WithFS(disk))
			if err != nil {
				t.Fatal(err)
			}
			defer s.Close()
			for i := c.left; i < cutBatches; i++ {
				if err := s.Commit(cutBatch(i)); err != nil {
					t.Fatal(err)
				}
			}
			checkBatches(t, s, cutBatches)
		})
	}
}

// extentAt reads an extent header of a data file.
func extentAt(t *testing.T, disk vfs.FS, name string, offset uint64) (extent, int) {
	t.Helper()
	f, err := disk.Open(name)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	e, length, err := readExtent(f, offset)
	if err != nil {
		t.Fatal(err)
	}
	return e, length
}

func readPart(t *testing.T, disk vfs.FS, name string, offset, size int64) []byte {
	t.Helper()
	f, err := disk.Open(name)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	b := make([]byte, size)
	if _, err := f.ReadAt(b, offset); err != nil {
		t.Fatal(err)
	}
	return b
}

// TestNumbersGoOn checks that a mark closes the notes of earlier runs of the
// program, whose logs may still be there.
func TestNumbersGoOn(t *testing.T) {
	disk := unmarkedStore(t)
	s, err := Open("store", WithFS(disk))
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	if s.unsynced != cutBatches {
		t.Errorf("number of the last note is %d at Open, want %d", s.unsynced, cutBatches)
	}
}
