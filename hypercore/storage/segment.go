package storage

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"strconv"
	"strings"

	"github.com/cobox-p2p/cobox-p2p/hypercore"
	"github.com/cobox-p2p/cobox-p2p/hypercore/merkle"
)

// # Data files
//
// Long runs of blocks lie in data files, the segments of a feed, in the folder
// data of the store. A segment is named ID-NUMBER.blocks: the feed's id and the
// number of the segment, both as 16 hexadecimal digits. Neither is ever used
// again. Numbers are big endian, checksums CRC-32C (Castagnoli).
//
//	segment:  header (64 bytes), extents one behind the other
//	header:   "COBOXSEG", version (4) = 1, feed id (8), segment number (8),
//	          feed key (32), CRC of the 60 bytes so far (4)
//	extent:   extent header, bodies of the blocks
//	extent    "CBXE" (4), bytes of this header (4), bytes of the bodies (8),
//	header:   first block (8), blocks (4), nodes (4), flags (1), head if flag 1 is
//	          set, nodes, a uvarint size for each block, a CRC (4) for each block,
//	          CRC of the header so far (4)
//	head:     length (8), size (8), root hash (32), signature (64)
//	node:     index (8), size (8), hash (32)
//
// The head is the one that was written with the blocks. The nodes are those that
// can't be hashed from the blocks of the same batch and lead with them up to the
// roots of the head, as far as they were known. So a segment can be checked when
// the index is lost: see interop/spec/feed.md, "Tree".
//
// Within the named end of a segment, which is in its segment record, every extent
// was synced before it was called durable; see unsynced.go. Behind that end lies
// what a failure left; it is overwritten. Bodies of blocks that were cleared may have become zeros;
// extent headers stay as long as the segment does. A segment ends at
// segmentBytes, an extent at extentBytes or extentBlocks.
const (
	segmentMagic   = "COBOXSEG"
	segmentVersion = 1
	segmentHeader  = 8 + 4 + 8 + 8 + hypercore.KeySize + 4

	extentMagic   = "CBXE"
	extentFixed   = 4 + 4 + 8 + 8 + 4 + 4 + 1 // bytes in front of the head
	extentHeadLen = 8 + 8 + 32 + 64
	extentNodeLen = 8 + 8 + merkle.HashSize
	extentHasHead = 1

	segmentBytes = 128 << 20
	extentBytes  = 32 << 20 // of the bodies; a single block may follow what is below it
	extentBlocks = 1 << 16
	extentNodes  = MaxAnchor

	maxExtentHeader = extentFixed + extentHeadLen + extentNodes*extentNodeLen + extentBlocks*(4+4) + 4
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// errExtent is what the parsers of a data file return.
var errExtent = errors.New("storage: not a data file's header")

// segmentName returns the name of a data file within its folder.
func segmentName(id, number uint64) string { return fmt.Sprintf("%016x-%016x.blocks", id, number) }

// parseSegmentName is the inverse of segmentName.
func parseSegmentName(name string) (id, number uint64, ok bool) {
	first, second, ok := strings.Cut(strings.TrimSuffix(name, ".blocks"), "-")
	id, err1 := strconv.ParseUint(first, 16, 64)
	number, err2 := strconv.ParseUint(second, 16, 64)
	return id, number, ok && err1 == nil && err2 == nil && segmentName(id, number) == name
}

// appendSegmentHeader appends the header of a data file.
func appendSegmentHeader(b []byte, id, number uint64, key hypercore.Key) []byte {
	start := len(b)
	b = append(b, segmentMagic...)
	b = binary.BigEndian.AppendUint32(b, segmentVersion)
	b = binary.BigEndian.AppendUint64(b, id)
	b = binary.BigEndian.AppendUint64(b, number)
	b = append(b, key[:]...)
	return binary.BigEndian.AppendUint32(b, crc32.Checksum(b[start:], castagnoli))
}

// parseSegmentHeader reads the header of a data file at the beginning of b.
func parseSegmentHeader(b []byte) (id, number uint64, key hypercore.Key, err error) {
	if len(b) < segmentHeader || string(b[:8]) != segmentMagic || binary.BigEndian.Uint32(b[8:]) != segmentVersion ||
		crc32.Checksum(b[:segmentHeader-4], castagnoli) != binary.BigEndian.Uint32(b[segmentHeader-4:]) {
		return 0, 0, key, errExtent
	}
	copy(key[:], b[28:])
	return binary.BigEndian.Uint64(b[12:]), binary.BigEndian.Uint64(b[20:]), key, nil
}

// extent is the header of one extent.
type extent struct {
	start uint64
	head  *hypercore.Head // nil when the batch had none
	nodes []merkle.Node
	sizes []uint32 // bytes of each block
	sums  []uint32 // CRC of each block
}

// body returns the bytes of the blocks.
func (e *extent) body() (size uint64) {
	for _, n := range e.sizes {
		size += uint64(n)
	}
	return size
}

// append appends the header.
func (e *extent) append(b []byte) []byte {
	start := len(b)
	b = append(b, extentMagic...)
	b = append(b, 0, 0, 0, 0) // bytes of the header
	b = binary.BigEndian.AppendUint64(b, e.body())
	b = binary.BigEndian.AppendUint64(b, e.start)
	b = binary.BigEndian.AppendUint32(b, uint32(len(e.sizes)))
	b = binary.BigEndian.AppendUint32(b, uint32(len(e.nodes)))
	if e.head == nil {
		b = append(b, 0)
	} else {
		b = append(b, extentHasHead)
		b = binary.BigEndian.AppendUint64(b, e.head.Length)
		b = binary.BigEndian.AppendUint64(b, e.head.Size)
		b = append(b, e.head.RootHash[:]...)
		b = append(b, e.head.Signature[:]...)
	}
	for i := range e.nodes {
		b = binary.BigEndian.AppendUint64(b, e.nodes[i].Index)
		b = binary.BigEndian.AppendUint64(b, e.nodes[i].Size)
		b = append(b, e.nodes[i].Hash[:]...)
	}
	for _, size := range e.sizes {
		b = binary.AppendUvarint(b, uint64(size))
	}
	for _, sum := range e.sums {
		b = binary.BigEndian.AppendUint32(b, sum)
	}
	binary.BigEndian.PutUint32(b[start+4:], uint32(len(b)-start+4))
	return binary.BigEndian.AppendUint32(b, crc32.Checksum(b[start:], castagnoli))
}

// parseExtent reads the extent header at the beginning of b, which holds all of
// the header, and returns its length.
func parseExtent(b []byte) (e extent, length int, err error) {
	if len(b) < extentFixed+4 || string(b[:4]) != extentMagic {
		return e, 0, errExtent
	}
	length = int(binary.BigEndian.Uint32(b[4:]))
	count, nodes := binary.BigEndian.Uint32(b[24:]), binary.BigEndian.Uint32(b[28:])
	if length < extentFixed+4 || length > maxExtentHeader || length > len(b) ||
		count == 0 || count > extentBlocks || nodes > extentNodes || b[32] > extentHasHead {
		return e, 0, errExtent
	}
	if crc32.Checksum(b[:length-4], castagnoli) != binary.BigEndian.Uint32(b[length-4:]) {
		return e, 0, errExtent
	}
	e.start = binary.BigEndian.Uint64(b[16:])
	rest := b[extentFixed : length-4]
	need := int(nodes) * extentNodeLen
	if b[32] == extentHasHead {
		need += extentHeadLen
	}
	if len(rest) < need+5*int(count) || e.start > MaxSeq-uint64(count) {
		return e, 0, errExtent
	}
	if b[32] == extentHasHead {
		e.head = &hypercore.Head{Length: binary.BigEndian.Uint64(rest), Size: binary.BigEndian.Uint64(rest[8:])}
		copy(e.head.RootHash[:], rest[16:])
		copy(e.head.Signature[:], rest[48:])
		rest = rest[extentHeadLen:]
	}
	for range nodes {
		n := merkle.Node{Index: binary.BigEndian.Uint64(rest), Size: binary.BigEndian.Uint64(rest[8:])}
		copy(n.Hash[:], rest[16:])
		e.nodes, rest = append(e.nodes, n), rest[extentNodeLen:]
	}
	if e.sizes, e.sums, err = parseSizes(rest, int(count)); err != nil || e.body() != binary.BigEndian.Uint64(b[8:]) {
		return extent{}, 0, errExtent
	}
	return e, length, nil
}

// parseSizes returns count uvarint sizes and as many checksums, which are all
// of b.
func parseSizes(b []byte, count int) (sizes, sums []uint32, err error) {
	if len(b) < 5*count {
		return nil, nil, errExtent
	}
	both := make([]uint32, 2*count)
	sizes, sums = both[:count:count], both[count:]
	for i := range sizes {
		size, n := binary.Uvarint(b)
		if n <= 0 || size > MaxBlock {
			return nil, nil, errExtent
		}
		sizes[i], b = uint32(size), b[n:]
	}
	if len(b) != 4*count {
		return nil, nil, errExtent
	}
	for i := range sums {
		sums[i] = binary.BigEndian.Uint32(b[4*i:])
	}
	return sizes, sums, nil
}

// longRun says whether the blocks, which follow each other, have at least so many
// bytes.
func longRun(blocks [][]byte, least int) bool {
	size := 0
	for _, b := range blocks {
		if size += len(b); size >= least {
			return true
		}
	}
	return false
}

// What a run needs to go to a data file, in bytes. Below longRunBytes, a second
// file to sync costs more than what is saved by writing the blocks once: durable
// runs of 128 KiB are 1.3 times as fast in the index, those of 256 KiB 1.4 times
// as fast in a file. Runs of batches for which nobody waits share their syncs, so
// that less is enough. See BenchmarkThreshold.
const (
	longRunBytes  = 256 << 10
	looseRunBytes = 64 << 10
)

// nextExtent returns how many of the blocks make the next extent.
func nextExtent(blocks [][]byte) (count int) {
	size := 0
	for count < len(blocks) && count < extentBlocks && size < extentBytes {
		size += len(blocks[count])
		count++
	}
	return count
}
