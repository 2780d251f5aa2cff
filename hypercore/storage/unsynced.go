package storage

import "encoding/binary"

// # Blocks that are not on the disk yet
//
// A batch for which nobody waits is applied before its extents are synced, so
// that many share one sync. Such a batch has a number, and its first entry in the
// index's log, which goes to no table, is a note about its extents:
//
//	note:  'u', uvarint number, then for each extent
//	       uvarint id, segment, offset, bytes of its header, bytes of its bodies;
//	       CRC of its header (4)
//	mark:  's', uvarint number
//
// Numbers count up while a store is open. A mark is written when the data files
// of all batches up to that number were synced, and then the log is synced and
// the batches are durable. No table is synced before the data files are. So when
// the store is opened, only extents of notes without a mark behind them can be
// wrong. They are read; see cutLog for what becomes of a wrong one.
const (
	noteUnsynced = 'u'
	noteSynced   = 's'
)

// unsyncedExtent is an extent that a batch names before it is on the disk.
type unsyncedExtent struct {
	id, segment, offset uint64 // of its header
	header, body        uint64 // bytes
	sum                 uint32 // CRC of the header, which ends with it
}

// unsyncedNote is what a note says.
type unsyncedNote struct {
	number  uint64
	extents []unsyncedExtent
}

func (n *unsyncedNote) append(b []byte) []byte {
	b = binary.AppendUvarint(append(b, noteUnsynced), n.number)
	for i := range n.extents {
		e := &n.extents[i]
		for _, x := range [...]uint64{e.id, e.segment, e.offset, e.header, e.body} {
			b = binary.AppendUvarint(b, x)
		}
		b = binary.BigEndian.AppendUint32(b, e.sum)
	}
	return b
}

// parseNote reads what an entry of the log says: a note with its extents, or a
// mark with none. ok is false for an entry that is neither. It returns ErrDamaged
// for one that can't have been written.
func parseNote(b []byte) (n unsyncedNote, mark, ok bool, err error) {
	if len(b) == 0 || b[0] != noteUnsynced && b[0] != noteSynced {
		return n, false, false, nil
	}
	mark, b = b[0] == noteSynced, b[1:]
	size := 0
	if n.number, size = binary.Uvarint(b); size <= 0 {
		return n, false, false, ErrDamaged
	}
	b = b[size:]
	if mark && len(b) > 0 {
		return n, false, false, ErrDamaged
	}
	for len(b) > 0 {
		var e unsyncedExtent
		for _, x := range [...]*uint64{&e.id, &e.segment, &e.offset, &e.header, &e.body} {
			if *x, size = binary.Uvarint(b); size <= 0 {
				return n, false, false, ErrDamaged
			}
			b = b[size:]
		}
		if len(b) < 4 || e.offset > maxOffset || e.header < extentFixed+4 || e.header > maxExtentHeader || e.body > maxOffset {
			return n, false, false, ErrDamaged
		}
		e.sum, b = binary.BigEndian.Uint32(b), b[4:]
		n.extents = append(n.extents, e)
	}
	return n, mark, true, nil
}

// appendMark appends the mark that all batches up to the number are synced.
func appendMark(b []byte, number uint64) []byte {
	return binary.AppendUvarint(append(b, noteSynced), number)
}
