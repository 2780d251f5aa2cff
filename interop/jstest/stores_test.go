package jstest

import (
	"bufio"
	"context"
	"encoding/hex"
	"encoding/json"
	"errors"
	"path/filepath"
	"slices"
	"testing"

	"github.com/cobox-p2p/cobox-p2p/hypercore/corestore"
	"github.com/cobox-p2p/cobox-p2p/hypercore/storage/sleep"
)

// oldFeed is a feed of a space in a store of the original.
type oldFeed struct {
	Name  string `json:"name"`
	Key   string `json:"key,omitempty"` // of a feed of another store
	Steps []step `json:"steps,omitempty"`
}

// oldSpace is what the original says of a space in its store.
type oldSpace struct {
	Listed []struct{ Key, Name string }
	Feeds  map[string]judged
	List   judged
}

var oldAddress = sleep.Address{0xad, 0xd1, 0xe5, 0x55, 31: 1}

// makeSpace lets the original make a store with a space of two writers of its
// own and one of another store, of which some blocks were fetched.
func makeSpace(ctx context.Context, t *testing.T, dir string, hold bool) (options map[string]any) {
	t.Helper()
	theirs := filepath.Join(t.TempDir(), "theirs")
	var other judged
	folders(ctx, t, "feed", map[string]any{"dir": theirs, "seed": folderSeed, "steps": oneByOne(sizesOf(50))}, &other)
	return map[string]any{
		"dir": dir, "address": hex.EncodeToString(oldAddress[:]), "hold": hold,
		"writers": []oldFeed{
			{Name: "ada", Steps: oneByOne(sizesOf(20))},
			{Name: "grace <g@example.org>", Steps: []step{{Append: sizesOf(300)}, {Clear: &[2]int{10, 20}}}},
		},
		"others": []oldFeed{{Name: "2", Key: other.Key, Steps: []step{
			{Fetch: &fetching{From: theirs, Blocks: []int{7, 0, 49}}},
		}}},
		"list": []string{"ada", "grace <g@example.org>", "2"},
	}
}

// ownFeeds are the names of the feeds of makeSpace that have key pairs.
var ownFeeds = []string{"ada", "grace <g@example.org>"}

// checkSpace imports all feeds of a space and compares them with what the
// original says. derived are those whose key pairs the store's master key derives.
func checkSpace(ctx context.Context, t *testing.T, s *sleep.Store, want oldSpace, derived ...string) sleep.Space {
	t.Helper()
	space, err := s.Space(ctx, oldAddress)
	if err != nil || len(space.Damage) > 0 || len(space.Feeds) != len(want.Listed) {
		t.Fatalf("space %+v, %v; want %v", space, err, want.Listed)
	}
	for i, f := range space.Feeds {
		if l := want.Listed[i]; f.Name != l.Name || f.Key.String() != l.Key || !f.Stored || f.Writer != slices.Contains(derived, f.Name) {
			t.Errorf("feed %d is %+v, want %v", i, f, l)
		}
		src, err := s.Feed(f.Key.Discovery())
		if err != nil {
			t.Fatal(err)
		}
		if src.KeyPair().Valid() != slices.Contains(slices.Concat(ownFeeds, derived), f.Name) {
			t.Errorf("feed %q: key pair %v", f.Name, src.KeyPair().Valid())
		}
		taken(t, src, want.Feeds[f.Name])
		src.Close()
	}
	return space
}

func TestStoreOfTheOriginal(t *testing.T) {
	ctx := within(t)
	dir := filepath.Join(t.TempDir(), "store")
	var want oldSpace
	folders(ctx, t, "space", makeSpace(ctx, t, dir, false), &want)
	s, err := sleep.OpenStore(dir)
	if err != nil {
		t.Fatal(err)
	}
	if names, _ := s.Strangers(); len(names) > 0 {
		t.Errorf("strangers: %q", names)
	}
	if got := s.Addresses(); len(got) != 1 || got[0] != oldAddress {
		t.Errorf("addresses %x, want %x", got, oldAddress)
	}
	if len(s.Feeds()) != 4 {
		t.Errorf("%d feeds, want 4", len(s.Feeds()))
	}
	checkSpace(ctx, t, s, want, ownFeeds...)
}

