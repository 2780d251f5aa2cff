package sleep

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/cobox-p2p/cobox-p2p/hypercore"
	"github.com/cobox-p2p/cobox-p2p/hypercore/merkle"
)

func TestNamesAreBounded(t *testing.T) {
	for size, fits := range map[int]bool{0: true, MaxName: true, MaxName + 1: false} {
		name := strings.Repeat("n", size)
		if got, err := parseName(appendName(nil, name)); (err == nil) != fits || fits && got != name {
			t.Errorf("name of %d bytes: %d, %v", size, len(got), err)
		}
		b, err := appendListed(nil, SpaceFeed{Key: pairOf(1).Public, Name: name})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := parseListed(b); (err == nil) != fits {
			t.Errorf("listed name of %d bytes: %v", size, err)
		}
	}
}

func TestNodeSizesAreBounded(t *testing.T) {
	for size, fits := range map[uint64]bool{merkle.MaxSize: true, merkle.MaxSize + 1: false} {
		e := [treeEntry]byte(appendNode(nil, merkle.Node{Size: size, Hash: merkle.Hash{1}}))
		if _, err := parseNode(0, &e); (err == nil) != fits || !fits && !errors.Is(err, hypercore.ErrDamaged) {
			t.Errorf("node of %d bytes: %v", size, err)
		}
	}
}

func TestListEntriesAreBounded(t *testing.T) {
	entry, err := appendListed(nil, SpaceFeed{Key: pairOf(1).Public, Name: "ada"})
	if err != nil {
		t.Fatal(err)
	}
	for size, fits := range map[int]bool{maxListBlock: true, maxListBlock + 1: false} {
		b := append([]byte(nil), entry...)
		for len(b) < size {
			b = append(b, ' ')
		}
		dir := filepath.Join(t.TempDir(), "feed")
		if _, err := Write(background, dir, newList(pairOf(2), [][]byte{b}), nil); err != nil {
			t.Fatal(err)
		}
		f := mustOpen(t, dir)
		if got, err := f.listed(newCursor(f), 0); (err == nil) != fits || fits && got.Name != "ada" {
			t.Errorf("entry of %d bytes: %+v, %v", size, got, err)
		}
	}
}

func TestSignatureTriesAreBounded(t *testing.T) {
	src := mustOpen(t, written(t, pairOf(1), 5, nil))
	for tries, want := range map[int]int{maxTries: 1, maxTries + 1: 0} {
		s := headSearch{f: src, tries: tries}
		if s.search(); len(s.passed) != want {
			t.Errorf("after %d tries %d heads were found, want %d", tries, len(s.passed), want)
		}
	}
}

func TestPagesKeptAreBounded(t *testing.T) {
	path := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(path, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	const pages = maxPages + 2
	if err := os.Truncate(path, pages*pageBytes-7); err != nil {
		t.Fatal(err)
	}
	f, err := openFile(path, "file")
	if err != nil {
		t.Fatal(err)
	}
	defer f.close()
	var b [3]byte
	for round := range 2 {
		for n := range int64(pages) {
			if err := f.entry(b[:], n*pageBytes+1); err != nil {
				t.Fatal(err)
			}
			if len(f.pages) > maxPages {
				t.Fatalf("round %d: %d pages are kept, limit %d", round, len(f.pages), maxPages)
			}
		}
	}
	if err := f.entry(b[:], f.size-3); err != nil {
		t.Errorf("the last bytes: %v", err)
	}
	if err := f.entry(b[:], f.size-2); err == nil {
		t.Error("bytes behind the end were read")
	}
}

func TestHeaders(t *testing.T) {
	for _, want := range []header{bitfieldHeader, signaturesHeader, treeHeader} {
		if got, err := parseHeader(want.appendTo(nil)); err != nil || got != want || got.check(want) != nil {
			t.Errorf("%+v came back as %+v, %v", want, got, err)
		}
		for _, other := range []header{
			{want.kind + 5, want.entry, want.algorithm},
			{want.kind, want.entry + 1, want.algorithm},
			{want.kind, want.entry, "SHA-256"},
		} {
			if err := other.check(want); !errors.Is(err, errHeader) {
				t.Errorf("%+v passes for %+v", other, want)
			}
		}
	}
	if (header{0, oldPageSize, ""}).check(bitfieldHeader) != nil {
		t.Error("the old page size is refused")
	}
	long := treeHeader.appendTo(nil)
	for n, fits := range map[byte]bool{headerNameMax: true, headerNameMax + 1: false} {
		long[7] = n
		if _, err := parseHeader(long); (err == nil) != fits {
			t.Errorf("name of %d bytes: %v", n, err)
		}
	}
}
