package node

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/cobox-p2p/cobox-p2p/hypercore"
	"github.com/cobox-p2p/cobox-p2p/hypercore/corestore"
	"github.com/cobox-p2p/cobox-p2p/hypercore/storage/sleep"
	"github.com/cobox-p2p/cobox-p2p/multifeed"
)

// Exported is the store for the old software that an export made.
type Exported struct {
	Space  string         `json:"space"`
	Dir    string         `json:"dir"`
	Feeds  []ExportedFeed `json:"feeds"`
	Blocks uint64         `json:"blocks"`
	Bytes  uint64         `json:"bytes"` // of them, as they are sealed
}

// ExportedFeed is one feed in it.
type ExportedFeed struct {
	Feed   string         `json:"feed"` // key
	Writer string         `json:"writer"`
	Keys   bool           `json:"keys"` // they went with it: only the old software writes it now
	Blocks uint64         `json:"blocks"`
	Bytes  uint64         `json:"bytes"`
	Damage []LegacyDamage `json:"damage"` // what of it could not be written, the first ones
	More   int            `json:"more,omitempty"`
	Note   string         `json:"note,omitempty"`
	Error  string         `json:"error,omitempty"`
}

// exporting is one export on its way.
type exporting struct {
	node  *Node
	space *space
	dir   string
	store *sleep.Store
	names []sleep.SpaceFeed
	done  Exported
}

// Export makes the folder dir, which must be absolute and not exist or be empty, a
// store of corestore 5 with all of an open space that is stored here. With keys it
// gives the writers of this node to it: each is retired here first, durably and
// for good, so that never both sides write one. The folder appears when all of it
// is on the disk. An export that was cut off is repeated; what it had given away
// goes to the new folder then, and the cut one is removed.
func (n *Node) Export(ctx context.Context, name, dir string, keys bool) (Exported, error) {
	s, err := n.findUsable(name)
	if err != nil {
		return Exported{}, err
	}
	switch {
	case s.address.Kind == multifeed.KindSigned:
		return Exported{}, useErrorf("space %s is a signed space, and the old software knows open ones only: it could check none of its admissions, and could not open its blocks, which have a key for each feed", s.entry.Name)
	case !filepath.IsAbs(dir):
		return Exported{}, useErrorf("the path of the folder must be absolute")
	}
	if !n.exporting.TryLock() {
		return Exported{}, errors.New("another export is under way")
	}
	defer n.exporting.Unlock()
	dir = filepath.Clean(dir)
	e := &exporting{node: n, space: s, dir: dir, done: Exported{Space: s.entry.Name, Dir: dir, Feeds: []ExportedFeed{}}}
	if done, err := e.finish(); done || err != nil {
		return e.done, err
	}
	if err := checkFree(dir); err != nil {
		return Exported{}, err
	}
	during, stop := s.during(ctx)
	defer stop()
	if err := s.why(during, e.run(during, keys)); err != nil {
		return e.done, fmt.Errorf("export space %s: %w", s.entry.Name, err)
	}
	return e.done, nil
}

// checkFree returns a *UseError when dir is something else than an empty folder.
func checkFree(dir string) error {
	entries, err := os.ReadDir(dir)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil
	case err != nil:
		return &UseError{err.Error()}
	case len(entries) > 0:
		return useErrorf("%s isn't empty: choose another folder", dir)
	}
	return nil
}

// partial is the folder that becomes dir in the end.
func partial(dir string) string {
	return filepath.Join(filepath.Dir(dir), ".cobox-export-"+filepath.Base(dir))
}

// run writes the folder: first what belongs to others, so that most of what can
// fail does so before anything is given away.
func (e *exporting) run(ctx context.Context, keys bool) error {
	var own []*multifeed.Feed
	if keys {
		var err error
		if own, err = e.giving(); err != nil {
			return err
		}
	}
	temp := partial(e.dir)
	if err := os.RemoveAll(temp); err != nil {
		return err
	}
	var master corestore.MasterKey
	rand.Read(master[:])
	var err error
	if e.store, err = sleep.CreateStore(temp, master); err != nil {
		return err
	}
	if err := e.feeds(ctx, own); err != nil {
		return errors.Join(err, os.RemoveAll(temp))
	}
	if err := e.store.WriteSpace(ctx, sleep.Space{Address: sleep.Address(e.space.address.Key), Feeds: e.names}); err != nil {
		return errors.Join(err, os.RemoveAll(temp))
	}
	if err := e.gave(own); err != nil {
		return err
	}
	return reveal(e.dir)
}

// reveal gives the folder that was made its name, durably.
func reveal(dir string) error {
	if err := os.Remove(dir); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("%w: move what is there away and export again; what was written is in %s", err, partial(dir))
	}
	if err := os.Rename(partial(dir), dir); err != nil {
		return err
	}
	return syncFolder(filepath.Dir(dir))
}

// feeds writes all feeds of the space, those that are given away last.
func (e *exporting) feeds(ctx context.Context, own []*multifeed.Feed) error {
	given := map[hypercore.Key]bool{}
	for _, f := range own {
		given[f.Key()] = true
	}
	for f := range e.space.All() {
		e.names = append(e.names, sleep.SpaceFeed{Key: f.Key(), Name: e.space.name(f), Stored: true})
		if given[f.Key()] {
			continue
		}
		if err := e.write(ctx, f, hypercore.KeyPair{}); err != nil {
			return err
		}
	}
	for _, f := range own {
		pair, err := e.give(f)
		if err == nil {
			err = e.write(ctx, f, pair)
		}
		if err != nil {
			return fmt.Errorf("writer %s: %w", e.space.name(f), err)
		}
	}
	return nil
}

// write puts one feed into the store. What is damaged is left out and noted.
func (e *exporting) write(ctx context.Context, f *multifeed.Feed, pair hypercore.KeyPair) error {
	done := ExportedFeed{Feed: f.Key().String(), Writer: e.space.name(f), Keys: pair.Valid(), Note: e.space.state(f)}
	w, err := sleep.Stored(e.node.st, f.Key())
	if errors.Is(err, hypercore.ErrNoFeed) {
		w, err = sleep.Writing{Key: f.Key()}, nil
	}
	var report sleep.Report
	if err == nil {
		w.KeyPair = pair
		report, err = e.store.WriteFeed(ctx, w, nil)
	}
	done.Blocks, done.Bytes = report.Blocks, report.Bytes
	done.Damage, done.More = damagesOf(report)
	if err != nil {
		if !errors.Is(err, hypercore.ErrDamaged) || pair.Valid() {
			return err
		}
		done.Error = Message(err)
	}
	e.done.Feeds = append(e.done.Feeds, done)
	e.done.Blocks += done.Blocks
	e.done.Bytes += done.Bytes
	return nil
}
