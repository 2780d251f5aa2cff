package sleep

import (
	"bytes"
	"context"
	"encoding/binary"
	"os"
	"path/filepath"
	"testing"

	"github.com/cobox-p2p/cobox-p2p/hypercore"
	"github.com/cobox-p2p/cobox-p2p/hypercore/storage"
)

var background = context.Background()

func pairOf(n byte) hypercore.KeyPair {
	return hypercore.NewKeyPair([hypercore.SeedSize]byte{n, 5, 7})
}

// blockOf returns the content of a block; every 7th is empty.
func blockOf(seq uint64) []byte {
	if seq%7 == 6 {
		return []byte{}
	}
	return append(binary.BigEndian.AppendUint64(nil, seq), bytes.Repeat([]byte{byte(seq)}, int(seq%19))...)
}

// stored returns a store that holds a feed of length blocks.
func stored(t testing.TB, pair hypercore.KeyPair, length uint64) *storage.Memory {
	t.Helper()
	st := storage.NewMemory()
	f, err := hypercore.Open(st, pair.Public, pair)
	if err != nil {
		t.Fatal(err)
	}
	var blocks [][]byte
	for seq := range length {
		blocks = append(blocks, blockOf(seq))
	}
	if length > 0 {
		if _, err := f.Append(background, blocks...); err != nil {
			t.Fatal(err)
		}
	}
	return st
}

// written returns the folder of a feed of length blocks, with its secret key.
// change may alter what is written.
func written(t testing.TB, pair hypercore.KeyPair, length uint64, change func(*Writing)) string {
	t.Helper()
	w, err := Stored(stored(t, pair, length), pair.Public)
	if length == 0 {
		w, err = Writing{Key: pair.Public}, nil
	}
	if err != nil {
		t.Fatal(err)
	}
	w.KeyPair = pair
	if change != nil {
		change(&w)
	}
	dir := filepath.Join(t.TempDir(), "feed")
	if r, err := Write(background, dir, w, nil); err != nil || !r.Complete() {
		t.Fatalf("Write: %+v, %v", r, err)
	}
	return dir
}

// only yields the given spans.
func only(spans ...hypercore.Span) func(func(hypercore.Span, error) bool) {
	return func(yield func(hypercore.Span, error) bool) {
		for _, s := range spans {
			if !yield(s, nil) {
				return
			}
		}
	}
}

// edit changes the content of a file.
func edit(t testing.TB, dir, name string, change func([]byte) []byte) {
	t.Helper()
	path := filepath.Join(dir, name)
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, change(b), 0o600); err != nil {
		t.Fatal(err)
	}
}

// checkBlocks fails unless dst holds exactly the blocks that want says, with the
// right content, and finds itself valid. It returns how many it holds.
func checkBlocks(t testing.TB, dst *hypercore.Feed, length uint64, want func(seq uint64) bool) (held uint64) {
	t.Helper()
	for seq := range length {
		has := dst.Has(hypercore.Span{Start: seq, Count: 1})
		if want != nil && has != want(seq) {
			t.Errorf("block %d held: %v, want %v", seq, has, want(seq))
		}
		if !has {
			continue
		}
		held++
		if b, err := dst.Block(background, seq); err != nil || !bytes.Equal(b, blockOf(seq)) {
			t.Errorf("block %d = %x, %v, want %x", seq, b, err, blockOf(seq))
		}
	}
	if a, err := dst.Audit(background); err != nil || !a.Valid() {
		t.Errorf("audit: %+v, %v", a, err)
	}
	return held
}

func all(uint64) bool { return true }
