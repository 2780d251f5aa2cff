package storage

import (
	"encoding/binary"

	"github.com/cobox-p2p/cobox-p2p/hypercore/merkle"
)

// Tree nodes lie in one record each, size (8) and hash (32), but for full
// pages: when one batch brings all nodes of an aligned tree of 64 leaves, they
// make one record of 127 times size and hash, in order of their indices. That
// spares nearly all keys of a feed that is read from a peer or appended in bulk.
const (
	storedNodeSize = 8 + merkle.HashSize
	pageNodes      = 127 // nodes of a tree of 64 leaves
	pageStride     = 128 // indices from page to page; the last is of a higher node
	pageSize       = pageNodes * storedNodeSize
)

// pageOf returns the page of a node and its place there. Nodes above the pages
// have none.
func pageOf(index uint64) (page uint64, place int, ok bool) {
	place = int(index % pageStride)
	return index / pageStride, place, place < pageNodes
}

// putNode writes the node to b, which has storedNodeSize bytes.
func putNode(b []byte, n *merkle.Node) {
	binary.BigEndian.PutUint64(b, n.Size)
	copy(b[8:], n.Hash[:])
}

// parseNode returns the node in b, or ErrDamaged.
func parseNode(index uint64, b []byte) (merkle.Node, error) {
	if len(b) != storedNodeSize {
		return merkle.Node{}, ErrDamaged
	}
	return merkle.Node{Index: index, Size: binary.BigEndian.Uint64(b), Hash: merkle.Hash(b[8:])}, nil
}

// parsePageNode returns the node at place of the page in b, or ErrDamaged.
func parsePageNode(index uint64, place int, b []byte) (merkle.Node, error) {
	if len(b) != pageSize {
		return merkle.Node{}, ErrDamaged
	}
	return parseNode(index, b[place*storedNodeSize:][:storedNodeSize])
}

// pageMask is the places of a page that a batch brings.
type pageMask [2]uint64

func (m *pageMask) set(place int) { m[place/64] |= 1 << (place % 64) }

func (m *pageMask) full() bool { return m[0] == 1<<64-1 && m[1] == 1<<63-1 }

// fullPages returns the pages of which nodes has every node; the value is left
// for the caller to fill.
func fullPages(nodes []merkle.Node) map[uint64][]byte {
	if len(nodes) < pageNodes {
		return nil
	}
	masks := make(map[uint64]*pageMask)
	for i := range nodes {
		page, place, ok := pageOf(nodes[i].Index)
		if !ok {
			continue
		}
		m := masks[page]
		if m == nil {
			m = new(pageMask)
			masks[page] = m
		}
		m.set(place)
	}
	full := make(map[uint64][]byte)
	for page, m := range masks {
		if m.full() {
			full[page] = nil
		}
	}
	return full
}
