package node

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/cobox-p2p/cobox-p2p/hypercore"
	"github.com/cobox-p2p/cobox-p2p/hypercore/storage/sleep"
)

// appendTo appends text as the writer of that name.
func appendTo(t *testing.T, n *Node, space, writer, text string) Appended {
	t.Helper()
	a, err := n.Append(t.Context(), space, writer, DefaultBlockSize, strings.NewReader(text), func() {})
	if err != nil {
		t.Fatal(err)
	}
	return a
}

// An imported writer is read-only until it is confirmed, is then the one that
// append means, and stays so over a restart.
func TestConfirmImport(t *testing.T) {
	o := newOldSpace(t, 1)
	old := oldStore(t, o)
	dir := t.TempDir()
	n := startNode(t, dir)
	imported(t, n, ImportOptions{Dir: old, Space: o.access, Name: "home"})
	if a := appendTo(t, n, "home", "ada", "early"); a.Feed == o.ada.Public.String() || a.FirstBlock != 0 {
		t.Errorf("appended to the imported writer before it was confirmed: %+v", a)
	}
	_, err := n.ConfirmImport("home", []string{"nobody"})
	wantUse(t, err, "no imported writer")
	_, err = n.ConfirmImport("home", []string{o.other.String()})
	wantUse(t, err, "no imported writer")
	for range 2 {
		c, err := n.ConfirmImport("home", []string{"ada"})
		if err != nil || len(c.Writers) != 1 || c.Writers[0].Feed != o.ada.Public.String() || c.Writers[0].Length != 20 {
			t.Fatalf("confirmed %+v, %v", c, err)
		}
	}
	s, err := n.findUsable("home")
	if err != nil {
		t.Fatal(err)
	}
	if f, err := s.Feed(o.ada.Public); err != nil || f.Unseen() != 0 {
		t.Errorf("%d blocks of the old software count as unseen, %v", f.Unseen(), err)
	}
	states := feedStates(t, n)
	if f := states[o.ada.Public.String()]; f.State != "" || !f.Own {
		t.Errorf("confirmed ada is %+v", f)
	}
	if f := states[o.bob.Public.String()]; f.State != untilConfirm || f.Own {
		t.Errorf("bob, who is not confirmed, is %+v", f)
	}
	if a := appendTo(t, n, "home", "ada", "on"); a.Feed != o.ada.Public.String() || a.FirstBlock != 20 {
		t.Errorf("appended %+v, want block 20 of ada", a)
	}
	n.Close()
	n = startNode(t, dir)
	if a := appendTo(t, n, "home", o.ada.Public.String(), "on"); a.Feed != o.ada.Public.String() || a.FirstBlock != 21 || a.Writer != "ada" {
		t.Errorf("after a restart appended %+v, want block 21 of ada", a)
	}
	// The old store again has nothing new, and takes nothing away.
	imported(t, n, ImportOptions{Dir: old})
	if f := feedStates(t, n)[o.ada.Public.String()]; f.Length != 22 || !f.Own {
		t.Errorf("after a second import ada is %+v", f)
	}
	if c, err := n.ConfirmImport("home", nil); err != nil || len(c.Writers) != 2 {
		t.Errorf("confirmed %+v, %v, want both", c, err)
	}
	o.wantBlocks(t, n, "home", 0)

	// Left and joined again, it has forgotten the keys.
	if _, err := n.Leave("home", false, true); err != nil {
		t.Fatal(err)
	}
	if _, err := n.Join(o.access, "home"); err != nil {
		t.Fatal(err)
	}
	_, err = n.ConfirmImport("home", nil)
	wantUse(t, err, "no writer that legacy import brought")
}

