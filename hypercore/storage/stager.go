package storage

import (
	"encoding/binary"
	"errors"
	"hash/crc32"
	"io/fs"

	"github.com/cobox-p2p/cobox-p2p/hypercore"
	"github.com/cobox-p2p/cobox-p2p/hypercore/merkle"
)

// stager writes the extents of one feed.
type stager struct {
	s      *Store
	plan   *feedPlan
	urgent bool
	out    *staged

	file    segmentFile
	number  uint64           // of the segment that is open in file
	extents []unsyncedExtent // written to it
	bodies  int              // bytes of their blocks
	header  []byte           // scratch
}

// run writes the parts to segments.
func (w *stager) run(parts []hypercore.Run) (err error) {
	nodes := w.outsideNodes(parts)
	for _, part := range parts {
		for blocks := part.Blocks; len(blocks) > 0 && err == nil; {
			count := nextExtent(blocks)
			e := extent{start: part.Start + uint64(len(part.Blocks)-len(blocks)), head: w.plan.head, nodes: nodes}
			err = w.extent(&e, blocks[:count])
			blocks = blocks[count:]
		}
	}
	return w.finish(err)
}

// outsideNodes returns the nodes that can't be hashed from the parts.
func (w *stager) outsideNodes(parts []hypercore.Run) (nodes []merkle.Node) {
	var inside spanSet
	for _, part := range parts {
		inside = append(inside, part.Span())
	}
	nodes = append(nodes, w.plan.anchor...)
	for i := range w.plan.nodes {
		if len(nodes) >= extentNodes {
			break
		}
		if !inside.contains(nodeSpan(w.plan.nodes[i].Index)) {
			nodes = append(nodes, w.plan.nodes[i])
		}
	}
	return nodes[:min(len(nodes), extentNodes)]
}

// extent writes one extent to the segment that has room for it.
func (w *stager) extent(e *extent, blocks [][]byte) error {
	e.sizes, e.sums = make([]uint32, len(blocks)), make([]uint32, len(blocks))
	body := 0
	for i, b := range blocks {
		e.sizes[i] = uint32(len(b))
		e.sums[i] = crc32.Checksum(b, castagnoli)
		body += len(b)
	}
	w.header = e.append(w.header[:0])
	length := uint64(len(w.header))
	if err := w.open(length + uint64(body)); err != nil {
		return err
	}
	offset := w.file.end
	if err := w.file.write(w.header, blocks); err != nil {
		return err
	}
	w.extents = append(w.extents, unsyncedExtent{id: w.out.id, segment: w.number, offset: offset, header: length,
		body: uint64(body), sum: binary.BigEndian.Uint32(w.header[length-4:])})
	w.bodies += body
	w.out.size += body
	w.out.ends[w.number] = w.file.end
	w.out.placed = append(w.out.placed, placed{e.start, w.number, offset + length, e.sizes, e.sums})
	return nil
}

// open makes w.file a segment that takes size more bytes.
func (w *stager) open(size uint64) error {
	if w.file.tail != nil {
		if w.file.end+size <= w.s.segmentBytes {
			return nil
		}
		if err := w.finish(nil); err != nil {
			return err
		}
	}
	id := w.out.id
	if n := w.out.segments; n > 0 && w.out.ends[n-1] == 0 {
		rec, ok, err := w.s.segment(id, n-1)
		if err != nil {
			return err
		}
		if ok && rec.end+size <= w.s.segmentBytes && !w.s.isSpoiled(id, n-1) {
			w.number = n - 1
			err := w.file.reopen(w.s, fileName{id, n - 1}, rec.end)
			if err == nil || !errors.Is(err, fs.ErrNotExist) {
				return err
			}
		}
	}
	w.number = w.out.segments
	for w.s.isSpoiled(id, w.number) {
		w.number++
	}
	w.out.segments = w.number + 1
	w.out.created = append(w.out.created, w.number)
	return w.file.create(w.s, fileName{id, w.number}, appendSegmentHeader(nil, id, w.number, w.plan.key))
}

// finish ends the segment that is open: it is synced, or noted as one to be
// synced. With an error, of its writes or of the sync, the segment takes no more,
// and its tail is given back.
func (w *stager) finish(err error) error {
	f := w.file.tail
	if f == nil {
		return err
	}
	later := !w.urgent && w.s.tails.mayWait(f)
	if err == nil && !later {
		if w.file.made {
			err = w.s.tails.syncFolder()
		}
		if err == nil {
			err = f.file.SyncData()
		}
	}
	if err == nil && later {
		if w.file.made {
			w.s.tails.noteFolder()
		}
		w.out.unsynced = append(w.out.unsynced, w.extents...)
		w.out.tails = append(w.out.tails, f)
		w.out.waiting += w.bodies
	} else {
		w.s.tails.put(f)
	}
	if err != nil {
		w.s.spoil(f.name)
	}
	w.file, w.extents, w.bodies = segmentFile{}, w.extents[:0], 0
	return err
}
