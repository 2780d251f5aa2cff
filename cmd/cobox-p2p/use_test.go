package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"github.com/cobox-p2p/cobox-p2p/cmd/cobox-p2p/api"
	"github.com/cobox-p2p/cobox-p2p/cmd/cobox-p2p/node"
)

// TestExitCodes holds that wrong use ends with 2, failure with 1, and that both
// say what to do.
func TestExitCodes(t *testing.T) {
	dir := initNode(t, "a")
	d := startDaemon(t, dir)
	d.done(nil, nil, "space", "create", "home")
	d.done(nil, nil, "space", "create", "homework")
	empty := t.TempDir()
	idle := initNode(t, "idle")
	for _, c := range []struct {
		args string
		code int
		says string
	}{
		{"nonsense", 2, "unknown command"},
		{"status --nonsense", 2, "unknown flag"},
		{"space show --dir " + dir, 2, "SPACE is missing, as in: cobox-p2p space show SPACE"},
		{"append --dir " + dir, 2, "SPACE is missing"},
		{"space show a b --dir " + dir, 2, "takes SPACE and nothing more"},
		{"status now --dir " + dir, 2, "takes no argument"},
		{"space --dir " + dir, 2, "create, join, seed"},
		{"space nonsense --dir " + dir, 2, "unknown command"},
		{"--version", 0, ""},
		{"space leave home --keep --force --dir " + dir, 2, "either --keep"},
		{"status --dir " + idle, 1, "no daemon runs in " + idle + ": start it with cobox-p2p run --dir"},
		{"status --dir " + filepath.Join(empty, "absent"), 1, "no node is set up in "},
		{"status --dir " + empty, 1, "run cobox-p2p init"},
		{"run --dir " + empty, 1, "run cobox-p2p init --dir"},
		{"run --dir " + dir + " --dht off --mdns=false", 1, "another daemon runs in " + dir + ": stop it first"},
		{"init --dir " + dir, 1, "set up in " + dir + " already"},
		{"init --name " + strings.Repeat("x", 65) + " --dir " + empty, 2, "at most 64 bytes"},
		{"run --dht nowhere --dir " + idle, 2, "--dht: DHT"},
		{"run --dht private: --dir " + idle, 2, "is empty"},
		{"run --listen nowhere --dir " + idle, 2, "--listen:"},
		{"run --listen /ip4/127.0.0.1 --dir " + idle, 2, "names no transport"},
		{"run --listen /ip4/127.0.0.1/udp/0 --dir " + idle, 2, "names no transport"},
		{"run --bootstrap /ip4/127.0.0.1/tcp/1 --dir " + idle, 2, "--bootstrap:"},
		{"run --dht off --bootstrap " + d.Addresses[0] + " --dir " + idle, 2, "means nothing"},
		{"run --relay auto --dht off --dir " + idle, 2, "--relay auto"},
		{"run --log-level loud --dir " + idle, 2, "--log-level"},
		{"connect nowhere --dir " + dir, 2, "no address of a peer"},
		{"connect " + d.Addresses[0] + " --dir " + dir, 2, "this node's own"},
		{"connect /ip4/127.0.0.1/tcp/1/p2p/12D3KooWQNe3JWdxwcT4HiDVPg1MrgXhBkhtfKGBUeV1g8iwF2iP --dir " + dir, 1, "connect to"},
		{"space create home --dir " + dir, 2, "named home already"},
		{"space create a/b --dir " + dir, 2, "slashes"},
		{"space create cbxaddrhome --dir " + dir, 2, "doesn't begin with cbxaddr"},
		{"space create CBXSECRET1x --dir " + dir, 2, "doesn't begin with cbxsecret"},
		{"space show absent --dir " + dir, 2, "no space"},
		{"space show .. --dir " + dir, 2, "names no space"},
		{"space show hom --dir " + dir, 2, "home, homework"},
		{"read home --offline --dir " + dir, 2, "no feed with blocks"},
		{"read home nobody --offline --dir " + dir, 2, "no feed"},
		{"read home --timeout 1ms --dir " + dir, 1, "no peer answered within 1ms"},
		{"sync home --timeout 1ms --dir " + dir, 1, "not synced"},
		{"read home --timeout -1ms --dir " + dir, 2, "less than nothing"},
		{"sync home --timeout -1ms --dir " + dir, 2, "less than nothing"},
		{"append home --block-size 0 --dir " + dir, 2, "blocks have 1 to"},
		{"append home --block-size 999999999999 --dir " + dir, 2, "blocks have 1 to"},
		{"append home --writer " + strings.Repeat("w", 65) + " --dir " + dir, 2, "a name has 1 to 64 bytes"},
		{"append absent --dir " + dir, 2, "no space"},
		{"verify absent --dir " + dir, 2, "no space"},
		{"space list --dir " + dir, 0, ""},
		{"sync home --offline --dir " + dir, 0, ""},
		{"status --dir " + dir, 0, ""},
	} {
		r := cobox(t, nil, strings.Fields(c.args)...)
		if r.code != c.code || !strings.Contains(r.err, c.says) {
			t.Errorf("cobox-p2p %s: exit code %d, want %d, and %q in\n%s", c.args, r.code, c.code, c.says, r.err)
		}
	}
	if r := d.cobox(nil, "space", "show", "absent", "--json"); !strings.HasPrefix(r.out, `{"error":{"code":"use","message":"no space`) {
		t.Errorf("an error with --json printed %q", r.out)
	}
	r := d.cobox(nil, "sync", "home", "--timeout", "1ms", "--json")
	var told struct {
		node.Synced
		Error *api.Error
	}
	if err := json.Unmarshal([]byte(r.out), &told); err != nil || told.Space != "home" || told.Error == nil || told.Error.Code != api.CodeFailed {
		t.Errorf("a failed sync with --json printed %q, %v", r.out, err)
	}
	if r := d.cobox(nil, "sync", "home", "--offline", "--json"); strings.Contains(r.out, "error") {
		t.Errorf("sync with --json printed %q", r.out)
	}
}

