package node

import (
	"fmt"

	"github.com/cobox-p2p/cobox-p2p/hypercore"
	"github.com/cobox-p2p/cobox-p2p/hypercore/storage/sleep"
)

// maxNamed is how many damages and feeds of a kind an Imported names.
const maxNamed = 100

// Imported is what an import brought, and what it left out.
type Imported struct {
	Space        string         `json:"space"`
	DiscoveryKey string         `json:"discoveryKey"`
	Mode         string         `json:"mode"`
	Joined       bool           `json:"joined"`   // by this import
	Complete     bool           `json:"complete"` // all that the store lists is here, and nothing of it is damaged
	Feeds        []ImportedFeed `json:"feeds"`    // in the store
	Absent       []string       `json:"absent"`   // keys of feeds that the store names and hasn't
	Damage       []LegacyDamage `json:"damage"`   // of the list of feeds: it may have named more
	Others       []string       `json:"others"`   // discovery keys of the first feeds in the store that no space names
	MoreOthers   int            `json:"moreOthers,omitempty"`
	Strangers    []string       `json:"strangers"` // the first names in the folder that are no part of a store
	MoreStranger int            `json:"moreStrangers,omitempty"`
}

// ImportedFeed is one feed of the old store.
type ImportedFeed struct {
	Feed    string         `json:"feed"`           // key
	Writer  string         `json:"writer"`         // as the old store names it
	Keys    bool           `json:"keys"`           // they came with it
	Length  uint64         `json:"length"`         // blocks under the newest signature that verifies
	Present uint64         `json:"present"`        // blocks that were here before
	Blocks  uint64         `json:"blocks"`         // imported
	Bytes   uint64         `json:"bytes"`          // of them, as they are sealed
	Lost    uint64         `json:"lost"`           // blocks that the store lists and can't prove
	Damage  []LegacyDamage `json:"damage"`         // the first ones
	More    int            `json:"more,omitempty"` // damages that are not named
	Note    string         `json:"note,omitempty"` // about the writer
	Error   string         `json:"error,omitempty"`
}

// LegacyDamage is something wrong with a file of an old store.
type LegacyDamage struct {
	File    string `json:"file"`
	Reason  string `json:"reason"`
	First   uint64 `json:"first,omitempty"`
	Blocks  uint64 `json:"blocks"` // from First on; 0 when it concerns none in particular
	Message string `json:"message,omitempty"`
}

// String is the damage in one line.
func (d LegacyDamage) String() string {
	s := fmt.Sprintf("%s: %s", d.File, d.Reason)
	if d.Blocks == 1 {
		s += fmt.Sprintf(", block %d", d.First)
	}
	if d.Blocks > 1 {
		s += fmt.Sprintf(", blocks %d to %d", d.First, d.First+d.Blocks-1)
	}
	if d.Message != "" {
		s += ": " + d.Message
	}
	return s
}

func damageOf(d sleep.Damage) LegacyDamage {
	l := LegacyDamage{File: d.File, Reason: string(d.Reason), First: d.Span.Start, Blocks: d.Span.Count}
	if d.Err != nil {
		l.Message = oneLine(d.Err.Error())
	}
	return l
}

// damagesOf returns the first damages, and how many more there are.
func damagesOf(r sleep.Report) (list []LegacyDamage, more int) {
	list = []LegacyDamage{}
	for _, d := range r.Damage[:min(len(r.Damage), maxNamed)] {
		list = append(list, damageOf(d))
	}
	return list, len(r.Damage) - len(list) + r.Omitted
}

func newImported() Imported {
	return Imported{
		Feeds: []ImportedFeed{}, Absent: []string{}, Damage: []LegacyDamage{}, Others: []string{}, Strangers: []string{},
	}
}

// report notes what a copy of the feed brought.
func (f *ImportedFeed) report(r sleep.Report) {
	f.Length, f.Present, f.Blocks, f.Bytes, f.Lost = r.Head.Length, r.Present, r.Blocks, r.Bytes, r.Lost
	f.Damage, f.More = damagesOf(r)
}

// add notes a feed that was dealt with.
func (i *Imported) add(l *listedFeed) {
	if !l.Stored {
		i.Absent = append(i.Absent, l.done.Feed)
	} else {
		i.Feeds = append(i.Feeds, *l.done)
	}
	i.Complete = i.Complete && l.done.Error == "" && l.done.Lost == 0 && len(l.done.Damage) == 0
}

func (i *Imported) setOthers(all []hypercore.DiscoveryKey) {
	for _, dk := range all[:min(len(all), maxNamed)] {
		i.Others = append(i.Others, dk.String())
	}
	i.MoreOthers = len(all) - len(i.Others)
}
