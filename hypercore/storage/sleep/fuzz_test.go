package sleep

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"

	"github.com/cobox-p2p/cobox-p2p/hypercore"
	"github.com/cobox-p2p/cobox-p2p/hypercore/merkle"
)

func FuzzHeader(f *testing.F) {
	for _, h := range []header{bitfieldHeader, signaturesHeader, treeHeader} {
		f.Add(h.appendTo(nil))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		h, err := parseHeader(b)
		if err != nil {
			return
		}
		if again, err := parseHeader(h.appendTo(nil)); err != nil || again != h {
			t.Errorf("%+v came back as %+v, %v", h, again, err)
		}
	})
}

func FuzzName(f *testing.F) {
	f.Add(appendName(nil, "default"))
	f.Add([]byte{0x80})
	f.Fuzz(func(t *testing.T, b []byte) {
		name, err := parseName(b)
		if err != nil {
			return
		}
		if again, err := parseName(appendName(nil, name)); err != nil || again != name || len(name) > MaxName {
			t.Errorf("%q came back as %q, %v", name, again, err)
		}
		parseFeedName(name)
	})
}

func FuzzSecret(f *testing.F) {
	f.Add(pairOf(1).SecretKey())
	f.Fuzz(func(t *testing.T, b []byte) {
		pair, err := parseSecret(b)
		if err == nil && !bytes.Equal(pair.SecretKey(), b) {
			t.Errorf("%x came back otherwise", b)
		}
	})
}

func FuzzNode(f *testing.F) {
	f.Add(appendNode(nil, merkle.Leaf(0, []byte("x"))))
	f.Fuzz(func(t *testing.T, b []byte) {
		if len(b) < treeEntry {
			return
		}
		e := [treeEntry]byte(b)
		n, err := parseNode(4, &e)
		if err == nil && (!bytes.Equal(appendNode(nil, n), e[:]) || n.Size > merkle.MaxSize) {
			t.Errorf("%x is node %+v", e, n)
		}
	})
}

func FuzzListed(f *testing.F) {
	b, err := appendListed(nil, SpaceFeed{Key: pairOf(1).Public, Name: "ada"})
	if err != nil {
		f.Fatal(err)
	}
	f.Add(b)
	f.Fuzz(func(t *testing.T, b []byte) {
		feed, err := parseListed(b)
		if err != nil {
			return
		}
		b, err = appendListed(nil, feed)
		if err != nil {
			t.Fatal(err)
		}
		if again, err := parseListed(b); err != nil || again != feed {
			t.Errorf("%+v came back as %+v, %v", feed, again, err)
		}
	})
}

// patched returns files changed by patch: four bytes each name a file, a place in
// it, and what its byte is changed by; 0 cuts the file off there.
func patched(patch []byte, files ...[]byte) [][]byte {
	for i := range files {
		files[i] = bytes.Clone(files[i])
	}
	for ; len(patch) >= 4; patch = patch[4:] {
		file := &files[int(patch[0])%len(files)]
		if len(*file) == 0 {
			continue
		}
		at := (int(patch[1])<<8 | int(patch[2])) % len(*file)
		if patch[3] == 0 {
			*file = (*file)[:at]
			continue
		}
		(*file)[at] ^= patch[3]
	}
	return files
}

// FuzzBitfield changes a bitfield of two pages.
func FuzzBitfield(f *testing.F) {
	var m bitmap
	for seq := range uint64(9000) {
		m.setBlock(seq)
		m.setNode(2 * seq)
	}
	whole := append(bitfieldHeader.appendTo(nil), append(m.pages[0], m.pages[1]...)...)
	f.Add([]byte{0, 0, 33, 8}, uint64(9000))
	f.Add([]byte{0, 20, 0, 0}, uint64(1))
	f.Fuzz(func(t *testing.T, patch []byte, length uint64) {
		path := filepath.Join(t.TempDir(), bitfieldFile)
		if err := os.WriteFile(path, patched(patch, whole)[0], 0o600); err != nil {
			t.Fatal(err)
		}
		opened, err := openFile(path, bitfieldFile)
		if err != nil {
			t.Fatal(err)
		}
		defer opened.close()
		length %= 1 << 20
		for _, page := range []int64{pageSize, oldPageSize} {
			bits := bitPages{opened, page}
			bits.length()
			var held, unsure hypercore.Bitfield
			bits.blocks(length, &held, &unsure)
			if held.End() > length || unsure.End() > length {
				t.Errorf("blocks up to %d and %d, length %d", held.End(), unsure.End(), length)
			}
			if last, ok := bits.lastBlock(length); ok && last >= length {
				t.Errorf("last block %d, length %d", last, length)
			}
		}
	})
}

// FuzzFeed changes a feed's files and takes over what verifies.
func FuzzFeed(f *testing.F) {
	names := []string{treeFile, signaturesFile, bitfieldFile, dataFile, keyFile}
	f.Add([]byte{0, 0, 33, 8}, false)
	f.Add([]byte{1, 2, 0, 0, 3, 0, 9, 1}, true)
	f.Fuzz(func(t *testing.T, patch []byte, batch bool) {
		files := vectors.Feed.Files
		if batch {
			files = vectors.FeedBatch.Files
		}
		var content [][]byte
		for _, name := range names {
			content = append(content, unhex(t, files[name]))
		}
		dir := t.TempDir()
		for i, b := range patched(patch, content...) {
			if err := os.WriteFile(filepath.Join(dir, names[i]), b, 0o600); err != nil {
				t.Fatal(err)
			}
		}
		rescued(t, dir, true)
	})
}
