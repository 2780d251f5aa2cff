package storage

import (
	"encoding/binary"
	"sync"
)

// A ref is a pack whose blocks lie in a data file: version (1) = refVersion,
// uvarint count, uvarint segment, uvarint offset of the first block, a uvarint
// size for each block, a CRC-32C (4) for each block. The blocks lie one behind
// the other. A ref that is written for new blocks doesn't go over a multiple of
// packBlocks, so that few of them share a group of the cache.
const refVersion = 2

// ref is a parsed ref. It is not changed once it is made.
type ref struct {
	first   uint64   // block
	segment uint64   // number
	offset  uint64   // of the first block in the segment
	sizes   []uint32 // bytes of each block
	sums    []uint32 // CRC-32C of each block
}

// end returns the number of the first block behind those of the ref.
func (r *ref) end() uint64 { return r.first + uint64(len(r.sizes)) }

// span returns where in the segment the blocks from to to-1 of the ref lie.
func (r *ref) span(from, to int) (offset, size uint64) {
	offset = r.offset
	for _, n := range r.sizes[:from] {
		offset += uint64(n)
	}
	for _, n := range r.sizes[from:to] {
		size += uint64(n)
	}
	return offset, size
}

// part returns the ref of the blocks from to to-1 of the ref.
func (r *ref) part(from, to int) ref {
	offset, _ := r.span(from, to)
	return ref{r.first + uint64(from), r.segment, offset, r.sizes[from:to], r.sums[from:to]}
}

// append appends the record.
func (r *ref) append(b []byte) []byte {
	b = append(b, refVersion)
	b = binary.AppendUvarint(b, uint64(len(r.sizes)))
	b = binary.AppendUvarint(b, r.segment)
	b = binary.AppendUvarint(b, r.offset)
	for _, size := range r.sizes {
		b = binary.AppendUvarint(b, uint64(size))
	}
	for _, sum := range r.sums {
		b = binary.BigEndian.AppendUint32(b, sum)
	}
	return b
}

// isRef says whether a pack's record is that of a ref.
func isRef(b []byte) bool { return len(b) > 0 && b[0] == refVersion }

// parseRef returns the ref in b, whose last block has the number end-1, or
// ErrDamaged.
func parseRef(b []byte, end uint64) (*ref, error) {
	if !isRef(b) {
		return nil, ErrDamaged
	}
	b = b[1:]
	var numbers [3]uint64
	for i := range numbers {
		n, size := binary.Uvarint(b)
		if size <= 0 {
			return nil, ErrDamaged
		}
		numbers[i], b = n, b[size:]
	}
	count := numbers[0]
	if count == 0 || count > packBlocks || count > end || numbers[2] > maxOffset {
		return nil, ErrDamaged
	}
	sizes, sums, err := parseSizes(b, int(count))
	if err != nil {
		return nil, ErrDamaged
	}
	return &ref{end - count, numbers[1], numbers[2], sizes, sums}, nil
}

// maxOffset bounds offsets in a data file, far beyond what segmentBytes allows.
const maxOffset = 1 << 40

// refCacheSize is how many refs are remembered, at about 600 bytes each: enough
// for random reads within 8 GiB of blocks of 64 KiB.
const refCacheSize = 2048

// refCache remembers parsed refs by group, the packBlocks blocks that they are
// of. It keeps one ref for a group, two generations of groups, and forgets all
// when blocks are removed.
type refCache struct {
	mu       sync.RWMutex // guards all below
	removals uint64       // counts calls of clear
	young    map[refGroup]*ref
	old      map[refGroup]*ref
}

type refGroup struct{ id, group uint64 }

// get returns the cached ref that has the block, nil when there is none.
func (c *refCache) get(id, seq uint64) *ref {
	group := refGroup{id, seq / packBlocks}
	c.mu.RLock()
	r, young := c.young[group]
	if !young {
		r = c.old[group]
	}
	removals := c.removals
	c.mu.RUnlock()
	if r == nil || seq < r.first || seq >= r.end() {
		return nil
	}
	if !young {
		c.put(id, r, removals)
	}
	return r
}

// generation is to be asked before a ref is read that shall be put.
func (c *refCache) generation() uint64 {
	c.mu.RLock()
	defer c.mu.RUnlock()
	return c.removals
}

// put remembers a ref that was read since generation returned removals, unless
// blocks were removed meanwhile.
func (c *refCache) put(id uint64, r *ref, removals uint64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.removals != removals {
		return
	}
	if c.young == nil || len(c.young) >= refCacheSize/2 {
		c.old, c.young = c.young, make(map[refGroup]*ref)
	}
	c.young[refGroup{id, r.first / packBlocks}] = r
}

// clear forgets everything. It is called after blocks were removed and before
// the Commit that did so returns.
func (c *refCache) clear() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.removals++
	c.young, c.old = nil, nil
}
