package reconcile

import (
	"bytes"
	"slices"
)

const (
	// LeafSize is the most entries of a leaf. What has more is an inner node.
	LeafSize = 64

	rootBits    = 8 // the root has a child for each of the first 8 bits
	nibbleBits  = 4 // every other inner node for each of the next 4
	rootFanout  = 1 << rootBits
	innerFanout = 1 << nibbleBits
)

// node is a leaf or an inner node of the trie; nil is a leaf without entries. What
// a view can see is never changed: see own.
type node struct {
	gen      uint32 // of the set that may change it
	count    uint32 // of the entries below
	known    bool   // fingerprint is that of what is below
	print    [32]byte
	entries  []entry // of a leaf, by key
	children []*node // of an inner node, rootFanout or innerFanout
}

func (n *node) len() int {
	if n == nil {
		return 0
	}
	return int(n.count)
}

// leaf says whether the node has its entries in itself.
func (n *node) leaf() bool { return n == nil || n.children == nil }

func (n *node) list() []entry {
	if n == nil {
		return nil
	}
	return n.entries
}

func (n *node) sum() [32]byte {
	if n == nil {
		return [32]byte{}
	}
	return n.print
}

// place returns which child of a node at that depth a key belongs to.
func place(key *Key, bits int) int {
	b := key[bits/8]
	switch {
	case bits == 0:
		return int(b)
	case bits%8 == 0:
		return int(b >> nibbleBits)
	}
	return int(b & (innerFanout - 1))
}

// below returns the depth of the children of a node at that depth.
func below(bits int) int {
	if bits == 0 {
		return rootBits
	}
	return bits + nibbleBits
}

func fanout(bits int) int {
	if bits == 0 {
		return rootFanout
	}
	return innerFanout
}

func (n *node) get(key Key) (EntryHash, bool) {
	bits := 0
	for ; !n.leaf(); bits = below(bits) {
		n = n.children[place(&key, bits)]
	}
	at, ok := find(n.list(), &key)
	if !ok {
		return EntryHash{}, false
	}
	return n.entries[at].hash, true
}

// find returns where a key is in a leaf, or belongs.
func find(entries []entry, key *Key) (at int, there bool) {
	from, to := 0, len(entries)
	for from < to {
		mid := (from + to) / 2
		switch order := bytes.Compare(entries[mid].key[:], key[:]); {
		case order < 0:
			from = mid + 1
		case order > 0:
			to = mid
		default:
			return mid, true
		}
	}
	return from, false
}

// own returns a node that may be changed in place of n: itself when no view has
// it, else a copy.
func (s *Set) own(n *node) *node {
	if n.gen != s.gen {
		c := *n
		c.gen, c.entries, c.children = s.gen, slices.Clone(n.entries), slices.Clone(n.children)
		n = &c
	}
	n.known = false
	return n
}

// put returns the node at that depth with an entry more or changed.
func (s *Set) put(n *node, bits int, e entry) *node {
	if n == nil {
		return &node{gen: s.gen, count: 1, entries: []entry{e}}
	}
	n = s.own(n)
	if !n.leaf() {
		at := place(&e.key, bits)
		before := n.children[at].len()
		n.children[at] = s.put(n.children[at], below(bits), e)
		n.count += uint32(n.children[at].len() - before)
		return n
	}
	at, there := find(n.entries, &e.key)
	if there {
		n.entries[at] = e
		return n
	}
	n.entries = insert(n.entries, at, e)
	n.count++
	if n.count > LeafSize {
		s.split(n, bits)
	}
	return n
}

// insert grows a leaf in small steps: doubling would leave a third of a large set's
// memory unused.
func insert(entries []entry, at int, e entry) []entry {
	if len(entries) == cap(entries) {
		entries = append(make([]entry, 0, len(entries)+len(entries)/4+4), entries...)
	}
	return slices.Insert(entries, at, e)
}

// split makes a leaf at that depth an inner node.
func (s *Set) split(n *node, bits int) {
	entries := n.entries
	n.entries, n.children = nil, make([]*node, fanout(bits))
	for len(entries) > 0 {
		at := place(&entries[0].key, bits)
		end := 1
		for end < len(entries) && place(&entries[end].key, bits) == at {
			end++
		}
		child := &node{gen: s.gen, count: uint32(end), entries: slices.Clone(entries[:end])}
		if end > LeafSize {
			s.split(child, below(bits))
		}
		n.children[at] = child
		entries = entries[end:]
	}
}

// remove returns the node at that depth without the entry of a key that it has.
func (s *Set) remove(n *node, bits int, key Key) *node {
	if n.count == 1 {
		return nil
	}
	n = s.own(n)
	n.count--
	if n.leaf() {
		at, _ := find(n.entries, &key)
		n.entries = slices.Delete(n.entries, at, at+1)
		return n
	}
	at := place(&key, bits)
	n.children[at] = s.remove(n.children[at], below(bits), key)
	if n.count <= LeafSize {
		n.entries, n.children = n.gather(make([]entry, 0, n.count)), nil
	}
	return n
}

// gather appends the entries below a node by key.
func (n *node) gather(to []entry) []entry {
	if n.leaf() {
		return append(to, n.list()...)
	}
	for _, child := range n.children {
		to = child.gather(to)
	}
	return to
}
