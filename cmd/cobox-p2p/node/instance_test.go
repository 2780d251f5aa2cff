package node

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/cobox-p2p/cobox-p2p/hypercore/storage"
)

// TestInstanceBelongsToTheStore holds that a node never goes on with feeds whose
// last blocks its store may not have.
func TestInstanceBelongsToTheStore(t *testing.T) {
	dir := t.TempDir()
	n := startNode(t, dir)
	if _, err := n.Create("home", false); err != nil {
		t.Fatal(err)
	}
	first := write(t, n, "home", "first")
	n.Close()
	n = startNode(t, dir)
	if again := write(t, n, "home", "again"); again.Feed != first.Feed || again.FirstBlock != 1 {
		t.Errorf("after a restart %+v, want block 1 of feed %s", again, first.Feed)
	}
	before := n.Folder().Instance
	n.Close()
	for what, spoil := range map[string]func(store string) error{
		"removed": os.RemoveAll,
		"emptied": func(store string) error {
			return os.Rename(store, store+".aside")
		},
		"of another node": func(store string) error {
			other := startNode(t, filepath.Join(t.TempDir(), "other"))
			other.Close()
			if err := os.RemoveAll(store); err != nil {
				return err
			}
			return os.Rename(filepath.Join(other.Folder().Dir, storeFolder), store)
		},
	} {
		if err := spoil(filepath.Join(dir, storeFolder)); err != nil {
			t.Fatal(err)
		}
		n = startNode(t, dir)
		after := write(t, n, "home", "after")
		if n.Folder().Instance == before || after.Feed == first.Feed || after.FirstBlock != 0 {
			t.Errorf("store %s: appended %+v, want block 0 of a new feed", what, after)
		}
		before = n.Folder().Instance
		n.Close()
		if f, err := OpenFolder(dir); err != nil || f.Instance != before {
			t.Errorf("store %s: the folder has the instance %v, %v, want %v", what, f.Instance, err, before)
		}
	}
}

// TestInstanceWhenCut holds that a new instance whose record was not written is
// not used: the next start makes another.
func TestInstanceWhenCut(t *testing.T) {
	f, err := Init(t.TempDir(), "test")
	if err != nil {
		t.Fatal(err)
	}
	st := storage.NewMemory()
	defer st.Close()
	if fresh, err := tieInstance(st, f); err != nil || !fresh {
		t.Fatalf("the first run: %v, %v", fresh, err)
	}
	if fresh, err := tieInstance(st, f); err != nil || fresh {
		t.Fatalf("the second run: %v, %v", fresh, err)
	}
	f.Instance[0]++
	cut := f.Instance
	if fresh, err := tieInstance(st, f); err != nil || !fresh || f.Instance == cut {
		t.Errorf("after a cut: %v, %v, want a new instance", fresh, err)
	}
}

// TestInstanceAfterARebuild holds that a store that may have lost the end of its
// feeds is written under a new instance, and only once.
func TestInstanceAfterARebuild(t *testing.T) {
	f, err := Init(t.TempDir(), "test")
	if err != nil {
		t.Fatal(err)
	}
	st := storage.NewMemory()
	defer st.Close()
	first := &storage.Rebuild{When: time.Unix(1, 0)}
	for i, c := range []struct {
		rebuilt *storage.Rebuild
		fresh   bool
	}{
		{nil, true}, {nil, false},
		{&storage.Rebuild{When: time.Unix(0, 0), Complete: true}, false},
		{first, true}, {first, false},
		{&storage.Rebuild{When: time.Unix(2, 0)}, true},
	} {
		if err := giveUpInstance(st, c.rebuilt); err != nil {
			t.Fatal(err)
		}
		if fresh, err := tieInstance(st, f); err != nil || fresh != c.fresh {
			t.Errorf("start %d: a new instance %t, %v, want %t", i, fresh, err, c.fresh)
		}
	}
}
