package storage

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cockroachdb/pebble/v2/vfs/atomicfs"
)

// previousManifest puts the manifest before a missing one back in use, if all
// that it names is there and nothing is younger than the missing one. So it is
// after a power cut while Pebble made that: it writes the marker that names a new
// manifest before the name of the new manifest is durable.
func (s *Store) previousManifest(dir string, names []string, missing string) (done bool, err error) {
	unmarked := slices.DeleteFunc(slices.Clone(names), func(n string) bool { return strings.HasPrefix(n, "marker.") })
	limit, err := parseFileNumber(strings.TrimPrefix(missing, "MANIFEST-"))
	name, _ := manifestName(unmarked)
	if err != nil || name == "" || youngest(unmarked) > limit {
		return false, nil
	}
	m, err := readManifest(s.fs, dir, unmarked)
	if isOurs(err) {
		return false, err
	}
	if err != nil {
		return false, nil
	}
	if _, lost := m.lostLog(name, unmarked); lost || m.cutShort(name) {
		return false, nil
	}
	for table := range m.tables() {
		if !slices.Contains(unmarked, fmt.Sprintf("%06d.sst", table)) {
			return false, nil
		}
	}
	return true, setMarker(s.fs, dir, name)
}

// youngest returns the highest number of a file of the index.
func youngest(names []string) (number uint64) {
	for _, name := range names {
		base, _, _ := strings.Cut(name, ".")
		for _, prefix := range []string{"OPTIONS-", "MANIFEST-"} {
			base = strings.TrimPrefix(base, prefix)
		}
		if n, err := parseFileNumber(base); err == nil {
			number = max(number, n)
		}
	}
	return number
}

// setMarker makes Pebble use the manifest.
func setMarker(fsys vfs.FS, dir, manifest string) error {
	marker, _, err := atomicfs.LocateMarker(fsys, dir, "manifest")
	if err != nil {
		return err
	}
	return errors.Join(marker.Move(manifest), marker.RemoveObsolete(), marker.Close())
}
