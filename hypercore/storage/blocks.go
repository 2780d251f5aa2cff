package storage

import (
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"io/fs"

	"github.com/cockroachdb/pebble/v2"

	"github.com/cobox-p2p/cobox-p2p/hypercore"
)

const (
	// readBlocksHint is for how many blocks a read makes room before it has seen
	// that they are held.
	readBlocksHint = 1 << 12
	// readBytes bounds what is read from a data file at once into one buffer,
	// unless a single ref has more.
	readBytes = 4 << 20
	// readAttempts bounds how often a read begins anew because what it wanted to
	// read was replaced meanwhile.
	readAttempts = 8
)

// Blocks implements hypercore.Storage. It returns hypercore.ErrNoBlock for a
// feed that is not stored, and nothing for an empty span. Blocks that were
// written together share one buffer; each is capped at its own end.
func (s *Store) Blocks(key hypercore.Key, span hypercore.Span) ([][]byte, error) {
	if err := s.use(); err != nil {
		return nil, err
	}
	defer s.life.RUnlock()
	if span.Count == 0 {
		return nil, nil
	}
	if span.Start > MaxSeq || span.Count > MaxSeq-span.Start {
		return nil, hypercore.ErrNoBlock
	}
	id, err := s.idOf(key)
	if errors.Is(err, hypercore.ErrNoFeed) {
		return nil, hypercore.ErrNoBlock
	}
	if err != nil {
		return nil, err
	}
	blocks, err := s.readBlocks(id, span)
	if err != nil && !errors.Is(err, hypercore.ErrNoBlock) {
		return nil, s.wrap(fmt.Sprintf("read blocks %d to %d of feed %s", span.Start, span.End()-1, key.Discovery()), err)
	}
	return blocks, err
}

// fileError is a block that a data file didn't give back. It wraps ErrDamaged,
// unless the file is there and can't be opened.
type fileError struct {
	id, segment, offset uint64 // of the block
	seq                 uint64
	err                 error
}

func (e *fileError) Error() string {
	return fmt.Sprintf("block %d in %s at %d: %v", e.seq, segmentName(e.id, e.segment), e.offset, e.err)
}
func (e *fileError) Unwrap() error { return e.err }

// readBlocks reads the blocks. Before it believes that a file is damaged it looks
// up once more where the block lies: it may just have been cleared or replaced.
func (s *Store) readBlocks(id uint64, span hypercore.Span) (blocks [][]byte, err error) {
	var last *fileError
	for attempt := range readAttempts {
		blocks, err = s.readOnce(id, span, attempt == 0)
		var failed *fileError
		if !errors.As(err, &failed) {
			return blocks, err
		}
		if last != nil && last.segment == failed.segment && last.offset == failed.offset {
			break
		}
		last = failed
	}
	return nil, err
}

// readOnce looks up where the blocks lie, in the cache if it may, and reads them.
func (s *Store) readOnce(id uint64, span hypercore.Span, cached bool) ([][]byte, error) {
	if cached {
		if r := s.refs.get(id, span.Start); r != nil && span.End() <= r.end() {
			f := fileReads{s: s, id: id, blocks: make([][]byte, 0, span.Count)}
			f.add(r, int(span.Start-r.first), int(span.End()-r.first))
			return f.read()
		}
	}
	f := fileReads{s: s, id: id, blocks: make([][]byte, 0, min(span.Count, readBlocksHint))}
	if err := f.lookup(span); err != nil {
		return nil, err
	}
	return f.read()
}

// fileReads is blocks of one feed on their way to the caller: those of packs are
// there, those of refs are still nil.
type fileReads struct {
	s      *Store
	id     uint64
	blocks [][]byte
	parts  []filePart
}

// filePart is neighbouring blocks of a ref.
type filePart struct {
	ref          *ref
	from, to     int // blocks of the ref
	place        int // in blocks
	offset, size uint64
}

// lookup finds the packs from that which holds span.Start on.
func (f *fileReads) lookup(span hypercore.Span) (err error) {
	generation := f.s.refs.generation()
	_, upper := kindBounds(f.id, kindBlocks)
	lower := newDataKey(f.id, kindBlocks, span.Start)
	it, err := f.s.db.NewIter(&pebble.IterOptions{LowerBound: lower[:], UpperBound: upper})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, it.Close()) }()
	next := span.Start
	for ok := it.First(); ok && next < span.End(); ok = it.Next() {
		next, err = f.pack(dataNumber(it.Key())+1, it.Value(), next, span.End(), generation)
		if err != nil {
			return err
		}
	}
	if err := it.Error(); err != nil {
		return err
	}
	if next < span.End() {
		return hypercore.ErrNoBlock
	}
	return nil
}

