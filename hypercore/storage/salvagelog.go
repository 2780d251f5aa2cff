package storage

import (
	"encoding/binary"
	"errors"
	"io"
	"math"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/batchrepr"
	"github.com/cockroachdb/pebble/v2/record"
	"github.com/cockroachdb/pebble/v2/vfs"
)

const (
	logBlock = 32 << 10 // Pebble's logs are made of blocks of so many bytes
	// maxLogRecord bounds the bytes of one batch in a log: MaxBatch, and what
	// keys add to it.
	maxLogRecord = 2 * MaxBatch
)

// logSalvage takes over what can be read of one log of a damaged index.
type logSalvage struct {
	to    *salvage
	file  uint64 // number of the log
	stale bool   // its records may all lie in tables, and in newer versions
	lost  bool   // records couldn't be read
}

// run reads the log, and goes on at the next block where a record is damaged.
// What follows the last record is no loss: logs are used again, and a power cut
// may leave a torn record there.
func (l *logSalvage) run(f vfs.File, size int64) (ours error) {
	damaged := false // a record since the last good one couldn't be read
	for at := int64(0); at < size; {
		if !l.ours(f, at) {
			at += logBlock
			continue
		}
		r := recordReader(record.NewReader, io.NewSectionReader(f, at, size-at), l.file)
		for {
			begin := r.Offset()
			rec, err := r.Next()
			var batch []byte
			if err == nil {
				batch, err = io.ReadAll(io.LimitReader(rec, maxLogRecord))
			}
			if errors.Is(err, io.EOF) {
				return nil
			}
			if err != nil {
				damaged = true
				at += (begin/logBlock + 1) * logBlock
				break
			}
			l.lost = l.lost || damaged
			damaged = false
			if ours := l.batch(batch); ours != nil {
				return ours
			}
		}
	}
	return nil
}

// recordReader calls newReader, whose second parameter has a type that Pebble
// doesn't export.
func recordReader[N ~uint64](newReader func(io.Reader, N) *record.Reader, r io.Reader, number uint64) *record.Reader {
	return newReader(r, N(number))
}

// ours says whether the block at the offset begins with a chunk of this log. A
// block that a log used before has the number of that one, and others are zero.
// A chunk begins with checksum (4), length (2), kind (1), low bits of the log's
// number (4).
func (l *logSalvage) ours(f vfs.File, at int64) bool {
	var b [11]byte
	if _, err := f.ReadAt(b[:], at); err != nil {
		return false
	}
	return binary.LittleEndian.Uint32(b[7:]) == uint32(l.file)
}

// batch takes over one batch, as far as it makes sense. Pebble's decoder panics on
// some that make none.
func (l *logSalvage) batch(b []byte) (ours error) {
	defer func() {
		if recover() != nil {
			l.lost = true
		}
	}()
	header, ok := batchrepr.ReadHeader(b)
	if !ok {
		return nil
	}
	seq := uint64(header.SeqNum)
	reader := batchrepr.Read(b)
	for seq < trustedRank {
		kind, key, value, ok, err := reader.Next()
		if !ok || err != nil {
			l.lost = l.lost || err != nil
			return nil
		}
		if kind == pebble.InternalKeyKindLogData {
			continue
		}
		v := l.version(seq)
		seq++
		if kind == pebble.InternalKeyKindRangeDelete {
			l.to.putRange(key, value, v)
			continue
		}
		if k, ok := salvageKind(kind); ok {
			if err := l.to.put(key, value, k, v); err != nil {
				return err
			}
		}
	}
	return nil
}

func (l *logSalvage) version(seq uint64) version {
	if !l.stale {
		seq |= trustedRank
	}
	return version{seq, math.MaxUint64}
}
