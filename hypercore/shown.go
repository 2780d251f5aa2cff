package hypercore

import (
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/cobox-p2p/cobox-p2p/hypercore/merkle"
)

// ErrOldCopy says that this copy of a writer must not append any more: somebody
// else wrote the same feed with the same key, or the store has lost what was
// appended before. See interop/spec/keys.md, "Copies of a writer".
var ErrOldCopy = errors.New("hypercore: this is an old or second copy of the feed's writer")

// origin is what a writer knows of its own feed beside the blocks.
type origin struct {
	old    bool   // Invariant: once true, no keys are here and its record is stored
	shown  Head   // the longest that a peer may have been shown
	agreed uint64 // blocks that a peer was seen to have as they are here
	dirty  bool   // shown or agreed changed since they were written
}

// Records of an own feed: each lies under its prefix and the feed key. What says
// that the copy is old stands alone, so that nothing ever overwrites it.
const (
	oldPrefix  = "old/" // 1 byte, oldVersion
	oldVersion = 1
	ownPrefix  = "own/" // byte ownVersion, uvarint agreed, uvarint length and size of shown; root hash (32) and signature (64) unless length is 0
	ownVersion = 1
)

func oldRecord(key Key) Record {
	return Record{Key: append([]byte(oldPrefix), key[:]...), Value: []byte{oldVersion}}
}

func ownRecordKey(key Key) []byte { return append([]byte(ownPrefix), key[:]...) }

func (o *origin) encode() []byte {
	b := []byte{ownVersion}
	b = binary.AppendUvarint(b, o.agreed)
	b = binary.AppendUvarint(b, o.shown.Length)
	b = binary.AppendUvarint(b, o.shown.Size)
	if o.shown.Length == 0 {
		return b
	}
	b = append(b, o.shown.RootHash[:]...)
	return append(b, o.shown.Signature[:]...)
}

var errOwnRecord = fmt.Errorf("%w: record of an own feed", ErrDamaged)

func decodeOrigin(b []byte) (*origin, error) {
	if len(b) == 0 || b[0] != ownVersion {
		return nil, errOwnRecord
	}
	o := &origin{}
	b = b[1:]
	for _, n := range []*uint64{&o.agreed, &o.shown.Length, &o.shown.Size} {
		v, size := binary.Uvarint(b)
		if size <= 0 || v > merkle.MaxSize {
			return nil, errOwnRecord
		}
		*n, b = v, b[size:]
	}
	if o.shown.Length == 0 && len(b) == 0 {
		return o, nil
	}
	if len(b) != merkle.HashSize+SignatureSize {
		return nil, errOwnRecord
	}
	copy(o.shown.Signature[:], b[copy(o.shown.RootHash[:], b):])
	return o, nil
}

// loadOrigin reads what is known of a feed that is about to be written and has
// that head. A feed that was shown longer has lost its end; one whose record is
// damaged may have. Neither may be written on.
func (c *core) loadOrigin(head Head) (*origin, error) {
	o, err := c.readOrigin(head)
	if err != nil {
		return nil, err
	}
	if o.old || o.shown.Length > head.Length {
		o.old = true
		return o, c.commitDurably(&Batch{Records: []Record{oldRecord(c.key)}})
	}
	switch _, err := c.st.Record(oldRecord(c.key).Key); {
	case err == nil:
		o.old = true
	case !errors.Is(err, ErrNoRecord):
		return nil, err
	}
	return o, nil
}

// readOrigin reads the record, which the first append writes. What is there without
// one came from somewhere else, and so others have it.
func (c *core) readOrigin(head Head) (*origin, error) {
	b, err := c.st.Record(ownRecordKey(c.key))
	if errors.Is(err, ErrNoRecord) {
		return &origin{shown: head, agreed: head.Length, dirty: true}, nil
	}
	if err != nil {
		return nil, err
	}
	o, err := decodeOrigin(b)
	if err != nil {
		return &origin{old: true}, nil
	}
	return o, nil
}

// ShowHead returns DurableHead and notes that a peer is shown it. Whoever tells
// others of an own feed takes the head from here. Of a feed that isn't written any
// more it is the one that was shown before.
func (c *core) ShowHead() Head {
	c.mu.Lock()
	defer c.mu.Unlock()
	h := c.provenLocked()
	c.showLocked(h)
	return h
}

func (c *core) showLocked(h Head) {
	if o := c.own; o != nil && h.Length > o.shown.Length {
		o.shown, o.dirty = h, true
	}
}

// Shown returns the longest head of an own feed that a peer may have been shown,
// and how many of its first blocks a peer was seen to have as they are here. A
// crash may have taken what was learned since the last append. Both are zero
// for the feeds of others.
func (c *core) Shown() (shown Head, agreed uint64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.own == nil {
		return Head{}, 0
	}
	return c.own.shown, c.own.agreed
}

// addShown adds to the batch what changed of Shown since it was written last. The
// caller holds c.writing, so that nothing older overwrites it.
func (c *core) addShown(b *Batch) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if o := c.own; o != nil && o.dirty {
		b.Records = append(b.Records, Record{Key: ownRecordKey(c.key), Value: o.encode()})
		o.dirty = false
	}
}

// SaveShown writes what changed of Shown, which every append does as well. It
// belongs to the end of a session and is not made durable at once. It does
// nothing while somebody else changes the feed.
func (c *core) SaveShown() error {
	select {
	case c.writing <- struct{}{}:
		defer c.unlockWriting()
		return c.saveShown()
	default:
		return nil
	}
}

// saveShown is SaveShown for a caller who holds c.writing.
func (c *core) saveShown() error {
	var b Batch
	c.addShown(&b)
	if len(b.Records) == 0 {
		return nil
	}
	if err := c.st.Commit(&b); err != nil {
		return fmt.Errorf("note what was shown of feed %s: %w", c.discovery, err)
	}
	return nil
}
