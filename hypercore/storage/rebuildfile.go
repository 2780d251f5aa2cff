package storage

import (
	"bytes"
	"cmp"
	"encoding/binary"
	"errors"
	"hash/crc32"
	"io"
	"slices"
	"sort"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/cobox-p2p/cobox-p2p/hypercore"
)

// dataFiles is the data files under one id, as far as they can be read without
// an index. It is for one goroutine.
type dataFiles struct {
	fs      vfs.FS
	dir     string
	id      uint64
	sizes   map[uint64]uint64 // by segment number: bytes of the file; unreadable ones have none
	extents []fileExtent      // ascending by their first block
	longest uint64            // blocks of the largest extent
	torn    int               // places at which no extent begins although something lies there

	open   map[uint64]vfs.File   // by segment number
	parsed map[extentName]*refOf // the extents that were used last
}

// fileExtent is where an extent lies.
type fileExtent struct {
	start, count uint64 // blocks
	name         extentName
	header       int // bytes
}

type extentName struct{ segment, offset uint64 }

// refOf is a ref to all blocks of an extent, and where each lies.
type refOf struct {
	ref
	offsets []uint64
}

const (
	maxOpenSegments = 4
	maxParsed       = 4       // extent headers that are kept at a time, of up to 1 MiB each
	searchBytes     = 1 << 20 // read at once when an extent header is searched for
)

// segmentOwner returns whose blocks a data file holds. It returns errExtent when
// the header is not right.
func segmentOwner(f io.ReaderAt) (id, number uint64, key hypercore.Key, err error) {
	b := make([]byte, segmentHeader)
	if _, err := f.ReadAt(b, 0); err != nil {
		return 0, 0, key, errors.Join(errExtent, err)
	}
	return parseSegmentHeader(b)
}

func newDataFiles(fsys vfs.FS, dir string, id uint64) *dataFiles {
	return &dataFiles{fs: fsys, dir: dir, id: id, sizes: make(map[uint64]uint64), open: make(map[uint64]vfs.File),
		parsed: make(map[extentName]*refOf)}
}

func (d *dataFiles) close() {
	for _, f := range d.open {
		f.Close()
	}
	clear(d.open)
}

// file returns an open data file.
func (d *dataFiles) file(number uint64) (vfs.File, error) {
	if f := d.open[number]; f != nil {
		return f, nil
	}
	f, err := d.fs.Open(d.fs.PathJoin(d.dir, segmentName(d.id, number)))
	if err != nil {
		return nil, err
	}
	if len(d.open) >= maxOpenSegments {
		d.close()
	}
	d.open[number] = f
	return f, nil
}

// add finds the extents of a data file, and calls visit for each. Where one
// should begin and none does, it looks for the next one behind.
func (d *dataFiles) add(number uint64, visit func(e *extent)) error {
	f, err := d.file(number)
	if err != nil {
		return err
	}
	info, err := f.Stat()
	if err != nil {
		return err
	}
	size := uint64(info.Size())
	d.sizes[number] = size
	for at := uint64(segmentHeader); at < size; {
		e, header, err := readExtent(f, at)
		if isOurs(err) {
			return err
		}
		if err != nil {
			d.torn++
			if at, err = findExtent(f, at+1, size); err != nil {
				return err
			}
			continue
		}
		count := uint64(len(e.sizes))
		d.longest = max(d.longest, count)
		d.extents = append(d.extents, fileExtent{e.start, count, extentName{number, at}, header})
		visit(&e)
		at += uint64(header) + e.body()
	}
	return nil
}

// sort is to be called after the last add.
func (d *dataFiles) sort() {
	slices.SortFunc(d.extents, func(a, b fileExtent) int { return cmp.Compare(a.start, b.start) })
}

