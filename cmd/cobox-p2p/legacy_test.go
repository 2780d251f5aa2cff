package main

import (
	"encoding/hex"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/cobox-p2p/cobox-p2p/cmd/cobox-p2p/node"
	"github.com/cobox-p2p/cobox-p2p/hypercore"
	"github.com/cobox-p2p/cobox-p2p/hypercore/corestore"
	"github.com/cobox-p2p/cobox-p2p/hypercore/storage"
	"github.com/cobox-p2p/cobox-p2p/hypercore/storage/sleep"
	"github.com/cobox-p2p/cobox-p2p/multifeed"
)

// writeOldStore makes a store of the old software with a space of one writer, ada,
// and returns the space's access key.
func writeOldStore(t *testing.T, dir string, texts ...string) (access string) {
	t.Helper()
	address, key, master := multifeed.NewOpenAddress(), multifeed.NewEncryptionKey(), corestore.MasterKey{3}
	access, err := multifeed.FormatAccessKey(address, key)
	if err != nil {
		t.Fatal(err)
	}
	name := "@multifeed:" + hex.EncodeToString(address.Key[:]) + ":@multifeed:feed:ada"
	pair := master.KeyPair(name)
	st := storage.NewMemory()
	f, err := hypercore.Open(st, pair.Public, pair)
	if err != nil {
		t.Fatal(err)
	}
	for _, text := range texts {
		if _, err := f.WithSeal(hypercore.NewSeal(key)).Append(t.Context(), []byte(text)); err != nil {
			t.Fatal(err)
		}
	}
	s, err := sleep.CreateStore(dir, master)
	if err != nil {
		t.Fatal(err)
	}
	w, err := sleep.Stored(st, pair.Public)
	if err != nil {
		t.Fatal(err)
	}
	w.KeyPair, w.Name = pair, name
	if _, err := s.WriteFeed(t.Context(), w, nil); err != nil {
		t.Fatal(err)
	}
	feeds := []sleep.SpaceFeed{{Key: pair.Public, Name: "ada"}}
	if err := s.WriteSpace(t.Context(), sleep.Space{Address: sleep.Address(address.Key), Feeds: feeds}); err != nil {
		t.Fatal(err)
	}
	return access
}

// The way over and back by commands.
func TestLegacyCommands(t *testing.T) {
	base := t.TempDir()
	old, back := filepath.Join(base, "old"), filepath.Join(base, "back")
	access := writeOldStore(t, old, "one ", "two ")
	d := startDaemon(t, initNode(t, "a"))
	if err := os.WriteFile(filepath.Join(base, "access.txt"), []byte(access+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	d.done(nil, nil, "space", "create", "signed")
	for _, c := range []struct {
		args string
		code int
		says string
	}{
		{"legacy", exitUse, "import, confirm and export"},
		{"legacy import", exitUse, "DIR is missing"},
		{"legacy import " + base, exitUse, "neither a store"},
		{"legacy import " + old + " home --space @" + filepath.Join(base, "access.txt"), exitDone, ""},
		{"legacy import " + old + " --space " + access, exitDone, "stands on the command line"},
		{"legacy confirm", exitUse, "SPACE is missing"},
		{"legacy confirm home", exitUse, "Say so with --yes"},
		{"legacy confirm home nobody --yes", exitUse, "no imported writer"},
		{"legacy export home", exitUse, "DIR is missing"},
		{"legacy export home " + old, exitUse, "isn't empty"},
		{"legacy export home " + back + " --with-keys", exitUse, "Say so with --yes"},
		{"legacy export signed " + back, exitUse, "signed space"},
	} {
		r := d.cobox(nil, strings.Fields(c.args)...)
		if r.code != c.code || !strings.Contains(r.err, c.says) {
			t.Errorf("%s: exit code %d, want %d and %q\n%s%s", strings.ReplaceAll(c.args, access, "KEY"), r.code, c.code, c.says, r.out, r.err)
		}
	}
	if r := d.cobox(nil, "status"); !strings.Contains(r.out, "writer ada") || !strings.Contains(r.out, "read-only until legacy confirm") {
		t.Errorf("status says nothing of the imported writer:\n%s", r.out)
	}
	var c node.Confirmed
	d.done(nil, &c, "legacy", "confirm", "home", "ada", "--yes")
	if len(c.Writers) != 1 || c.Writers[0].Writer != "ada" {
		t.Errorf("confirmed %+v", c)
	}
	d.done(strings.NewReader("three"), nil, "append", "home", "--writer", "ada")
	if r := d.cobox(nil, "read", "home", "ada", "--offline"); r.out != "one two three" {
		t.Errorf("read %q; %s", r.out, r.err)
	}
	var e node.Exported
	d.done(nil, &e, "legacy", "export", "home", back, "--with-keys", "--yes")
	if len(e.Feeds) != 1 || !e.Feeds[0].Keys || e.Blocks != 3 {
		t.Errorf("exported %+v", e)
	}
	if r := d.cobox(nil, "status"); !strings.Contains(r.out, "given away by legacy export") {
		t.Errorf("status says nothing of the exported writer:\n%s", r.out)
	}
}

// Damage is named, the rest comes over, and the exit code says so.
func TestLegacyImportOfDamage(t *testing.T) {
	old := filepath.Join(t.TempDir(), "old")
	access := writeOldStore(t, old, "one ", "two ", "three")
	files, err := filepath.Glob(filepath.Join(old, "*", "*", "*", "data"))
	if err != nil || len(files) != 2 {
		t.Fatalf("%d data files, %v", len(files), err)
	}
	for _, name := range files {
		b, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		if !strings.HasPrefix(string(b), "{") { // not the list of feeds
			b[len(b)-1] ^= 1
		}
		if err := os.WriteFile(name, b, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	d := startDaemon(t, initNode(t, "a"))
	r := d.cobox(strings.NewReader(access), "legacy", "import", old, "home", "--space", "-", "--json")
	var i struct {
		node.Imported
		failure
	}
	if err := json.Unmarshal([]byte(r.out), &i); err != nil || r.code != exitFailed || i.failure.Error == nil || i.Complete {
		t.Fatalf("exit code %d, %v: %s%s", r.code, err, r.out, r.err)
	}
	if f := i.Feeds[0]; f.Blocks != 2 || f.Lost != 1 || fmt.Sprint(f.Damage) != "[data: block bytes, block 2]" {
		t.Errorf("imported %+v", f)
	}
	r = d.cobox(nil, "legacy", "import", old)
	if r.code != exitFailed || !strings.Contains(r.out, "DAMAGED data: block bytes, block 2") {
		t.Errorf("exit code %d: %s%s", r.code, r.out, r.err)
	}
}
