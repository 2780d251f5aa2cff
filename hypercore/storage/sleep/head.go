package sleep

import (
	"bytes"
	"cmp"
	"slices"

	"github.com/cobox-p2p/cobox-p2p/hypercore"
	"github.com/cobox-p2p/cobox-p2p/hypercore/flattree"
	"github.com/cobox-p2p/cobox-p2p/hypercore/merkle"
)

// Limits of the search for a head.
const (
	// maxSlots is how many places of signatures are looked at, from the newest
	// on.
	maxSlots = 1 << 26
	// maxTries is how many signatures are verified.
	maxTries = 4096
	// newest is how many of the newest signatures are worth recomputing roots
	// for.
	newest = 8
	// maxPassed is how many heads that verify are compared, when not all blocks below
	// them can be reached.
	maxPassed = 32
)

// headSearch looks for the newest signature that verifies.
type headSearch struct {
	f      *Feed
	tries  int  // signatures verified
	old    bool // one covers a root hash alone
	passed []found
}

// found is a head that verifies.
type found struct {
	key        hypercore.Key
	head       hypercore.Head
	roots      merkle.Roots
	recomputed int
	reach      uint64 // blocks held to which nodes lead
}

// candidate is a stored signature with the length of its tree.
type candidate struct {
	length    uint64
	signature hypercore.Signature
}

// findHead sets key, head and roots: of the newest signature that verifies, or of
// an older one from whose roots nodes lead to more blocks, as when the end of the
// file tree is lost. Where the stored roots don't match the newest signatures, roots
// recomputed from what lies below are tried, so that a damaged root doesn't cost
// the blocks behind the last older signature.
func (f *Feed) findHead() error {
	f.key = f.id.keys[0]
	s := headSearch{f: f}
	s.search()
	if len(s.passed) > 0 {
		s.take(slices.MaxFunc(s.passed, func(a, b found) int { return cmp.Compare(a.reach, b.reach) }))
		return nil
	}
	if s.old {
		return ErrOldSignature
	}
	if s.tries == 0 && f.static() {
		return ErrStatic
	}
	return nil
}

// search goes from the newest signature to older ones until it comes to a head
// with which all is well.
func (s *headSearch) search() {
	var recent []candidate
	for c := range s.candidates() {
		if s.tries > maxTries || len(s.passed) >= maxPassed || s.try(c, s.stored(c.length)) {
			return
		}
		if len(recent) == newest || len(s.passed) > 0 {
			continue
		}
		if recent = append(recent, c); s.repair(c, shallow) || len(recent) == newest && s.repairAny(recent) {
			return
		}
	}
	if len(recent) < newest && len(s.passed) == 0 {
		s.repairAny(recent)
	}
}

func (s *headSearch) take(h found) {
	s.f.key, s.f.head, s.f.roots, s.f.recomputed = h.key, h.head, h.roots, h.recomputed
}

// offer keeps a head that verifies in mind, and says whether all is well with it:
// from each root the last block held below it can be reached.
func (s *headSearch) offer(h found) bool {
	s.take(h)
	at, start, well := newCursor(s.f), uint64(0), true
	for _, root := range h.roots.Nodes() {
		end := start + flattree.Blocks(root.Index)
		if last, ok := s.f.bits.lastBlock(end); well && ok && last >= start {
			_, well = at.seek(last)
		}
		start = end
	}
	if !well || len(s.passed) > 0 {
		h.reach = s.reach(h.head.Length)
	}
	s.passed = append(s.passed, h)
	return well
}

// reach counts the blocks held to which nodes lead from the roots.
func (s *headSearch) reach(length uint64) (count uint64) {
	var held, unsure hypercore.Bitfield
	s.f.bits.blocks(length, &held, &unsure)
	at := newCursor(s.f)
	for seq, ok := held.NextSet(0); ok; seq, ok = held.NextSet(seq) {
		if lost, ok := at.seek(seq); !ok {
			seq = lost.End()
			continue
		}
		seq++
		count++
	}
	return count
}

// candidates yields the stored signatures from the newest on.
func (s *headSearch) candidates() func(yield func(candidate) bool) {
	return func(yield func(candidate) bool) {
		slots := uint64(max(0, s.f.signatures.size-headerSize)) / signatureEntry
		last := slots - min(slots, maxSlots)
		for length := slots; length > last; length-- {
			if sig, ok := s.f.signature(length); ok && !yield(candidate{length, sig}) {
				return
			}
		}
	}
}

// rootNode is a root that may be missing.
type rootNode struct {
	merkle.Node
	ok bool
}

// stored returns the stored roots of a tree of length blocks.
func (s *headSearch) stored(length uint64) []rootNode {
	var roots []rootNode
	for _, index := range flattree.FullRoots(nil, length) {
		n, ok := s.f.node(index)
		if !ok {
			n = merkle.Node{Index: index}
		}
		roots = append(roots, rootNode{n, ok})
	}
	return roots
}

// try offers the roots if the signature covers them.
func (s *headSearch) try(c candidate, nodes []rootNode) bool {
	plain := make([]merkle.Node, len(nodes))
	for i, n := range nodes {
		if !n.ok {
			return false
		}
		plain[i] = n.Node
	}
	roots, err := merkle.NewRoots(plain)
	if err != nil {
		return false
	}
	hash := roots.Hash()
	for _, key := range s.f.id.keys {
		s.tries++
		if key.Verify(hypercore.Signable(hash, c.length), c.signature) == nil {
			head := hypercore.Head{Length: c.length, Size: roots.Size(), RootHash: hash, Signature: c.signature}
			return s.offer(found{key: key, head: head, roots: roots, recomputed: s.recomputed(plain)})
		}
		s.old = s.old || key.Verify(hash[:], c.signature) == nil
	}
	return false
}

// recomputed counts the roots that aren't as stored.
func (s *headSearch) recomputed(roots []merkle.Node) (count int) {
	for _, n := range roots {
		if stored, ok := s.f.node(n.Index); !ok || stored != n {
			count++
		}
	}
	return count
}

// static says whether the key is the hash of the roots, which has no signature.
func (f *Feed) static() bool {
	length := f.bits.length()
	if length == 0 || len(f.id.raw) != hypercore.KeySize {
		return false
	}
	roots, err := merkle.LoadRoots(f, length)
	if err != nil {
		return false
	}
	hash := roots.Hash()
	return bytes.Equal(hash[:], f.id.raw)
}
