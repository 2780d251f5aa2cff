package storage

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/batchrepr"
	"github.com/cockroachdb/pebble/v2/record"
	"github.com/cockroachdb/pebble/v2/vfs"
)

// maxNote bounds the bytes of a note: a batch has at most MaxBatch in extents of
// looseRunBytes, and each takes some 50 bytes.
const maxNote = 1 << 20

// loggedNote is a note and where its batch begins.
type loggedNote struct {
	unsyncedNote
	log    int // in the list of logs
	offset int64
}

// cutLog lets the index, which is not open yet, see its log only up to the first
// batch of which a block is not on the disk. Such a batch was never called durable,
// nor was any behind it. The log itself stays as it is until the index, once open,
// has what it saw in tables: so all this can be done again after another power
// cut. An index that is damaged is left as it is.
func (s *Store) cutLog() error {
	logs, err := s.liveLogs()
	if err != nil {
		return err
	}
	notes, err := s.openNotes(logs)
	if err != nil || len(notes) == 0 {
		return err
	}
	check := extentCheck{s: s, files: make(map[fileName]vfs.File)}
	defer check.close()
	for i := range notes {
		n := &notes[i]
		wrong, err := check.note(&n.unsyncedNote)
		if err != nil {
			return err
		}
		if wrong == nil {
			continue
		}
		s.log.Warn("what was not durable yet is undone after a power cut", "dir", s.dir, "batches", len(notes)-i, "err", wrong)
		s.fence.limits = map[string]int64{logs[n.log]: n.offset}
		for _, later := range logs[n.log+1:] {
			s.fence.limits[later] = 0
		}
		return nil
	}
	return nil
}

// liveLogs returns the names of the logs that the index will read when it is
// opened, in order. Where its manifest can't be read to the end, some may be among
// them that had their time.
func (s *Store) liveLogs() (logs []string, err error) {
	dir := s.path(indexFolder)
	names, err := s.fs.List(dir)
	if err != nil {
		return nil, err
	}
	for i := range names {
		names[i] = s.fs.PathBase(names[i])
	}
	name, ok := manifestName(names)
	if !ok {
		return nil, nil
	}
	f, err := s.fs.Open(s.fs.PathJoin(dir, name))
	if err != nil {
		return nil, err
	}
	m := newManifest()
	if err := errors.Join(m.read(f), f.Close()); isOurs(err) {
		return nil, err
	}
	var numbers []uint64
	for _, name := range names {
		number, isLog := strings.CutSuffix(name, ".log")
		if n, err := parseFileNumber(number); isLog && err == nil && n >= m.minLog {
			numbers = append(numbers, n)
		}
	}
	slices.Sort(numbers)
	for _, n := range numbers {
		logs = append(logs, fmt.Sprintf("%06d.log", n))
	}
	return logs, nil
}

// openNotes returns the notes behind which there is no mark; none for logs that
// are damaged. Numbers go on from the highest one, so that a mark closes the notes
// of all earlier runs of the program.
func (s *Store) openNotes(logs []string) (open []loggedNote, err error) {
	for i, name := range logs {
		f, err := s.fs.Open(s.fs.PathJoin(s.path(indexFolder), name))
		if err != nil {
			return nil, err
		}
		number, _ := parseFileNumber(strings.TrimSuffix(name, ".log"))
		open, err = s.readNotes(open, f, number, i)
		f.Close()
		if isOurs(err) || errors.Is(err, ErrDamaged) {
			return nil, err
		}
		if torn := errors.Is(err, record.ErrUnexpectedEOF) && i == len(logs)-1; err != nil && !torn {
			return nil, nil // Pebble will say what it thinks of it
		}
	}
	return open, nil
}

// readNotes appends the notes of a log to those that are open, and takes out what
// its marks close.
func (s *Store) readNotes(open []loggedNote, f vfs.File, number uint64, log int) ([]loggedNote, error) {
	r := recordReader(record.NewReader, f, number)
	for {
		offset := r.Offset()
		rec, err := r.Next()
		if errors.Is(err, io.EOF) {
			return open, nil
		}
		if err != nil {
			return open, err
		}
		entry, err := firstEntry(rec)
		if err != nil {
			return open, err
		}
		// Only at its end does the reader know where the next record begins.
		if _, err := io.Copy(io.Discard, rec); err != nil {
			return open, err
		}
		n, mark, ok, err := parseNote(entry)
		s.unsynced = max(s.unsynced, n.number)
		switch {
		case err != nil:
			return open, err
		case mark:
			open = slices.DeleteFunc(open, func(o loggedNote) bool { return o.number <= n.number })
		case ok:
			open = append(open, loggedNote{n, log, offset})
		}
	}
}

// firstEntry returns the first entry of a batch if it is one for the log alone,
// else nil. The error is that of the log.
func firstEntry(r io.Reader) ([]byte, error) {
	var head [batchrepr.HeaderLen + 1]byte
	if _, err := io.ReadFull(r, head[:]); errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return nil, nil
	} else if err != nil {
		return nil, err
	}
	if head[batchrepr.HeaderLen] != byte(pebble.InternalKeyKindLogData) {
		return nil, nil
	}
	size, err := binary.ReadUvarint(byteReader{r})
	if err != nil {
		return nil, err
	}
	if size > maxNote {
		return nil, ErrDamaged
	}
	entry := make([]byte, size)
	_, err = io.ReadFull(r, entry)
	return entry, err
}

// byteReader reads bytes one by one.
type byteReader struct{ io.Reader }

func (r byteReader) ReadByte() (byte, error) {
	var b [1]byte
	_, err := io.ReadFull(r.Reader, b[:])
	return b[0], err
}
