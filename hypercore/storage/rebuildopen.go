package storage

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"strings"
	"syscall"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"
)

// Folders and files beside the index. A new index is made in buildFolder with the
// help of salvageFolder; when it is durable, it is renamed to readyFolder, the old
// one is moved aside, and then the new one takes its place. Whatever of that a
// power cut leaves, the next Open goes on from there: before readyFolder exists,
// the old index is where it was.
const (
	buildFolder   = "index.build"
	salvageFolder = "index.salvage"
	readyFolder   = "index.ready"
	asidePrefix   = "index.damaged-"
	// madeName is a file that says that an index was made here: without it, a
	// folder that has none is that of a store that was never opened.
	madeName = "COBOX-INDEX"
)

// errNoIndex is why an index is rebuilt that isn't there.
var errNoIndex = errors.New("index is missing")

// WithoutRebuild makes Open return an error that wraps ErrDamaged when the index
// is lost or damaged, and change nothing, where it would make a new index else.
func WithoutRebuild() Option {
	return func(o *options) { o.keepIndex = true }
}

// openIndex opens the index, after it was made anew when it is lost or damaged.
func (s *Store) openIndex(o *options) error {
	if err := s.finishRebuild(); err != nil {
		return err
	}
	why, err := s.indexDamage()
	if err != nil {
		return err
	}
	if why == nil {
		if err = s.openDatabase(o); err == nil {
			return nil
		}
		if !rebuildable(err) || s.failure() != nil {
			return err
		}
		why = err
		s.fenceIndex()
		s.sweeper = newSweeper(s)
	}
	if o.keepIndex {
		return fmt.Errorf("%w: %w", ErrDamaged, why)
	}
	s.log.Error("index is damaged and made anew", "dir", s.dir, "err", firstLine(why))
	if err := s.rebuildIndex(o, why); err != nil {
		return fmt.Errorf("make a new index, for %s: %w", firstLine(why), err)
	}
	if err := s.openDatabase(o); err != nil {
		return err
	}
	s.log.Warn("index is made", "dir", s.dir, "rebuild", s.rebuilt.String())
	return nil
}

// indexDamage says why the index can't be used without a look into its tables;
// nil when nothing is known against it. Pebble would take an index that lost its
// manifest for a new one, and drop what the lost end of a manifest or a lost log
// says without a word.
func (s *Store) indexDamage() (why, err error) {
	dir := s.fs.PathJoin(s.dir, indexFolder)
	names, err := s.fs.List(dir)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	bases := make([]string, len(names))
	for i := range names {
		bases[i] = s.fs.PathBase(names[i])
	}
	name, marked := manifestName(bases)
	if !marked {
		return s.missingIndex(bases)
	}
	f, err := s.fs.Open(s.fs.PathJoin(dir, name))
	if errors.Is(err, fs.ErrNotExist) {
		if done, err := s.previousManifest(dir, bases, name); done || err != nil {
			return nil, err
		}
		return fmt.Errorf("%s is missing", name), nil
	}
	if err != nil {
		return nil, err
	}
	m := newManifest()
	readErr := m.read(f)
	torn := readErr != nil && !errors.Is(readErr, errManifest) && !manifestGoesOn(f)
	if err := f.Close(); err != nil || isOurs(readErr) {
		return nil, errors.Join(err, readErr)
	}
	if readErr != nil && !errors.Is(readErr, errManifest) && !torn {
		return fmt.Errorf("%s is damaged: %w", name, readErr), nil
	}
	if m.cutShort(name) && !errors.Is(readErr, errManifest) {
		return fmt.Errorf("%s is cut short", name), nil
	}
	if number, lost := m.lostLog(name, bases); lost && !errors.Is(readErr, errManifest) {
		return fmt.Errorf("log %06d is missing", number), nil
	}
	return nil, nil
}

// missingIndex says whether an index was there before: names are what is left in
// its folder. Its tables and logs come only after its manifest.
func (s *Store) missingIndex(names []string) (why, err error) {
	for _, name := range names {
		if strings.HasSuffix(name, ".sst") || strings.HasSuffix(name, ".log") {
			return errNoIndex, nil
		}
	}
	if _, err := s.fs.Stat(s.fs.PathJoin(s.dir, madeName)); err == nil {
		return errNoIndex, nil
	} else if !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	there, err := hasDataFiles(s.fs, s.dir)
	if err != nil || !there {
		return nil, err
	}
	return errNoIndex, nil
}

// hasDataFiles says whether there are data files in a store's folder.
func hasDataFiles(fsys vfs.FS, dir string) (bool, error) {
	names, err := fsys.List(fsys.PathJoin(dir, dataFolder))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return false, err
	}
	for _, name := range names {
		if _, _, ok := parseSegmentName(fsys.PathBase(name)); ok {
			return true, nil
		}
	}
	return false, nil
}

// noteMade makes the file that says that there is an index.
func (s *Store) noteMade() error {
	name := s.fs.PathJoin(s.dir, madeName)
	_, err := s.fs.Stat(name)
	if err == nil || !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	f, err := s.fs.Create(name, vfs.WriteCategoryUnspecified)
	if err != nil {
		return err
	}
	if err := errors.Join(f.Sync(), f.Close()); err != nil {
		return err
	}
	return syncFolder(s.fs, s.dir)
}

// rebuildable says whether the error is one of damage, for which a new index is
// the cure. A folder in use, a newer format, or a system that is short of
// something, are not.
func rebuildable(err error) bool {
	var format *FormatError
	if isOurs(err) || errors.As(err, &format) || errors.Is(err, ErrLocked) || errors.Is(err, syscall.EIO) {
		return false
	}
	return errors.Is(err, ErrDamaged) || pebble.IsCorruptionError(err) || errors.Is(err, fs.ErrNotExist) ||
		errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, pebble.ErrDBNotPristine)
}

// isOurs says whether an error of reading is about this system and not about
// what was read: too many open files, no permission. Bytes that the disk itself
// can't give back any more are lost.
func isOurs(err error) bool {
	var number syscall.Errno
	if errors.As(err, &number) {
		return number != syscall.EIO && number != syscall.ENOENT
	}
	return errors.Is(err, fs.ErrPermission)
}

// firstLine leaves out the stack trace that Pebble's errors carry.
func firstLine(err error) string {
	line, _, _ := strings.Cut(err.Error(), "\n")
	return line
}
