package storage_test

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cockroachdb/pebble/v2/vfs/errorfs"

	"github.com/cobox-p2p/cobox-p2p/hypercore"
	"github.com/cobox-p2p/cobox-p2p/hypercore/merkle"
	"github.com/cobox-p2p/cobox-p2p/hypercore/storage"
)

// flip changes one byte of a file.
func flip(t *testing.T, fs vfs.FS, name string, offset int64) {
	t.Helper()
	f, err := fs.OpenReadWrite(name, vfs.WriteCategoryUnspecified)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	var b [1]byte
	if _, err := f.ReadAt(b[:], offset); err != nil {
		t.Fatal(err)
	}
	b[0] ^= 0x10
	if _, err := f.WriteAt(b[:], offset); err != nil {
		t.Fatal(err)
	}
}

func fileSize(t *testing.T, fs vfs.FS, name string) int64 {
	t.Helper()
	info, err := fs.Stat(name)
	if err != nil {
		t.Fatal(err)
	}
	return info.Size()
}

// checkDamaged reads every block: the one that is damaged must say so, and all
// others must be as written.
func checkDamaged(t *testing.T, s *storage.Store, want hypercore.Run, damaged map[uint64]bool) {
	t.Helper()
	for i, b := range want.Blocks {
		seq := want.Start + uint64(i)
		got, err := s.Blocks(ledgerKey, hypercore.Span{Start: seq, Count: 1})
		if !damaged[seq] && (err != nil || !bytes.Equal(got[0], b)) {
			t.Errorf("block %d beside the damage: %v", seq, err)
		}
		if damaged[seq] && !errors.Is(err, hypercore.ErrDamaged) {
			t.Errorf("damaged block %d = %v, want ErrDamaged", seq, err)
		}
	}
}

// TestDamagedFile flips bits of a data file, shortens and removes it.
func TestDamagedFile(t *testing.T) {
	const name = "store/data/0000000000000000-0000000000000000.blocks"
	disk := vfs.NewMem()
	run := randomRun(0, 40, 10<<10)
	s := openStore(t, "store", disk)
	commitSwept(t, s, hypercore.FeedWrite{Key: ledgerKey, Runs: []hypercore.Run{run}})
	body := fileSize(t, disk, name) - 40*10<<10
	flip(t, disk, name, body+7*10<<10+5000)
	checkDamaged(t, s, run, map[uint64]bool{7: true})
	_, err := s.Blocks(ledgerKey, hypercore.Span{Start: 3, Count: 10})
	if !errors.Is(err, hypercore.ErrDamaged) || !strings.Contains(err.Error(), "block 7 in 0000000000000000-0000000000000000.blocks") {
		t.Errorf("span over a damaged block = %v", err)
	}
	// A write that clears the block replaces it.
	commitSwept(t, s, hypercore.FeedWrite{Key: ledgerKey, Clear: []hypercore.Span{{Start: 7, Count: 1}},
		Runs: []hypercore.Run{{Start: 7, Blocks: run.Blocks[7:8]}}})
	checkDamaged(t, s, run, nil)
	if f, err := s.Feed(ledgerKey); err != nil || f.Blocks != 40 || f.Bytes != 400<<10 {
		t.Errorf("feed after a block was replaced = %+v, %v", f, err)
	}
	s.Close()

	if err := disk.Remove(name); err != nil {
		t.Fatal(err)
	}
	s = openStore(t, "store", disk)
	defer s.Close()
	lost := map[uint64]bool{}
	for seq := range uint64(40) {
		lost[seq] = seq != 7
	}
	checkDamaged(t, s, run, lost)
	if _, err := s.Blocks(ledgerKey, hypercore.Span{Count: 1}); err == nil || !strings.Contains(err.Error(), "missing") {
		t.Errorf("block of a lost file = %v", err)
	}
	// New blocks go elsewhere, lost ones can be cleared.
	commitSwept(t, s, hypercore.FeedWrite{Key: ledgerKey, Runs: []hypercore.Run{randomRun(40, 40, 10<<10)}})
	commitSwept(t, s, hypercore.FeedWrite{Key: ledgerKey, Clear: []hypercore.Span{{Count: 40}}, Runs: []hypercore.Run{run}})
	checkDamaged(t, s, run, nil)
	checkDamaged(t, s, randomRun(40, 40, 10<<10), nil)
}

