package sleep

import "github.com/cobox-p2p/cobox-p2p/hypercore"

// Progress is how far a Copy came.
type Progress struct {
	Blocks, Of uint64 // blocks dealt with, of those that it deals with in all
	Bytes      uint64 // copied
}

// Report is what a Copy brought and what it could not.
type Report struct {
	Head       hypercore.Head // of the source: the newest that verifies
	Present    uint64         // blocks of the source that were stored here before
	Blocks     uint64         // copied
	Bytes      uint64         // of them
	Unlisted   uint64         // of Blocks, those that the damaged bitfield did not list
	Recomputed uint64         // tree nodes that were damaged and follow from others
	Lost       uint64         // blocks that the source lists and can't prove
	Damage     []Damage       // of the source, in the order of its blocks
	Omitted    int            // Damages that Damage has no room for
}

// Complete says whether all that the source lists is here now and nothing of it
// is damaged.
func (r Report) Complete() bool { return r.Lost == 0 && len(r.Damage) == 0 }
