package storage

import (
	"encoding/binary"
	"fmt"

	"github.com/cobox-p2p/cobox-p2p/hypercore"
)

// Key space. Numbers are big endian, so that keys sort as they count.
//
//	00 "format"             uvarint format version
//	00 "next"               8 bytes: id that the next new feed gets
//	'f' feed key (32)       head record
//	'd' id (8) 'b' seq (8)  pack: blocks up to seq, so that the one that holds a
//	                        block is found forwards
//	'd' id (8) 'n' index(8) node: size (8), hash (32)
//	'd' id (8) 'p' page (8) full page of nodes
//	'd' id (8) 's' seq (8)  uvarint count: the blocks held from seq on
//	'r' record key          record value
//
// All of a feed but its head record lies under its id, so one range deletion
// drops it, and reading every head touches nothing else. Ids are never given
// twice.
const (
	tableFeed   = 'f'
	tableData   = 'd'
	tableRecord = 'r'

	kindBlocks = 'b'
	kindNode   = 'n'
	kindPage   = 'p'
	kindSpan   = 's'
)

const (
	dataKeySize = 1 + 8 + 1 + 8
	headSize    = 1 + 8 + 8 + 8 + 32 + 64 + 8 + 8 // see headRecord
	headVersion = 1
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

// headRecord is what the store keeps of a feed under its key: version (1), id
// (8), length (8), size (8), root hash (32), signature (64), blocks held (8),
// bytes held (8).
type headRecord struct {
	id     uint64
	head   hypercore.Head
	blocks uint64
	bytes  uint64
}

func (h *headRecord) append(b []byte) []byte {
	b = append(b, headVersion)
	b = binary.BigEndian.AppendUint64(b, h.id)
	b = binary.BigEndian.AppendUint64(b, h.head.Length)
	b = binary.BigEndian.AppendUint64(b, h.head.Size)
	b = append(b, h.head.RootHash[:]...)
	b = append(b, h.head.Signature[:]...)
	b = binary.BigEndian.AppendUint64(b, h.blocks)
	return binary.BigEndian.AppendUint64(b, h.bytes)
}

// parseHead returns the head record in b, or ErrDamaged.
func parseHead(b []byte) (h headRecord, err error) {
	if len(b) != headSize || b[0] != headVersion {
		return headRecord{}, ErrDamaged
	}
	h.id = binary.BigEndian.Uint64(b[1:])
	h.head.Length = binary.BigEndian.Uint64(b[9:])
	h.head.Size = binary.BigEndian.Uint64(b[17:])
	copy(h.head.RootHash[:], b[25:])
	copy(h.head.Signature[:], b[57:])
	h.blocks = binary.BigEndian.Uint64(b[121:])
	h.bytes = binary.BigEndian.Uint64(b[129:])
	return h, nil
}

func (h *headRecord) stored(key hypercore.Key) hypercore.StoredFeed {
	return hypercore.StoredFeed{Key: key, Head: h.head, Blocks: h.blocks, Bytes: h.bytes}
}

// parseUvarint returns the number that is all of b, or ErrDamaged.
func parseUvarint(b []byte) (uint64, error) {
	n, size := binary.Uvarint(b)
	if size <= 0 || size != len(b) {
		return 0, ErrDamaged
	}
	return n, nil
}
