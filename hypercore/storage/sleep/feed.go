package sleep

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/cobox-p2p/cobox-p2p/hypercore"
	"github.com/cobox-p2p/cobox-p2p/hypercore/corestore"
	"github.com/cobox-p2p/cobox-p2p/hypercore/merkle"
)

// Errors of feeds that can't be opened.
var (
	// ErrNoFeed: the folder holds no feed.
	ErrNoFeed = errors.New("sleep: no feed here")
	// ErrInUse: a running program has the feed open.
	ErrInUse = errors.New("sleep: feed is in use by another program")
	// ErrOldSignature: the feed is signed over root hashes alone, as old versions
	// of hypercore did. A head must cover the length too, so the feed can't be
	// taken over: its writer has to append one block with hypercore 9.
	ErrOldSignature = errors.New("sleep: feed is signed without its length, by an old version of hypercore")
	// ErrStatic: the feed has no signature, its key is the hash of its roots.
	ErrStatic = errors.New("sleep: static feed, which has no signature")
)

// Feed is the folder of one feed, opened for reading. Its methods may be used by
// several goroutines at once.
type Feed struct {
	dir  string
	id   identity
	key  hypercore.Key
	head hypercore.Head // the zero head: nothing that verifies

	tree, signatures, data *file
	bits                   bitPages

	roots      merkle.Roots       // of head, recomputed where the stored ones are damaged
	held       hypercore.Bitfield // blocks below the length that the bitfield lists
	unsure     hypercore.Bitfield // blocks of which the bitfield can't tell
	recomputed int                // roots that differ from the stored ones
	found      damages
}

// OpenOption changes how a feed is opened.
type OpenOption func(*openOptions)

type openOptions struct {
	master    *corestore.MasterKey
	discovery *hypercore.DiscoveryKey
}

// WithMasterKey derives the key pair of a feed that has a name instead of a
// secret key, as corestore 5 does.
func WithMasterKey(master corestore.MasterKey) OpenOption {
	return func(o *openOptions) { o.master = &master }
}

// WithDiscoveryKey says which feed must be in the folder.
func WithDiscoveryKey(dk hypercore.DiscoveryKey) OpenOption {
	return func(o *openOptions) { o.discovery = &dk }
}

// Open opens the feed in dir and finds its newest head that verifies. Damaged
// files are no error: Damage tells of them. It returns ErrNoFeed, ErrInUse,
// ErrOldSignature or ErrStatic, or what the system says when the folder can't be
// read at all. As long as the feed is open, the original can't open it where the
// system has such locks.
func Open(dir string, options ...OpenOption) (*Feed, error) {
	var o openOptions
	for _, option := range options {
		option(&o)
	}
	f := &Feed{dir: dir}
	if err := f.open(o); err != nil {
		f.Close()
		return nil, fmt.Errorf("open feed in %s: %w", dir, err)
	}
	return f, nil
}

func (f *Feed) open(o openOptions) error {
	if _, err := os.Stat(f.dir); err != nil {
		return fmt.Errorf("%w: %w", ErrNoFeed, err)
	}
	bits, err := f.openFile(bitfieldFile)
	if err != nil {
		return err
	}
	f.bits = bitPages{bits, pageSize}
	if !bits.missing() {
		if err := lockShared(bits.f); err != nil {
			return err
		}
	}
	if f.tree, err = f.openFile(treeFile); err != nil {
		return err
	}
	if f.signatures, err = f.openFile(signaturesFile); err != nil {
		return err
	}
	if f.data, err = f.openFile(dataFile); err != nil {
		return err
	}
	f.readHeaders()
	if err := f.readKeys(o); err != nil {
		return err
	}
	if err := f.findHead(); err != nil {
		return err
	}
	f.readBits()
	return nil
}

// openFile opens one of the feed's files; one that can't be opened counts as
// missing.
func (f *Feed) openFile(name string) (*file, error) {
	opened, err := openFile(filepath.Join(f.dir, name), name)
	if err != nil {
		f.found.add(Damage{File: name, Reason: BadFile, Err: err})
		return &file{name: name}, nil
	}
	return opened, nil
}

