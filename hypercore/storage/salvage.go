package storage

import (
	"bytes"
	"encoding/binary"

	"github.com/cockroachdb/pebble/v2"
)

// salvage is what the readable parts of a damaged index say, in a database of
// its own: every version of every record, so that it takes little memory however
// large the index is. A key there is
//
//	table (1), length of what follows in the record's key (2), that key, then
//	inverted, so that the newest comes first: rank (8), number of the file (8)
//
// and a value is the kind (1) and the record's value.
type salvage struct {
	db    *scratch
	batch *pebble.Batch

	ranges map[uint64][]rangeDelete // deletions under one id, by that id
	others []rangeDelete            // all other deletions of ranges
	nextID uint64                   // above every id that was met
}

// Kinds of a salvaged version.
const (
	salvagedSet    = 1
	salvagedDelete = 0
)

// version orders what several files say of one key: by rank, then by file. The
// rank is Pebble's sequence number, above trustedRank unless the file may be one
// that had its time already.
type version struct{ rank, file uint64 }

const (
	trustedRank   = 1 << 56
	versionSize   = 16
	salvageHeader = 3
)

// rangeDelete is the deletion of all keys from lower on up to upper.
type rangeDelete struct {
	lower, upper []byte
	version      version
}

func newSalvage(db *scratch) *salvage {
	return &salvage{db: db, batch: db.db.NewBatch(), ranges: make(map[uint64][]rangeDelete)}
}

// salvageKey returns the key under which all versions of a record begin.
func salvageKey(key []byte) []byte {
	b := make([]byte, 0, salvageHeader+len(key)+versionSize)
	b = append(b, key[0])
	b = binary.BigEndian.AppendUint16(b, uint16(len(key)-1))
	return append(b, key[1:]...)
}

// splitSalvageKey is the inverse of salvageKey with a version behind.
func splitSalvageKey(b []byte) (key []byte, v version) {
	n := len(b) - versionSize
	key = append(append(make([]byte, 0, n-2), b[0]), b[salvageHeader:n]...)
	return key, version{^binary.BigEndian.Uint64(b[n:]), ^binary.BigEndian.Uint64(b[n+8:])}
}

// put adds a version of a record. It copies key and value. Keys that are none of
// ours are left out.
func (s *salvage) put(key, value []byte, kind byte, v version) error {
	if len(key) == 0 || len(key) > 1+MaxRecordKey {
		return nil
	}
	s.noteID(key, value)
	k := salvageKey(key)
	k = binary.BigEndian.AppendUint64(k, ^v.rank)
	k = binary.BigEndian.AppendUint64(k, ^v.file)
	op := s.batch.SetDeferred(len(k), 1+len(value))
	copy(op.Key, k)
	op.Value[0] = kind
	copy(op.Value[1:], value)
	if err := op.Finish(); err != nil {
		return err
	}
	return s.db.room(s.batch)
}

// putRange adds the deletion of a range.
func (s *salvage) putRange(lower, upper []byte, v version) {
	d := rangeDelete{copyOf(lower), copyOf(upper), v}
	if len(lower) >= 9 && len(upper) >= 9 && lower[0] == tableData && upper[0] == tableData {
		id := binary.BigEndian.Uint64(lower[1:])
		_, end := feedBounds(id)
		if bytes.Compare(upper, end) <= 0 {
			s.ranges[id] = append(s.ranges[id], d)
			s.nextID = max(s.nextID, id+1)
			return
		}
	}
	s.others = append(s.others, d)
}

// noteID keeps the ids that a record names from being given again.
func (s *salvage) noteID(key, value []byte) {
	switch {
	case key[0] == tableFeed:
		if h, err := parseHead(value); err == nil {
			s.nextID = max(s.nextID, h.id+1)
		}
	case bytes.Equal(key, nextKey) && len(value) == 8:
		s.nextID = max(s.nextID, binary.BigEndian.Uint64(value))
	case (key[0] == tableData || key[0] == tableSegment || key[0] == tableGarbage) && len(key) >= 9:
		s.nextID = max(s.nextID, binary.BigEndian.Uint64(key[1:])+1)
	}
}

// done makes everything readable.
func (s *salvage) done() error { return s.db.apply(s.batch) }

func (s *salvage) close() { s.batch.Close() }

// deleted says whether a range that covers the key was deleted after v.
func (s *salvage) deleted(key []byte, v version) bool {
	if key[0] == tableData && len(key) >= 9 && deletedIn(s.ranges[binary.BigEndian.Uint64(key[1:])], key, v) {
		return true
	}
	return deletedIn(s.others, key, v)
}

func deletedIn(ranges []rangeDelete, key []byte, v version) bool {
	for i := range ranges {
		d := &ranges[i]
		if d.version.rank > v.rank && bytes.Compare(d.lower, key) <= 0 && bytes.Compare(key, d.upper) < 0 {
			return true
		}
	}
	return false
}
