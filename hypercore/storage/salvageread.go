package storage

import (
	"bytes"
	"encoding/binary"
	"errors"

	"github.com/cockroachdb/pebble/v2"
)

// salvageReader reads a salvage whose done was called. It is for one goroutine.
type salvageReader struct {
	s  *salvage
	it *pebble.Iterator
}

func (s *salvage) reader() (*salvageReader, error) {
	it, err := s.db.db.NewIter(nil)
	if err != nil {
		return nil, err
	}
	return &salvageReader{s, it}, nil
}

func (r *salvageReader) close() error { return r.it.Close() }

// What get found.
type salvaged int

const (
	unknown salvaged = iota // no version was found
	removed                 // the newest version is a deletion
	found
)

// get returns the newest value of a record. It is valid until the next call.
func (r *salvageReader) get(key []byte) ([]byte, salvaged, error) {
	k := salvageKey(key)
	if !r.it.SeekGE(k) || !isVersionOf(r.it.Key(), k) {
		return nil, unknown, r.it.Error()
	}
	_, v := splitSalvageKey(r.it.Key())
	value := r.it.Value()
	if len(value) == 0 || value[0] != salvagedSet || r.s.deleted(key, v) {
		return nil, removed, nil
	}
	return value[1:], found, nil
}

func isVersionOf(b, key []byte) bool {
	return len(b) == len(key)+versionSize && bytes.HasPrefix(b, key)
}

// versions calls visit for every value that a record had, the newest first, those
// that were deleted later among them. The value is valid during the call.
func (r *salvageReader) versions(key []byte, visit func(value []byte)) error {
	k := salvageKey(key)
	for ok := r.it.SeekGE(k); ok && isVersionOf(r.it.Key(), k); ok = r.it.Next() {
		if value := r.it.Value(); len(value) > 0 && value[0] == salvagedSet {
			visit(value[1:])
		}
	}
	return r.it.Error()
}

// scan calls visit for the newest values of the records from lower on up to
// upper whose keys have as many bytes as these, in order, until it returns
// false. A removed record has a nil value. Key and value are valid during the
// call, in which r must not be used.
func (r *salvageReader) scan(lower, upper []byte, visit func(key, value []byte) bool) error {
	return r.walk(salvageKey(lower), salvageKey(upper), visit)
}

// table is scan for all records of a table, of any length.
func (r *salvageReader) table(table byte, visit func(key, value []byte) bool) error {
	return r.walk([]byte{table}, []byte{table + 1}, visit)
}

func (r *salvageReader) walk(lower, upper []byte, visit func(key, value []byte) bool) error {
	var last []byte
	for ok := r.it.SeekGE(lower); ok; ok = r.it.Next() {
		b := r.it.Key()
		if bytes.Compare(b, upper) >= 0 {
			break
		}
		if len(b) < salvageHeader+versionSize ||
			int(binary.BigEndian.Uint16(b[1:])) != len(b)-salvageHeader-versionSize {
			return errors.New("storage: key in a scratch database")
		}
		if n := len(b) - versionSize; last != nil && bytes.Equal(b[:n], last) {
			continue
		}
		last = append(last[:0], b[:len(b)-versionSize]...)
		key, v := splitSalvageKey(b)
		value := r.it.Value()
		if len(value) == 0 || value[0] != salvagedSet || r.s.deleted(key, v) {
			value = nil
		} else {
			value = value[1:]
		}
		if !visit(key, value) {
			break
		}
	}
	return r.it.Error()
}