// readExtent reads the extent header at the offset. It returns errExtent when
// there is none.
func readExtent(f io.ReaderAt, at uint64) (e extent, length int, err error) {
	var fixed [extentFixed]byte
	if _, err := f.ReadAt(fixed[:], int64(at)); err != nil {
		return e, 0, errors.Join(errExtent, err)
	}
	n := binary.BigEndian.Uint32(fixed[4:])
	if string(fixed[:4]) != extentMagic || n < extentFixed || n > maxExtentHeader {
		return e, 0, errExtent
	}
	b := make([]byte, n)
	if _, err := f.ReadAt(b, int64(at)); err != nil {
		return e, 0, errors.Join(errExtent, err)
	}
	return parseExtent(b)
}

// findExtent returns where the next extent header begins, or size. What looks
// like one inside a block does no harm: all blocks are checked against what the
// feed's key signed.
func findExtent(f io.ReaderAt, at, size uint64) (uint64, error) {
	buf := make([]byte, searchBytes)
	for at < size {
		n, err := f.ReadAt(buf[:min(searchBytes, size-at)], int64(at))
		if isOurs(err) {
			return 0, err
		}
		for b, from := buf[:n], 0; ; {
			i := bytes.Index(b[from:], []byte(extentMagic))
			if i < 0 {
				break
			}
			if _, _, err := readExtent(f, at+uint64(from+i)); err == nil {
				return at + uint64(from+i), nil
			}
			from += i + 1
		}
		if n < len(extentMagic) {
			break
		}
		at += uint64(n - len(extentMagic) + 1)
	}
	return size, nil
}

// near returns refs to the blocks of span that extents have, the newest last.
func (d *dataFiles) near(span hypercore.Span) (refs []ref, err error) {
	first := span.Start - min(span.Start, d.longest)
	i := sort.Search(len(d.extents), func(i int) bool { return d.extents[i].start >= first })
	for ; i < len(d.extents) && d.extents[i].start < span.End(); i++ {
		e := &d.extents[i]
		if e.start+e.count <= span.Start {
			continue
		}
		whole, err := d.parse(e)
		if err != nil {
			return nil, err
		}
		if whole == nil {
			continue
		}
		from := max(span.Start, e.start) - e.start
		to := min(span.End(), e.start+e.count) - e.start
		refs = append(refs, ref{e.start + from, e.name.segment, whole.offsets[from], whole.sizes[from:to], whole.sums[from:to]})
	}
	slices.SortStableFunc(refs, func(a, b ref) int {
		return cmp.Or(cmp.Compare(a.segment, b.segment), cmp.Compare(a.offset, b.offset))
	})
	return refs, nil
}

// parse reads the header of an extent again. It returns nil when that can't be
// read any more.
func (d *dataFiles) parse(e *fileExtent) (*refOf, error) {
	if r := d.parsed[e.name]; r != nil {
		return r, nil
	}
	f, err := d.file(e.name.segment)
	if err != nil {
		return nil, err
	}
	x, header, err := readExtent(f, e.name.offset)
	if isOurs(err) {
		return nil, err
	}
	if err != nil {
		return nil, nil
	}
	r := &refOf{ref: ref{x.start, e.name.segment, e.name.offset + uint64(header), x.sizes, x.sums}}
	at := r.offset
	for _, size := range x.sizes {
		r.offsets = append(r.offsets, at)
		at += uint64(size)
	}
	if len(d.parsed) >= maxParsed {
		clear(d.parsed)
	}
	d.parsed[e.name] = r
	return r, nil
}

// read calls visit for each block of the ref that is in its file as its checksum
// says. The blocks share a buffer that is theirs.
func (d *dataFiles) read(r *ref, visit func(i int, block []byte)) error {
	if r.offset > maxOffset {
		return nil
	}
	_, size := r.span(0, len(r.sizes))
	if d.sizes[r.segment] < r.offset {
		return nil
	}
	size = min(size, d.sizes[r.segment]-r.offset)
	f, err := d.file(r.segment)
	if err != nil {
		return err
	}
	buf := make([]byte, size)
	n, err := f.ReadAt(buf, int64(r.offset))
	if isOurs(err) {
		return err
	}
	at := 0
	for i, size := range r.sizes {
		end := at + int(size)
		if end > n {
			break
		}
		if block := buf[at:end:end]; crc32.Checksum(block, castagnoli) == r.sums[i] {
			visit(i, block)
		}
		at = end
	}
	return nil
}
