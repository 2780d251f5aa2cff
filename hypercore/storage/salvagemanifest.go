package storage

import (
	"bytes"
	"encoding/binary"
	"errors"
	"hash/crc32"
	"io"
	"math"
	"strings"

	"github.com/cockroachdb/pebble/v2/record"
)

// manifest is what Pebble's list of its files says: a log of edits, each of
// fields that begin with a uvarint tag. It is read here because a damaged index
// can't be opened, and because its files alone don't tell which of them had
// their time: what was deleted would come back from those.
type manifest struct {
	live   map[levelTable]uint64 // tables in use -> number of the file
	known  map[uint64]bool       // numbers of all tables that are or were in use
	minLog uint64                // logs below have had their time
	edits  int                   // that were read whole
}

type levelTable struct{ level, number uint64 }

// Tags of the fields of an edit, and of the extras of a new table.
const (
	tagComparer     = 1   // name
	tagMinLog       = 2   // number
	tagNextFile     = 3   // number
	tagLastSequence = 4   // number
	tagDeletedTable = 6   // level, number
	tagPreviousLog  = 9   // number
	tagNewTable     = 103 // level, number, size, smallest and largest key, smallest and largest sequence number, extras
	tagNewRanged    = 104 // the same, with a byte of flags in front of the keys, and two more keys
	tagNewBacking   = 105 // number, size
	tagOldBacking   = 106 // number

	extraEnd     = 1
	extraVirtual = 66 // number of the file
	extraUnsafe  = 64 // bit of extras that can't be passed over

	flagHasPoints = 1
)

const (
	firstManifest   = 1         // number of the one that a new index gets
	maxManifest     = 256 << 20 // bytes that are read of a manifest
	maxManifestEdit = 64 << 20  // bytes of one edit
)

var errManifest = errors.New("storage: manifest of another kind")

func newManifest() *manifest {
	return &manifest{live: make(map[levelTable]uint64), known: make(map[uint64]bool)}
}

// read reads a manifest and returns why it can't be trusted: it is damaged
// somewhere, or of a kind that isn't known.
func (m *manifest) read(f io.Reader) error {
	r := record.NewReader(io.LimitReader(f, maxManifest), 0)
	for ; ; m.edits++ {
		rec, err := r.Next()
		if errors.Is(err, io.EOF) {
			if m.edits == 0 {
				return io.ErrUnexpectedEOF
			}
			return nil
		}
		if err != nil {
			return err
		}
		edit, err := io.ReadAll(io.LimitReader(rec, maxManifestEdit))
		if err != nil {
			return err
		}
		if err := m.edit(edit); err != nil {
			return err
		}
	}
}

// tables returns the numbers of the files of the tables in use.
func (m *manifest) tables() map[uint64]bool {
	numbers := make(map[uint64]bool, len(m.live))
	for _, file := range m.live {
		numbers[file] = true
	}
	return numbers
}

// edit applies one edit. Within one, deletions come first.
func (m *manifest) edit(b []byte) error {
	d := editReader{b: b}
	var deleted []levelTable
	added := make(map[levelTable]uint64)
	for len(d.b) > 0 && !d.bad {
		switch d.number() {
		case tagComparer:
			d.bytes()
		case tagMinLog:
			m.minLog = max(m.minLog, d.number())
		case tagNextFile, tagLastSequence, tagPreviousLog:
			d.number()
		case tagOldBacking:
			d.number()
		case tagNewBacking:
			m.known[d.number()] = true
			d.number()
		case tagDeletedTable:
			deleted = append(deleted, levelTable{d.number(), d.number()})
		case tagNewTable:
			d.table(false, added)
		case tagNewRanged:
			d.table(true, added)
		default:
			return errManifest
		}
	}
	if d.bad {
		return errManifest
	}
	for _, t := range deleted {
		delete(m.live, t)
		m.known[t.number] = true
	}
	for t, file := range added {
		m.live[t] = file
		m.known[t.number], m.known[file] = true, true
	}
	return nil
}

// editReader reads the fields of an edit. After bad is set it returns zeros.
type editReader struct {
	b   []byte
	bad bool
}

func (d *editReader) number() uint64 {
	n, size := binary.Uvarint(d.b)
	if size <= 0 {
		d.b, d.bad = nil, true
		return 0
	}
	d.b = d.b[size:]
	return n
}

func (d *editReader) bytes() []byte {
	n := d.number()
	if n > uint64(len(d.b)) {
		d.b, d.bad = nil, true
		return nil
	}
	b := d.b[:n]
	d.b = d.b[n:]
	return b
}

// table reads a new table and adds it to tables.
func (d *editReader) table(ranged bool, tables map[levelTable]uint64) {
	t := levelTable{d.number(), d.number()}
	d.number()
	keys := 2
	if ranged {
		flags := d.bytesOf(1)
		keys = 4
		if !d.bad && flags[0]&flagHasPoints == 0 {
			keys = 2
		}
	}
	for range keys {
		d.bytes()
	}
	d.number()
	d.number()
	file := t.number
	for !d.bad {
		switch tag := d.number(); {
		case tag == extraEnd:
			if !d.bad {
				tables[t] = file
			}
			return
		case tag == extraVirtual:
			file = d.number()
		case tag&extraUnsafe != 0:
			d.b, d.bad = nil, true
		default:
			d.bytes()
		}
	}
}

