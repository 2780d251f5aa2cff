package storage

import (
	"errors"
	"fmt"
	"io/fs"

	"github.com/cockroachdb/pebble/v2"
)

// rebuildIndex makes a new index from what the one in its place still gives and
// from the data files, and puts it there.
func (s *Store) rebuildIndex(o *options, why error) error {
	if err := s.removeFolders(buildFolder, salvageFolder); err != nil {
		return err
	}
	aside, err := s.asideName()
	if err != nil {
		return err
	}
	base := s.pebbleOptions(o.memTable)
	base.EnsureDefaults()
	index := damagedIndex{fs: s.fs, dir: s.path(indexFolder), opts: base}
	if err := index.list(); err != nil {
		return err
	}
	x := rebuilder{fs: s.fs, data: s.dataDir(), log: s.log}
	x.report.Why, x.report.Old = firstLine(why), aside
	if err := s.fillIndex(&x, &index); err != nil {
		return err
	}
	if err := s.removeFolders(salvageFolder); err != nil {
		return err
	}
	if err := s.rename(buildFolder, readyFolder); err != nil {
		return err
	}
	return s.finishRebuild()
}

// fillIndex makes the new index in buildFolder.
func (s *Store) fillIndex(x *rebuilder, index *damagedIndex) (err error) {
	if x.work, err = newScratch(s.fs, s.path(salvageFolder), index.opts); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, x.work.close()) }()
	x.salvage = newSalvage(x.work)
	defer x.salvage.close()
	if err := index.salvage(x.salvage); err != nil {
		return err
	}
	x.losses, x.whole = index.losses, index.losses.count == 0
	if x.out, err = newScratch(s.fs, s.path(buildFolder), index.opts); err != nil {
		return err
	}
	if err := x.run(); err != nil {
		return errors.Join(err, x.out.close())
	}
	return x.out.finish()
}

// finishRebuild puts an index that is ready in the place of the old one, and
// removes what an interrupted rebuild has left.
func (s *Store) finishRebuild() error {
	if _, err := s.fs.Stat(s.path(readyFolder)); errors.Is(err, fs.ErrNotExist) {
		return s.removeFolders(buildFolder, salvageFolder)
	} else if err != nil {
		return err
	}
	_, err := s.fs.Stat(s.path(indexFolder))
	if err == nil {
		aside, err := s.asideName()
		if err != nil {
			return err
		}
		if err := s.rename(indexFolder, aside); err != nil {
			return err
		}
		s.log.Warn("damaged index is moved aside", "folder", s.path(aside))
	} else if !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if err := s.rename(readyFolder, indexFolder); err != nil {
		return err
	}
	return s.removeFolders(buildFolder, salvageFolder)
}

func (s *Store) path(name string) string { return s.fs.PathJoin(s.dir, name) }

// rename renames a folder of the store, durably.
func (s *Store) rename(from, to string) error {
	if err := s.fs.Rename(s.path(from), s.path(to)); err != nil {
		return err
	}
	return syncFolder(s.fs, s.dir)
}

func (s *Store) removeFolders(names ...string) error {
	for _, name := range names {
		if err := s.fs.RemoveAll(s.path(name)); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	return nil
}

// maxAside bounds how many damaged indexes can lie beside the index.
const maxAside = 1000

// asideName returns a name for a damaged index that is still free, "" when there
// is no index to be moved.
func (s *Store) asideName() (string, error) {
	if _, err := s.fs.Stat(s.path(indexFolder)); errors.Is(err, fs.ErrNotExist) {
		return "", nil
	} else if err != nil {
		return "", err
	}
	for i := range maxAside {
		name := fmt.Sprintf("%s%d", asidePrefix, i+1)
		if _, err := s.fs.Stat(s.path(name)); errors.Is(err, fs.ErrNotExist) {
			return name, nil
		} else if err != nil {
			return "", err
		}
	}
	return "", fmt.Errorf("%d damaged indexes lie in the store's folder", maxAside)
}

// openDatabase opens the index as it is, and starts the store with it. When it
// returns an error, the database is closed.
func (s *Store) openDatabase(o *options) (err error) {
	if err := makeFolder(o.fs, s.path(indexFolder)); err != nil {
		return err
	}
	if err := s.cutLog(); err != nil {
		return err
	}
	if s.db, err = pebble.Open(s.path(indexFolder), s.pebbleOptions(o.memTable)); err != nil {
		return damaged(err)
	}
	s.fence.opened.Store(true)
	if err = s.start(); err == nil {
		err = s.loadRebuilt()
	}
	if err == nil {
		err = s.noteMade()
	}
	if err == nil {
		err = s.failure()
	}
	if err != nil {
		if s.sweeper.stop != nil {
			s.sweeper.close()
		}
		close(s.fence.release)
		err = errors.Join(err, s.db.Close())
	}
	return err
}
