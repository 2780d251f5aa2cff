package sleep

import (
	"bytes"
	"context"
	"encoding/hex"
	"encoding/json"
	"os"
	"path/filepath"
	"testing"

	"github.com/cobox-p2p/cobox-p2p/hypercore"
	"github.com/cobox-p2p/cobox-p2p/hypercore/storage"
)

// vectors are bytes that the npm packages wrote; see interop/README.md.
var vectors = func() (v struct {
	Feed, FeedBatch struct {
		Files map[string]string
		Steps []struct{ Block string }
	}
	BitfieldIndex []struct {
		SetBits any
		Pages   []struct{ Data, Index string }
	}
	Corestore struct {
		MasterKey string
		Derived   []struct {
			Name, PublicKey, DiscoveryKey string
			Via                           string
		}
		FilesAfter map[string]string
	}
}) {
	b, err := os.ReadFile("../../../interop/vectors/legacy.json")
	if err == nil {
		err = json.Unmarshal(b, &v)
	}
	if err != nil {
		panic(err)
	}
	return v
}()

func unhex(t testing.TB, s string) []byte {
	t.Helper()
	b, err := hex.DecodeString(s)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// layFiles writes the files of a vector into a new folder.
func layFiles(t testing.TB, files map[string]string) string {
	t.Helper()
	dir := t.TempDir()
	for name, content := range files {
		if err := os.WriteFile(filepath.Join(dir, name), unhex(t, content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func mustOpen(t testing.TB, dir string, options ...OpenOption) *Feed {
	t.Helper()
	f, err := Open(dir, options...)
	if err != nil {
		t.Fatalf("Open: %v", err)
	}
	t.Cleanup(func() { f.Close() })
	return f
}

// emptyFeed returns a feed of key in a new store in memory.
func emptyFeed(t testing.TB, key hypercore.Key) (*hypercore.Feed, *storage.Memory) {
	t.Helper()
	st := storage.NewMemory()
	f, err := hypercore.Open(st, key, hypercore.KeyPair{})
	if err != nil {
		t.Fatal(err)
	}
	return f, st
}

func mustCopy(t testing.TB, dst *hypercore.Feed, src *Feed) Report {
	t.Helper()
	r, err := Copy(context.Background(), dst, src, nil)
	if err != nil {
		t.Fatalf("Copy: %v", err)
	}
	return r
}

func TestFeedsOfTheOriginalAreRead(t *testing.T) {
	for name, files := range map[string]map[string]string{"one by one": vectors.Feed.Files, "batch": vectors.FeedBatch.Files} {
		t.Run(name, func(t *testing.T) {
			f := mustOpen(t, layFiles(t, files))
			if f.Length() != 9 || len(f.Damage()) > 0 || !f.KeyPair().Valid() {
				t.Fatalf("length %d, damage %v, key pair %v; want 9, none, one", f.Length(), f.Damage(), f.KeyPair().Valid())
			}
			if held := f.Held(); len(held) != 1 || held[0] != (hypercore.Span{Start: 0, Count: 9}) {
				t.Errorf("held %v, want all 9", held)
			}
			dst, _ := emptyFeed(t, f.Key())
			if r := mustCopy(t, dst, f); !r.Complete() || r.Blocks != 9 {
				t.Fatalf("report %+v", r)
			}
			for seq, step := range vectors.Feed.Steps {
				want := unhex(t, step.Block)
				if got, err := f.Block(uint64(seq)); err != nil || !bytes.Equal(got, want) {
					t.Errorf("block %d = %x, %v, want %x", seq, got, err, want)
				}
				if got, err := dst.Block(context.Background(), uint64(seq)); err != nil || !bytes.Equal(got, want) {
					t.Errorf("copied block %d = %x, %v, want %x", seq, got, err, want)
				}
			}
		})
	}
}

func TestFeedsAreWrittenAsTheOriginalDoes(t *testing.T) {
	for name, files := range map[string]map[string]string{"one by one": vectors.Feed.Files, "batch": vectors.FeedBatch.Files} {
		t.Run(name, func(t *testing.T) {
			f := mustOpen(t, layFiles(t, files))
			dst, st := emptyFeed(t, f.Key())
			mustCopy(t, dst, f)
			w, err := Stored(st, f.Key())
			if err != nil {
				t.Fatal(err)
			}
			w.KeyPair, w.Signatures = f.KeyPair(), f.Signatures()
			dir := filepath.Join(t.TempDir(), "feed")
			if r, err := Write(context.Background(), dir, w, nil); err != nil || !r.Complete() || r.Blocks != 9 {
				t.Fatalf("Write: %+v, %v", r, err)
			}
			for file, want := range files {
				got, err := os.ReadFile(filepath.Join(dir, file))
				if err != nil || !bytes.Equal(got, unhex(t, want)) {
					t.Errorf("%s: %v\n got %x\nwant %s", file, err, got, want)
				}
			}
		})
	}
}

// setBits returns the blocks of a vector: a list of numbers or "FROM..TO".
func setBits(t *testing.T, v any) (bits []uint64) {
	t.Helper()
	switch v := v.(type) {
	case []any:
		for _, n := range v {
			bits = append(bits, uint64(n.(float64)))
		}
	case string:
		var to uint64
		if err := json.Unmarshal([]byte(v[len("0.."):]), &to); err != nil {
			t.Fatal(err)
		}
		for i := range to + 1 {
			bits = append(bits, i)
		}
	}
	return bits
}

func TestBitfieldIndexIsThatOfTheOriginal(t *testing.T) {
	for _, v := range vectors.BitfieldIndex {
		var m bitmap
		for _, seq := range setBits(t, v.SetBits) {
			m.setBlock(seq)
		}
		for i, want := range v.Pages {
			p := m.page(uint64(i))
			data, index := unhex(t, want.Data), unhex(t, want.Index)
			if !bytes.HasPrefix(p, data) || !bytes.HasPrefix(p[dataBytes+treeBytes:], index) {
				t.Errorf("bits %v, page %d:\n got %x %x\nwant %x %x", v.SetBits, i, p[:len(data)], p[dataBytes+treeBytes:], data, index)
			}
		}
	}
}
