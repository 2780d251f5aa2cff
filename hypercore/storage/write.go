package storage

import (
	"encoding/binary"
	"errors"
	"sort"

	"github.com/cockroachdb/pebble/v2"

	"github.com/cobox-p2p/cobox-p2p/hypercore"
	"github.com/cobox-p2p/cobox-p2p/hypercore/merkle"
)

// writer turns one hypercore.Batch into one batch of the database. The store's
// mu is held while it works.
type writer struct {
	s      *Store
	batch  *pebble.Batch
	nextID uint64
	feeds  map[hypercore.Key]*feedWriter
	order  []*feedWriter    // every feedWriter made, oldest first
	spans  *pebble.Iterator // made when first needed
}

// feedWriter is what a batch does to one stored feed.
type feedWriter struct {
	key  hypercore.Key
	rec  headRecord
	new  bool // nothing is stored under its id yet
	gone bool // dropped by this batch
	runs []hypercore.Run
	last hypercore.Span // held when the batch is applied; Count 0 when it has no runs
}

func newWriter(s *Store) *writer {
	return &writer{s: s, batch: s.db.NewBatch(), nextID: s.nextID, feeds: make(map[hypercore.Key]*feedWriter, 1)}
}

func (w *writer) close() {
	if w.spans != nil {
		w.spans.Close()
	}
	w.batch.Close()
}

// build fills the batch from b. After an error the writer is of no use.
func (w *writer) build(b *hypercore.Batch) error {
	for i := range b.Feeds {
		if err := w.feed(&b.Feeds[i]); err != nil {
			return err
		}
	}
	for _, f := range w.order {
		if f.gone {
			continue
		}
		if err := w.writeRuns(f); err != nil {
			return err
		}
		if err := w.batch.Set(feedKey(f.key), f.rec.append(make([]byte, 0, headSize)), nil); err != nil {
			return err
		}
	}
	if w.nextID != w.s.nextID {
		if err := w.batch.Set(nextKey, binary.BigEndian.AppendUint64(nil, w.nextID), nil); err != nil {
			return err
		}
	}
	for _, r := range b.Records {
		if err := w.record(r); err != nil {
			return err
		}
	}
	return nil
}

func (w *writer) record(r hypercore.Record) error {
	if r.Value == nil {
		return w.batch.Delete(recordKey(r.Key), nil)
	}
	return w.batch.Set(recordKey(r.Key), r.Value, nil)
}

// feed applies fw but for its runs, which writeRuns takes together with those of
// later writes to the same feed.
func (w *writer) feed(fw *hypercore.FeedWrite) error {
	f, err := w.load(fw.Key)
	if err != nil {
		return err
	}
	if fw.Drop {
		return w.drop(f)
	}
	if f == nil {
		f = &feedWriter{key: fw.Key, new: true, rec: headRecord{id: w.nextID}}
		w.nextID++
		w.add(f)
	}
	if fw.Head != nil {
		f.rec.head = *fw.Head
	}
	f.runs = append(f.runs, fw.Runs...)
	return w.writeNodes(f.rec.id, fw.Nodes)
}

// load returns the feed as the batch has left it so far, nil when it is not
// stored.
func (w *writer) load(key hypercore.Key) (*feedWriter, error) {
	if f := w.feeds[key]; f != nil {
		if f.gone {
			return nil, nil
		}
		return f, nil
	}
	rec, err := w.s.headOf(key)
	if errors.Is(err, hypercore.ErrNoFeed) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	f := &feedWriter{key: key, rec: rec}
	w.add(f)
	return f, nil
}

func (w *writer) add(f *feedWriter) {
	w.feeds[f.key] = f
	w.order = append(w.order, f)
}

func (w *writer) drop(f *feedWriter) error {
	if f == nil {
		return nil
	}
	f.gone, f.runs = true, nil
	lower, upper := feedBounds(f.rec.id)
	if err := w.batch.DeleteRange(lower, upper, nil); err != nil {
		return err
	}
	return w.batch.Delete(feedKey(f.key), nil)
}

// writeNodes writes full pages and what is left as single nodes.
func (w *writer) writeNodes(id uint64, nodes []merkle.Node) error {
	pages := fullPages(nodes)
	for i := range nodes {
		n := &nodes[i]
		page, place, ok := pageOf(n.Index)
		if value, full := pages[page]; ok && full {
			if value == nil {
				value = make([]byte, pageSize)
				pages[page] = value
			}
			putNode(value[place*storedNodeSize:], n)
			continue
		}
		op := w.batch.SetDeferred(dataKeySize, storedNodeSize)
		putDataKey(op.Key, id, kindNode, n.Index)
		putNode(op.Value, n)
		if err := op.Finish(); err != nil {
			return err
		}
	}
	for page, value := range pages {
		k := newDataKey(id, kindPage, page)
		if err := w.batch.Set(k[:], value, nil); err != nil {
			return err
		}
	}
	return nil
}

// writePacks writes blocks that are not held, from seq on.
func (w *writer) writePacks(f *feedWriter, seq uint64, blocks [][]byte) error {
	f.rec.blocks += uint64(len(blocks))
	for len(blocks) > 0 {
		count, length := nextPack(blocks)
		op := w.batch.SetDeferred(dataKeySize, length)
		putDataKey(op.Key, f.rec.id, kindBlocks, seq+uint64(count)-1)
		putPack(op.Value, blocks[:count])
		if err := op.Finish(); err != nil {
			return err
		}
		for _, b := range blocks[:count] {
			f.rec.bytes += uint64(len(b))
		}
		blocks, seq = blocks[count:], seq+uint64(count)
	}
	return nil
}

// writeRuns writes the blocks of the feed's runs that are not held and tells
// what is held then. It takes the runs in ascending order, so that each stored
// span is met once; where runs overlap the first counts.
func (w *writer) writeRuns(f *feedWriter) error {
	if len(f.runs) == 0 {
		return nil
	}
	sort.SliceStable(f.runs, func(i, j int) bool { return f.runs[i].Start < f.runs[j].Start })
	h := holder{w: w, f: f}
	if err := h.open(); err != nil {
		return err
	}
	next := uint64(0)
	for _, run := range f.runs {
		if run.Span().End() <= next || len(run.Blocks) == 0 {
			continue
		}
		if run.Start < next {
			run.Blocks = run.Blocks[next-run.Start:]
			run.Start = next
		}
		if err := h.add(run); err != nil {
			return err
		}
		next = run.Span().End()
	}
	f.last = h.cur
	return h.flush()
}