// What was exported can be imported elsewhere and is the same; without keys
// nobody can write it there.
func TestExportAndImportElsewhere(t *testing.T) {
	o := newOldSpace(t, 1)
	a, b := startNode(t, t.TempDir()), startNode(t, t.TempDir())
	imported(t, a, ImportOptions{Dir: oldStore(t, o), Space: o.access, Name: "home"})
	mine := appendTo(t, a, "home", "mine", "text")
	dir := filepath.Join(t.TempDir(), "new")
	e, err := a.Export(t.Context(), "home", dir, false)
	if err != nil || len(e.Feeds) != 5 || e.Blocks != 35 {
		t.Fatalf("exported %+v, %v", e, err)
	}
	i := imported(t, b, ImportOptions{Dir: dir, Space: o.access, Name: "home"})
	if !i.Complete || len(i.Feeds) != 5 || i.Feeds[0].Keys {
		t.Errorf("imported %+v", i)
	}
	o.wantBlocks(t, b, "home", 0)
	if f := feedStates(t, b)[mine.Feed]; f.Stored != 1 || f.State != "" {
		t.Errorf("the new feed is %+v", f)
	}
	_, err = b.ConfirmImport("home", nil)
	wantUse(t, err, "no writer")
	for _, c := range []struct{ space, dir, says string }{
		{"home", dir, "isn't empty"}, {"home", "relative", "absolute"}, {"signed", dir + "2", "signed space"},
	} {
		if c.space == "signed" {
			if _, err := a.Create("signed", false); err != nil {
				t.Fatal(err)
			}
		}
		_, err := a.Export(t.Context(), c.space, c.dir, true)
		wantUse(t, err, c.says)
	}
	if f := feedStates(t, a)[mine.Feed]; !f.Own {
		t.Error("a refused export took the keys")
	}
	_, err = b.Export(t.Context(), "home", dir+"2", true)
	wantUse(t, err, "writes no feed")
}

// Keys that were given away are used here no more, by no command and not after a
// restart, and are given to one folder only.
func TestExportWithKeys(t *testing.T) {
	o := newOldSpace(t, 1)
	home := t.TempDir()
	n := startNode(t, home)
	imported(t, n, ImportOptions{Dir: oldStore(t, o), Space: o.access, Name: "home"})
	if _, err := n.ConfirmImport("home", []string{"ada"}); err != nil {
		t.Fatal(err)
	}
	appendTo(t, n, "home", "ada", "on")
	mine := appendTo(t, n, "home", "mine", "text")
	dir := filepath.Join(t.TempDir(), "new")
	if _, err := n.Export(t.Context(), "home", dir, true); err != nil {
		t.Fatal(err)
	}
	given := []string{o.ada.Public.String(), mine.Feed}
	wantKeys(t, dir, given, o)
	for range 2 {
		for _, key := range given {
			if f := feedStates(t, n)[key]; f.Own || f.State != givenAway {
				t.Errorf("a feed that was given away is %+v", f)
			}
		}
		for _, writer := range []string{"ada", "mine", given[0]} {
			if a := appendTo(t, n, "home", writer[:min(len(writer), 64)], "more"); a.Feed == given[0] || a.Feed == given[1] {
				t.Errorf("writer %s appended to a feed that was given away", writer)
			}
		}
		_, err := n.ConfirmImport("home", []string{"ada"})
		wantUse(t, err, "no imported writer")
		n.Close()
		n = startNode(t, home)
	}
	// What is written meanwhile can go as well; what went before doesn't go twice.
	other := filepath.Join(t.TempDir(), "other")
	if _, err := n.Export(t.Context(), "home", other, true); err != nil {
		t.Fatal(err)
	}
	for _, key := range given {
		if hasKeys(t, other, key) {
			t.Errorf("feed %s went to a second folder", key)
		}
	}
	// It came back from the old software: it stays what it is.
	if i := imported(t, n, ImportOptions{Dir: dir, Space: "home"}); !strings.Contains(i.Feeds[0].Note, "given away") {
		t.Errorf("imported again: %+v", i.Feeds[0])
	}
	_, err := n.ConfirmImport("home", []string{given[0]})
	wantUse(t, err, "no imported writer")

	// The other side goes on with it.
	b := startNode(t, t.TempDir())
	imported(t, b, ImportOptions{Dir: dir, Space: o.access, Name: "home"})
	if c, err := b.ConfirmImport("home", nil); err != nil || len(c.Writers) != 2 {
		t.Fatalf("confirmed %+v, %v", c, err)
	}
	if a := appendTo(t, b, "home", "ada", "on"); a.Feed != given[0] || a.FirstBlock != 21 {
		t.Errorf("the other side appended %+v", a)
	}
}

