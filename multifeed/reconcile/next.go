package reconcile

import "google.golang.org/protobuf/encoding/protowire"

// maxSaying is at least how many bytes one saying takes: a prefix and the
// fingerprints of the root's children.
const maxSaying = 10 + rootFanout*shortSize

// Next returns the next payload for the remote, nil when there is none until
// Handle or Send makes one. The caller owns it. What Send returned before must be
// sent before it.
func (s *Session) Next() []byte {
	if s.err != nil {
		return nil
	}
	var p payload
	switch {
	case !s.opened:
		sum := s.keyed.whole(s.set.Fingerprint())
		p.whole, p.count, s.opened = &sum, uint64(s.set.Len()), true
		return p.encode()
	case s.mine:
		s.speak(&p)
	}
	if s.settled && !s.told && len(s.owed) == 0 {
		p.told, s.told = true, true
	}
	if s.last != nil {
		sum := s.keyed.again(*s.last)
		p.again, s.last = &sum, nil
	}
	return p.encode()
}

// speak adds what is to be said in our turn, and ends it when that was all.
func (s *Session) speak(p *payload) {
	final := s.turn == s.room-1
	if s.scans > 0 && (final || len(s.say) == 0) {
		return // what they find is said first
	}
	n := 0
	for ; n < len(s.say) && p.size()+maxSaying <= MaxPayload; n++ {
		s.add(p, s.say[n])
	}
	if s.say = s.say[n:]; len(s.say) == 0 {
		s.say = nil
	}
	s.turn++
	switch {
	case len(s.say) == 0 && s.scans == 0:
		p.turn = turnAll
	case final:
		p.turn = turnMore
	default:
		return
	}
	s.endTurn(ours, p.turn)
}

// endTurn ends the turn of one side. All was said when it has left nothing and
// asked for nothing, and the other side's before it has left nothing.
func (s *Session) endTurn(side int, turn uint64) {
	s.more[side] = turn == turnMore
	s.settled = !s.asking && !s.more[ours] && !s.more[theirs]
	s.mine = side == theirs && !s.settled
	s.asking, s.turn = false, 0
	if s.settled {
		s.shown = nil
	}
}

// add says one thing.
func (s *Session) add(p *payload, y saying) {
	switch {
	case y.want != 0:
		p.want = protowire.AppendVarint(protowire.AppendVarint(p.want, uint64(y.at)), y.want)
	case y.node.leaf():
		s.addList(p, y.at, y.node)
	case y.at.bits() == maxBits:
		s.addList(p, y.at, nil) // so that each side sends the other all of it
		s.owe(y.node)
	default:
		s.addPrints(p, y.at, y.node)
	}
}

func (s *Session) addList(p *payload, at prefix, n *node) {
	s.asking = true
	entries := n.list()
	p.lists = protowire.AppendVarint(protowire.AppendVarint(p.lists, uint64(at)), uint64(len(entries)))
	for i := range entries {
		p.lists = appendShort(p.lists, s.keyed.id(&entries[i]))
	}
	if n != nil {
		s.listed[at] = n
	}
}

func (s *Session) addPrints(p *payload, at prefix, n *node) {
	s.asking = true
	p.prints = protowire.AppendVarint(p.prints, uint64(at))
	for _, child := range n.children {
		p.prints = appendShort(p.prints, s.keyed.print(child))
	}
	s.shown[at] = &shown{node: n}
}
