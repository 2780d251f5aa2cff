package storage

import "encoding/binary"

// A pack is the blocks of one record: version (1), uvarint count, a uvarint
// size for each block, then their bytes. Packs of a feed never overlap.
const (
	packVersion = 1
	packBlocks  = 64        // blocks of one pack at most
	packBytes   = 256 << 10 // bytes of the blocks of one pack, unless it is a single block
)

// nextPack returns how many of the blocks make the next pack, at least one, and
// the length of that pack in bytes.
func nextPack(blocks [][]byte) (count, length int) {
	body, sizes := 0, 0
	for _, b := range blocks[:min(len(blocks), packBlocks)] {
		if count > 0 && body+len(b) > packBytes {
			break
		}
		count++
		body += len(b)
		sizes += uvarintLen(uint64(len(b)))
	}
	return count, 1 + uvarintLen(uint64(count)) + sizes + body
}

// putPack writes a pack of the blocks to b, whose length is what nextPack said.
func putPack(b []byte, blocks [][]byte) {
	b[0] = packVersion
	b = b[1:]
	b = b[binary.PutUvarint(b, uint64(len(blocks))):]
	for _, block := range blocks {
		b = b[binary.PutUvarint(b, uint64(len(block))):]
	}
	for _, block := range blocks {
		b = b[copy(b, block):]
	}
}

// pack is a parsed pack. Its slices are those of the record.
type pack struct {
	count int
	sizes []byte // count uvarints
	body  []byte // Invariant: as long as the sizes say
}

// parsePack checks the whole pack in b, or returns ErrDamaged.
func parsePack(b []byte) (pack, error) {
	if len(b) == 0 || b[0] != packVersion {
		return pack{}, ErrDamaged
	}
	b = b[1:]
	count, n := binary.Uvarint(b)
	if n <= 0 || count == 0 || count > packBlocks {
		return pack{}, ErrDamaged
	}
	b = b[n:]
	rest, total := b, uint64(0)
	for range count {
		size, n := binary.Uvarint(rest)
		if n <= 0 || size > MaxBlock {
			return pack{}, ErrDamaged
		}
		rest = rest[n:]
		total += size
	}
	if total != uint64(len(rest)) {
		return pack{}, ErrDamaged
	}
	return pack{count: int(count), sizes: b[:len(b)-len(rest)], body: rest}, nil
}

// appendBlocks appends copies of the blocks from to to-1 of the pack, which
// must be in it. All share one new buffer, each capped at its own end.
func (p pack) appendBlocks(blocks [][]byte, from, to int) [][]byte {
	sizes, start := p.sizes, 0
	for range from {
		size, n := binary.Uvarint(sizes)
		sizes, start = sizes[n:], start+int(size)
	}
	end, rest := start, sizes
	for range to - from {
		size, n := binary.Uvarint(rest)
		rest, end = rest[n:], end+int(size)
	}
	buf := copyOf(p.body[start:end])
	at := 0
	for range to - from {
		size, n := binary.Uvarint(sizes)
		sizes = sizes[n:]
		next := at + int(size)
		blocks = append(blocks, buf[at:next:next])
		at = next
	}
	return blocks
}

func uvarintLen(n uint64) int {
	length := 1
	for ; n >= 0x80; n >>= 7 {
		length++
	}
	return length
}
