package storage

import (
	"context"
	"errors"
	"fmt"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/sstable"
	"github.com/cockroachdb/pebble/v2/sstable/block"
	"github.com/cockroachdb/pebble/v2/sstable/block/blockkind"
	"github.com/cockroachdb/pebble/v2/sstable/colblk"
)

// tableSalvage takes over what can be read of one table of a damaged index.
type tableSalvage struct {
	to     *salvage
	file   uint64 // number of the table
	opts   *pebble.Options
	reader *sstable.Reader
	lost   int // blocks of the table that couldn't be read
}

// run reads the table block by block, so that a damaged block costs no more than
// itself. What can't be read of it is in the lost count; ours is an error of the
// scratch database alone. A damaged end of the file, where its blocks are
// listed, costs the whole table.
func (t *tableSalvage) run(f sstable.ReadableFile) (ours error) {
	readable, err := sstable.NewSimpleReadable(f)
	if err != nil {
		t.lost++
		_ = f.Close()
		return nil
	}
	t.reader, err = sstable.NewReader(context.Background(), readable, t.opts.MakeReaderOptions())
	if err != nil {
		t.lost++
		_ = readable.Close()
		if isOurs(err) {
			return err
		}
		return nil
	}
	defer t.reader.Close()
	defer func() {
		if recover() != nil { // of Pebble's decoders, which trust what has the right checksum
			t.lost++
		}
	}()
	if err := t.ranges(); err != nil {
		if isOurs(err) {
			return err
		}
		t.lost++
	}
	ours, err = t.points()
	if ours == nil && err != nil {
		ours = t.bothWays()
	}
	return ours
}

// points reads the data blocks. err says that they can't be read one by one.
func (t *tableSalvage) points() (ours, err error) {
	layout, err := t.reader.Layout()
	if err != nil {
		return nil, err
	}
	schema := t.opts.KeySchemas[t.opts.KeySchema]
	if format, err := t.reader.TableFormat(); err != nil || !format.BlockColumnar() || schema == nil {
		return nil, errors.Join(err, errors.New("storage: table of another format"))
	}
	for i := range layout.Data {
		if ours, err = t.block(layout.Data[i].Handle, schema); ours != nil {
			return ours, nil
		}
		if isOurs(err) {
			return err, nil
		}
		if err != nil {
			t.lost++
		}
	}
	return nil, nil
}

// block reads one data block. A panic of the decoder, which trusts what has the
// right checksum, counts as damage.
func (t *tableSalvage) block(h block.Handle, schema *colblk.KeySchema) (ours, err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("%w: %v", ErrDamaged, p)
		}
	}()
	buf, err := t.reader.BlockReader().Read(context.Background(), block.NoReadEnv, nil, h, blockkind.SSTableData,
		func(*block.Metadata, []byte) error { return nil })
	if err != nil {
		return nil, err
	}
	defer buf.Release()
	var decoder colblk.DataBlockDecoder
	decoder.Init(schema, buf.BlockData())
	var it colblk.DataBlockIter
	it.InitOnce(schema, t.reader.Comparer, nil)
	if err := it.Init(&decoder, block.IterTransforms{}); err != nil {
		return nil, err
	}
	defer it.Close()
	for kv := it.First(); kv != nil; kv = it.Next() {
		lazy := kv.LazyValue()
		if ours := t.put(&kv.K, lazy.ValueOrHandle); ours != nil {
			return ours, nil
		}
	}
	return nil, it.Error()
}

// bothWays reads from either end up to what is damaged.
func (t *tableSalvage) bothWays() (ours error) {
	t.lost++
	it, err := t.reader.NewIter(sstable.NoTransforms, nil, nil, sstable.AssertNoBlobHandles)
	if err != nil {
		return nil
	}
	defer it.Close()
	for kv := it.First(); kv != nil; kv = it.Next() {
		if value, _, err := kv.Value(nil); err == nil {
			if ours := t.put(&kv.K, value); ours != nil {
				return ours
			}
		}
	}
	if it.Error() == nil {
		return nil
	}
	for kv := it.Last(); kv != nil; kv = it.Prev() {
		if value, _, err := kv.Value(nil); err == nil {
			if ours := t.put(&kv.K, value); ours != nil {
				return ours
			}
		}
	}
	return nil
}

// ranges reads the deletions of ranges.
func (t *tableSalvage) ranges() error {
	it, err := t.reader.NewRawRangeDelIter(context.Background(), sstable.NoFragmentTransforms, sstable.NoReadEnv)
	if err != nil || it == nil {
		return err
	}
	defer it.Close()
	span, err := it.First()
	for ; span != nil; span, err = it.Next() {
		for _, k := range span.Keys {
			t.to.putRange(span.Start, span.End, t.version(k.SeqNum()))
		}
	}
	return err
}

func (t *tableSalvage) version(seq pebble.SeqNum) version {
	return version{trustedRank | uint64(seq), t.file}
}

func (t *tableSalvage) put(key *pebble.InternalKey, value []byte) error {
	kind, ok := salvageKind(key.Kind())
	if !ok {
		return nil
	}
	return t.to.put(key.UserKey, value, kind, t.version(key.SeqNum()))
}

// salvageKind returns what a record of the kind does to its key; ok is false for
// kinds that this package never writes.
func salvageKind(kind pebble.InternalKeyKind) (byte, bool) {
	switch kind {
	case pebble.InternalKeyKindSet, pebble.InternalKeyKindSetWithDelete:
		return salvagedSet, true
	case pebble.InternalKeyKindDelete, pebble.InternalKeyKindDeleteSized, pebble.InternalKeyKindSingleDelete:
		return salvagedDelete, true
	}
	return 0, false
}