// TestReadErrors lets reads of data files fail: such an error is told, and is no
// longer there with its cause.
func TestReadErrors(t *testing.T) {
	disk := vfs.NewMem()
	var fail atomic.Bool
	s := openStore(t, "store", errorfs.Wrap(disk, errorfs.InjectorFunc(func(op errorfs.Op) error {
		if fail.Load() && isData(op) && op.Kind == errorfs.OpFileReadAt {
			return errorfs.ErrInjected
		}
		return nil
	})))
	defer s.Close()
	run := randomRun(0, 40, 10<<10)
	commitSwept(t, s, hypercore.FeedWrite{Key: ledgerKey, Runs: []hypercore.Run{run}})
	fail.Store(true)
	_, err := s.Blocks(ledgerKey, hypercore.Span{Start: 5, Count: 1})
	if !errors.Is(err, hypercore.ErrDamaged) || !errors.Is(err, errorfs.ErrInjected) {
		t.Errorf("read of a file that fails = %v", err)
	}
	fail.Store(false)
	checkDamaged(t, s, run, nil)
}

// TestDamagedTable flips a byte of a table of the index, at many places. Every
// read then gives what was written or ErrDamaged, and lists go on.
func TestDamagedTable(t *testing.T) {
	const feeds, records = 200, 200
	disk := vfs.NewMem()
	s := openStore(t, "store", disk, storage.WithMemTable(256<<10))
	for i := range feeds {
		b := &hypercore.Batch{Feeds: []hypercore.FeedWrite{{
			Key: hypercore.Key{byte(i >> 8), byte(i), 5}, Head: &hypercore.Head{Length: 1},
			Runs: []hypercore.Run{{Blocks: [][]byte{bytes.Repeat([]byte{byte(i)}, 500)}}}, Nodes: []merkle.Node{{Size: 500}},
		}}, Records: []hypercore.Record{{Key: fmt.Appendf(nil, "set/%04d", i), Value: make([]byte, 110)}}}
		if err := s.Commit(b); err != nil {
			t.Fatal(err)
		}
	}
	commitSwept(t, s, hypercore.FeedWrite{Key: hypercore.Key{9, 9}, Drop: true})
	s.Close()
	openStore(t, "store", disk).Close() // what is in the log goes to tables
	names, err := disk.List("store/index")
	if err != nil {
		t.Fatal(err)
	}
	step := int64(40961)
	if soak {
		step = 499
	}
	damages := 0
	for _, name := range names {
		if !strings.HasSuffix(name, ".sst") {
			continue
		}
		name = "store/index/" + name
		for offset := int64(700); offset < fileSize(t, disk, name); offset += step {
			flip(t, disk, name, offset)
			damages += checkDamagedTable(t, disk, feeds, records)
			flip(t, disk, name, offset)
		}
	}
	if damages == 0 {
		t.Error("no damage was met")
	}
}

// checkDamagedTable returns how many errors it met, all of which must say that
// something is damaged.
func checkDamagedTable(t *testing.T, disk vfs.FS, feeds, records int) (damages int) {
	t.Helper()
	note := func(what string, err error) bool {
		if err != nil {
			damages++
			if !errors.Is(err, hypercore.ErrDamaged) {
				t.Errorf("%s of a damaged index = %v", what, err)
			}
		}
		return err == nil
	}
	s, err := storage.Open("store", storage.WithFS(disk), storage.WithoutRebuild())
	if !note("Open", err) {
		return damages
	}
	defer s.Close()
	listed, errs := 0, 0
	for f, err := range s.Feeds() {
		if !note("Feeds", err) {
			errs++
			continue
		}
		listed++
		if f.Blocks != 1 || f.Bytes != 500 {
			t.Errorf("feed of a damaged index = %+v", f)
		}
	}
	if listed != feeds && (errs == 0 || listed < feeds/3) {
		t.Errorf("%d of %d feeds were listed, with %d errors", listed, feeds, errs)
	}
	listed, errs = 0, 0
	for _, err := range s.Records([]byte("set/")) {
		if note("Records", err) {
			listed++
		} else {
			errs++
		}
	}
	if listed != records && (errs == 0 || listed < records/3) {
		t.Errorf("%d of %d records were listed, with %d errors", listed, records, errs)
	}
	for i := 0; i < feeds; i += 3 { // each error takes Pebble some 20 ms
		key := hypercore.Key{byte(i >> 8), byte(i), 5}
		got, err := s.Blocks(key, hypercore.Span{Count: 1})
		if note("Blocks", err) && !bytes.Equal(got[0], bytes.Repeat([]byte{byte(i)}, 500)) {
			t.Errorf("block of feed %d isn't what was written", i)
		}
		if err == nil {
			_, err = s.Node(key, 0)
			note("Node", err)
		}
	}
	return damages
}
