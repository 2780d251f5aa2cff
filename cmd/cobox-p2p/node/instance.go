package node

import (
	"bytes"
	"errors"
	"fmt"
	"path/filepath"

	"github.com/cobox-p2p/cobox-p2p/hypercore"
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

// putRecord returns when the record is durable.
func putRecord(st hypercore.Storage, key string, value []byte) error {
	durable := make(chan error, 1)
	err := st.Commit(&hypercore.Batch{
		Records: []hypercore.Record{{Key: []byte(key), Value: value}},
		Urgent:  true,
		Durable: func(err error) { durable <- err },
	})
	if err == nil {
		err = <-durable
	}
	if err != nil {
		return fmt.Errorf("note the instance in the store: %w", err)
	}
	return nil
}
