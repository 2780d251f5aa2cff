package storage

import (
	"bytes"
	"encoding/binary"
	"testing"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"
)

func openSalvage(t testing.TB) *salvage {
	t.Helper()
	db, err := newScratch(vfs.NewMem(), "scratch", new(pebble.Options))
	if err != nil {
		t.Fatal(err)
	}
	s := newSalvage(db)
	t.Cleanup(func() {
		s.close()
		if err := db.close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

// TestSalvageVersions checks which of several versions counts.
func TestSalvageVersions(t *testing.T) {
	s := openSalvage(t)
	page := newDataKey(7, kindHeld, 3)
	other := newDataKey(8, kindHeld, 3)
	lower, upper := feedBounds(7)
	put := func(key string, value string, kind byte, rank, file uint64) {
		if err := s.put([]byte(key), []byte(value), kind, version{rank, file}); err != nil {
			t.Fatal(err)
		}
	}
	put("ra", "old", salvagedSet, trustedRank|5, 1)
	put("ra", "new", salvagedSet, trustedRank|9, 1)
	put("rb", "value", salvagedSet, trustedRank|5, 1)
	put("rb", "", salvagedDelete, trustedRank|6, 2)
	put("rc", "stale", salvagedSet, 900, 1)
	put("rc", "table", salvagedSet, trustedRank, 1)
	put("rd", "first", salvagedSet, trustedRank, 1)
	put("rd", "second", salvagedSet, trustedRank, 2)
	put(string(page[:]), "below", salvagedSet, trustedRank|5, 1)
	put(string(other[:]), "beside", salvagedSet, trustedRank|5, 1)
	s.putRange(lower, upper, version{trustedRank | 6, 1})
	if err := s.done(); err != nil {
		t.Fatal(err)
	}
	r, err := s.reader()
	if err != nil {
		t.Fatal(err)
	}
	defer r.close()
	for key, want := range map[string]string{"ra": "new", "rb": "", "rc": "table", "rd": "second", "re": "",
		string(page[:]): "", string(other[:]): "beside"} {
		got, state, err := r.get([]byte(key))
		if err != nil || string(got) != want || (state == found) != (want != "") {
			t.Errorf("get %q = %q, %v, %v, want %q", key, got, state, err, want)
		}
	}
	listed := map[string]string{}
	if err := r.table(tableRecord, func(key, value []byte) bool {
		listed[string(key)] = string(value)
		return true
	}); err != nil {
		t.Fatal(err)
	}
	if len(listed) != 4 || listed["ra"] != "new" || listed["rb"] != "" {
		t.Errorf("records = %v", listed)
	}
	if s.nextID != 9 {
		t.Errorf("next id = %d, want 9", s.nextID)
	}
}

// TestSalvageKeyLimits checks that keys that can't be ours are left out.
func TestSalvageKeyLimits(t *testing.T) {
	s := openSalvage(t)
	for size, want := range map[int]bool{0: false, 1: true, 1 + MaxRecordKey: true, 2 + MaxRecordKey: false} {
		key := bytes.Repeat([]byte{tableRecord}, size)
		if err := s.put(key, []byte("x"), salvagedSet, version{trustedRank, 1}); err != nil {
			t.Fatal(err)
		}
		if err := s.done(); err != nil {
			t.Fatal(err)
		}
		r, err := s.reader()
		if err != nil {
			t.Fatal(err)
		}
		if size > 0 {
			if _, state, err := r.get(key); err != nil || (state == found) != want {
				t.Errorf("key of %d bytes: %v, %v", size, state, err)
			}
		}
		r.close()
	}
}

func FuzzManifestEdit(f *testing.F) {
	var b []byte
	for _, n := range []uint64{tagMinLog, 4, tagNewTable, 0, 5, 900, 1, 'a', 1, 'z', 3, 9, extraVirtual, 6, extraEnd, tagDeletedTable, 0, 4} {
		b = binary.AppendUvarint(b, n)
	}
	f.Add(b)
	f.Add(b[:len(b)-1])
	f.Fuzz(func(t *testing.T, b []byte) {
		m := newManifest()
		if m.edit(b) == nil {
			for table, file := range m.live {
				if !m.known[table.number] || !m.known[file] {
					t.Fatalf("table %v in file %d is in use and not known", table, file)
				}
			}
		}
	})
}

func FuzzManifestGoesOn(f *testing.F) {
	f.Add([]byte{1, 2, 3, 4, 0, 0, 1}, 9)
	f.Fuzz(func(t *testing.T, b []byte, shift int) {
		manifestGoesOn(bytes.NewReader(b))
		m := newManifest()
		_ = m.read(bytes.NewReader(b))
	})
}

func FuzzLogBatch(f *testing.F) {
	s := openSalvage(f)
	b := s.db.db.NewBatch()
	b.Set([]byte("ra"), []byte("x"), nil)
	b.DeleteRange([]byte("ra"), []byte("rb"), nil)
	f.Add(append([]byte(nil), b.Repr()...))
	b.Close()
	f.Add(append(make([]byte, 12), 1, 0x80, 0x80, 0x80, 0x80)) // a length that doesn't end
	f.Fuzz(func(t *testing.T, b []byte) {
		l := logSalvage{to: s, file: 3}
		if err := l.batch(b); err != nil {
			t.Fatal(err)
		}
	})
}

// FuzzDataFile scans files that begin like a data file.
func FuzzDataFile(f *testing.F) {
	e := extent{start: 5, sizes: []uint32{3}, sums: []uint32{9}}
	f.Add(append(e.append(nil), "abc"...))
	f.Add(append([]byte("CBXECBXE"), e.append(nil)...))
	f.Fuzz(func(t *testing.T, b []byte) {
		fsys := vfs.NewMem()
		w, err := fsys.Create(segmentName(1, 2), vfs.WriteCategoryUnspecified)
		if err != nil {
			t.Fatal(err)
		}
		w.Write(make([]byte, segmentHeader))
		w.Write(b)
		w.Close()
		d := newDataFiles(fsys, "", 1)
		defer d.close()
		if err := d.add(2, func(*extent) {}); err != nil {
			t.Fatal(err)
		}
		d.sort()
		for _, e := range d.extents {
			if e.name.offset+uint64(e.header) > uint64(segmentHeader+len(b)) {
				t.Fatalf("extent %v lies behind the file", e)
			}
		}
	})
}
