package sleep

import (
	"fmt"

	"github.com/cobox-p2p/cobox-p2p/hypercore"
)

// Reason says what is wrong with a part of a feed's files.
type Reason string

// The reasons.
const (
	BadHeader    Reason = "header"           // of the file; its entries are used where they verify
	BadFile      Reason = "unreadable file"  // counts as missing
	BadKey       Reason = "key"              // key, secret_key or name is not what it should be
	BadBits      Reason = "bits"             // the bitfield contradicts itself or ends early: what verifies is held
	BadNode      Reason = "tree node"        // no nodes, stored or recomputed, lead from a signed root to the blocks
	BadBlock     Reason = "block bytes"      // differ from what the tree says, or are missing
	BadSignature Reason = "signature"        // none that verifies covers the blocks
	TooLarge     Reason = "block too large"  // over hypercore.MaxBlock
	OtherTree    Reason = "can't be tied in" // the feed copied to has a tree to which the nodes here don't lead
)

// maxDamage is how many Damages are listed, so that a feed that is damaged
// everywhere costs bounded memory.
const maxDamage = 4096

// Damage is one thing that was found wrong.
type Damage struct {
	File   string // the name of the file in the feed's folder
	Reason Reason
	Span   hypercore.Span // blocks that it concerns; Count 0: none in particular
	Err    error          // more about it, or nil
}

// String returns one line without secrets.
func (d Damage) String() string {
	s := fmt.Sprintf("%s: %s", d.File, d.Reason)
	if d.Span.Count == 1 {
		s += fmt.Sprintf(", block %d", d.Span.Start)
	}
	if d.Span.Count > 1 {
		s += fmt.Sprintf(", blocks %d to %d", d.Span.Start, d.Span.End()-1)
	}
	if d.Err != nil {
		s += ": " + d.Err.Error()
	}
	return s
}

// damages is a list of bounded length.
type damages struct {
	list    []Damage
	omitted int // that did not fit
}

// add appends d, or lengthens the last one by it.
func (l *damages) add(d Damage) {
	if n := len(l.list); n > 0 && d.Span.Count > 0 {
		last := &l.list[n-1]
		if last.File == d.File && last.Reason == d.Reason && last.Span.Count > 0 && last.Span.End() == d.Span.Start {
			last.Span.Count += d.Span.Count
			return
		}
	}
	if len(l.list) >= maxDamage {
		l.omitted++
		return
	}
	l.list = append(l.list, d)
}
