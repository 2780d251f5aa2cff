package main

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"math/rand/v2"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/cobox-p2p/cobox-p2p/cmd/cobox-p2p/node"
)

// soak says whether tests run at full size.
func soak() bool { return os.Getenv("COBOX_SOAK") != "" }

// noise returns n bytes that don't compress.
func noise(n int, seed uint64) []byte {
	b := make([]byte, n)
	r := rand.NewChaCha8([32]byte{byte(seed), byte(seed >> 8), byte(seed >> 16)})
	r.Read(b)
	return b
}

func TestThreeDaemons(t *testing.T) {
	writer, seeder, reader := startDaemon(t, initNode(t, "writer")), startDaemon(t, initNode(t, "seeder")), startDaemon(t, initNode(t, "reader"))
	size := 1 << 20
	if soak() {
		size = 64 << 20
	}
	input := noise(size+12345, 1)
	var space node.SpaceInfo
	writer.done(nil, &space, "space", "create", "home")
	seeder.done(nil, nil, "space", "seed", space.Address, "home")
	reader.done(strings.NewReader(space.Secret+"\n"), nil, "space", "join", "-", "home")

	var a node.Appended
	writer.done(bytes.NewReader(input), &a, "append", "home")
	if want := uint64(len(input)+node.DefaultBlockSize-1) / node.DefaultBlockSize; a.Bytes != uint64(len(input)) || a.Blocks < want || a.FirstBlock != 0 || a.Writer != "default" {
		t.Errorf("append told %+v, want %d bytes in %d blocks from block 0 on", a, len(input), want)
	}
	seeder.done(nil, nil, "connect", writer.Addresses[0])
	var y node.Synced
	writer.done(nil, &y, "sync", "home")
	if !y.Synced || y.Peers != 1 {
		t.Errorf("sync told %+v", y)
	}
	writer.stop()
	reader.done(nil, nil, "connect", seeder.Addresses[0])
	r := reader.cobox(nil, "read", "home")
	if r.code != exitDone || !bytes.Equal([]byte(r.out), input) {
		t.Fatalf("read: exit code %d, %d bytes, want the %d that were appended; %s", r.code, len(r.out), len(input), r.err)
	}

	if r := seeder.cobox(nil, "read", "home"); r.code != exitUse || !strings.Contains(r.err, "holds no key") {
		t.Errorf("a seeder's read: exit code %d, %s", r.code, r.err)
	}
	if r := seeder.cobox(strings.NewReader("x"), "append", "home"); r.code != exitUse {
		t.Errorf("a seeder's append: exit code %d, %s", r.code, r.err)
	}
	var v node.Verified
	seeder.done(nil, &v, "verify")
	if !v.OK || v.Blocks != a.Blocks {
		t.Errorf("verify told %+v, want %d good blocks", v, a.Blocks)
	}
	checkStatus(t, seeder, reader, space, a)
}

// checkStatus looks at the seeder, whose peer is the reader.
func checkStatus(t *testing.T, seeder, reader *daemon, space node.SpaceInfo, a node.Appended) {
	var s node.Status
	seeder.done(nil, &s, "status")
	if s.PeerID != seeder.PeerID || s.Name != "seeder" || !slices.Equal(s.Addresses, seeder.Addresses) || s.DHT.Mode != "off" || len(s.Spaces) != 1 {
		t.Fatalf("status told %+v", s)
	}
	o := s.Spaces[0]
	if o.DiscoveryKey != space.DiscoveryKey || o.Kind != "signed" || o.Mode != "seeder" || !slices.Contains(o.Peers, reader.PeerID) || len(o.Feeds) != 1 {
		t.Fatalf("status told of the space %+v", o)
	}
	if f := o.Feeds[0]; f.Key != a.Feed || f.Own || f.Length != a.Blocks || f.Stored != a.Blocks || f.Bytes < a.Bytes {
		t.Errorf("status told of the feed %+v", f)
	}
	var peers struct{ Peers []node.Peer }
	seeder.done(nil, &peers, "peers")
	i := slices.IndexFunc(peers.Peers, func(p node.Peer) bool { return p.PeerID == reader.PeerID })
	if i < 0 || peers.Peers[i].Name != "reader" || !slices.Equal(peers.Peers[i].Spaces, []string{"home"}) || peers.Peers[i].Sent < a.Bytes {
		t.Errorf("peers told %+v", peers.Peers)
	}
}

// follow runs read --follow and hands out what comes.
func (d *daemon) follow(ctx context.Context, args ...string) (lines io.Reader, ended chan int) {
	out, w := io.Pipe()
	ended = make(chan int, 1)
	go func() {
		code := execute(ctx, append(append([]string{"read"}, args...), "--follow", "--dir", d.dir), streams{strings.NewReader(""), w, io.Discard})
		w.Close()
		ended <- code
	}()
	return out, ended
}

