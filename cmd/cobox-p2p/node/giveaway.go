package node

import (
	"errors"
	"fmt"
	"os"
	"strings"

	"github.com/cobox-p2p/cobox-p2p/hypercore"
	"github.com/cobox-p2p/cobox-p2p/multifeed"
)

// finish gives folders of exports that were cut off at their very end their names,
// and says whether that of this export is one of them. It is noted that the keys
// are gone when all of a folder is on the disk, and before it has its name: so
// there is never a second folder with the same keys.
func (e *exporting) finish() (done bool, err error) {
	for f := range e.space.All() {
		o := e.space.handed.get(f.Key())
		if o.State != stateGone {
			continue
		}
		if _, err := os.Lstat(partial(o.Dir)); err == nil {
			if err := reveal(o.Dir); err != nil {
				return false, err
			}
			done = done || o.Dir == e.dir
		}
		if done && o.Dir == e.dir {
			e.done.Feeds = append(e.done.Feeds, ExportedFeed{
				Feed: f.Key().String(), Writer: o.Name, Keys: true, Damage: []LegacyDamage{}, Note: "by an export that was cut off and is finished now",
			})
		}
	}
	return done, nil
}

// giving returns the feeds whose keys go into this export: those that are written
// here, and those of an export that was cut off, whose folder is removed. It
// returns a *UseError when there are none.
func (e *exporting) giving() ([]*multifeed.Feed, error) {
	var own []*multifeed.Feed
	var gone []string
	for f := range e.space.All() {
		switch o := e.space.handed.get(f.Key()); {
		case o.State == stateGone:
			gone = append(gone, fmt.Sprintf("\n  %s to %s", o.Name, o.Dir))
		case o.State == stateGoing:
			if err := os.RemoveAll(partial(o.Dir)); err != nil {
				return nil, err
			}
			own = append(own, f)
		case f.Own():
			own = append(own, f)
		}
	}
	switch {
	case len(own) > 0:
		return own, nil
	case len(gone) > 0:
		return nil, useErrorf("no writer of space %s is left here to be given away. These were given away:%s", e.space.entry.Name, strings.Join(gone, ""))
	}
	return nil, useErrorf("this node writes no feed of space %s: export it without the keys", e.space.entry.Name)
}

// give ends the writing of a feed here, for good, and returns its keys.
func (e *exporting) give(f *multifeed.Feed) (hypercore.KeyPair, error) {
	h := e.space.handed
	end, err := h.beginGiving(f.Key())
	if err != nil {
		return hypercore.KeyPair{}, err
	}
	defer end()
	if err := f.Damaged(); err != nil {
		return hypercore.KeyPair{}, fmt.Errorf("it is damaged, verify --repair it first: %w", err)
	}
	// Noted first: cut behind Surrender, the next export goes on.
	going := handover{State: stateGoing, Name: e.space.name(f), Dir: e.dir}
	if err := h.put(map[hypercore.Key]handover{f.Key(): going}); err != nil {
		return hypercore.KeyPair{}, err
	}
	pair, err := e.space.Surrender(f.Key())
	if err == nil && f.Writable() {
		err = errors.New("it is written here still")
	}
	return pair, err
}

// gave notes that the keys are where they go.
func (e *exporting) gave(own []*multifeed.Feed) error {
	gone := map[hypercore.Key]handover{}
	for _, f := range own {
		o := e.space.handed.get(f.Key())
		o.State = stateGone
		gone[f.Key()] = o
	}
	return e.space.handed.put(gone)
}
