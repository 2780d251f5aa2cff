package sleep

import (
	"bytes"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/cobox-p2p/cobox-p2p/hypercore"
	"github.com/cobox-p2p/cobox-p2p/hypercore/corestore"
	"github.com/cobox-p2p/cobox-p2p/hypercore/storage"
)

var testMaster = corestore.MasterKey{9, 8, 7}

// oldStore lays the files of the vectors' store, as far as the vectors hold them.
func oldStore(t testing.TB) string {
	t.Helper()
	dir := t.TempDir()
	for name, content := range vectors.Corestore.FilesAfter {
		b, err := hex.DecodeString(content)
		if err != nil {
			continue // of which the vectors hold the size only
		}
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, b, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func mustOpenStore(t testing.TB, dir string) *Store {
	t.Helper()
	s, err := OpenStore(dir)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestStoreOfTheOriginal(t *testing.T) {
	dir := oldStore(t)
	os.WriteFile(filepath.Join(dir, masterFile), unhex(t, vectors.Corestore.MasterKey), 0o600)
	s := mustOpenStore(t, dir)
	if len(s.Feeds()) != 5 {
		t.Errorf("%d feeds, want 5", len(s.Feeds()))
	}
	for _, dk := range s.Feeds() {
		f, err := s.Feed(dk)
		if err != nil {
			t.Fatalf("feed %s: %v", dk, err)
		}
		for _, d := range vectors.Corestore.Derived {
			if d.Name == f.Name() && (f.Key().String() != d.PublicKey || !f.KeyPair().Valid()) {
				t.Errorf("feed %q is %s with key pair %v, want %s with one", f.Name(), f.Key(), f.KeyPair().Valid(), d.PublicKey)
			}
		}
		f.Close()
	}
	var address Address
	copy(address[:], bytes.Repeat([]byte{0x11}, 32))
	if got := s.Addresses(); len(got) != 1 || got[0] != address {
		t.Fatalf("addresses %x, want %x", got, address)
	}
	space, err := s.Space(background, address)
	if err != nil || len(space.Feeds) != 1 || space.Feeds[0].Name != "grace" || !space.Feeds[0].Writer || !space.Feeds[0].Stored {
		t.Fatalf("space %+v, %v; want the writer grace", space, err)
	}
}

// newSpace writes a store with two spaces and returns its folder. The second
// space has one feed, which isn't stored.
func newSpace(t testing.TB) (dir string, first, second Space) {
	t.Helper()
	dir = filepath.Join(t.TempDir(), "store")
	s, err := CreateStore(dir, testMaster)
	if err != nil {
		t.Fatal(err)
	}
	first = Space{Address: Address{1}}
	for i, name := range []string{"ada", "", "<grace> & co"} {
		pair := pairOf(byte(i + 1))
		writing := name == "ada"
		if writing {
			pair = testMaster.KeyPair(first.Address.name() + writerSuffix + name)
		}
		w, err := Stored(stored(t, pair, uint64(10*i+3)), pair.Public)
		if err != nil {
			t.Fatal(err)
		}
		if writing {
			w.KeyPair, w.Name = pair, first.Address.name()+writerSuffix+name
		}
		if r, err := s.WriteFeed(background, w, nil); err != nil || !r.Complete() {
			t.Fatalf("WriteFeed: %+v, %v", r, err)
		}
		first.Feeds = append(first.Feeds, SpaceFeed{Key: pair.Public, Name: name, Writer: writing, Stored: true})
	}
	second = Space{Address: Address{2}, Feeds: []SpaceFeed{{Key: pairOf(77).Public, Name: "0"}}}
	for _, space := range []Space{first, second} {
		if err := s.WriteSpace(background, space); err != nil {
			t.Fatal(err)
		}
	}
	first.Feeds[1].Name = "1" // its number
	return dir, first, second
}

func checkSpace(t *testing.T, s *Store, want Space) {
	t.Helper()
	got, err := s.Space(background, want.Address)
	if err != nil || fmt.Sprint(got.Feeds) != fmt.Sprint(want.Feeds) || len(got.Damage) > 0 {
		t.Errorf("space %x:\n got %+v, %v\nwant %+v", want.Address[:1], got, err, want)
	}
}

func TestSpacesOfAStore(t *testing.T) {
	dir, first, second := newSpace(t)
	s := mustOpenStore(t, dir)
	if got, ok := s.MasterKey(); !ok || got != testMaster {
		t.Error("not the master key")
	}
	if got := s.Addresses(); len(got) != 2 || got[0] != first.Address || got[1] != second.Address {
		t.Errorf("addresses %x", got)
	}
	checkSpace(t, s, first)
	checkSpace(t, s, second)
	if _, err := s.Space(background, Address{3}); !errors.Is(err, ErrNoSpace) {
		t.Errorf("unknown space: %v, want ErrNoSpace", err)
	}
	f, err := s.Feed(first.Feeds[0].Key.Discovery())
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if pair := f.KeyPair(); !pair.Valid() || f.Name() != first.Address.name()+writerSuffix+"ada" {
		t.Errorf("writer's key pair %v, name %q", pair.Valid(), f.Name())
	}
	if _, err := os.Stat(filepath.Join(s.path(f.Key().Discovery()), secretFile)); err == nil {
		t.Error("a derived feed has a file secret_key")
	}
	other, err := s.Feed(first.Feeds[1].Key.Discovery())
	if err != nil {
		t.Fatal(err)
	}
	defer other.Close()
	if other.KeyPair().Valid() {
		t.Error("a feed written without its key pair has one")
	}
	if r, err := Import(background, storage.NewMemory(), other, nil); err != nil || r.Blocks != 13 {
		t.Errorf("feed of another: %+v, %v", r, err)
	}
}

func TestSpaceWithoutMasterKeyOrNames(t *testing.T) {
	dir, first, _ := newSpace(t)
	os.Rename(filepath.Join(dir, masterFile), filepath.Join(dir, "elsewhere"))
	s := mustOpenStore(t, dir)
	if names, more := s.Strangers(); len(names) != 1 || names[0] != "elsewhere" || more != 0 {
		t.Errorf("strangers %q and %d", names, more)
	}
	if _, ok := s.MasterKey(); ok {
		t.Error("a master key from nowhere")
	}
	got, err := s.Space(background, first.Address)
	if err != nil || len(got.Feeds) != 3 || !got.Feeds[0].Writer {
		t.Errorf("without master key: %+v, %v", got, err)
	}

	// Without names, the master key finds a space whose address is known.
	os.Rename(filepath.Join(dir, "elsewhere"), filepath.Join(dir, masterFile))
	s = mustOpenStore(t, dir)
	for _, dk := range s.Feeds() {
		os.Remove(filepath.Join(s.path(dk), nameFile))
	}
	if got := s.Addresses(); len(got) != 0 {
		t.Errorf("addresses %x", got)
	}
	checkSpace(t, s, first)
}

func TestDamagedListNamesTheRest(t *testing.T) {
	dir, first, _ := newSpace(t)
	s := mustOpenStore(t, dir)
	space, _ := s.Space(background, first.Address)
	edit(t, s.path(space.ListKey.Discovery()), dataFile, func(b []byte) []byte {
		b[len(b)-20] ^= 1
		return b
	})
	got, err := s.Space(background, first.Address)
	if err != nil || len(got.Feeds) != 2 || len(got.Damage) != 1 || got.Damage[0].Span.Start != 2 {
		t.Errorf("got %+v, %v; want two feeds, and entry 2 named", got, err)
	}
}

func TestKeyThatIsNotTheFolders(t *testing.T) {
	dir, first, _ := newSpace(t)
	s := mustOpenStore(t, dir)
	for i, feed := range first.Feeds {
		other := pairOf(99).Public
		edit(t, s.path(feed.Key.Discovery()), keyFile, func([]byte) []byte { return other[:] })
		f, err := s.Feed(feed.Key.Discovery())
		if derived := i == 0; derived != (err == nil) || !derived && !errors.Is(err, ErrNoFeed) {
			t.Fatalf("feed %q: %v", feed.Name, err)
		}
		if err != nil {
			continue
		}
		if f.Key() != feed.Key || len(f.Damage()) == 0 {
			t.Errorf("key %s, damage %v; want the derived key, and the file named", f.Key(), f.Damage())
		}
		f.Close()
	}
}

func TestStoresThatAreNone(t *testing.T) {
	if _, err := OpenStore(t.TempDir()); !errors.Is(err, ErrNoStore) {
		t.Errorf("empty folder: %v, want ErrNoStore", err)
	}
	if _, err := OpenStore(filepath.Join(t.TempDir(), "none")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("no folder: %v, want ErrNotExist", err)
	}
	if _, err := Open(filepath.Join(t.TempDir(), "none")); !errors.Is(err, ErrNoFeed) {
		t.Errorf("no feed's folder: %v, want ErrNoFeed", err)
	}
}

func TestStrangersAndLimits(t *testing.T) {
	dir, _, _ := newSpace(t)
	for i := range maxStrangers + 1 {
		os.WriteFile(filepath.Join(dir, fmt.Sprintf("note %02d", i)), nil, 0o600)
	}
	os.MkdirAll(filepath.Join(dir, "ab", "cd", strings.Repeat("ef", 32)), 0o700) // in the wrong place
	s := mustOpenStore(t, dir)
	if names, more := s.Strangers(); len(names) != maxStrangers || more != 2 {
		t.Errorf("%d strangers and %d more, want %d and 2", len(names), more, maxStrangers)
	}
	feeds := len(s.Feeds())
	for limit, want := range map[int]error{feeds: nil, feeds - 1: ErrTooManyFeeds} {
		if err := (&Store{dir: dir}).open(limit); !errors.Is(err, want) {
			t.Errorf("%d feeds, limit %d: %v, want %v", feeds, limit, err, want)
		}
	}
}

func TestNothingIsOverwritten(t *testing.T) {
	dir, first, _ := newSpace(t)
	if _, err := CreateStore(dir, testMaster); !errors.Is(err, ErrExists) {
		t.Errorf("CreateStore: %v, want ErrExists", err)
	}
	s := mustOpenStore(t, dir)
	if err := s.WriteSpace(background, first); !errors.Is(err, ErrExists) {
		t.Errorf("WriteSpace: %v, want ErrExists", err)
	}
	w := newList(pairOf(1), [][]byte{{1}})
	out := filepath.Join(t.TempDir(), "feed")
	os.WriteFile(out, []byte("mine"), 0o600)
	if _, err := Write(background, out, w, nil); !errors.Is(err, ErrExists) {
		t.Errorf("Write: %v, want ErrExists", err)
	}
	if left, _ := filepath.Glob(filepath.Join(filepath.Dir(out), ".new-*")); len(left) > 0 {
		t.Errorf("left over: %q", left)
	}
}

func TestWriteRefusesAndLeavesOut(t *testing.T) {
	pair := pairOf(1)
	good := func() Writing { return newList(pair, [][]byte{{1}, {2}, {3}}) }
	for name, change := range map[string]func(*Writing){
		"weak key":        func(w *Writing) { w.Key = hypercore.Key{1} },
		"other key pair":  func(w *Writing) { w.KeyPair = pairOf(2) },
		"other signature": func(w *Writing) { w.Head.Signature[0] ^= 1 },
		"other length":    func(w *Writing) { w.Head.Length = 2 },
		"nodes missing":   func(w *Writing) { w.Head.Length = 4 },
		"long name":       func(w *Writing) { w.Name = strings.Repeat("n", MaxName+1) },
	} {
		w := good()
		change(&w)
		dir := filepath.Join(t.TempDir(), "feed")
		if _, err := Write(background, dir, w, nil); err == nil {
			t.Errorf("%s: written", name)
		}
		if _, err := os.Stat(dir); err == nil {
			t.Errorf("%s: left a folder", name)
		}
	}
	w := good()
	w.Source.(*memoryFeed).blocks[1] = []byte{9}
	dir := filepath.Join(t.TempDir(), "feed")
	r, err := Write(background, dir, w, nil)
	if err != nil || r.Lost != 1 || r.Blocks != 2 || r.Damage[0].Span != (hypercore.Span{Start: 1, Count: 1}) {
		t.Fatalf("a damaged block: %+v, %v", r, err)
	}
	f := mustOpen(t, dir)
	if held := f.Held(); len(held) != 2 || f.Length() != 3 {
		t.Errorf("held %v of %d", held, f.Length())
	}
}

func TestNamesInAListDiffer(t *testing.T) {
	space := Space{}
	for i, name := range []string{"x", "", "x", "2", ""} {
		space.Feeds = append(space.Feeds, SpaceFeed{Key: pairOf(byte(i)).Public, Name: name})
	}
	blocks, err := space.blocks()
	if err != nil {
		t.Fatal(err)
	}
	for i, want := range []string{"x", "1", "2", "3", "4"} {
		got, err := parseListed(blocks[i])
		if err != nil || got.Name != want || got.Key != space.Feeds[i].Key {
			t.Errorf("entry %d: %+v, %v, want the name %q", i, got, err, want)
		}
	}
}
