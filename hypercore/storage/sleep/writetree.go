package sleep

import (
	"context"
	"errors"

	"github.com/cobox-p2p/cobox-p2p/hypercore"
	"github.com/cobox-p2p/cobox-p2p/hypercore/flattree"
	"github.com/cobox-p2p/cobox-p2p/hypercore/merkle"
)

// The blocks that are read together: as many as lie below one node, and no more
// bytes than one large block.
const (
	maxReadDepth = 6 // 64 blocks
	maxReadSize  = MaxBlock
)

// feedWriter is one run of Write. It goes through the tree from left to right, so
// that each file is written from its beginning to its end.
type feedWriter struct {
	Writing
	ctx      context.Context
	roots    merkle.Roots
	folder   *folder
	progress func(Progress)

	tree, data *output
	held       hypercore.Bitfield
	bits       bitmap
	ahead      [][]byte // blocks read together
	aheadFrom  uint64   // number of the first of them
	entry      [treeEntry]byte
	done       Progress
	untold     int
	found      damages
	report     Report
}

// writeTree writes nodes and blocks, and notes their bits.
func (w *feedWriter) writeTree() (err error) {
	if w.tree, err = w.folder.create(treeFile); err != nil {
		return err
	}
	if w.data, err = w.folder.create(dataFile); err != nil {
		return errors.Join(err, w.tree.f.Close())
	}
	if err = w.tree.writeAt(treeHeader.appendTo(nil), 0); err == nil {
		err = w.walkRoots()
	}
	return errors.Join(err, w.tree.finish(), w.data.finish())
}

func (w *feedWriter) walkRoots() error {
	offset := uint64(0)
	for _, root := range w.roots.Nodes() {
		if err := w.walk(root, offset); err != nil {
			return err
		}
		offset += root.Size
	}
	w.told()
	return nil
}

// walk writes the node n, which is proved, and what is needed below it. offset is
// where its first block begins.
func (w *feedWriter) walk(n merkle.Node, offset uint64) error {
	left, right, inner := flattree.Children(n.Index)
	span := hypercore.Span{Start: flattree.LeftSpan(n.Index) / 2, Count: flattree.Blocks(n.Index)}
	next, any := w.held.NextSet(span.Start)
	if !any || next >= span.End() {
		return w.node(n)
	}
	if !inner {
		return w.leaf(n, offset)
	}
	w.readAhead(n, span)
	a, errA := w.Source.Node(left)
	b, errB := w.Source.Node(right)
	if errA != nil || errB != nil || a.Size > n.Size || b.Size != n.Size-a.Size || merkle.Parent(a, b) != n {
		w.lose(treeFile, BadNode, span, errors.Join(errA, errB))
		return w.node(n)
	}
	if err := w.walk(a, offset); err != nil {
		return err
	}
	if err := w.node(n); err != nil {
		return err
	}
	return w.walk(b, offset+a.Size)
}

// readAhead reads all blocks below n together if they are held, small and few.
func (w *feedWriter) readAhead(n merkle.Node, span hypercore.Span) {
	if flattree.Depth(n.Index) > maxReadDepth || n.Size > maxReadSize || !w.held.Contains(span) {
		return
	}
	if span.Start >= w.aheadFrom && span.End() <= w.aheadFrom+uint64(len(w.ahead)) {
		return
	}
	// What can't be read together is read one by one.
	w.ahead, w.aheadFrom = nil, span.Start
	if blocks, err := w.Source.Blocks(span); err == nil && uint64(len(blocks)) == span.Count {
		w.ahead = blocks
	}
}

// leaf writes the block below n and n itself.
func (w *feedWriter) leaf(n merkle.Node, offset uint64) error {
	if err := w.ctx.Err(); err != nil {
		return err
	}
	seq := n.Index / 2
	b, err := w.block(seq)
	if err != nil || merkle.Leaf(seq, b) != n {
		w.lose(dataFile, BadBlock, hypercore.Span{Start: seq, Count: 1}, err)
		return w.node(n)
	}
	if len(b) > 0 {
		if err := w.data.writeAt(b, int64(offset)); err != nil {
			return err
		}
	}
	w.bits.setBlock(seq)
	w.report.Blocks++
	w.report.Bytes += uint64(len(b))
	w.done.Blocks, w.done.Bytes = w.done.Blocks+1, w.report.Bytes
	if w.untold += len(b) + blockCost; w.untold >= progressEvery {
		w.told()
	}
	return w.node(n)
}

func (w *feedWriter) block(seq uint64) ([]byte, error) {
	if seq >= w.aheadFrom && seq-w.aheadFrom < uint64(len(w.ahead)) {
		return w.ahead[seq-w.aheadFrom], nil
	}
	blocks, err := w.Source.Blocks(hypercore.Span{Start: seq, Count: 1})
	if err == nil && len(blocks) != 1 {
		err = hypercore.ErrNoBlock
	}
	if err != nil {
		return nil, err
	}
	return blocks[0], nil
}

func (w *feedWriter) node(n merkle.Node) error {
	w.bits.setNode(n.Index)
	return w.tree.writeAt(appendNode(w.entry[:0], n), headerSize+treeEntry*int64(n.Index))
}

// lose names the held blocks of span as left out.
func (w *feedWriter) lose(file string, reason Reason, span hypercore.Span, err error) {
	for s := range w.held.Spans(span.Start, span.End()) {
		w.found.add(Damage{File: file, Reason: reason, Span: s, Err: err})
		w.report.Lost += s.Count
		w.done.Blocks += s.Count
	}
}

func (w *feedWriter) told() {
	w.untold = 0
	if w.progress != nil {
		w.progress(w.done)
	}
}
