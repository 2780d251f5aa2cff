package main

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/cobox-p2p/cobox-p2p/cmd/cobox-p2p/node"
	"github.com/cobox-p2p/cobox-p2p/hypercore"
	"github.com/cobox-p2p/cobox-p2p/hypercore/storage"
)

// Of the feed whose store is damaged.
const (
	rotBlockSize = 64 << 10
	rotBlocks    = 40
)

// rotPair starts a writer with a feed of rotBlocks blocks and a seeder that has
// all of them.
func rotPair(t *testing.T) (writer, seeder *daemon, feed string, content []byte) {
	t.Helper()
	writer, seeder = startDaemon(t, initNode(t, "writer")), startDaemon(t, initNode(t, "seeder"))
	var space node.SpaceInfo
	writer.done(nil, &space, "space", "create", "home")
	seeder.done(nil, nil, "space", "seed", space.Address, "home")
	content = noise(rotBlocks*rotBlockSize, 11)
	var a node.Appended
	writer.done(bytes.NewReader(content), &a, "append", "home", "--block-size", "65536")
	if a.Blocks != rotBlocks {
		t.Fatalf("appended %+v, want %d blocks", a, rotBlocks)
	}
	seeder.done(nil, nil, "connect", writer.Addresses[0])
	writer.done(nil, nil, "sync", "home")
	return writer, seeder, a.Feed, content
}

// storedBlock returns a block as the store of a node that is stopped has it.
func storedBlock(t *testing.T, dir, feed string, seq uint64) []byte {
	t.Helper()
	st, err := storage.Open(filepath.Join(dir, "store"))
	if err != nil {
		t.Fatal(err)
	}
	defer st.Close()
	key, err := hex.DecodeString(feed)
	if err != nil {
		t.Fatal(err)
	}
	blocks, err := st.Blocks(hypercore.Key(key), hypercore.Span{Start: seq, Count: 1})
	if err != nil {
		t.Fatal(err)
	}
	return blocks[0]
}

// fileWith returns the file of a node's store in which the bytes lie, and where.
func fileWith(t *testing.T, dir string, part []byte) (path string, at int) {
	t.Helper()
	err := filepath.WalkDir(filepath.Join(dir, "store"), func(name string, d fs.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() {
			return err
		}
		data, err := os.ReadFile(name)
		if i := bytes.Index(data, part); i >= 0 {
			path, at = name, i
		}
		return err
	})
	if err != nil || path == "" {
		t.Fatalf("the block lies in no file of the store: %v", err)
	}
	return path, at
}

// verified runs verify with these flags and returns its answer and exit code.
func (d *daemon) verified(flags ...string) (v node.Verified, f node.VerifiedFeed, code int) {
	d.t.Helper()
	r := d.cobox(nil, append([]string{"verify", "home", "--json"}, flags...)...)
	if err := json.Unmarshal([]byte(r.out), &v); err != nil || len(v.Spaces) != 1 || len(v.Spaces[0].Feeds) != 1 {
		d.t.Fatalf("verify %v: %v; exit code %d\n%s%s", flags, err, r.code, r.out, r.err)
	}
	return v, v.Spaces[0].Feeds[0], r.code
}

// received returns the bytes that sessions brought.
func (d *daemon) received() (bytes uint64) {
	d.t.Helper()
	var answer struct{ Peers []node.Peer }
	d.done(nil, &answer, "peers")
	for _, p := range answer.Peers {
		bytes += p.Received
	}
	return bytes
}

