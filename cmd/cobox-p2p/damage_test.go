package main

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/cobox-p2p/cobox-p2p/cmd/cobox-p2p/node"
	"github.com/cobox-p2p/cobox-p2p/hypercore"
)

// TestStoreMovedAside follows the advice of verify: nothing forks, the feed from
// before comes back from a peer, and this node writes another one.
func TestStoreMovedAside(t *testing.T) {
	dir := initNode(t, "a")
	a, b := startDaemon(t, dir), startDaemon(t, initNode(t, "b"))
	var space node.SpaceInfo
	a.done(nil, &space, "space", "create", "home")
	b.done(strings.NewReader(space.Secret), nil, "space", "join", "-", "--name", "home")
	var before, after node.Appended
	a.done(strings.NewReader("before"), &before, "append", "home")
	b.done(nil, nil, "connect", a.Addresses[0])
	a.done(nil, nil, "sync", "home")
	a.stop()
	if err := os.Rename(filepath.Join(dir, "store"), filepath.Join(dir, "store.aside")); err != nil {
		t.Fatal(err)
	}
	a = startDaemon(t, dir)
	a.done(strings.NewReader("after"), &after, "append", "home")
	if after.Feed == before.Feed || after.FirstBlock != 0 {
		t.Fatalf("appended %+v, want block 0 of another feed than %s", after, before.Feed)
	}
	a.done(nil, nil, "connect", b.Addresses[0])
	a.done(nil, nil, "sync", "home")
	for feed, want := range map[string]string{before.Feed: "before", after.Feed: "after"} {
		for _, d := range []*daemon{a, b} {
			if r := d.cobox(nil, "read", "home", feed, "--timeout", "30s"); r.out != want {
				t.Errorf("node %s reads %q of feed %s, want %q; %s", d.PeerID, r.out, feed, want, r.err)
			}
		}
	}
	var s node.Status
	a.done(nil, &s, "status")
	for _, f := range s.Spaces[0].Feeds {
		if f.Own != (f.Key == after.Feed) {
			t.Errorf("status tells %+v, want only %s as this node's own", f, after.Feed)
		}
	}
	for _, try := range s.Spaces[0].Tries {
		if try.PeerID == b.PeerID {
			t.Errorf("a connected peer is among the tries: %+v", try)
		}
	}
}

// TestConnectTells holds that connect says what it led to.
func TestConnectTells(t *testing.T) {
	a, b := startDaemon(t, initNode(t, "a")), startDaemon(t, initNode(t, "b"))
	if r := a.cobox(nil, "connect", b.Addresses[0]); r.code != exitDone || !strings.Contains(r.out, "no shared space yet") {
		t.Errorf("without a space: exit code %d, %q, %s", r.code, r.out, r.err)
	}
	var space node.SpaceInfo
	a.done(nil, &space, "space", "create", "home")
	b.done(nil, nil, "space", "seed", space.Address, "attic")
	if r := a.cobox(nil, "connect", b.Addresses[0]); r.code != exitDone || !strings.Contains(r.out, "shared spaces: home") {
		t.Errorf("with a space: exit code %d, %q, %s", r.code, r.out, r.err)
	}
}

// TestFailedStoreEndsTheDaemon holds that a daemon that keeps nothing any more
// doesn't look healthy: it ends and says so in one line.
func TestFailedStoreEndsTheDaemon(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("a store that is open can't be removed")
	}
	dir := initNode(t, "a")
	ready, out := io.Pipe()
	var errs safeBuffer
	ended := make(chan int, 1)
	ctx, stop := context.WithTimeout(t.Context(), patience)
	defer stop()
	go func() {
		code := execute(ctx, append([]string{"run", "--dir", dir, "--json"}, quiet...), streams{strings.NewReader(""), out, &errs})
		out.Close()
		ended <- code
	}()
	if err := json.NewDecoder(ready).Decode(&Ready{}); err != nil {
		t.Fatalf("not ready: %v; %s", err, &errs)
	}
	done(t, nil, nil, "space", "create", "home", "--dir", dir)
	if err := os.RemoveAll(filepath.Join(dir, "store")); err != nil {
		t.Fatal(err)
	}
	r := cobox(t, bytes.NewReader(noise(8<<20, 1)), "append", "home", "--dir", dir)
	if r.code != exitFailed || strings.Count(r.err, "\n") != 1 {
		t.Errorf("append: exit code %d, want 1 and one line, got\n%s", r.code, r.err)
	}
	if code := <-ended; code != exitFailed || ctx.Err() != nil || !strings.Contains(errs.String(), "start the daemon again") {
		t.Errorf("the daemon ended with %d, %v; %s", code, ctx.Err(), &errs)
	}
	for line := range strings.Lines(errs.String()) {
		if !strings.HasPrefix(line, "cobox-p2p: ") && !strings.HasPrefix(line, "time=") {
			t.Errorf("a line of a stack: %q", line)
		}
	}
}

func TestLogWithoutStack(t *testing.T) {
	var out bytes.Buffer
	log, err := runFlags{logLevel: "warn"}.logger(&out)
	if err != nil {
		t.Fatal(err)
	}
	log.Error("not kept", "err", &hypercoreFailure{})
	if !strings.Contains(out.String(), "disk is full") || strings.Contains(out.String(), "stack") {
		t.Errorf("logged %q, want the first line of the error only", out.String())
	}
	out.Reset()
	log.Warn("other", slog.Int("n", 1))
	if !strings.Contains(out.String(), "n=1") {
		t.Errorf("logged %q", out.String())
	}
}

type hypercoreFailure struct{}

func (hypercoreFailure) Error() string { return "disk is full\nstack" }
func (hypercoreFailure) Unwrap() error { return hypercore.ErrStorageFailed }

// TestCommandWaitsForStart holds that a command given right behind run finds the
// daemon.
func TestCommandWaitsForStart(t *testing.T) {
	dir := initNode(t, "a")
	began := make(chan result, 1)
	ctx, stop := context.WithTimeout(t.Context(), patience)
	defer stop()
	store := filepath.Join(dir, "store", "LOCK")
	go func() {
		// The daemon is a process of its own: only such a lock shows.
		look := time.NewTicker(time.Millisecond)
		defer look.Stop()
		for ctx.Err() == nil {
			if _, err := os.Stat(store); err == nil {
				break
			}
			<-look.C
		}
		var out, errs bytes.Buffer
		code := execute(ctx, []string{"status", "--json", "--dir", dir}, streams{strings.NewReader(""), &out, &errs})
		began <- result{code, out.String(), errs.String()}
	}()
	d := startProcess(t, dir)
	r := <-began
	var s node.Status
	if err := json.Unmarshal([]byte(r.out), &s); err != nil || r.code != exitDone || s.PeerID != d.PeerID {
		t.Errorf("status of a daemon that starts: exit code %d, %s%s", r.code, r.out, r.err)
	}
}