// pack takes the blocks from next on to limit-1, if it has that many, of the
// pack whose last block is end-1. It returns the first block that it didn't take.
func (f *fileReads) pack(end uint64, value []byte, next, limit, generation uint64) (uint64, error) {
	to := min(end, limit)
	if isRef(value) {
		r, err := parseRef(value, end)
		if err != nil {
			return 0, err
		}
		if r.first > next {
			return 0, hypercore.ErrNoBlock
		}
		f.s.refs.put(f.id, r, generation)
		f.add(r, int(next-r.first), int(to-r.first))
		return to, nil
	}
	p, err := parsePack(value)
	if err != nil || uint64(p.count) > end {
		return 0, ErrDamaged
	}
	first := end - uint64(p.count)
	if first > next {
		return 0, hypercore.ErrNoBlock
	}
	f.blocks = p.appendBlocks(f.blocks, int(next-first), int(to-first))
	return to, nil
}

// add leaves room for the blocks from to to-1 of the ref, to be read.
func (f *fileReads) add(r *ref, from, to int) {
	offset, size := r.span(from, to)
	f.parts = append(f.parts, filePart{r, from, to, len(f.blocks), offset, size})
	for range to - from {
		f.blocks = append(f.blocks, nil)
	}
}

// read fills in what is missing. Parts that lie one behind the other are read at
// once.
func (f *fileReads) read() ([][]byte, error) {
	for parts := f.parts; len(parts) > 0; {
		n, size := 1, parts[0].size
		for n < len(parts) && parts[n].ref.segment == parts[0].ref.segment &&
			parts[n].offset == parts[0].offset+size && size+parts[n].size <= readBytes {
			size += parts[n].size
			n++
		}
		if err := f.readParts(parts[:n], make([]byte, size)); err != nil {
			return nil, err
		}
		parts = parts[n:]
	}
	return f.blocks, nil
}

// readParts reads parts that lie one behind the other into buf and checks them.
func (f *fileReads) readParts(parts []filePart, buf []byte) error {
	n, readErr := 0, error(nil)
	if len(buf) > 0 {
		n, readErr = f.readAt(parts[0].ref.segment, buf, parts[0].offset)
	}
	at := 0
	for i := range parts {
		p := &parts[i]
		for j, size := range p.ref.sizes[p.from:p.to] {
			end := at + int(size)
			if end > n || crc32.Checksum(buf[at:end], castagnoli) != p.ref.sums[p.from+j] {
				return f.failed(p, j, parts[0].offset+uint64(at), end > n, readErr)
			}
			f.blocks[p.place+j] = buf[at:end:end]
			at = end
		}
	}
	return nil
}

// failed says what is wrong with the j-th block of a part.
func (f *fileReads) failed(p *filePart, j int, offset uint64, short bool, readErr error) error {
	err := error(ErrDamaged)
	switch {
	case !short:
		err = fmt.Errorf("%w: wrong checksum", ErrDamaged)
	case errors.Is(readErr, io.EOF):
		err = fmt.Errorf("%w: file is too short", ErrDamaged)
	case errors.Is(readErr, fs.ErrNotExist):
		err = fmt.Errorf("%w: file is missing", ErrDamaged)
	case errors.As(readErr, new(*openError)):
		err = readErr
	case readErr != nil:
		err = fmt.Errorf("%w: %w", ErrDamaged, readErr)
	}
	return &fileError{f.id, p.ref.segment, offset, p.ref.first + uint64(p.from+j), err}
}

// openError is a data file that can't be opened.
type openError struct{ error }

func (e *openError) Unwrap() error { return e.error }

func (f *fileReads) readAt(number uint64, buf []byte, offset uint64) (int, error) {
	h, err := f.s.handles.get(f.id, number)
	if err != nil {
		return 0, &openError{err}
	}
	defer f.s.handles.put(h)
	return h.file.ReadAt(buf, int64(offset))
}
