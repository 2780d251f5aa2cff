package demo

import (
	"archive/tar"
	"bytes"
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func nothing(int) {}

// open opens the source of a folder with these files.
func open(t *testing.T, files map[string]string) (dir string, s *source) {
	t.Helper()
	dir = t.TempDir()
	for name, text := range files {
		path := filepath.Join(dir, name)
		if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o755), os.WriteFile(path, []byte(text), 0o640)); err != nil {
			t.Fatal(err)
		}
	}
	info, err := os.Stat(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	if s, err = openSource(dir, info); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.close() })
	return dir, s
}

// restored unpacks a tar stream into a new folder.
func restored(t *testing.T, stream io.Reader) ([]Item, string, error) {
	t.Helper()
	dir := t.TempDir()
	root, err := os.OpenRoot(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer root.Close()
	modes, err := unpack(stream, root, nothing)
	if err != nil {
		return nil, dir, err
	}
	items, err := finish(root, modes)
	return items, dir, err
}

func TestTarAndBack(t *testing.T) {
	dir, s := open(t, map[string]string{"a": "alpha", "b/c": strings.Repeat("charlie", 100_000), "b/empty": "", "Zoë \n name": "x"})
	if runtime.GOOS != "windows" {
		for link, target := range map[string]string{"b/out": "/etc/passwd", "b/up": "../../..", "b/in": "c"} {
			if err := os.Symlink(target, filepath.Join(dir, link)); err != nil {
				t.Fatal(err)
			}
		}
		if err := os.Link(filepath.Join(dir, "a"), filepath.Join(dir, "twin")); err != nil {
			t.Fatal(err)
		}
	}
	var stream bytes.Buffer
	if err := s.writeTar(t.Context(), &stream, nothing); err != nil {
		t.Fatal(err)
	}
	items, _, err := restored(t, &stream)
	if err != nil {
		t.Fatal(err)
	}
	if Digest(items) != Digest(s.items) || len(items) < 5 || len(s.skipped) != 0 {
		t.Errorf("restored %v, stored %v, skipped %v: %v", items, s.items, s.skipped, difference(s.items, items, 9))
	}
	// The digest sees every change.
	for name, change := range map[string]func(*Item){
		"content": func(i *Item) { i.Hash[0] ^= 1 }, "mode": func(i *Item) { i.Mode ^= 0o001 },
		"size": func(i *Item) { i.Size++ }, "type": func(i *Item) { i.Type++ }, "path": func(i *Item) { i.Path += "x" },
	} {
		other := slices.Clone(items)
		change(&other[0])
		if Digest(other) == Digest(items) || len(difference(items, other, 9)) == 0 {
			t.Errorf("a changed %s is not seen", name)
		}
	}
}

// TestChangingFiles holds that a file that changes while it is read is stored as
// it was read, and named.
func TestChangingFiles(t *testing.T) {
	for what, change := range map[string]func(path string) error{
		"became shorter": func(path string) error { return os.Truncate(path, copyBuffer) },
		"changed while":  func(path string) error { return os.WriteFile(path, make([]byte, 4*copyBuffer), 0o640) },
	} {
		dir, s := open(t, map[string]string{"file": strings.Repeat("x", 3*copyBuffer)})
		var stream bytes.Buffer
		once := true
		err := s.writeTar(t.Context(), &stream, func(int) {
			if once {
				once = false
				if err := change(filepath.Join(dir, "file")); err != nil {
					t.Error(err)
				}
			}
		})
		if err != nil {
			t.Fatal(err)
		}
		items, _, err := restored(t, &stream)
		if err != nil || Digest(items) != Digest(s.items) || items[0].Size != 3*copyBuffer {
			t.Errorf("%s: restored %v, %v", what, items, err)
		}
		if len(s.skipped) == 0 || s.skipped[0].Path != "file" || !strings.Contains(s.skipped[0].Reason, what) {
			t.Errorf("%s: named %v", what, s.skipped)
		}
	}
}

// TestOwnFolderIsLeftOut holds that the demo doesn't store itself, and that
// special files are named.
func TestOwnFolderIsLeftOut(t *testing.T) {
	dir, s := open(t, map[string]string{"own/secret": "x", "file": "y"})
	var err error
	if s.avoid, err = os.Stat(filepath.Join(dir, "own")); err != nil {
		t.Fatal(err)
	}
	if err := s.writeTar(t.Context(), io.Discard, nothing); err != nil {
		t.Fatal(err)
	}
	if len(s.items) != 1 || s.items[0].Path != "file" || len(s.skipped) != 1 || s.skipped[0].Path != "own" {
		t.Errorf("stored %v, skipped %v", s.items, s.skipped)
	}
	if _, err := openSource(os.DevNull, s.avoid); err == nil {
		t.Error("a device was taken as input")
	}
}

// entry is one header of a hostile tar stream.
func archive(t *testing.T, headers ...tar.Header) io.Reader {
	t.Helper()
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	for _, h := range headers {
		if err := w.WriteHeader(&h); err != nil {
			t.Fatal(err)
		}
		if _, err := w.Write(make([]byte, h.Size)); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return &b
}

// TestUnpackStaysInside holds that no stream makes anything outside the folder.
func TestUnpackStaysInside(t *testing.T) {
	outside := filepath.Join(t.TempDir(), "outside")
	link := tar.Header{Typeflag: tar.TypeSymlink, Name: "link", Linkname: filepath.Dir(outside), Mode: 0o777}
	for what, headers := range map[string][]tar.Header{
		"parent":           {{Typeflag: tar.TypeReg, Name: "../outside", Size: 1}},
		"absolute":         {{Typeflag: tar.TypeReg, Name: outside, Size: 1}},
		"dots within":      {{Typeflag: tar.TypeReg, Name: "a/../../outside", Size: 1}},
		"unclean":          {{Typeflag: tar.TypeDir, Name: "a/./b"}},
		"no name":          {{Typeflag: tar.TypeDir, Name: "/"}},
		"through a link":   {link, {Typeflag: tar.TypeReg, Name: "link/outside", Size: 1}},
		"folder in a link": {link, {Typeflag: tar.TypeDir, Name: "link/outside"}},
		"over a link":      {link, {Typeflag: tar.TypeReg, Name: "link", Size: 1}},
		"twice":            {{Typeflag: tar.TypeReg, Name: "a", Size: 1}, {Typeflag: tar.TypeReg, Name: "a", Size: 1}},
		"hard link":        {link, {Typeflag: tar.TypeLink, Name: "hard", Linkname: "link"}},
		"device":           {{Typeflag: tar.TypeChar, Name: "null", Devmajor: 1, Devminor: 3}},
		"pipe":             {{Typeflag: tar.TypeFifo, Name: "pipe"}},
		"no folder for it": {{Typeflag: tar.TypeReg, Name: "a/b", Size: 1}},
		"file as a folder": {{Typeflag: tar.TypeReg, Name: "a", Size: 1}, {Typeflag: tar.TypeReg, Name: "a/b", Size: 1}},
	} {
		if runtime.GOOS == "windows" && headers[0].Typeflag == tar.TypeSymlink {
			continue
		}
		if items, _, err := restored(t, archive(t, headers...)); err == nil {
			t.Errorf("%s: restored %v", what, items)
		}
		if _, err := os.Lstat(outside); err == nil {
			t.Fatalf("%s: made %s", what, outside)
		}
	}
	cut := archive(t, tar.Header{Typeflag: tar.TypeReg, Name: "a", Size: 2000})
	if _, _, err := restored(t, io.LimitReader(cut, 1000)); !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("a stream that is cut off: %v", err)
	}
}

func FuzzUnpack(f *testing.F) {
	var t testing.T
	for _, name := range []string{"a", "../a", "/a"} {
		b, _ := io.ReadAll(archive(&t, tar.Header{Typeflag: tar.TypeReg, Name: name, Size: 10}, tar.Header{Typeflag: tar.TypeDir, Name: name}))
		f.Add(b)
	}
	f.Fuzz(func(t *testing.T, stream []byte) {
		base := t.TempDir()
		inside := filepath.Join(base, "inside")
		if err := os.Mkdir(inside, 0o700); err != nil {
			t.Fatal(err)
		}
		root, err := os.OpenRoot(inside)
		if err != nil {
			t.Fatal(err)
		}
		defer root.Close()
		unpack(bytes.NewReader(stream), root, nothing)
		if all, err := os.ReadDir(base); err != nil || len(all) != 1 {
			t.Errorf("beside the folder: %v, %v", all, err)
		}
	})
}

// TestScan holds that plaintext is found wherever it lies in a file, also across
// two reads.
func TestScan(t *testing.T) {
	sample := []byte("thirty-two bytes of plain text..")
	name := []byte("letter to Zoë.txt")
	if len(sample) != sampleSize {
		t.Fatalf("the sample has %d bytes", len(sample))
	}
	f := newFinder([][]byte{sample, name, []byte("not there")})
	for _, at := range []int{0, 1, scanBuffer - sampleSize - 1, scanBuffer - sampleSize, scanBuffer - sampleSize + 1, scanBuffer - 1, scanBuffer, scanBuffer + 1, 2*scanBuffer + 777} {
		dir := t.TempDir()
		file := make([]byte, at)
		file = append(append(file, sample...), name...)
		if err := errors.Join(os.Mkdir(filepath.Join(dir, "sub"), 0o700), os.WriteFile(filepath.Join(dir, "sub", "store"), file, 0o600)); err != nil {
			t.Fatal(err)
		}
		found, bytes, err := f.scan(t.Context(), dir)
		if err != nil || len(found) != 2 || found[0] == "" || found[1] == "" || bytes < int64(len(file)) {
			t.Errorf("at %d: found %v in %d bytes, %v", at, found, bytes, err)
		}
	}
	ctx, stop := context.WithCancel(t.Context())
	stop()
	if _, _, err := f.scan(ctx, t.TempDir()); !errors.Is(err, context.Canceled) {
		t.Errorf("a scan that was ended: %v", err)
	}
}

func TestSamples(t *testing.T) {
	s := newSamples()
	s.content(make([]byte, 1000)) // zeros tell nothing
	s.content([]byte("short"))
	s.name("a/b/short")
	if n := len(s.all()); n != 0 {
		t.Errorf("%d samples of what tells nothing", n)
	}
	for range 10 * maxSamples {
		s.content([]byte("abcdefghijklmnopqrstuvwxyz0123456789ABCDEFGHIJ"))
		s.name("folder/a name that is long enough to be told from others")
	}
	if len(s.contents) != maxSamples || len(s.names) != maxSamples {
		t.Errorf("%d and %d samples, want %d each", len(s.contents), len(s.names), maxSamples)
	}
	for _, sample := range s.all() {
		if len(sample) < sampleLeast || len(sample) > sampleSize {
			t.Errorf("a sample of %d bytes", len(sample))
		}
	}
}
