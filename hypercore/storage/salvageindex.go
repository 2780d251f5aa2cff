package storage

import (
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strconv"
	"strings"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"
)

// damagedIndex is the folder of an index that can't be opened, or is not there.
type damagedIndex struct {
	fs   vfs.FS
	dir  string
	opts *pebble.Options

	tables, logs []uint64 // files that are there and may be of use, ascending
	firstLog     uint64   // logs below it may have had their time
	losses       losses
}

// losses is what is known to be lost, in words, the first maxLosses.
type losses struct {
	notes []string
	count int
}

const maxLosses = 100

func (l *losses) add(format string, args ...any) {
	if l.count++; len(l.notes) < maxLosses {
		l.notes = append(l.notes, fmt.Sprintf(format, args...))
	}
}

func parseFileNumber(s string) (uint64, error) { return strconv.ParseUint(s, 10, 64) }

// list finds the files of the index. A folder that isn't there is a loss.
func (x *damagedIndex) list() error {
	names, err := x.fs.List(x.dir)
	if errors.Is(err, fs.ErrNotExist) {
		x.losses.add("the folder is missing")
		return nil
	}
	if err != nil {
		return err
	}
	var tables, logs []uint64
	for _, name := range names {
		name = x.fs.PathBase(name)
		if number, err := parseFileNumber(strings.TrimSuffix(name, ".sst")); err == nil {
			tables = append(tables, number)
		}
		if number, err := parseFileNumber(strings.TrimSuffix(name, ".log")); err == nil {
			logs = append(logs, number)
		}
	}
	slices.Sort(tables)
	slices.Sort(logs)
	for i := range names {
		names[i] = x.fs.PathBase(names[i])
	}
	m, err := readManifest(x.fs, x.dir, names)
	if err != nil {
		x.losses.add("manifest: %v", err)
		x.guess(tables, logs)
		return nil
	}
	x.choose(m, tables, logs)
	name, _ := manifestName(names)
	if m.cutShort(name) {
		x.losses.add("%s is cut short", name)
	}
	if number, lost := m.lostLog(name, names); lost {
		x.losses.add("log %06d is missing", number)
	}
	return nil
}

// choose takes the files that the manifest names, and tables that it doesn't
// know: its end may be lost.
func (x *damagedIndex) choose(m *manifest, tables, logs []uint64) {
	wanted := m.tables()
	for _, number := range tables {
		if wanted[number] || !m.known[number] {
			x.tables = append(x.tables, number)
		}
		delete(wanted, number)
	}
	for _, number := range sortedKeys(wanted) {
		x.losses.add("table %06d is missing", number)
	}
	at, _ := slices.BinarySearch(logs, m.minLog)
	x.firstLog, x.logs = m.minLog, logs[at:]
}

// guess takes all files. A log is written to tables once there is a next log, so
// one that is followed by a log and then a table may have had its time.
func (x *damagedIndex) guess(tables, logs []uint64) {
	x.tables, x.logs = tables, logs
	last := uint64(0)
	if len(tables) > 0 {
		last = tables[len(tables)-1]
	}
	for i, number := range logs {
		if i+1 == len(logs) || last < logs[i+1] {
			x.firstLog = number
			return
		}
	}
}

// salvage takes over what can be read. The error is not one of the damage: the
// system is short of something, or the scratch database failed.
func (x *damagedIndex) salvage(to *salvage) error {
	for _, number := range x.tables {
		name := fmt.Sprintf("%06d.sst", number)
		f, err := x.fs.Open(x.fs.PathJoin(x.dir, name))
		if err != nil {
			if isOurs(err) {
				return err
			}
			x.losses.add("table %s: %v", name, err)
			continue
		}
		t := tableSalvage{to: to, file: number, opts: x.opts}
		if err := t.run(f); err != nil {
			return err
		}
		if t.lost > 0 {
			x.losses.add("table %s is damaged in %d places", name, t.lost)
		}
	}
	for _, number := range x.logs {
		if err := x.log(to, number); err != nil {
			return err
		}
	}
	return to.done()
}

func (x *damagedIndex) log(to *salvage, number uint64) error {
	name := fmt.Sprintf("%06d.log", number)
	f, err := x.fs.Open(x.fs.PathJoin(x.dir, name))
	if err == nil {
		defer f.Close()
		var info vfs.FileInfo
		if info, err = f.Stat(); err == nil {
			l := logSalvage{to: to, file: number, stale: number < x.firstLog}
			if err := l.run(f, info.Size()); err != nil {
				return err
			}
			if l.lost {
				x.losses.add("log %s is damaged", name)
			}
			return nil
		}
	}
	if isOurs(err) {
		return err
	}
	x.losses.add("log %s: %v", name, err)
	return nil
}

// readManifest reads the manifest of the index in dir, whose files have the
// names.
func readManifest(fsys vfs.FS, dir string, names []string) (*manifest, error) {
	name, _ := manifestName(names)
	if name == "" {
		return nil, fs.ErrNotExist
	}
	f, err := fsys.Open(fsys.PathJoin(dir, name))
	if err != nil {
		return nil, err
	}
	defer f.Close()
	m := newManifest()
	if err := m.read(f); err != nil {
		return nil, err
	}
	return m, nil
}

func sortedKeys(m map[uint64]bool) []uint64 {
	keys := make([]uint64, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}