func (f *Feed) readKeys(o openOptions) error {
	id, err := readIdentity(f.dir, o.master)
	if f.id = id; err != nil {
		if f.static() {
			return ErrStatic
		}
		return fmt.Errorf("%w: %w", ErrNoFeed, err)
	}
	if o.discovery != nil {
		f.id.keys = nil
		for _, key := range id.keys {
			if key.Discovery() == *o.discovery {
				f.id.keys = append(f.id.keys, key)
			}
		}
		if len(f.id.keys) == 0 {
			return fmt.Errorf("%w: the key does not belong to this folder", ErrNoFeed)
		}
		if id.keys[0] != f.id.keys[0] {
			f.id.bad(keyFile, errors.New("not the key of this folder"))
		}
	}
	for _, d := range f.id.damage {
		f.found.add(d)
	}
	return nil
}

func (f *Feed) readHeaders() {
	for _, part := range []struct {
		file *file
		want header
	}{{f.tree, treeHeader}, {f.signatures, signaturesHeader}, {f.bits.file, bitfieldHeader}} {
		h, err := part.file.readHeader(part.want)
		if err != nil {
			f.found.add(Damage{File: part.file.name, Reason: BadHeader, Err: err})
		}
		if part.file == f.bits.file {
			f.bits.page = int64(f.pageSize(h, err))
		}
	}
}

// pageSize returns the size of a page of the bitfield. When its header doesn't
// say it, the size of the file may.
func (f *Feed) pageSize(h header, err error) uint16 {
	body := f.bits.size - headerSize
	switch {
	case h.entry == oldPageSize && (err == nil || body%pageSize != 0):
		return oldPageSize
	case err != nil && body > 0 && body%pageSize != 0 && body%oldPageSize == 0:
		return oldPageSize
	}
	return pageSize
}

func (f *Feed) readBits() {
	length := f.head.Length
	if listed := f.bits.length(); listed > length {
		f.found.add(Damage{File: signaturesFile, Reason: BadSignature, Span: hypercore.Span{Start: length, Count: listed - length}})
	}
	if f.bits.missing() && length > 0 || f.bits.torn() {
		f.found.add(Damage{File: bitfieldFile, Reason: BadBits, Err: errors.New("missing or cut off")})
	}
	for _, s := range f.bits.blocks(length, &f.held, &f.unsure) {
		f.found.add(Damage{File: bitfieldFile, Reason: BadBits, Span: s})
	}
}

// Close releases the files and lets others open the feed. It may be called
// twice.
func (f *Feed) Close() error {
	var errs []error
	for _, part := range []*file{f.tree, f.signatures, f.data, f.bits.file} {
		if part == nil {
			continue
		}
		if err := part.close(); !errors.Is(err, os.ErrClosed) {
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}

// Key returns the feed's public key. When the files name more than one, it is
// the one whose signature verifies.
func (f *Feed) Key() hypercore.Key { return f.key }

// KeyPair returns the feed's key pair, which isn't Valid when its files and the
// master key hold no secret.
func (f *Feed) KeyPair() hypercore.KeyPair { return f.id.pair(f.key) }

// Name returns the name from which the key pair is derived, "" when it has none.
func (f *Feed) Name() string { return f.id.name }

// Head returns the newest head whose signature verifies, the zero Head when
// there is none.
func (f *Feed) Head() hypercore.Head { return f.head }

// Length returns the length of the head in blocks.
func (f *Feed) Length() uint64 { return f.head.Length }

// Held returns the blocks that the feed's bitfield says to hold, as ascending
// spans that do not touch. Nothing has verified them.
func (f *Feed) Held() []hypercore.Span {
	var spans []hypercore.Span
	for s := range f.held.Spans(0, f.head.Length) {
		spans = append(spans, s)
	}
	return spans
}

// Damage returns what was found wrong so far, without reading blocks.
func (f *Feed) Damage() []Damage { return append([]Damage(nil), f.found.list...) }
