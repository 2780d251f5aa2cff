package sleep

import (
	"context"
	"errors"
	"fmt"
	"iter"

	"github.com/cobox-p2p/cobox-p2p/hypercore"
	"github.com/cobox-p2p/cobox-p2p/hypercore/merkle"
)

// Source gives the blocks and tree nodes of a feed that is written out.
type Source interface {
	merkle.NodeReader
	// Blocks returns the blocks of span, all of which are held.
	Blocks(span hypercore.Span) ([][]byte, error)
}

// Writing is a feed to be written as a folder.
type Writing struct {
	Key  hypercore.Key
	Head hypercore.Head
	// Held yields the blocks that the source has, ascending; nil for none.
	Held   iter.Seq2[hypercore.Span, error]
	Source Source
	// KeyPair, if it is Valid, is stored too, so that whoever has the folder can
	// write the feed.
	KeyPair hypercore.KeyPair
	// Name is stored instead of the KeyPair if it isn't empty: a store with the
	// same master key derives the pair from it.
	Name string
	// Signatures yields signatures of shorter lengths, ascending; nil for none.
	// Those that don't verify are left out.
	Signatures iter.Seq2[uint64, hypercore.Signature]
}

// Stored returns the Writing of a feed in st.
func Stored(st hypercore.Storage, key hypercore.Key) (Writing, error) {
	feed, err := st.Feed(key)
	if err != nil {
		return Writing{}, fmt.Errorf("write feed %s: %w", key.Discovery(), err)
	}
	return Writing{Key: key, Head: feed.Head, Held: st.Held(key), Source: storedFeed{st, key}}, nil
}

type storedFeed struct {
	st  hypercore.Storage
	key hypercore.Key
}

func (s storedFeed) Node(index uint64) (merkle.Node, error) { return s.st.Node(s.key, index) }
func (s storedFeed) Blocks(span hypercore.Span) ([][]byte, error) {
	return s.st.Blocks(s.key, span)
}

// Write writes a feed as the folder dir, which hypercore 9 opens, finds valid
// and, with the secret key, appends to. All is checked on the way: blocks and
// nodes that don't lead up to the signed head are left out and named in the
// Report. The folder appears under its name when it is whole and on the disk. It
// returns ErrExists when there is something already, and ErrDamaged of hypercore
// when the head does not verify.
func Write(ctx context.Context, dir string, w Writing, progress func(Progress)) (Report, error) {
	report, err := write(ctx, dir, w, progress)
	if err != nil {
		err = fmt.Errorf("write feed %s to %s: %w", w.Key.Discovery(), dir, err)
	}
	return report, err
}

func write(ctx context.Context, dir string, w Writing, progress func(Progress)) (Report, error) {
	roots, err := w.check()
	if err != nil {
		return Report{}, err
	}
	folder, err := newFolder(dir)
	if err != nil {
		return Report{}, err
	}
	defer folder.discard()
	fw := &feedWriter{Writing: w, ctx: ctx, roots: roots, folder: folder, progress: progress}
	fw.report.Head = w.Head
	if err := fw.run(); err != nil {
		return fw.report, err
	}
	return fw.report, folder.commit()
}

// check returns the roots of the head when its signature covers them.
func (w *Writing) check() (merkle.Roots, error) {
	if err := w.Key.Check(); err != nil {
		return merkle.Roots{}, err
	}
	if w.KeyPair.Valid() && w.KeyPair.Public != w.Key {
		return merkle.Roots{}, errors.New("the key pair is of another feed")
	}
	if len(w.Name) > MaxName {
		return merkle.Roots{}, fmt.Errorf("name of %d bytes, limit %d", len(w.Name), MaxName)
	}
	if w.Head.Length == 0 {
		return merkle.Roots{}, nil
	}
	roots, err := merkle.LoadRoots(w.Source, w.Head.Length)
	if err != nil {
		return roots, fmt.Errorf("%w: %w", hypercore.ErrDamaged, err)
	}
	if err := w.Key.Verify(hypercore.Signable(roots.Hash(), w.Head.Length), w.Head.Signature); err != nil {
		return roots, fmt.Errorf("%w: head of length %d: %w", hypercore.ErrDamaged, w.Head.Length, err)
	}
	return roots, nil
}

func (w *feedWriter) run() error {
	for span, err := range w.spans() {
		if err != nil {
			return err
		}
		w.held.SetRange(span.Start, min(span.Count, w.Head.Length-min(span.Start, w.Head.Length)))
	}
	w.done.Of = w.held.Count()
	err := w.writeTree()
	w.report.Damage, w.report.Omitted = w.found.list, w.found.omitted
	if err != nil {
		return err
	}
	if err := w.writeSignatures(); err != nil {
		return err
	}
	if err := w.writeBits(); err != nil {
		return err
	}
	return w.writeKeys()
}

func (w *feedWriter) spans() iter.Seq2[hypercore.Span, error] {
	if w.Held == nil {
		return func(func(hypercore.Span, error) bool) {}
	}
	return w.Held
}

func (w *feedWriter) writeSignatures() error {
	o, err := w.folder.create(signaturesFile)
	if err != nil {
		return err
	}
	err = o.writeAt(signaturesHeader.appendTo(nil), 0)
	last := uint64(0)
	if w.Signatures != nil {
		for length, sig := range w.Signatures {
			if err != nil || length <= last || length >= w.Head.Length {
				break
			}
			if w.signed(length, sig) {
				last = length
				err = o.writeAt(sig[:], headerSize+signatureEntry*int64(length-1))
			}
		}
	}
	if err == nil && w.Head.Length > 0 {
		err = o.writeAt(w.Head.Signature[:], headerSize+signatureEntry*int64(w.Head.Length-1))
	}
	return errors.Join(err, o.finish())
}

func (w *feedWriter) signed(length uint64, sig hypercore.Signature) bool {
	roots, err := merkle.LoadRoots(w.Source, length)
	return err == nil && w.Key.Verify(hypercore.Signable(roots.Hash(), length), sig) == nil
}

func (w *feedWriter) writeBits() error {
	o, err := w.folder.create(bitfieldFile)
	if err != nil {
		return err
	}
	err = o.writeAt(bitfieldHeader.appendTo(nil), 0)
	for i, page := range w.bits.pages {
		if page != nil && err == nil {
			err = o.writeAt(page, headerSize+pageSize*int64(i))
		}
	}
	return errors.Join(err, o.finish())
}

func (w *feedWriter) writeKeys() error {
	if err := w.folder.write(keyFile, w.Key[:]); err != nil {
		return err
	}
	switch {
	case w.Name != "":
		return w.folder.write(nameFile, appendName(nil, w.Name))
	case w.KeyPair.Valid():
		return w.folder.write(secretFile, w.KeyPair.SecretKey())
	}
	return nil
}