// TestRepairFetchesTheDamagedAlone flips a bit of one block in the files of a
// store: verify names that block, and --repair brings it, and nothing else, from
// a seeder. The writer's feed goes on as it was.
func TestRepairFetchesTheDamagedAlone(t *testing.T) {
	const bad = 23
	writer, seeder, feed, content := rotPair(t)
	writer.stop()
	block := storedBlock(t, writer.dir, feed, bad)
	path, at := fileWith(t, writer.dir, block[:256])
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	data[at+100] ^= 4
	if err := os.WriteFile(path, data, 0o600); err != nil {
		t.Fatal(err)
	}
	writer = startDaemon(t, writer.dir)
	v, f, code := writer.verified()
	if code != exitFailed || v.OK || f.Damaged != 1 || !slices.Equal(f.Spans, []node.Span{{Start: bad, Count: 1}}) || f.Blocks != rotBlocks || f.Repair != nil {
		t.Fatalf("verify: exit code %d, %+v, want block %d alone", code, v, bad)
	}
	if r := writer.cobox(nil, "verify"); r.code != exitFailed || !strings.Contains(r.out, "1 block DAMAGED: 23\n") || !strings.Contains(r.err, "--repair") {
		t.Errorf("verify printed %q and %q", r.out, r.err)
	}
	if r := writer.cobox(nil, "read", "home", "--offline"); r.code != exitFailed || !strings.Contains(r.err, "block 23") {
		t.Errorf("read: exit code %d, %s", r.code, r.err)
	}
	writer.done(nil, nil, "connect", seeder.Addresses[0])
	writer.cobox(nil, "read", "home") // waits for the exchange, and ends at the block
	before := writer.received()
	v, f, code = writer.verified("--repair", "--timeout", "30s")
	if code != exitDone || !v.OK || f.Damaged != 1 || f.Repair == nil || f.Repair.Fetched != 1 || f.Repair.Missing != 0 || f.Repair.Dropped {
		t.Fatalf("verify --repair: exit code %d, %+v, %+v", code, v, f.Repair)
	}
	if got := writer.received() - before; got < rotBlockSize || got > 2*rotBlockSize {
		t.Errorf("received %d bytes for a block of %d", got, rotBlockSize)
	}
	if r := writer.cobox(nil, "read", "home", "--offline"); r.out != string(content) {
		t.Errorf("after the repair %d bytes are read, want %d; %s", len(r.out), len(content), r.err)
	}
	if v, _, code := writer.verified(); code != exitDone || !v.OK {
		t.Errorf("verify after the repair: exit code %d, %+v", code, v)
	}
	var a node.Appended
	writer.done(strings.NewReader("more"), &a, "append", "home")
	if a.Feed != feed || a.FirstBlock != rotBlocks {
		t.Errorf("appended %+v after the repair, want block %d of %s", a, rotBlocks, feed)
	}
	writer.done(nil, nil, "sync", "home", "--timeout", "30s")
}

// TestRepairSaysWhatIsMissing removes a file of a store while no peer is there:
// verify --repair names what doesn't come, and it comes once a peer does.
func TestRepairSaysWhatIsMissing(t *testing.T) {
	writer, seeder, feed, content := rotPair(t)
	writer.stop()
	seeder.stop() // it would be remembered
	path, _ := fileWith(t, writer.dir, storedBlock(t, writer.dir, feed, 5)[:256])
	if filepath.Ext(path) == ".sst" || filepath.Ext(path) == ".log" {
		t.Fatalf("the blocks lie in %s, want a data file", path)
	}
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	writer = startDaemon(t, writer.dir)
	_, f, code := writer.verified("--repair", "--timeout", "1ms")
	if code != exitFailed || f.Damaged == 0 || f.Repair == nil || f.Repair.Missing != f.Damaged || f.Repair.Fetched != 0 ||
		len(f.Repair.Peers) != 0 || !slices.Equal(f.Spans, f.Repair.Spans) {
		t.Fatalf("verify --repair alone: exit code %d, %+v, %+v", code, f, f.Repair)
	}
	if r := writer.cobox(nil, "sync", "home", "--offline"); r.code != exitFailed || !strings.Contains(r.out, "missing here") {
		t.Errorf("sync --offline: exit code %d, %q", r.code, r.out)
	}
	seeder = startDaemon(t, seeder.dir)
	writer.done(nil, nil, "connect", seeder.Addresses[0])
	writer.done(nil, nil, "sync", "home", "--timeout", "30s")
	if r := writer.cobox(nil, "read", "home", "--offline"); r.out != string(content) {
		t.Errorf("after all %d bytes are read, want %d; %s", len(r.out), len(content), r.err)
	}
	if v, _, code := writer.verified(); code != exitDone || !v.OK {
		t.Errorf("verify after all: exit code %d, %+v", code, v)
	}
}

