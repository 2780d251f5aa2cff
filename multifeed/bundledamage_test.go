package multifeed

import (
	"bytes"
	"errors"
	"io"
	"slices"
	"strings"
	"testing"

	"golang.org/x/crypto/chacha20poly1305"
)

const sealedChunk = bundleChunk + chacha20poly1305.Overhead

// refusedWhole says whether a file was refused for what is wrong with it.
func refusedWhole(err error) bool {
	return errors.Is(err, ErrNotBundle) || errors.Is(err, ErrNotForSpace) || errors.Is(err, ErrBundleBroken)
}

func TestEachByteOfABundleCounts(t *testing.T) {
	secret := NewSecret()
	w := newNode(t, "writer").open(secret.Address(), WithSecret(secret))
	log := fill(t, w, 2)
	bundle, _ := bundleOf(t, w)
	r := newNode(t, "reader").open(secret.Address(), WithSecret(secret))
	for i := range bundle {
		bad := slices.Clone(bundle)
		bad[i] ^= 1 << (i % 8)
		if _, err := r.ReadBundle(within(t), bytes.NewReader(bad)); !refusedWhole(err) {
			t.Errorf("byte %d altered: %v", i, err)
		}
	}
	for n := range bundle {
		if _, err := r.ReadBundle(within(t), bytes.NewReader(bundle[:n])); !refusedWhole(err) {
			t.Errorf("cut off behind %d bytes: %v", n, err)
		}
	}
	if r.Len() != 0 {
		t.Error("a feed of a damaged bundle went in")
	}
	if _, err := r.ReadBundle(within(t), bytes.NewReader(append(slices.Clone(bundle), 0))); !errors.Is(err, ErrBundleBroken) {
		t.Errorf("with a byte behind it: %v", err)
	}
	if _, err := r.ReadNeed(bytes.NewReader(bundle)); !errors.Is(err, ErrNotBundle) {
		t.Errorf("read as a need: %v", err)
	}
	newer := slices.Clone(bundle)
	newer[len(bundleMagic)]++
	if _, err := r.ReadBundle(within(t), bytes.NewReader(newer)); !errors.Is(err, ErrNotBundle) || !strings.Contains(err.Error(), "version 2") {
		t.Errorf("of a later version: %v", err)
	}
	readAll(t, r, bundle)
	wantBlocks(t, r, log.Key(), 2)
}

func TestBundleOfAnotherSpace(t *testing.T) {
	w := newNode(t, "writer").open(NewOpenAddress(), WithEncryptionKey(NewEncryptionKey()))
	fill(t, w, 1)
	bundle, _ := bundleOf(t, w)
	r := newNode(t, "reader").open(NewOpenAddress())
	if _, err := r.ReadBundle(within(t), bytes.NewReader(bundle)); !errors.Is(err, ErrNotForSpace) {
		t.Errorf("%v, want %v", err, ErrNotForSpace)
	}
	var need bytes.Buffer
	if _, err := w.WriteNeed(within(t), &need); err != nil {
		t.Fatal(err)
	}
	if _, err := r.ReadNeed(&need); !errors.Is(err, ErrNotForSpace) {
		t.Errorf("need: %v, want %v", err, ErrNotForSpace)
	}
}

// largeBundle has several chunks.
func largeBundle(t *testing.T) (secret Secret, log *Feed, bundle []byte) {
	secret = NewSecret()
	w := newNode(t, "writer").open(secret.Address(), WithSecret(secret))
	log, err := w.Writer("log")
	if err != nil {
		t.Fatal(err)
	}
	for range 10 {
		if _, err := log.Append(within(t), make([]byte, 20<<10)); err != nil {
			t.Fatal(err)
		}
	}
	bundle, _ = bundleOf(t, w)
	return secret, log, bundle
}

