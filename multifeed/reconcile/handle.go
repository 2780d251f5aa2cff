package reconcile

import (
	"fmt"
	"slices"
)

// Handle takes a payload of the remote, and keeps nothing of it. After an error,
// which is the remote's fault, the session does nothing any more.
func (s *Session) Handle(b []byte) error {
	if s.err == nil {
		if err := s.handle(b); err != nil {
			s.fail(err)
		}
	}
	return s.err
}

func (s *Session) handle(b []byte) error {
	if s.spent.bytes += len(b); len(b) > MaxPayload || s.spent.bytes > MaxBytes {
		return fmt.Errorf("%w: %d bytes, %d in all", ErrLimit, len(b), s.spent.bytes)
	}
	p, err := decode(b)
	if err != nil {
		return err
	}
	speaks := len(p.prints)+len(p.lists)+len(p.want) > 0 || p.turn != 0
	later := speaks || p.told || p.again != nil
	switch {
	case p.whole != nil:
		if s.met || later {
			return unexpected("the fingerprint of a whole set")
		}
		s.meet(*p.whole, p.count)
		return nil
	case !s.met || !later:
		return unexpected("a payload that says nothing")
	}
	if speaks {
		if err := s.hearTurn(p); err != nil {
			return err
		}
	}
	if p.told {
		if !s.settled || s.gotTold {
			return unexpected("all entries were sent")
		}
		s.gotTold = true
	}
	if p.again != nil {
		if !s.Done() || s.gotLast != nil {
			return unexpected("the fingerprint at the end")
		}
		s.gotLast = p.again
	}
	return nil
}

// meet takes the remote's first payload.
func (s *Session) meet(sum [wholeSize]byte, count uint64) {
	s.met, s.others = true, count
	switch {
	case sum == s.keyed.whole(s.set.Fingerprint()):
		s.equal = true
	case s.set.Len() == 0 || count == 0:
		s.settled = true
		s.owe(s.set.root)
	case s.initiator:
		s.mine, s.say = true, []saying{{at: whole, node: s.set.root}}
	}
}

// hearTurn takes what the remote says in its turn.
func (s *Session) hearTurn(p payload) error {
	if s.mine || s.settled || s.equal || !s.opened {
		return unexpected("it is not the remote's turn")
	}
	if s.turn++; s.turn > MaxTurnPayloads {
		return fmt.Errorf("%w: %d payloads in a turn", ErrLimit, s.turn)
	}
	s.asking = s.asking || len(p.prints)+len(p.lists) > 0
	if err := s.hearWant(items{p.want}); err != nil {
		return err
	}
	if err := s.hearPrints(items{p.prints}); err != nil {
		return err
	}
	if err := s.hearLists(items{p.lists}); err != nil {
		return err
	}
	if p.turn == 0 {
		return nil
	}
	if s.spent.turns++; s.spent.turns > MaxTurns {
		return fmt.Errorf("%w: %d turns", ErrLimit, s.spent.turns)
	}
	s.endTurn(theirs, p.turn)
	return nil
}

// hear returns our node of that prefix. The remote may speak of the root when it
// begins, and later of the children of what it got fingerprints of, once.
func (s *Session) hear(at prefix) (*node, error) {
	if at == whole {
		if s.initiator || s.heard {
			return nil, unexpected("the root")
		}
		s.heard = true
		return s.set.root, nil
	}
	up, i := at.parent()
	sh := s.shown[up]
	if sh == nil || sh.heard[i/64]>>(i%64)&1 != 0 {
		return nil, unexpected("prefix %#x", uint64(at))
	}
	sh.heard[i/64] |= 1 << (i % 64)
	return sh.node.children[i], nil
}

// hearList returns our node of the prefix of a list, which may also stand in place
// of what the remote would say of all children of a node.
func (s *Session) hearList(at prefix) (*node, error) {
	sh := s.shown[at]
	if sh == nil {
		return s.hear(at)
	}
	if sh.heard != [len(sh.heard)]uint64{} {
		return nil, unexpected("the list of prefix %#x, after parts of it", uint64(at))
	}
	delete(s.shown, at)
	return sh.node, nil
}

// hearPrints compares fingerprints with ours. A child that the remote has nothing
// of needs no answer.
func (s *Session) hearPrints(in items) error {
	none := s.keyed.print(nil)
	for in.next() {
		at, err := in.prefix()
		if err != nil {
			return err
		}
		n, err := s.hear(at)
		if err != nil {
			return err
		}
		prints, err := in.shorts(fanout(at.bits()))
		if err != nil {
			return err
		}
		if s.spent.prints += len(prints) / shortSize; s.spent.prints > MaxFingerprints || at.bits() == maxBits {
			return fmt.Errorf("%w: %d fingerprints, the last at %d bits", ErrLimit, s.spent.prints, at.bits())
		}
		if n.leaf() {
			s.say = append(s.say, saying{at: at, node: n})
			continue
		}
		for i, child := range n.children {
			switch print := shortAt(prints[i*shortSize:]); print {
			case s.keyed.print(child):
			case none:
				s.owe(child)
			default:
				s.say = append(s.say, saying{at: at.child(i), node: child})
			}
		}
	}
	return nil
}

// hearLists compares the remote's lists with what we have.
func (s *Session) hearLists(in items) error {
	for in.next() {
		at, err := in.prefix()
		if err != nil {
			return err
		}
		n, err := s.hearList(at)
		if err != nil {
			return err
		}
		count, err := in.uvarint()
		if err != nil {
			return err
		}
		if s.spent.ids += int(min(count, LeafSize)); count > LeafSize || s.spent.ids > MaxIDs {
			return fmt.Errorf("%w: list of %d, %d in all", ErrLimit, count, s.spent.ids)
		}
		ids, err := in.shorts(int(count))
		if err != nil {
			return err
		}
		s.compare(at, n, listed(ids))
	}
	return nil
}

// hearWant takes which entries of our lists the remote lacks.
func (s *Session) hearWant(in items) error {
	for in.next() {
		at, err := in.prefix()
		if err != nil {
			return err
		}
		want, err := in.uvarint()
		if err != nil {
			return err
		}
		n := s.listed[at]
		if n == nil || want == 0 || want&^n.every() != 0 {
			return unexpected("places %#x of prefix %#x", want, uint64(at))
		}
		delete(s.listed, at)
		s.owed = append(s.owed, owed{node: n, mask: want})
	}
	return nil
}

// listed returns the ids of a list in order, each with its place in the list below
// it.
func listed(b []byte) []uint64 {
	ids := make([]uint64, 0, LeafSize)
	for i := range len(b) / shortSize {
		ids = append(ids, shortAt(b[i*shortSize:])<<placeBits|uint64(i))
	}
	slices.Sort(ids)
	return ids
}