func TestStoreInUseIsRefused(t *testing.T) {
	ctx := within(t)
	dir := filepath.Join(t.TempDir(), "store")
	cmd := foldersCommand(ctx, t, "space", makeSpace(ctx, t, dir, true))
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	line, readErr := bufio.NewReader(out).ReadBytes('\n')
	_, openErr := sleep.OpenStore(dir)
	cmd.Process.Kill()
	cmd.Wait()
	var want oldSpace
	if err := errors.Join(readErr, json.Unmarshal(line, &want)); err != nil {
		t.Fatal(err)
	}
	if !errors.Is(openErr, sleep.ErrInUse) {
		t.Errorf("open: %v, want ErrInUse", openErr)
	}
	// It was killed, and what it had written is all here.
	s, err := sleep.OpenStore(dir)
	if err != nil {
		t.Fatal(err)
	}
	checkSpace(ctx, t, s, want, ownFeeds...)
}

// TestOriginalReadsOurStore moves a space into a store that is made here, which
// the original opens, and where it goes on writing.
func TestOriginalReadsOurStore(t *testing.T) {
	ctx := within(t)
	oldDir := filepath.Join(t.TempDir(), "old")
	var want oldSpace
	folders(ctx, t, "space", makeSpace(ctx, t, oldDir, false), &want)
	old, err := sleep.OpenStore(oldDir)
	if err != nil {
		t.Fatal(err)
	}
	space := checkSpace(ctx, t, old, want, ownFeeds...)

	for name, master := range map[string]corestore.MasterKey{"same master key": masterOf(t, old), "another": {1, 2, 3}} {
		t.Run(name, func(t *testing.T) {
			dir := filepath.Join(t.TempDir(), "store")
			s, err := sleep.CreateStore(dir, master)
			if err != nil {
				t.Fatal(err)
			}
			moveSpace(ctx, t, old, s, space)
			var got oldSpace
			folders(ctx, t, "space", reopening(dir, space, nil), &got)
			if !slices.Equal(got.Listed, want.Listed) {
				t.Errorf("listed %v, want %v", got.Listed, want.Listed)
			}
			got.List.check(t)
			for feed, judged := range want.Feeds {
				found := got.Feeds[feed]
				found.check(t)
				if found.Digest != judged.Digest || found.Length != judged.Length || found.Writable != judged.Writable {
					t.Errorf("feed %q: %+v, want %+v", feed, found, judged)
				}
			}
			more := reopening(dir, space, []step{{Append: []int{5, 0}}, {Append: []int{1}}})
			more["writers"] = []oldFeed{{Name: "new", Steps: oneByOne(sizesOf(3))}}
			more["list"] = []string{"new"}
			folders(ctx, t, "space", more, &got)
			again, err := sleep.OpenStore(dir)
			if err != nil {
				t.Fatal(err)
			}
			if got.Feeds["ada"].Length != want.Feeds["ada"].Length+3 {
				t.Errorf("ada's feed: %+v", got.Feeds["ada"])
			}
			derived := []string{"new"}
			if master == masterOf(t, old) {
				derived = append(derived, ownFeeds...)
			}
			checkSpace(ctx, t, again, got, derived...)
		})
	}
}

func masterOf(t *testing.T, s *sleep.Store) corestore.MasterKey {
	master, ok := s.MasterKey()
	if !ok {
		t.Fatal("no master key")
	}
	return master
}

// moveSpace writes the feeds of a space from one store to the other.
func moveSpace(ctx context.Context, t *testing.T, from, to *sleep.Store, space sleep.Space) {
	t.Helper()
	for _, f := range space.Feeds {
		src, err := from.Feed(f.Key.Discovery())
		if err != nil {
			t.Fatal(err)
		}
		st := imported(t, src)
		w, err := sleep.Stored(st, f.Key)
		if err != nil {
			t.Fatal(err)
		}
		w.KeyPair, w.Name = src.KeyPair(), src.Name()
		if r, err := to.WriteFeed(ctx, w, nil); err != nil || !r.Complete() {
			t.Fatalf("write %q: %+v, %v", f.Name, r, err)
		}
		src.Close()
	}
	if err := to.WriteSpace(ctx, space); err != nil {
		t.Fatal(err)
	}
}

// reopening lets the original open all feeds of the space by key, and take steps
// with ada's.
func reopening(dir string, space sleep.Space, steps []step) map[string]any {
	var others []oldFeed
	for _, f := range space.Feeds {
		feed := oldFeed{Name: f.Name, Key: f.Key.String()}
		if f.Name == "ada" {
			feed.Steps = steps
		}
		others = append(others, feed)
	}
	return map[string]any{"dir": dir, "address": hex.EncodeToString(oldAddress[:]), "others": others}
}