// spoilHead changes the head of a feed in the store of a node that is stopped.
func spoilHead(t *testing.T, dir, feed string, spoil func(*hypercore.Head)) {
	t.Helper()
	st, err := storage.Open(filepath.Join(dir, "store"))
	if err != nil {
		t.Fatal(err)
	}
	defer st.Close()
	key, err := hex.DecodeString(feed)
	if err != nil {
		t.Fatal(err)
	}
	stored, err := st.Feed(hypercore.Key(key))
	if err != nil {
		t.Fatal(err)
	}
	spoil(&stored.Head)
	b := &hypercore.Batch{Feeds: []hypercore.FeedWrite{{Key: stored.Key, Head: &stored.Head}}}
	if err := st.Commit(b); err != nil {
		t.Fatal(err)
	}
}

// TestRepairOfAHead spoils the head of a feed: the space opens all the same, and
// what the signature proves is put right without a peer.
func TestRepairOfAHead(t *testing.T) {
	writer, seeder, feed, content := rotPair(t)
	writer.stop()
	seeder.stop()
	spoilHead(t, writer.dir, feed, func(h *hypercore.Head) { h.RootHash[7] ^= 1; h.Size++ })
	writer = startDaemon(t, writer.dir)
	if _, f, code := writer.verified(); code != exitFailed || f.Key != feed || f.Head == "" {
		t.Fatalf("verify: exit code %d, %+v, want the head named", code, f)
	}
	if r := writer.cobox(strings.NewReader("x"), "append", "home"); r.code != exitFailed {
		t.Errorf("append to a damaged feed: exit code %d, %s", r.code, r.out)
	}
	v, f, code := writer.verified("--repair", "--timeout", "1ms")
	if code != exitDone || !v.OK || f.Repair == nil || !f.Repair.Head || f.Repair.Dropped || f.Repair.Fetched != 0 {
		t.Fatalf("verify --repair: exit code %d, %+v, %+v", code, f, f.Repair)
	}
	if r := writer.cobox(nil, "read", "home", "--offline"); r.out != string(content) {
		t.Errorf("after the repair %d bytes are read, want %d; %s", len(r.out), len(content), r.err)
	}
	var a node.Appended
	writer.done(strings.NewReader("more"), &a, "append", "home")
	if a.Feed != feed || a.FirstBlock != rotBlocks {
		t.Errorf("appended %+v after the repair, want block %d of %s", a, rotBlocks, feed)
	}
}

// TestLostHeadComesFromPeers spoils a head beyond repair: nothing is deleted until
// a peer shows that it has the feed, and the writer signs no second history.
func TestLostHeadComesFromPeers(t *testing.T) {
	writer, seeder, feed, content := rotPair(t)
	writer.stop()
	seeder.stop()
	spoilHead(t, writer.dir, feed, func(h *hypercore.Head) { h.RootHash[7] ^= 1; h.Signature[7] ^= 1 })
	writer = startDaemon(t, writer.dir)
	_, f, code := writer.verified("--repair", "--timeout", "1ms")
	if code != exitFailed || f.Repair == nil || f.Repair.Error == "" || f.Repair.Dropped {
		t.Fatalf("verify --repair alone: exit code %d, %+v, %+v", code, f, f.Repair)
	}
	seeder = startDaemon(t, seeder.dir)
	writer.done(nil, nil, "connect", seeder.Addresses[0])
	v, f, code := writer.verified("--repair", "--timeout", "30s")
	if code != exitDone || !v.OK || f.Repair == nil || !f.Repair.Dropped || f.Repair.Fetched != rotBlocks {
		t.Fatalf("verify --repair: exit code %d, %+v, %+v", code, f, f.Repair)
	}
	if r := writer.cobox(nil, "read", "home", feed, "--offline"); r.out != string(content) {
		t.Errorf("after the repair %d bytes are read, want %d; %s", len(r.out), len(content), r.err)
	}
	var a node.Appended
	if r := writer.cobox(strings.NewReader("more"), "append", "home", "--json"); r.code == exitDone {
		if err := json.Unmarshal([]byte(r.out), &a); err != nil || a.Feed == feed {
			t.Errorf("appended to the feed that was lost: %s, %v", r.out, err)
		}
	}
}
