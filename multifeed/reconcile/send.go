package reconcile

import (
	"cmp"
	"math/bits"
	"slices"
)

// owed is a node of which the remote lacks something: those entries of a leaf, all
// below an inner node, or what a scan finds.
type owed struct {
	node *node
	mask uint64 // places in a leaf
	scan *scan
}

// scan compares a list of the remote with a node of ours that has more than a leaf,
// while its entries are sent: so that a short list can't make us look through a
// large set at once.
type scan struct {
	at     prefix
	theirs []uint64 // as of listed
	left   int      // entries of ours not looked at
	held   []held   // entries of ours whose id is in the list
}

// held is one entry of ours.
type held struct {
	id   short
	leaf *node
	at   int
}

const placeBits = 6 // of a place in a list, below an id

// every returns the mask of all entries of a leaf.
func (n *node) every() uint64 { return ^uint64(0) >> (64 - len(n.list())) }

// owe notes that the remote has nothing of what is below n.
func (s *Session) owe(n *node) { s.oweScan(n, nil) }

func (s *Session) oweScan(n *node, c *scan) {
	switch {
	case n == nil:
	case n.leaf():
		s.owed = append(s.owed, owed{n, n.every(), c})
	default:
		s.owed = append(s.owed, owed{n, 0, c})
	}
}

// Send returns up to most keys whose entries the remote lacks, each once in a
// session; none when no more are known now. The caller owns the slice.
func (s *Session) Send(most int) []Key {
	var keys []Key
	for len(keys) < most && len(s.owed) > 0 {
		o := s.owed[len(s.owed)-1]
		s.owed = s.owed[:len(s.owed)-1]
		switch {
		case !o.node.leaf():
			for _, child := range slices.Backward(o.node.children) {
				s.oweScan(child, o.scan)
			}
		case o.scan != nil:
			s.scanLeaf(o.node, o.scan)
		default:
			for ; o.mask != 0 && len(keys) < most; o.mask &= o.mask - 1 {
				keys = append(keys, o.node.entries[bits.TrailingZeros64(o.mask)].key)
			}
			if o.mask != 0 {
				s.owed = append(s.owed, o)
			}
		}
	}
	return keys
}

// compare decides what of ours the remote lacks, and what of its list we lack.
func (s *Session) compare(at prefix, n *node, theirs []uint64) {
	switch {
	case len(theirs) == 0:
		s.owe(n)
	case n.leaf():
		var room [LeafSize]held
		ours := s.match(room[:0], n)
		s.differ(at, ours, theirs)
	default:
		s.scans++
		s.oweScan(n, &scan{at: at, theirs: theirs, left: n.len()})
	}
}

// match appends the entries of a leaf with their ids.
func (s *Session) match(to []held, n *node) []held {
	entries := n.list()
	for i := range entries {
		to = append(to, held{s.keyed.id(&entries[i]), n, i})
	}
	return to
}

// differ compares entries of ours with a list of the remote. Of an id that either
// side has several times nobody can tell which entries agree, unless there are as
// many here as there: then all are sent both ways.
func (s *Session) differ(at prefix, ours []held, theirs []uint64) {
	slices.SortFunc(ours, func(a, b held) int { return cmp.Compare(a.id, b.id) })
	var want uint64
	for len(ours)+len(theirs) > 0 {
		id := ^short(0)
		if len(ours) > 0 {
			id = ours[0].id
		}
		if len(theirs) > 0 {
			id = min(id, theirs[0]>>placeBits)
		}
		here, there := 0, 0
		for here < len(ours) && ours[here].id == id {
			here++
		}
		for there < len(theirs) && theirs[there]>>placeBits == id {
			there++
		}
		if here != there {
			s.oweHeld(ours[:here])
			for _, their := range theirs[:there] {
				want |= 1 << (their & (LeafSize - 1))
			}
		}
		ours, theirs = ours[here:], theirs[there:]
	}
	if want != 0 {
		s.say = append(s.say, saying{at: at, want: want})
	}
}

// oweHeld notes that the remote lacks these entries.
func (s *Session) oweHeld(entries []held) {
	for _, h := range entries {
		if n := len(s.owed); n > 0 && s.owed[n-1].node == h.leaf && s.owed[n-1].scan == nil {
			s.owed[n-1].mask |= 1 << h.at
			continue
		}
		s.owed = append(s.owed, owed{node: h.leaf, mask: 1 << h.at})
	}
}

// scanLeaf looks through one leaf of a scan, and ends the scan after the last.
func (s *Session) scanLeaf(n *node, c *scan) {
	var room [LeafSize]held
	var send []held
	for _, h := range s.match(room[:0], n) {
		if i, _ := slices.BinarySearch(c.theirs, h.id<<placeBits); i < len(c.theirs) && c.theirs[i]>>placeBits == h.id {
			c.held = append(c.held, h)
			continue
		}
		send = append(send, h)
	}
	s.oweHeld(send)
	if c.left -= n.len(); c.left == 0 {
		s.scans--
		s.differ(c.at, c.held, c.theirs)
	}
}
