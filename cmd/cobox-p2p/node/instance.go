package node

import (
	"bytes"
	"errors"
	"fmt"
	"path/filepath"
	"time"

	"github.com/cobox-p2p/cobox-p2p/hypercore"
	"github.com/cobox-p2p/cobox-p2p/hypercore/storage"
	"github.com/cobox-p2p/cobox-p2p/multifeed"
)

// instanceRecord is the key of the record in the store that holds the instance
// under which this node's feeds in it were written: 16 bytes.
const instanceRecord = "node/instance"

// tieInstance makes sure that the node writes only feeds whose last blocks are in
// its store. Their keys follow from master key and instance, so a store that was
// emptied, moved aside or exchanged would sign a second history of the same
// feeds. A store that doesn't name the folder's instance therefore gets a new
// one: the feeds from before can then only be read.
//
// At the first run that replaces an instance that nobody used, which is why a
// missing record needs no other sign that there was a store before.
func tieInstance(st hypercore.Storage, f *Folder) (fresh bool, err error) {
	value, err := st.Record([]byte(instanceRecord))
	if err != nil && !errors.Is(err, hypercore.ErrNoRecord) {
		return false, fmt.Errorf("read the instance in the store: %w", err)
	}
	if err == nil && bytes.Equal(value, f.Instance[:]) {
		return false, nil
	}
	// The file first: cut here, the next start finds the two differ and makes
	// another one.
	instance := multifeed.NewInstance()
	if err := replaceFile(filepath.Join(f.Dir, instanceFile), hexLine(instance[:])); err != nil {
		return false, fmt.Errorf("make a new instance: %w", err)
	}
	f.Instance = instance
	return true, putRecord(st, instanceRecord, instance[:])
}

// rebuiltRecord is the key of the record that holds for which rebuild of the
// store's index the instance was given up: its time.
const rebuiltRecord = "node/rebuilt"

// giveUpInstance makes a store whose index was made anew from only a part of the
// old one forget its instance, once: the ends of the feeds that it wrote may be
// lost, and peers may have them.
func giveUpInstance(st hypercore.Storage, r *storage.Rebuild) error {
	if r == nil || r.Complete {
		return nil
	}
	when := []byte(r.When.UTC().Format(time.RFC3339Nano))
	value, err := st.Record([]byte(rebuiltRecord))
	if err != nil && !errors.Is(err, hypercore.ErrNoRecord) {
		return fmt.Errorf("read the record of a rebuild: %w", err)
	}
	if err == nil && bytes.Equal(value, when) {
		return nil
	}
	err = commitRecords(st, hypercore.Record{Key: []byte(instanceRecord)}, hypercore.Record{Key: []byte(rebuiltRecord), Value: when})
	if err != nil {
		return fmt.Errorf("give up the instance of a rebuilt store: %w", err)
	}
	return nil
}

// putRecord returns when the record is durable.
func putRecord(st hypercore.Storage, key string, value []byte) error {
	if err := commitRecords(st, hypercore.Record{Key: []byte(key), Value: value}); err != nil {
		return fmt.Errorf("note the instance in the store: %w", err)
	}
	return nil
}

// commitRecords returns when the records, and all that was committed before, are
// durable.
func commitRecords(st hypercore.Storage, records ...hypercore.Record) error {
	durable := make(chan error, 1)
	err := st.Commit(&hypercore.Batch{Records: records, Urgent: true, Durable: func(err error) { durable <- err }})
	if err == nil {
		err = <-durable
	}
	return err
}
