package storage

import (
	"errors"

	"github.com/cockroachdb/pebble/v2"

	"github.com/cobox-p2p/cobox-p2p/hypercore/merkle"
)

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
		if err := w.writeNode(id, n); err != nil {
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

func (w *writer) writeNode(id uint64, n *merkle.Node) error {
	op := w.batch.SetDeferred(dataKeySize, storedNodeSize)
	putDataKey(op.Key, id, kindNode, n.Index)
	putNode(op.Value, n)
	return op.Finish()
}

// truncateNodes removes the stored nodes that don't belong to a tree of length
// blocks: all from index 2*length on, and those before it that have such blocks
// below them, at most one on each level.
func (w *writer) truncateNodes(id, length uint64) error {
	end := 2 * length
	lower := newDataKey(id, kindNode, end)
	_, upper := kindBounds(id, kindNode)
	if err := w.batch.DeleteRange(lower[:], upper, nil); err != nil {
		return err
	}
	for level := uint(1); uint64(1)<<level-1 < end; level++ {
		index := length>>level<<(level+1) + 1<<level - 1
		if index >= end || length&(1<<level-1) == 0 {
			continue
		}
		k := newDataKey(id, kindNode, index)
		if err := w.batch.Delete(k[:], nil); err != nil {
			return err
		}
	}
	lower = newDataKey(id, kindPage, (end+pageStride-1)/pageStride)
	_, upper = kindBounds(id, kindPage)
	if err := w.batch.DeleteRange(lower[:], upper, nil); err != nil {
		return err
	}
	if end%pageStride == 0 {
		return nil
	}
	return w.splitPage(id, end/pageStride, length)
}

// splitPage replaces a full page by those of its nodes that belong to a tree of
// length blocks.
func (w *writer) splitPage(id, page, length uint64) error {
	k := newDataKey(id, kindPage, page)
	value, closer, err := w.s.db.Get(k[:])
	if errors.Is(err, pebble.ErrNotFound) {
		return nil
	}
	if err != nil {
		return err
	}
	defer closer.Close()
	for place := range pageNodes {
		index := page*pageStride + uint64(place)
		n, err := parsePageNode(index, place, value)
		if err != nil {
			return err
		}
		if nodeSpan(index).End() > length {
			continue
		}
		if err := w.writeNode(id, &n); err != nil {
			return err
		}
	}
	return w.batch.Delete(k[:], nil)
}
