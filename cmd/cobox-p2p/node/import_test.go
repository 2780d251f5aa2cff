package node

import (
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/cobox-p2p/cobox-p2p/hypercore/storage/sleep"
)

// The whole of a store comes over once, in any way of naming its space, and a
// repeated import finds nothing to do. The old store is not touched.
func TestImport(t *testing.T) {
	o := newOldSpace(t, 1)
	dir := oldStore(t, o)
	os.WriteFile(filepath.Join(dir, "diary.txt"), nil, 0o600)
	before := digest(t, dir)
	n := startNode(t, t.TempDir())
	i := imported(t, n, ImportOptions{Dir: dir, Space: o.access, Name: "home"})
	if !i.Joined || !i.Complete || i.Mode != ModeMember || i.Space != "home" || len(i.Feeds) != 3 ||
		len(i.Strangers) != 1 || !slices.Equal(i.Absent, []string{o.absent.String()}) || len(i.Others) != 0 {
		t.Errorf("imported %+v", i)
	}
	o.wantBlocks(t, n, "home", 0)
	states := feedStates(t, n)
	if f := states[o.ada.Public.String()]; f.Writer != "ada" || f.Own || f.State != untilConfirm || f.Stored != 20 {
		t.Errorf("ada is %+v", f)
	}
	if f := states[o.other.String()]; f.State != "" || len(states) != 4 {
		t.Errorf("the feed of another is %+v, of %d", f, len(states))
	}
	for _, again := range []ImportOptions{{Dir: dir}, {Dir: dir, Space: "home"}, {Dir: dir, Space: o.Address.String(), Name: "home"}} {
		i = imported(t, n, again)
		if i.Joined || !i.Complete || i.Feeds[0].Blocks != 0 || i.Feeds[0].Present != 20 {
			t.Errorf("imported again: %+v", i)
		}
	}
	if !maps.Equal(before, digest(t, dir)) {
		t.Error("the old store was changed")
	}
}

// A seeder takes the blocks that it can't open; the folder of a feed alone goes
// into a joined space.
func TestImportAtASeederAndOfOneFeed(t *testing.T) {
	o := newOldSpace(t, 1)
	dir := oldStore(t, o)
	n := startNode(t, t.TempDir())
	if i := imported(t, n, ImportOptions{Dir: dir}); i.Mode != ModeSeeder || !i.Complete || i.Space != o.Discovery().String()[:8] {
		t.Errorf("imported %+v", i)
	}
	o.wantBlocks(t, n, o.Address.String(), 0)
	_, err := n.ConfirmImport(o.Address.String(), nil)
	wantUse(t, err, "only seeded here")

	// The seeder becomes a member; meanwhile its feeds are open and unused.
	if _, err := n.Leave(o.Address.String(), true, false); err != nil {
		t.Fatal(err)
	}
	if i := imported(t, n, ImportOptions{Dir: dir, Space: o.access, Name: "home"}); i.Mode != ModeMember || !i.Complete || i.Feeds[0].Present != 20 {
		t.Errorf("imported %+v", i)
	}
	o.wantBlocks(t, n, "home", 0)

	member := startNode(t, t.TempDir())
	if _, err := member.Join(o.access, "home"); err != nil {
		t.Fatal(err)
	}
	dk := o.bob.Public.Discovery().String()
	folder := filepath.Join(dir, dk[:2], dk[2:4], dk)
	_, err = member.Import(t.Context(), ImportOptions{Dir: folder})
	wantUse(t, err, "--space")
	i := imported(t, member, ImportOptions{Dir: folder, Space: "home"})
	if !i.Complete || len(i.Feeds) != 1 || i.Feeds[0].Blocks != 5 || !i.Feeds[0].Keys || i.Feeds[0].Writer != o.bob.Public.String()[:8] {
		t.Errorf("imported %+v", i)
	}
	imported(t, member, ImportOptions{Dir: dir, Space: "home"})
	o.wantBlocks(t, member, "home", 0)
}

func wantUse(t *testing.T, err error, says string) {
	t.Helper()
	if _, ok := errors.AsType[*UseError](err); !ok || !strings.Contains(err.Error(), says) {
		t.Errorf("got %v, want a UseError with %q", err, says)
	}
}

