package storage

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"reflect"
	"testing"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/batchrepr"
)

func FuzzNote(f *testing.F) {
	n := unsyncedNote{number: 300, extents: []unsyncedExtent{
		{1, 2, 64, extentFixed + 4, 5000, 7}, {1 << 40, 0, maxOffset, maxExtentHeader, maxOffset, 1 << 31},
	}}
	f.Add(n.append(nil))
	f.Add(n.append(nil)[:20])
	f.Add(appendMark(nil, 1<<63))
	f.Add([]byte{noteSynced, 1, 1})
	f.Fuzz(func(t *testing.T, b []byte) {
		n, mark, ok, err := parseNote(b)
		if err != nil || !ok {
			return
		}
		written := n.append(nil)
		if mark {
			written = appendMark(nil, n.number)
		}
		again, mark2, ok, err := parseNote(written)
		if err != nil || !ok || mark2 != mark || !reflect.DeepEqual(again, n) {
			t.Fatalf("note of %x is written as %x, %v", b, written, err)
		}
	})
}

// TestNoteLimits parses notes at the limits and just beyond.
func TestNoteLimits(t *testing.T) {
	right := unsyncedExtent{offset: maxOffset, header: maxExtentHeader, body: maxOffset}
	for name, change := range map[string]func(e *unsyncedExtent){
		"":             func(*unsyncedExtent) {},
		"offset":       func(e *unsyncedExtent) { e.offset++ },
		"header":       func(e *unsyncedExtent) { e.header++ },
		"short header": func(e *unsyncedExtent) { e.header = extentFixed + 3 },
		"body":         func(e *unsyncedExtent) { e.body++ },
	} {
		e := right
		change(&e)
		n := unsyncedNote{1, []unsyncedExtent{e}}
		if _, _, ok, err := parseNote(n.append(nil)); ok != (name == "") || (err != nil) != (name != "") {
			t.Errorf("note at the limit of %q = %v, %v", name, ok, err)
		}
	}
	if _, _, ok, err := parseNote(nil); ok || err != nil {
		t.Errorf("entry of another kind = %v, %v", ok, err)
	}
}

// TestFirstEntry reads batches with and without an entry for the log in front.
func TestFirstEntry(t *testing.T) {
	batch := func(size uint64, entry []byte) []byte {
		b := append(make([]byte, batchrepr.HeaderLen), byte(pebble.InternalKeyKindLogData))
		return append(binary.AppendUvarint(b, size), entry...)
	}
	other := append(make([]byte, batchrepr.HeaderLen), byte(pebble.InternalKeyKindDelete), 1, 'x')
	largest := bytes.Repeat([]byte{1}, maxNote)
	for _, c := range []struct {
		record, want []byte
		err          error
	}{
		{batch(3, []byte("abcdef")), []byte("abc"), nil},
		{batch(0, nil), []byte{}, nil},
		{other, nil, nil},
		{other[:batchrepr.HeaderLen], nil, nil},
		{batch(maxNote, largest), largest, nil},
		{batch(maxNote+1, append(largest, 1)), nil, ErrDamaged},
		{batch(9, []byte("abc")), nil, io.ErrUnexpectedEOF},
	} {
		got, err := firstEntry(bytes.NewReader(c.record))
		if !errors.Is(err, c.err) || c.err == nil && !bytes.Equal(got, c.want) {
			t.Errorf("first entry of a batch of %d bytes = %.9x, %v, want %.9x, %v", len(c.record), got, err, c.want, c.err)
		}
	}
}