// What came before the damage goes in, is durable, and the same bundle read
// again brings the rest.
func TestBundleThatIsCutOffOrDamaged(t *testing.T) {
	secret, log, bundle := largeBundle(t)
	const header = bundlePrefix + bundleCheck
	chunk := func(i int) []byte { return bundle[header+i*sealedChunk : min(len(bundle), header+(i+1)*sealedChunk)] }
	head := bundle[:header]
	altered := slices.Clone(bundle)
	altered[header+2*sealedChunk+100] ^= 1
	for _, c := range []struct {
		name   string
		file   []byte
		blocks uint64
		says   string
	}{
		{"in the second chunk", bundle[:header+sealedChunk+1000], 3, "damaged: in chunk 1"},
		{"behind the second chunk", bundle[:header+2*sealedChunk], 6, "it ends at byte"},
		{"behind the header", bundle[:header], 0, "in chunk 0"},
		{"in the header", bundle[:header-1], 0, "in its header"},
		{"third chunk altered", altered, 6, "in chunk 2"},
		{"chunks exchanged", slices.Concat(head, chunk(0), chunk(2), chunk(1), chunk(3)), 3, "in chunk 1"},
		{"chunk repeated", slices.Concat(head, chunk(0), chunk(0), chunk(1), chunk(2), chunk(3)), 3, "in chunk 1"},
		{"chunk left out", slices.Concat(head, chunk(0), chunk(2), chunk(3)), 3, "in chunk 1"},
		{"end repeated", slices.Concat(bundle, chunk(3)), 9, "in chunk 3"},
		{"header of another bundle", slices.Concat(otherHeader(t, secret), bundle[header:]), 0, "in chunk 0"},
	} {
		r := newNode(t, "reader").open(secret.Address(), WithSecret(secret))
		report, err := r.ReadBundle(within(t), bytes.NewReader(c.file))
		if !errors.Is(err, ErrBundleBroken) || !strings.Contains(err.Error(), c.says) {
			t.Errorf("%s: %v, want %v with %q", c.name, err, ErrBundleBroken, c.says)
		}
		if report.Blocks != c.blocks || report.Bad != 0 {
			t.Errorf("%s: %+v, want %d blocks", c.name, report, c.blocks)
		}
		if c.blocks > 0 {
			f, err := r.Feed(log.Key())
			if err != nil || f.Durable() != c.blocks {
				t.Fatalf("%s: %v", c.name, err)
			}
		}
		wantReport(t, c.name+", then whole", readAll(t, r, bundle), 1, 10-c.blocks, c.blocks)
	}
}

func otherHeader(t *testing.T, secret Secret) []byte {
	return crafted(t, secret.Address(), bundleMagic)[:bundlePrefix+bundleCheck]
}

// slowReader gives one byte at a time, and its own error at the end.
type slowReader struct {
	rest []byte
	err  error
}

func (r *slowReader) Read(b []byte) (int, error) {
	if len(r.rest) == 0 {
		return 0, r.err
	}
	b[0], r.rest = r.rest[0], r.rest[1:]
	return 1, nil
}

// failingWriter takes so many bytes.
type failingWriter struct{ room int }

var errFull = errors.New("no space left")

func (w *failingWriter) Write(b []byte) (int, error) {
	if w.room -= len(b); w.room < 0 {
		return 0, errFull
	}
	return len(b), nil
}

func TestBundleFileThatFails(t *testing.T) {
	secret, _, bundle := largeBundle(t)
	failed := errors.New("stick pulled out")
	for _, at := range []int{0, 30, 61, 62, 61 + sealedChunk, 61 + sealedChunk + 1, len(bundle)} {
		r := newNode(t, "reader").open(secret.Address(), WithSecret(secret))
		if _, err := r.ReadBundle(within(t), &slowReader{bundle[:at], failed}); !errors.Is(err, failed) || refusedWhole(err) {
			t.Errorf("read failed behind %d bytes: %v", at, err)
		}
		w := newNode(t, "writer").open(secret.Address(), WithSecret(secret))
		readAll(t, w, bundle)
		if at == len(bundle) {
			at--
		}
		if _, err := w.WriteBundle(within(t), &failingWriter{at}); !errors.Is(err, errFull) {
			t.Errorf("write failed behind %d bytes: %v", at, err)
		}
	}
	r := newNode(t, "reader").open(secret.Address(), WithSecret(secret))
	if _, err := r.ReadBundle(within(t), &slowReader{bundle, io.EOF}); err != nil {
		t.Error(err)
	}
}