// What can't be imported is refused in words before anything is done.
func TestImportRefused(t *testing.T) {
	one, two := newOldSpace(t, 1), newOldSpace(t, 2)
	dir := oldStore(t, one, two)
	n := startNode(t, t.TempDir())
	if _, err := n.Create("signed", false); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		ImportOptions
		says string
	}{
		{ImportOptions{Dir: "old"}, "absolute"},
		{ImportOptions{Dir: t.TempDir()}, "neither a store"},
		{ImportOptions{Dir: dir}, "2 spaces are in the store: name one with --space, by its address or better its access key\n  " + one.Address.String() + "\n  " + two.Address.String()},
		{ImportOptions{Dir: dir, Space: "signed"}, "signed space"},
		{ImportOptions{Dir: dir, Space: "nowhere"}, "no space"},
		{ImportOptions{Dir: dir, Space: newOldSpace(t, 3).access}, "nothing in the store belongs to that space; it has 2 spaces"},
		{ImportOptions{Dir: dir, Space: one.access, Name: "signed"}, "named signed already"},
		{ImportOptions{Dir: dir, Space: one.access, Name: "a/b"}, "slashes"},
	} {
		_, err := n.Import(t.Context(), c.ImportOptions)
		wantUse(t, err, c.says)
	}
	if all := n.Spaces(); len(all) != 1 {
		t.Errorf("%d spaces after refused imports", len(all))
	}
	n.incoming[two.Address] = true
	if _, err := n.Join(two.access, "two"); !errors.Is(err, errIncoming) {
		t.Errorf("joined while its feeds are imported: %v", err)
	}
	if _, err := n.Import(t.Context(), ImportOptions{Dir: dir, Space: two.access, Name: "two"}); !errors.Is(err, errIncoming) {
		t.Errorf("two imports at once: %v", err)
	}
	delete(n.incoming, two.Address)
	imported(t, n, ImportOptions{Dir: dir, Space: two.access, Name: "two"})
	two.wantBlocks(t, n, "two", 0)
	_, err := n.Import(t.Context(), ImportOptions{Dir: dir, Space: two.access, Name: "other"})
	wantUse(t, err, "here already, as two")
}

// A writer whose last signatures are lost must not sign these blocks again; when
// they are here it may go on.
func TestConfirmOfALostEnd(t *testing.T) {
	o := newOldSpace(t, 1)
	dir := oldStore(t, o)
	dk := o.ada.Public.Discovery().String()
	folder := filepath.Join(dir, dk[:2], dk[2:4], dk)
	// An older copy of the folder's signatures and tree: that of 16 blocks.
	short := newOldSpace(t, 1)
	st := t.TempDir()
	w := short.feed(t, o.ada, 16)
	if _, err := sleep.Write(t.Context(), filepath.Join(st, "feed"), w, nil); err != nil {
		t.Fatal(err)
	}
	signatures, err := os.ReadFile(filepath.Join(st, "feed", "signatures"))
	if err != nil {
		t.Fatal(err)
	}
	whole, err := os.ReadFile(filepath.Join(folder, "signatures"))
	if err == nil {
		err = os.WriteFile(filepath.Join(folder, "signatures"), signatures, 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
	n := startNode(t, t.TempDir())
	if i := imported(t, n, ImportOptions{Dir: dir, Space: o.access, Name: "home"}); i.Complete || i.Feeds[0].Length >= 20 {
		t.Errorf("imported %+v", i.Feeds[0])
	}
	if _, err := n.ConfirmImport("home", []string{"ada"}); err == nil || !strings.Contains(err.Error(), "20 were signed") {
		t.Errorf("confirmed without the end: %v", err)
	}
	if err := os.WriteFile(filepath.Join(folder, "signatures"), whole, 0o600); err != nil {
		t.Fatal(err)
	}
	if i := imported(t, n, ImportOptions{Dir: dir}); !i.Complete {
		t.Errorf("imported again: %+v", i.Feeds[0])
	}
	if _, err := n.ConfirmImport("home", []string{"ada"}); err != nil {
		t.Error(err)
	}
	o.wantBlocks(t, n, "home", 0)
}

// Of a store that is damaged anywhere what verifies comes over, and the answer
// says so.
func TestImportOfADamagedStore(t *testing.T) {
	n := startNode(t, t.TempDir())
	for seed := range uint64(12) {
		rng := rand.New(rand.NewPCG(seed, 1))
		o, home := newOldSpace(t, byte(seed)), fmt.Sprint("home", seed)
		dir := oldStore(t, o)
		dk := o.ada.Public.Discovery().String()
		file := []string{"tree", "data", "bitfield", "signatures"}[seed%4]
		path := filepath.Join(dir, dk[:2], dk[2:4], dk, file)
		b, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		at := rng.IntN(len(b))
		if rng.IntN(4) == 0 {
			b = b[:at]
		} else {
			b[at] ^= byte(1 + rng.IntN(255))
		}
		if err := os.WriteFile(path, b, 0o600); err != nil {
			t.Fatal(err)
		}
		i := imported(t, n, ImportOptions{Dir: dir, Space: o.access, Name: home})
		f := i.Feeds[0]
		if lost := 20 - f.Blocks; lost > 0 && (i.Complete || len(f.Damage) == 0) {
			t.Errorf("seed %d, %s: %d blocks are missing, and the answer is %+v", seed, file, lost, f)
		}
		o.wantBlocks(t, n, home, 20-f.Blocks)
		if f.Length < 20 {
			if _, err := n.ConfirmImport(home, []string{"ada"}); err == nil {
				t.Errorf("seed %d, %s: a feed of %d blocks of 20 may be written on", seed, file, f.Length)
			}
		}
	}
}