func TestTwoWritersSeeEachOtherLive(t *testing.T) {
	a, b := startDaemon(t, initNode(t, "a")), startDaemon(t, initNode(t, "b"))
	var space node.SpaceInfo
	a.done(nil, &space, "space", "create", "home")
	b.done(strings.NewReader(space.Secret), nil, "space", "join", "-", "home")
	var feedA, feedB node.Appended
	a.done(strings.NewReader("."), &feedA, "append", "home", "--writer", "log")
	b.done(strings.NewReader("."), &feedB, "append", "home", "--writer", "log")
	b.done(nil, nil, "connect", a.Addresses[0])

	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	fromB, endA := a.follow(ctx, "home", feedB.Feed)
	fromA, endB := b.follow(ctx, "home", feedA.Feed)
	line := make([]byte, 1)
	for _, r := range []io.Reader{fromA, fromB} {
		if _, err := io.ReadFull(r, line); err != nil || line[0] != '.' {
			t.Fatalf("the first byte: %q, %v", line, err)
		}
	}
	var took []time.Duration
	for i := range 5 {
		for _, way := range []struct {
			writer *daemon
			reader io.Reader
		}{{a, fromA}, {b, fromB}} {
			want := strings.Repeat("x", i+1)
			way.writer.done(strings.NewReader(want), nil, "append", "home", "--writer", "log")
			began := time.Now()
			got := make([]byte, len(want))
			if _, err := io.ReadFull(way.reader, got); err != nil || string(got) != want {
				t.Fatalf("round %d: got %q, %v", i, got, err)
			}
			took = append(took, time.Since(began))
		}
	}
	slices.Sort(took)
	if median := took[len(took)/2]; median > time.Second {
		t.Errorf("blocks arrive %v after they were appended, want under a second", median)
	}
	stop()
	if codeA, codeB := <-endA, <-endB; codeA != exitDone || codeB != exitDone {
		t.Errorf("following ended with %d and %d, want 0", codeA, codeB)
	}
	// Both feeds have blocks: which one is meant must be said.
	r := a.cobox(nil, "read", "home")
	if r.code != exitUse || !strings.Contains(r.err, feedA.Feed) || !strings.Contains(r.err, feedB.Feed) {
		t.Errorf("read without FEED: exit code %d, want 2 and both feeds in\n%s", r.code, r.err)
	}
	r = a.cobox(nil, "read", "home", "log", "--offline", "--json")
	var told struct{ Bytes int }
	if err := json.Unmarshal([]byte(r.err), &told); err != nil || told.Bytes != 1+1+2+3+4+5 || len(r.out) != told.Bytes {
		t.Errorf("read --json told %q on standard error, %v", r.err, err)
	}
}

func TestW16IdentityAndSpacesOutliveARestart(t *testing.T) {
	dir := initNode(t, "a")
	a, b := startDaemon(t, dir), startDaemon(t, initNode(t, "b"))
	var space, seeded node.SpaceInfo
	a.done(nil, &space, "space", "create", "home")
	a.done(nil, &seeded, "space", "create", "old", "--open")
	b.done(strings.NewReader(space.Secret), nil, "space", "join", "-")
	b.done(nil, nil, "connect", a.Addresses[0])
	a.done(strings.NewReader("before"), nil, "append", "home")
	a.done(nil, nil, "sync", "home")
	var before, after node.Status
	a.done(nil, &before, "status")
	a.stop()

	a = startDaemon(t, dir)
	// Nobody tells it where the other is: it remembers.
	a.done(strings.NewReader("after"), nil, "append", "home")
	a.done(nil, nil, "sync", "home")
	a.done(nil, &after, "status")
	if after.PeerID != before.PeerID || after.Name != before.Name || len(after.Spaces) != 2 {
		t.Fatalf("after the restart %+v, before it %+v", after, before)
	}
	for i := range after.Spaces {
		x, y := after.Spaces[i], before.Spaces[i]
		if x.Name != y.Name || x.DiscoveryKey != y.DiscoveryKey || x.Mode != y.Mode || x.Kind != y.Kind {
			t.Errorf("space %d is %+v after the restart, was %+v", i, x, y)
		}
	}
	if x, y := after.Spaces[0].Feeds, before.Spaces[0].Feeds; len(x) != 1 || x[0].Key != y[0].Key || !x[0].Own || x[0].Length != 2 {
		t.Errorf("feeds are %+v after the restart, were %+v", x, y)
	}
	if !slices.Contains(after.Spaces[0].Peers, b.PeerID) {
		t.Errorf("the peer %s from before the restart is not found again: %+v", b.PeerID, after.Spaces[0])
	}
	if r := b.cobox(nil, "read", space.DiscoveryKey[:10]); r.out != "beforeafter" {
		t.Errorf("read %q at the other node, want %q; %s", r.out, "beforeafter", r.err)
	}
	var shown node.SpaceInfo
	a.done(nil, &shown, "space", "show", "home", "--secret")
	if shown.Secret != space.Secret {
		t.Error("the secret is another one after the restart")
	}
}
