package storage

import (
	"encoding/binary"
	"fmt"

	"github.com/cobox-p2p/cobox-p2p/hypercore"
)

// Key space of the index. Numbers are big endian, so that keys sort as they count.
//
//	00 "format"             uvarint format version
//	00 "next"               8 bytes: id that the next new feed gets
//	'f' feed key (32)       head record
//	'd' id (8) 'b' seq (8)  pack: blocks up to seq, so that the one that holds a
//	                        block is found forwards
//	'd' id (8) 'h' page (8) which blocks are held
//	'd' id (8) 'n' index(8) node: size (8), hash (32)
//	'd' id (8) 'p' page (8) full page of nodes
//	'x' id (8) number (8)   segment: uvarint bytes that are named, uvarint blocks
//	                        that are held in it
//	'g' id (8) number (8) offset (8)
//	                        garbage: uvarint bytes of the segment to give back, 0
//	                        for the whole file
//	'r' record key          record value
//
// All of a feed but its head record and its segments lies under its id, so one
// range deletion drops it, and reading every head touches nothing else. Ids are
// never given twice.
const (
	tableFeed    = 'f'
	tableData    = 'd'
	tableSegment = 'x'
	tableGarbage = 'g'
	tableRecord  = 'r'

	kindBlocks = 'b'
	kindHeld   = 'h'
	kindNode   = 'n'
	kindPage   = 'p'
)

const (
	dataKeySize    = 1 + 8 + 1 + 8
	segmentKeySize = 1 + 8 + 8
	garbageKeySize = 1 + 8 + 8 + 8
	headHashes     = 32 + 64
	maxHeadSize    = 1 + 6*binary.MaxVarintLen64 + headHashes // see headRecord
	headVersion    = 2
)

var (
	formatKey = []byte("\x00format")
	nextKey   = []byte("\x00next")
)

// ErrDamaged is wrapped by what a read returns when the disk gave back a record
// that this package can't have written. It wraps hypercore.ErrDamaged.
var ErrDamaged = fmt.Errorf("%w: unreadable record", hypercore.ErrDamaged)

// dataKey is the key of a record under a feed's id.
type dataKey [dataKeySize]byte

func newDataKey(id uint64, kind byte, n uint64) (k dataKey) {
	putDataKey(k[:], id, kind, n)
	return k
}

// putDataKey writes the key to b, which has dataKeySize bytes.
func putDataKey(b []byte, id uint64, kind byte, n uint64) {
	b[0] = tableData
	binary.BigEndian.PutUint64(b[1:], id)
	b[9] = kind
	binary.BigEndian.PutUint64(b[10:], n)
}

// dataNumber returns the last part of a data key.
func dataNumber(key []byte) uint64 { return binary.BigEndian.Uint64(key[10:]) }

// kindBounds returns the first key of a kind of one feed and the first key
// behind it.
func kindBounds(id uint64, kind byte) (lower, upper []byte) {
	lower, upper = make([]byte, 10), make([]byte, 10)
	lower[0], upper[0] = tableData, tableData
	binary.BigEndian.PutUint64(lower[1:], id)
	binary.BigEndian.PutUint64(upper[1:], id)
	lower[9], upper[9] = kind, kind+1
	return lower, upper
}

// feedBounds returns the first data key of a feed and the first key behind it.
func feedBounds(id uint64) (lower, upper []byte) {
	lower = binary.BigEndian.AppendUint64([]byte{tableData}, id)
	return lower, binary.BigEndian.AppendUint64([]byte{tableData}, id+1)
}

func feedKey(key hypercore.Key) []byte { return append([]byte{tableFeed}, key[:]...) }

func recordKey(key []byte) []byte {
	return append(append(make([]byte, 0, 1+len(key)), tableRecord), key...)
}

// prefixEnd returns the first key behind all that begin with prefix, or nil
// when there is none.
func prefixEnd(prefix []byte) []byte {
	end := append([]byte(nil), prefix...)
	for i := len(end) - 1; i >= 0; i-- {
		end[i]++
		if end[i] != 0 {
			return end[:i+1]
		}
	}
	return nil
}

// parseUvarint returns the number that is all of b, or ErrDamaged.
func parseUvarint(b []byte) (uint64, error) {
	n, size := binary.Uvarint(b)
	if size <= 0 || size != len(b) {
		return 0, ErrDamaged
	}
	return n, nil
}
