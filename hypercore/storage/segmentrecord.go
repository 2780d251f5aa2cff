package storage

import "encoding/binary"

// segmentRecord is what the index keeps of a data file.
type segmentRecord struct {
	end    uint64 // bytes of the file that are named and synced
	blocks uint64 // held in it
}

func (r segmentRecord) append(b []byte) []byte {
	return binary.AppendUvarint(binary.AppendUvarint(b, r.end), r.blocks)
}

// parseSegmentRecord returns the segment record in b, or ErrDamaged.
func parseSegmentRecord(b []byte) (r segmentRecord, err error) {
	end, n := binary.Uvarint(b)
	if n <= 0 {
		return r, ErrDamaged
	}
	blocks, err := parseUvarint(b[n:])
	return segmentRecord{end, blocks}, err
}

func segmentKey(id, number uint64) []byte {
	b := append(make([]byte, 0, segmentKeySize), tableSegment)
	return binary.BigEndian.AppendUint64(binary.BigEndian.AppendUint64(b, id), number)
}

// parseSegmentKey is the inverse of segmentKey, or returns ErrDamaged.
func parseSegmentKey(key []byte) (id, number uint64, err error) {
	if len(key) != segmentKeySize {
		return 0, 0, ErrDamaged
	}
	return binary.BigEndian.Uint64(key[1:]), binary.BigEndian.Uint64(key[9:]), nil
}

// segmentBounds returns the first segment key of a feed and the first key behind
// its last.
func segmentBounds(id uint64) (lower, upper []byte) {
	return segmentKey(id, 0), segmentKey(id+1, 0)
}

// garbage is bytes of a data file that nothing names any more.
type garbage struct {
	id, number, offset uint64
	size               uint64 // 0: the whole file
}

func (g garbage) key() []byte {
	b := append(make([]byte, 0, garbageKeySize), tableGarbage)
	b = binary.BigEndian.AppendUint64(b, g.id)
	return binary.BigEndian.AppendUint64(binary.BigEndian.AppendUint64(b, g.number), g.offset)
}

// parseGarbage returns what a garbage record names, or ErrDamaged.
func parseGarbage(key, value []byte) (g garbage, err error) {
	if len(key) != garbageKeySize {
		return g, ErrDamaged
	}
	g.id = binary.BigEndian.Uint64(key[1:])
	g.number = binary.BigEndian.Uint64(key[9:])
	g.offset = binary.BigEndian.Uint64(key[17:])
	g.size, err = parseUvarint(value)
	return g, err
}