func TestSecretForms(t *testing.T) {
	a, b := startDaemon(t, initNode(t, "a")), startDaemon(t, initNode(t, "b"))
	var space, open node.SpaceInfo
	a.done(nil, &space, "space", "create", "home")
	a.done(nil, &open, "space", "create", "old", "--open")
	file := filepath.Join(t.TempDir(), "secret")
	if err := os.WriteFile(file, []byte(space.Secret+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		what string
		in   string
		args []string
		code int
		says string
	}{
		{"no terminal", "", []string{"space", "join"}, 2, "@FILE"},
		{"nothing on standard input", "\n", []string{"space", "join", "-"}, 2, "one line"},
		{"two lines", "a\nb\n", []string{"space", "join", "-"}, 2, "one line"},
		{"mistyped", strings.Replace(space.Secret, "1", "1q", 1), []string{"space", "join", "-"}, 2, "checksum"},
		{"an address", space.Address, []string{"space", "join", "-"}, 2, "space seed"},
		{"no file", "", []string{"space", "join", "@" + file + "x"}, 1, "no such file"},
		{"a file", "", []string{"space", "join", "@" + file, "one"}, 0, ""},
		{"the same space again", "", []string{"space", "join", "@" + file, "two"}, 2, "here already, as one"},
		{"the name again", open.Secret, []string{"space", "join", "-", "one"}, 2, "named one already"},
		{"two names", "", []string{"space", "join", "@" + file, "two", "--name", "three"}, 2, "name once"},
		{"given literally", "", []string{"space", "join", open.Secret, "--name", "two"}, 0, "command line"},
		{"a secret mistyped and literal", "", []string{"space", "seed", "cbxsecret1qqq"}, 2, "command line"},
	} {
		r := b.cobox(strings.NewReader(c.in), c.args...)
		if runtime.GOOS == "windows" && c.what == "no file" {
			c.says = ""
		}
		if r.code != c.code || !strings.Contains(r.err, c.says) {
			t.Errorf("%s: exit code %d, want %d, and %q in\n%s", c.what, r.code, c.code, c.says, r.err)
		}
		if strings.Contains(r.out+r.err, space.Secret) || strings.Contains(r.out+r.err, open.Secret) {
			t.Errorf("%s: the secret was printed:\n%s%s", c.what, r.out, r.err)
		}
	}
	if r := b.cobox(nil, "space", "join", space.Address); r.code != 2 || strings.Contains(r.err, "command line") {
		t.Errorf("an address given to join: exit code %d, %s", r.code, r.err)
	}
	var list struct{ Spaces []node.SpaceInfo }
	if b.done(nil, &list, "space", "list"); len(list.Spaces) != 2 || list.Spaces[1].Name != "two" {
		t.Errorf("the spaces are %+v, want one named by --name", list.Spaces)
	}
	seeder := startDaemon(t, initNode(t, "seeder"))
	r := seeder.cobox(strings.NewReader(space.Secret), "space", "seed", "-", "home")
	if r.code != 0 || !strings.Contains(r.err, "not kept") {
		t.Errorf("seeding with a secret: exit code %d, %s", r.code, r.err)
	}
	if r := seeder.cobox(nil, "space", "show", "home", "--secret"); r.code != 2 {
		t.Errorf("a seeder shows a secret: exit code %d, %s%s", r.code, r.out, r.err)
	}
	if r := seeder.cobox(strings.NewReader(space.Secret), "space", "join", "-"); r.code != 2 || !strings.Contains(r.err, "leave --keep") {
		t.Errorf("joining what is seeded: exit code %d, %s", r.code, r.err)
	}
}

func TestLeave(t *testing.T) {
	dir := initNode(t, "a")
	a, b := startDaemon(t, dir), startDaemon(t, initNode(t, "b"))
	var space node.SpaceInfo
	a.done(nil, &space, "space", "create", "home")
	a.done(strings.NewReader("only here"), nil, "append", "home")
	if r := a.cobox(nil, "space", "leave", "home"); r.code != exitFailed || !strings.Contains(r.err, "--force") {
		t.Errorf("leaving with the only copy: exit code %d, want 1; %s", r.code, r.err)
	}
	// Kept, the blocks are there again at once.
	var l node.Left
	a.done(nil, &l, "space", "leave", "home", "--keep")
	if !l.Kept || l.Feeds != 1 || l.Bytes == 0 {
		t.Errorf("leave --keep told %+v", l)
	}
	if r := a.cobox(nil, "space", "show", "home"); r.code != exitUse {
		t.Errorf("the space is still here: exit code %d, %s", r.code, r.out)
	}
	a.done(strings.NewReader(space.Secret), nil, "space", "join", "-", "home")
	if r := a.cobox(nil, "read", "home", "default", "--offline"); r.out != "only here" {
		t.Errorf("after leave --keep and join: %q, %s", r.out, r.err)
	}
	// What a peer holds may be deleted here.
	b.done(nil, nil, "space", "seed", space.Address, "home")
	b.done(nil, nil, "connect", a.Addresses[0])
	a.done(nil, nil, "sync", "home")
	a.done(nil, &l, "space", "leave", "home")
	if l.Kept || l.Feeds != 1 {
		t.Errorf("leave told %+v", l)
	}
	a.stop()
	a = startDaemon(t, dir)
	var list struct{ Spaces []node.SpaceInfo }
	if a.done(nil, &list, "space", "list"); len(list.Spaces) != 0 {
		t.Errorf("the left space is back after a restart: %+v", list)
	}
	a.done(strings.NewReader(space.Secret), nil, "space", "join", "-", "home")
	if r := a.cobox(nil, "read", "home", "--offline"); r.code != exitUse {
		t.Errorf("blocks are back after leave: exit code %d, %q", r.code, r.out)
	}
	a.done(nil, nil, "connect", b.Addresses[0])
	if r := a.cobox(nil, "read", "home"); r.out != "only here" {
		t.Errorf("read from the peer after all: %q, %s", r.out, r.err)
	}
}
