package jstest

import (
	"path/filepath"
	"testing"

	"github.com/cobox-p2p/cobox-p2p/cmd/cobox-p2p/node"
	"github.com/cobox-p2p/cobox-p2p/hypercore/storage/sleep"
	"github.com/cobox-p2p/cobox-p2p/multifeed"
)

// TestSpaceOverAndBack lets a node take over a store of the original, give it back
// with one of its writers, and the original go on with that one alone.
func TestSpaceOverAndBack(t *testing.T) {
	ctx := within(t)
	base := t.TempDir()
	oldDir, newDir := filepath.Join(base, "old"), filepath.Join(base, "new")
	var want oldSpace
	folders(ctx, t, "space", makeSpace(ctx, t, oldDir, false), &want)
	folder, err := node.Init(filepath.Join(base, "node"), "over")
	if err != nil {
		t.Fatal(err)
	}
	n, err := node.Open(folder, node.Config{Listen: []string{"/ip4/127.0.0.1/tcp/0"}})
	if err != nil {
		t.Fatal(err)
	}
	defer n.Close()
	access, err := multifeed.FormatAccessKey(multifeed.Address{Kind: multifeed.KindOpen, Key: oldAddress}, multifeed.EncryptionKey{1})
	if err != nil {
		t.Fatal(err)
	}
	i, err := n.Import(ctx, node.ImportOptions{Dir: oldDir, Space: access, Name: "home"})
	if err != nil || !i.Complete || len(i.Feeds) != len(want.Listed) {
		t.Fatalf("imported %+v, %v; want %v", i, err, want.Listed)
	}
	if c, err := n.ConfirmImport("home", []string{"ada"}); err != nil || c.Writers[0].Length != want.Feeds["ada"].Length {
		t.Fatalf("confirmed %+v, %v", c, err)
	}
	if e, err := n.Export(ctx, "home", newDir, true); err != nil || len(e.Feeds) != len(want.Listed) {
		t.Fatalf("exported %+v, %v", e, err)
	}

	s, err := sleep.OpenStore(newDir)
	if err != nil {
		t.Fatal(err)
	}
	space, err := s.Space(ctx, oldAddress)
	if err != nil {
		t.Fatal(err)
	}
	var got oldSpace
	folders(ctx, t, "space", reopening(newDir, space, nil), &got)
	got.List.check(t)
	for name, before := range want.Feeds {
		after := got.Feeds[name]
		after.check(t)
		if after.Digest != before.Digest || after.Length != before.Length || after.Writable != (name == "ada") {
			t.Errorf("feed %q: %+v, want %+v, and writable only if it is ada's", name, after, before)
		}
	}
	folders(ctx, t, "space", reopening(newDir, space, []step{{Append: []int{5, 0}}}), &got)
	if i, err = n.Import(ctx, node.ImportOptions{Dir: newDir}); err != nil || !i.Complete {
		t.Fatalf("imported again %+v, %v", i, err)
	}
	for _, f := range n.Status().Spaces[0].Feeds {
		if f.Own || f.Writer == "ada" && f.Length != want.Feeds["ada"].Length+2 {
			t.Errorf("at the end %+v", f)
		}
	}
}
