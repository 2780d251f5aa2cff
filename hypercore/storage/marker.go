package storage

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"strconv"
	"strings"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"
)

// The marker is a file that says in one line whose folder this is and in which
// format. It is written before the database is made and read before it is
// opened, since opening a database can change it.
const (
	markerName    = "COBOX-STORE"
	markerText    = "cobox store "
	markerMax     = 64 // bytes that are read of it
	formatVersion = 2
	folderMode    = 0o700

	indexFolder = "index" // the database
	dataFolder  = "data"  // the data files
)

// ErrNotStore is wrapped by what Open returns for a folder of something else.
var ErrNotStore = errors.New("storage: folder holds something else")

// FormatError says that a store is in a format that this program can't use: a
// newer one, or one that was given up.
type FormatError struct {
	Found uint64 // version of the store
	Known uint64 // the one version that the program knows
}

func (e *FormatError) Error() string {
	if e.Found < e.Known {
		return fmt.Sprintf("store has format %d of a version that was never released; this program knows format %d alone", e.Found, e.Known)
	}
	return fmt.Sprintf("store has format %d of a newer program; this one knows format %d", e.Found, e.Known)
}

// makeFolder makes dir and syncs the folders in which something was made.
func makeFolder(fsys vfs.FS, dir string) error {
	var parents []string
	for d := dir; ; d = fsys.PathDir(d) {
		if _, err := fsys.Stat(d); !errors.Is(err, fs.ErrNotExist) {
			break
		}
		parents = append(parents, fsys.PathDir(d))
		if fsys.PathDir(d) == d {
			break
		}
	}
	if err := fsys.MkdirAll(dir, folderMode); err != nil {
		return err
	}
	for _, p := range parents {
		if err := syncFolder(fsys, p); err != nil {
			return err
		}
	}
	return nil
}

func syncFolder(fsys vfs.FS, dir string) error {
	f, err := fsys.OpenDir(dir)
	if err != nil {
		return err
	}
	return errors.Join(f.Sync(), f.Close())
}

// checkMarker reads the marker, or writes it when there is no database yet.
func checkMarker(fsys vfs.FS, dir string) error {
	f, err := fsys.Open(fsys.PathJoin(dir, markerName))
	if errors.Is(err, fs.ErrNotExist) {
		for _, d := range []string{dir, fsys.PathJoin(dir, indexFolder)} {
			desc, err := pebble.Peek(d, fsys)
			if err != nil && !errors.Is(err, fs.ErrNotExist) {
				return err
			}
			if err == nil && desc.Exists {
				return fmt.Errorf("%w: a database without the file %s", ErrNotStore, markerName)
			}
		}
		if there, err := hasDataFiles(fsys, dir); err != nil {
			return err
		} else if there {
			return fmt.Errorf("%w: data files without the file %s", ErrNotStore, markerName)
		}
		return writeMarker(fsys, dir)
	}
	if err != nil {
		return err
	}
	defer f.Close()
	text, err := io.ReadAll(io.LimitReader(f, markerMax))
	if err != nil {
		return err
	}
	version, err := parseMarker(text)
	if err != nil {
		return err
	}
	if version != formatVersion {
		return &FormatError{Found: version, Known: formatVersion}
	}
	return nil
}

// parseMarker returns the format version that a marker names.
func parseMarker(text []byte) (uint64, error) {
	number, ok := strings.CutPrefix(string(text), markerText)
	if !ok {
		return 0, fmt.Errorf("%w: the file %s is not ours", ErrNotStore, markerName)
	}
	version, err := strconv.ParseUint(strings.TrimSuffix(number, "\n"), 10, 64)
	if err != nil {
		return 0, fmt.Errorf("%w: the file %s names no version", ErrNotStore, markerName)
	}
	return version, nil
}

func writeMarker(fsys vfs.FS, dir string) error {
	name := fsys.PathJoin(dir, markerName)
	f, err := fsys.Create(name+".new", vfs.WriteCategoryUnspecified)
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(f, "%s%d\n", markerText, formatVersion)
	if err == nil {
		err = f.Sync()
	}
	if err = errors.Join(err, f.Close()); err != nil {
		return err
	}
	if err := fsys.Rename(name+".new", name); err != nil {
		return err
	}
	return syncFolder(fsys, dir)
}
