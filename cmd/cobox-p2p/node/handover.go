package node

import (
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"sync"

	"github.com/cobox-p2p/cobox-p2p/hypercore"
	"github.com/cobox-p2p/cobox-p2p/multifeed"
)

// handoverPrefix begins the records of handed: behind it lie the kind and the key
// of the space's address and the feed's key, in the value the JSON of a handover.
const handoverPrefix = "node/legacy/"

// Where a writer is whose keys the old software and this node share.
const (
	stateCame  = "came"  // with its keys, by an import
	stateGoing = "going" // an export that has not ended hands its keys over
	stateGone  = "gone"  // with its keys, by an export
)

// What a person is told of a writer that this node doesn't write.
const (
	untilConfirm = "read-only until legacy confirm"
	givenAway    = "given away by legacy export"
	beingGiven   = "being given away: run legacy export again"
)

// handover is what the node remembers of a writer that came from the old software
// with its keys, or went to it.
type handover struct {
	State string `json:"state"`
	Name  string `json:"name"`
	// Least is how many blocks the old store names: with fewer the feed must not
	// be written here, its next block may have been signed before.
	Least uint64 `json:"least,omitempty"`
	Dir   string `json:"dir,omitempty"` // of an export: where the keys go
}

// handed is the handovers of one space, and who writes its feeds now.
type handed struct {
	st     hypercore.Storage
	prefix []byte

	mu        sync.Mutex // guards all below; never held over I/O
	all       map[hypercore.Key]handover
	appending map[hypercore.Key]int // appends under way; -1: the feed is being given away
}

// openHanded reads the handovers of a space.
func openHanded(st hypercore.Storage, a multifeed.Address, log *slog.Logger) (*handed, error) {
	h := &handed{
		st: st, prefix: append(append([]byte(handoverPrefix), byte(a.Kind)), a.Key[:]...),
		all: map[hypercore.Key]handover{}, appending: map[hypercore.Key]int{},
	}
	for r, err := range st.Records(h.prefix) {
		if err != nil {
			return nil, fmt.Errorf("read which writers came from the old software: %w", err)
		}
		var o handover
		rest := r.Key[len(h.prefix):]
		if err := json.Unmarshal(r.Value, &o); err != nil || len(rest) != hypercore.KeySize {
			// The feed's own records keep it from being written twice.
			log.Warn("record of an imported writer is damaged; import it again", "err", err)
			continue
		}
		h.all[hypercore.Key(rest)] = o
	}
	return h, nil
}

// get returns what is remembered of a feed, the zero handover when that is nothing.
func (h *handed) get(key hypercore.Key) handover {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.all[key]
}

// put changes what is remembered of feeds, of all or of none, and returns when
// that is durable.
func (h *handed) put(changed map[hypercore.Key]handover) error {
	var records []hypercore.Record
	for key, o := range changed {
		value, err := json.Marshal(o)
		if err != nil {
			return err
		}
		records = append(records, hypercore.Record{Key: h.recordKey(key), Value: value})
	}
	if err := commitRecords(h.st, records...); err != nil {
		return fmt.Errorf("remember who writes %s: %w", Count(len(changed), "feed", "feeds"), err)
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	maps.Copy(h.all, changed)
	return nil
}

func (h *handed) recordKey(key hypercore.Key) []byte {
	return append(h.prefix[:len(h.prefix):len(h.prefix)], key[:]...)
}

// forget drops what is remembered of feeds that are deleted, but for those that
// were given away: they are never written here again.
func (h *handed) forget() error {
	h.mu.Lock()
	defer h.mu.Unlock()
	var drop []hypercore.Record
	for key, o := range h.all {
		if o.State == stateCame {
			drop = append(drop, hypercore.Record{Key: h.recordKey(key)})
			delete(h.all, key)
		}
	}
	if len(drop) == 0 {
		return nil
	}
	return commitRecords(h.st, drop...)
}

// beginAppend notes that a feed is appended to, until the returned function is
// called. It fails for one that is being given away.
func (h *handed) beginAppend(key hypercore.Key) (end func(), err error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.appending[key] < 0 {
		return nil, errors.New("it is being given away by legacy export")
	}
	h.appending[key]++
	return func() {
		h.mu.Lock()
		defer h.mu.Unlock()
		h.appending[key]--
	}, nil
}

// beginGiving keeps a feed from being appended to, until the returned function is
// called. It fails while somebody appends: what is signed then would be missing
// where the keys go.
func (h *handed) beginGiving(key hypercore.Key) (end func(), err error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.appending[key] != 0 {
		return nil, errors.New("it is being appended to: let that end first")
	}
	h.appending[key] = -1
	return func() {
		h.mu.Lock()
		defer h.mu.Unlock()
		h.appending[key] = 0
	}, nil
}

// name returns the writer's name of a feed as the node knows it.
func (s *space) name(f *multifeed.Feed) string {
	if o := s.handed.get(f.Key()); o.Name != "" {
		return o.Name // the feed may have come before its keys
	}
	return f.Name()
}

// state says in words why a writer that was handed over isn't written here, ""
// when nothing is special about it.
func (s *space) state(f *multifeed.Feed) string {
	switch o := s.handed.get(f.Key()); {
	case o.State == stateCame && !f.Own() && !f.Retired():
		return untilConfirm
	case o.State == stateGone:
		return givenAway
	case o.State == stateGoing:
		return beingGiven
	}
	return ""
}
