package main

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/cobox-p2p/cobox-p2p/cmd/cobox-p2p/node"
)

// Two daemons share a space and never meet: bundles and needs go between them,
// one way through a seeder.
func TestBundlesBetweenDaemonsThatNeverMeet(t *testing.T) {
	a, b := startDaemon(t, initNode(t, "a")), startDaemon(t, initNode(t, "b"))
	courier := startDaemon(t, initNode(t, "courier"))
	stick := t.TempDir()
	file := func(name string) string { return filepath.Join(stick, name) }
	var space node.SpaceInfo
	a.done(nil, &space, "space", "create", "home")
	courier.done(nil, nil, "space", "seed", space.Address, "home")
	b.done(strings.NewReader(space.Secret), nil, "space", "join", "-", "home")
	input := noise(300<<10, 7)
	a.done(bytes.NewReader(input), nil, "append", "home")

	var wrote, read node.Bundled
	a.done(nil, &wrote, "bundle", "write", "home", file("one"))
	if wrote.Feeds != 1 || wrote.Blocks != 5 || wrote.Bytes < uint64(len(input)) || len(wrote.Faults) != 0 {
		t.Errorf("written %+v", wrote)
	}
	courier.done(nil, &read, "bundle", "read", "home", file("one"))
	if read.Blocks != wrote.Blocks || read.Bytes != wrote.Bytes || read.Feeds != 1 {
		t.Errorf("read %+v, written %+v", read, wrote)
	}
	out := courier.cobox(nil, "bundle", "write", "home", "-", "--json")
	if err := json.Unmarshal([]byte(out.err), &wrote); err != nil || out.code != exitDone || wrote.Blocks != read.Blocks {
		t.Fatalf("bundle write to standard output: exit code %d, %s", out.code, out.err)
	}
	b.done(strings.NewReader(out.out), nil, "bundle", "read", "home", "-")
	if r := b.cobox(nil, "read", "home", "--offline"); r.out != string(input) {
		t.Fatalf("%d bytes read at the other end, want %d; %s", len(r.out), len(input), r.err)
	}

	// Only what is new goes the second time.
	a.done(strings.NewReader("more"), nil, "append", "home")
	b.done(strings.NewReader("answer"), nil, "append", "home", "--writer", "b")
	var need node.Needed
	b.done(nil, &need, "bundle", "need", "home", file("need"))
	if need.Feeds != 2 {
		t.Errorf("need %+v, want 2 feeds", need)
	}
	a.done(nil, &wrote, "bundle", "write", "home", file("two"), "--since", file("need"))
	b.done(nil, &read, "bundle", "read", "home", file("two"))
	if wrote.Blocks != 1 || read.Blocks != 1 || read.Held != 0 {
		t.Errorf("written %+v and read %+v, want one block", wrote, read)
	}
	need2 := a.cobox(nil, "bundle", "need", "home", "-")
	b.done(strings.NewReader(need2.out), &wrote, "bundle", "write", "home", file("back"), "--since", "-")
	a.done(nil, &read, "bundle", "read", "home", file("back"))
	if wrote.Feeds != 1 || read.Blocks != 1 {
		t.Errorf("the way back: written %+v, read %+v", wrote, read)
	}
	for d, want := range map[*daemon]string{a: "answer", b: "answer"} {
		feed := wroteBy(t, d, 1)
		if r := d.cobox(nil, "read", "home", feed, "--offline"); r.out != want {
			t.Errorf("read %q, want %q; %s", r.out, want, r.err)
		}
	}
	badBundles(t, a, b, file)
}

// wroteBy returns the feed of that many blocks.
func wroteBy(t *testing.T, d *daemon, blocks uint64) string {
	t.Helper()
	var s node.Status
	d.done(nil, &s, "status")
	for _, f := range s.Spaces[0].Feeds {
		if f.Stored == blocks {
			return f.Key
		}
	}
	t.Fatalf("no feed of %d blocks in %+v", blocks, s.Spaces[0].Feeds)
	return ""
}

// badBundles uses bundles of the space home wrongly.
func badBundles(t *testing.T, a, b *daemon, file func(string) string) {
	whole, err := os.ReadFile(file("one"))
	if err != nil {
		t.Fatal(err)
	}
	if bytes.Contains(whole, []byte("home")) {
		t.Error("the bundle names its space")
	}
	for name, data := range map[string][]byte{"cut": whole[:100<<10], "text": []byte("Dear diary")} {
		if err := os.WriteFile(file(name), data, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	b.done(nil, nil, "space", "create", "other")
	for _, c := range []struct {
		args string
		code int
		says string
	}{
		{"bundle", exitUse, "write, need and read"},
		{"bundle write home", exitUse, "FILE is missing"},
		{"bundle write home " + file("one"), exitUse, "is there already"},
		{"bundle write nowhere " + file("new"), exitUse, "no space"},
		{"bundle write home " + file("new") + " --since " + file("one"), exitUse, "no need that is known"},
		{"bundle write other " + file("new") + " --since " + file("need"), exitUse, "this need is not for space other"},
		{"bundle write home " + file("new") + " --since " + file("absent"), exitUse, "no such file"},
		{"bundle write home " + filepath.Join(file("absent"), "new"), exitUse, "no such file"},
		{"bundle read home " + file("absent"), exitUse, "no such file"},
		{"bundle read home " + file("text"), exitUse, "no bundle that is known"},
		{"bundle read other " + file("one"), exitUse, "this bundle is not for space other"},
		{"bundle read home " + file("cut"), exitFailed, "cut off or damaged: in chunk 1"},
	} {
		r := b.cobox(nil, strings.Fields(c.args)...)
		if r.code != c.code || !strings.Contains(r.err, c.says) {
			t.Errorf("%s: exit code %d, want %d and %q\n%s", c.args, r.code, c.code, c.says, r.err)
		}
	}
	if _, err := os.Stat(file("new")); !os.IsNotExist(err) {
		t.Errorf("a bundle that failed left a file: %v", err)
	}
	r := a.cobox(nil, "bundle", "read", "home", file("cut"), "--json")
	var told struct {
		Error struct {
			Code    string
			Bundled node.Bundled
		}
	}
	if err := json.Unmarshal([]byte(r.out), &told); err != nil || told.Error.Code != "bundle" || told.Error.Bundled.Feeds != 1 {
		t.Errorf("a cut bundle with --json: %s, %v", r.out, err)
	}
	if r := a.cobox(nil, "bundle", "read", "home", file("one")); r.code != exitDone || !strings.Contains(r.out, "5 blocks were here already") {
		t.Errorf("read again: exit code %d, %s%s", r.code, r.out, r.err)
	}
}
