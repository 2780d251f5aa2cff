package storage

import (
	"errors"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"
)

// dataDir returns the folder of the data files.
func (s *Store) dataDir() string { return s.fs.PathJoin(s.dir, dataFolder) }

// segmentPath returns the name of a data file with its folder.
func (s *Store) segmentPath(id, number uint64) string {
	return s.fs.PathJoin(s.dataDir(), segmentName(id, number))
}

// openSegment opens a data file for reading.
func (s *Store) openSegment(id, number uint64) (vfs.File, error) {
	return s.fs.Open(s.segmentPath(id, number))
}

// openToChange opens a file that is there for writing; it makes none.
func (s *Store) openToChange(name string) (vfs.File, error) {
	if _, err := s.fs.Stat(name); err != nil {
		return nil, err
	}
	return s.fs.OpenReadWrite(name, vfs.WriteCategoryUnspecified)
}

// segment returns a segment record; ok is false when there is none. It needs use
// or mu.
func (s *Store) segment(id, number uint64) (rec segmentRecord, ok bool, err error) {
	value, closer, err := s.db.Get(segmentKey(id, number))
	if errors.Is(err, pebble.ErrNotFound) {
		return rec, false, nil
	}
	if err != nil {
		return rec, false, err
	}
	rec, err = parseSegmentRecord(value)
	return rec, err == nil, errors.Join(err, closer.Close())
}

// isSpoiled says whether a write or sync of the segment has failed: what the
// system holds of it then may differ from what the disk has.
func (s *Store) isSpoiled(id, number uint64) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	_, spoiled := s.spoiled[fileName{id, number}]
	return spoiled
}

func (s *Store) spoil(name fileName) {
	s.tails.retire(name)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.spoiled[name] = struct{}{}
}

// checkSegments compares the data files with the index when the store is opened:
// a file that no segment record names was left by a failure and is removed, one
// that is missing is logged. Ids of files are not given again.
func (s *Store) checkSegments() error {
	names, err := s.fs.List(s.dataDir())
	if err != nil {
		return err
	}
	files := make(map[fileName]bool, len(names))
	for _, name := range names {
		if id, number, ok := parseSegmentName(s.fs.PathBase(name)); ok {
			files[fileName{id, number}] = true
			s.nextID = max(s.nextID, id+1)
		}
	}
	err = s.scan([]byte{tableSegment}, []byte{tableSegment + 1}, func(key, _ []byte) (bool, error) {
		id, number, err := parseSegmentKey(key)
		if err != nil {
			return false, err
		}
		if !files[fileName{id, number}] {
			s.log.Error("data file is missing", "file", segmentName(id, number))
		}
		delete(files, fileName{id, number})
		return true, nil
	})
	if err != nil {
		return err
	}
	for f := range files {
		if err := s.fs.Remove(s.segmentPath(f.id, f.number)); err != nil {
			s.log.Warn("file left by a failure can't be removed", "file", segmentName(f.id, f.number), "err", err)
		}
	}
	return nil
}