func hasKeys(t *testing.T, dir, key string) bool {
	t.Helper()
	s, err := sleep.OpenStore(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, dk := range s.Feeds() {
		f, err := s.Feed(dk)
		if err != nil {
			t.Fatal(err)
		}
		f.Close()
		if f.Key().String() == key {
			return f.KeyPair().Valid()
		}
	}
	return false
}

// wantKeys fails unless just the given feeds have their keys in the store.
func wantKeys(t *testing.T, dir string, given []string, o *oldSpace) {
	t.Helper()
	for _, key := range given {
		if !hasKeys(t, dir, key) {
			t.Errorf("feed %s has no keys in the export", key)
		}
	}
	for _, key := range []hypercore.Key{o.bob.Public, o.other} {
		if hasKeys(t, dir, key.String()) {
			t.Errorf("feed %.8s was given away", key)
		}
	}
}

// An export that is cut off anywhere is finished by the next, and never leaves two
// folders with the same keys.
func TestExportCutOff(t *testing.T) {
	o := newOldSpace(t, 1)
	n := startNode(t, t.TempDir())
	if _, err := n.Join(o.access, "home"); err != nil {
		t.Fatal(err)
	}
	mine := appendTo(t, n, "home", "mine", "text")
	s, err := n.findUsable("home")
	if err != nil {
		t.Fatal(err)
	}
	key := s.Feeds()[0].Key()
	parent := t.TempDir()
	first, second := filepath.Join(parent, "first"), filepath.Join(parent, "second")

	// While somebody appends nothing is given away.
	end, err := s.handed.beginAppend(key)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := n.Export(t.Context(), "home", first, true); err == nil || !strings.Contains(err.Error(), "being appended to") {
		t.Errorf("export during an append: %v", err)
	}
	end()
	appendTo(t, n, "home", "mine", "more")

	// Behind Surrender, with a folder that isn't whole.
	e := &exporting{node: n, space: s, dir: first}
	own, err := e.giving()
	if err != nil || len(own) != 1 {
		t.Fatalf("%d feeds to give, %v", len(own), err)
	}
	if _, err := e.give(own[0]); err != nil {
		t.Fatal(err)
	}
	if err := os.MkdirAll(filepath.Join(partial(first), "00"), 0o700); err != nil {
		t.Fatal(err)
	}
	if f := feedStates(t, n)[mine.Feed]; f.State != beingGiven || f.Own {
		t.Errorf("a feed on its way is %+v", f)
	}
	if a := appendTo(t, n, "home", "mine", "x"); a.Feed == mine.Feed {
		t.Error("a feed on its way was appended to")
	}
	e2, err := n.Export(t.Context(), "home", second, true)
	if err != nil || e2.Blocks != 3 {
		t.Fatalf("exported %+v, %v", e2, err)
	}
	if _, err := os.Stat(partial(first)); !os.IsNotExist(err) {
		t.Errorf("what was left of the first export is there still: %v", err)
	}
	wantKeys(t, second, []string{mine.Feed}, o)

	// Whole, and without its name.
	if err := os.Rename(second, partial(second)); err != nil {
		t.Fatal(err)
	}
	e3, err := n.Export(t.Context(), "home", second, true)
	if err != nil || len(e3.Feeds) != 2 || !e3.Feeds[0].Keys {
		t.Errorf("finished %+v, %v", e3, err)
	}
	wantKeys(t, second, []string{mine.Feed}, o)
	_, err = n.Export(t.Context(), "home", first, true)
	wantUse(t, err, "mine to "+second)
}
