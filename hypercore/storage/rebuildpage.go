package storage

import (
	"encoding/binary"
	"runtime"
	"sync"
	"sync/atomic"

	"github.com/cobox-p2p/cobox-p2p/hypercore/flattree"
	"github.com/cobox-p2p/cobox-p2p/hypercore/merkle"
)

// pageBlocks is how many blocks lie below a page of nodes.
const pageBlocks = 64

// nodePage is the nodes of one page that one source knows. Places are flat-tree
// numbers within the page.
type nodePage struct {
	mask  pageMask
	nodes [pageNodes]merkle.Node
}

func (p *nodePage) has(place int) bool { return p.mask[place/64]&(1<<(place%64)) != 0 }

func (p *nodePage) put(place int, n merkle.Node) {
	p.mask.set(place)
	p.nodes[place] = n
}

func (p *nodePage) empty() bool { return p.mask == pageMask{} }

// place is where a block was found.
type place struct {
	where   byte
	segment uint64 // of inFile
	offset  uint64
	size    uint32
	sum     uint32
}

// Values of place.where.
const (
	nowhere = iota
	inIndex // in a pack
	inFile
)

// feedPage is all that is known of the blocks and nodes of a page.
type feedPage struct {
	number  uint64
	stored  nodePage // in the damaged index
	anchors nodePage // in extent headers
	hashed  nodePage // from the blocks, and from the nodes below
	places  [pageBlocks]place

	trusted nodePage         // lead up to the signed roots
	held    [pageBlocks]bool // the block is right and its leaf is trusted
}

// hash hashes the blocks, on all cores, and what follows from them and from the
// nodes that are known. A nil block is not there.
func (p *feedPage) hash(blocks *[pageBlocks][]byte) {
	var next atomic.Int64
	var wg sync.WaitGroup
	work := func() {
		for i := int(next.Add(1)) - 1; i < pageBlocks; i = int(next.Add(1)) - 1 {
			if blocks[i] != nil {
				p.hashed.nodes[2*i] = merkle.Leaf(p.number*pageBlocks+uint64(i), blocks[i])
			}
		}
	}
	size := 0
	for i, b := range blocks {
		size += len(b)
		if b != nil {
			p.hashed.mask.set(2 * i)
		}
	}
	if size >= parallelHash {
		for range runtime.GOMAXPROCS(0) - 1 {
			wg.Go(work)
		}
	}
	work()
	wg.Wait()
	p.climb()
}

// parallelHash is from how many bytes on more than one core hashes a page.
const parallelHash = 256 << 10

// climb hashes the parents of what is known.
func (p *feedPage) climb() {
	for depth := 1; depth <= 6; depth++ {
		for offset := range uint64(pageBlocks) >> depth {
			place := flattree.Index(depth, offset)
			left, right, _ := flattree.Children(place)
			l, ok1 := p.best(int(left))
			r, ok2 := p.best(int(right))
			if ok1 && ok2 && l.Size <= merkle.MaxSize-r.Size {
				p.hashed.put(int(place), merkle.Parent(l, r))
			}
		}
	}
}

// best returns the node that is most likely right.
func (p *feedPage) best(place int) (merkle.Node, bool) {
	for _, s := range [...]*nodePage{&p.hashed, &p.stored, &p.anchors} {
		if s.has(place) {
			return s.nodes[place], true
		}
	}
	return merkle.Node{}, false
}

// candidates appends the nodes that are known for a place, without repetition.
func (p *feedPage) candidates(dst []merkle.Node, place int) []merkle.Node {
	for _, s := range [...]*nodePage{&p.hashed, &p.stored, &p.anchors} {
		if s.has(place) {
			dst = addNode(dst, s.nodes[place])
		}
	}
	return dst
}

func addNode(nodes []merkle.Node, n merkle.Node) []merkle.Node {
	for i := range nodes {
		if nodes[i] == n {
			return nodes
		}
	}
	return append(nodes, n)
}

// trust notes that the node at place belongs to the signed tree, and whatever
// hangs on it.
func (p *feedPage) trust(place int, n merkle.Node) {
	p.trusted.put(place, n)
	left, right, ok := flattree.Children(uint64(place))
	if !ok {
		p.held[place/2] = p.places[place/2].where != nowhere && p.hashed.has(place) && p.hashed.nodes[place] == n
		return
	}
	var buf [6]merkle.Node
	lefts := p.candidates(buf[:0:3], int(left))
	rights := p.candidates(buf[3:3:6], int(right))
	if l, r, ok := match(n, lefts, rights); ok {
		p.trust(int(left), l)
		p.trust(int(right), r)
	}
}

// match returns the two of the candidates that are the children of n.
func match(n merkle.Node, lefts, rights []merkle.Node) (l, r merkle.Node, ok bool) {
	for _, l := range lefts {
		for _, r := range rights {
			if l.Size <= n.Size && r.Size == n.Size-l.Size && merkle.Parent(l, r) == n {
				return l, r, true
			}
		}
	}
	return l, r, false
}

// append appends what hash has found out, so that the blocks are read once. It is
// the inverse of parse.
func (p *feedPage) append(b []byte) []byte {
	for _, word := range p.hashed.mask {
		b = binary.BigEndian.AppendUint64(b, word)
	}
	for i := range p.hashed.nodes {
		if n := &p.hashed.nodes[i]; p.hashed.has(i) {
			b = binary.BigEndian.AppendUint64(b, n.Size)
			b = append(b, n.Hash[:]...)
		}
	}
	for _, x := range p.places {
		if b = append(b, x.where); x.where == inFile {
			b = binary.BigEndian.AppendUint64(b, x.segment)
			b = binary.BigEndian.AppendUint64(b, x.offset)
			b = binary.BigEndian.AppendUint32(b, x.size)
			b = binary.BigEndian.AppendUint32(b, x.sum)
		}
	}
	return b
}

// parse reads what append has written, in this process.
func (p *feedPage) parse(b []byte) {
	for i := range p.hashed.mask {
		p.hashed.mask[i], b = binary.BigEndian.Uint64(b), b[8:]
	}
	for i := range p.hashed.nodes {
		if p.hashed.has(i) {
			n := merkle.Node{Index: p.number*pageStride + uint64(i), Size: binary.BigEndian.Uint64(b)}
			b = b[8+copy(n.Hash[:], b[8:]):]
			p.hashed.nodes[i] = n
		}
	}
	for i := range p.places {
		x := &p.places[i]
		if x.where, b = b[0], b[1:]; x.where == inFile {
			x.segment, x.offset = binary.BigEndian.Uint64(b), binary.BigEndian.Uint64(b[8:])
			x.size, x.sum = binary.BigEndian.Uint32(b[16:]), binary.BigEndian.Uint32(b[20:])
			b = b[24:]
		}
	}
}