func (d *editReader) bytesOf(n int) []byte {
	if n > len(d.b) {
		d.b, d.bad = nil, true
		return nil
	}
	b := d.b[:n]
	d.b = d.b[n:]
	return b
}

// cutShort says whether the manifest of that name has lost its first change. But
// for the first one of all, a manifest begins with what the one before it said and
// a change to that, and its marker is set when both are durable: a power cut can't
// take the change away, which may name tables in place of logs that are gone.
func (m *manifest) cutShort(name string) bool {
	own, err := parseFileNumber(strings.TrimPrefix(name, "MANIFEST-"))
	return err == nil && own > firstManifest && m.edits < 2
}

// lostLog says whether a log that the manifest needs is not among the names of
// the index's files: it is lost, or the end of the manifest is, and with it what
// was written since.
//
// The manifest names the oldest log that isn't in tables yet, and that is there,
// but for a manifest that Pebble made when it opened the index. Then the number
// stands for the log that it makes next, before it writes its options, and
// numbers between the manifest's own and that of the log are those of tables.
func (m *manifest) lostLog(manifestName string, names []string) (number uint64, lost bool) {
	own, err := parseFileNumber(strings.TrimPrefix(manifestName, "MANIFEST-"))
	if err != nil {
		return 0, false
	}
	first, others, options := uint64(math.MaxUint64), make(map[uint64]bool), false
	for _, name := range names {
		base, extension, _ := strings.Cut(name, ".")
		number, isOptions := strings.CutPrefix(base, "OPTIONS-")
		n, err := parseFileNumber(number)
		switch {
		case err != nil:
		case extension != "log":
			others[n] = true
			options = options || isOptions && n > own
		case n == m.minLog:
			return 0, false
		case n > own:
			first = min(first, n)
		}
	}
	if m.minLog > own {
		return m.minLog, true
	}
	if first == math.MaxUint64 {
		return own + 1, options
	}
	for n := own + 1; n < first; n++ {
		if !others[n] && !m.known[n] {
			return n, true
		}
	}
	return 0, false
}

// manifestName returns the name of the newest manifest in the list of a folder's
// files: that which the newest of Pebble's markers names, or if there is none the
// one with the highest number; and whether a marker named it.
func manifestName(names []string) (name string, marked bool) {
	best, prefix := uint64(0), []byte("marker.manifest.")
	for _, n := range names {
		rest, ok := bytes.CutPrefix([]byte(n), prefix)
		if !ok {
			continue
		}
		iteration, value, ok := bytes.Cut(rest, []byte("."))
		number, err := parseFileNumber(string(iteration))
		if ok && err == nil && (!marked || number > best) {
			name, best, marked = string(value), number, true
		}
	}
	if marked {
		return name, true
	}
	for _, n := range names {
		number, ok := bytes.CutPrefix([]byte(n), []byte("MANIFEST-"))
		if !ok {
			continue
		}
		if i, err := parseFileNumber(string(number)); err == nil && (name == "" || i > best) {
			name, best = n, i
		}
	}
	return name, false
}

// manifestGoesOn says whether f has a whole record behind one that is damaged. A
// power cut damages the last one alone, because each was synced before the next
// was written. A record's first chunk begins with a masked CRC-32C (4), length
// (2) and a kind (1), which the checksum covers as well as what follows.
func manifestGoesOn(f io.ReaderAt) bool {
	block := make([]byte, logBlock)
	damaged := false
	for at := int64(0); ; at += logBlock {
		n, err := f.ReadAt(block, at)
		for b := block[:n]; len(b) >= chunkHeader; {
			size, right := chunk(b)
			switch {
			case right && damaged && (b[6] == chunkFull || b[6] == chunkFirst):
				return true
			case right:
				b = b[size:]
			case isZero(b):
				b = nil
			default:
				damaged = true
				b = b[1:]
			}
		}
		if err != nil {
			return false
		}
	}
}

const (
	chunkHeader = 7
	chunkFull   = 1
	chunkFirst  = 2
	chunkLast   = 4 // the highest kind of a manifest's chunks
)

// chunk returns the length of the chunk at the beginning of b and whether its
// checksum is right.
func chunk(b []byte) (size int, right bool) {
	size = chunkHeader + int(binary.LittleEndian.Uint16(b[4:]))
	if b[6] < chunkFull || b[6] > chunkLast || size > len(b) {
		return 0, false
	}
	sum := crc32.Checksum(b[6:size], castagnoli)
	return size, binary.LittleEndian.Uint32(b) == (sum>>15|sum<<17)+0xa282ead8
}

func isZero(b []byte) bool {
	for _, x := range b {
		if x != 0 {
			return false
		}
	}
	return true
}
