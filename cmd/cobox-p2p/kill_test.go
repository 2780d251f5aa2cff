package main

import (
	"bytes"
	"context"
	"io"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/cobox-p2p/cobox-p2p/cmd/cobox-p2p/node"
)

// TestKilledNodesLoseNothing kills one of three nodes, each a process of its own,
// at a random moment of a transfer: no block is lost whose append had returned,
// and the transfer ends after the restart.
func TestKilledNodesLoseNothing(t *testing.T) {
	rounds, size := 2, 1<<20
	if soak() {
		rounds, size = 20, 16<<20
	}
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	random := rand.New(rand.NewPCG(seed, 0))
	k := newKilling(t, size/8)
	for round := range rounds {
		victim := random.IntN(len(k.nodes))
		// Some kills hit before the first block, some after the last.
		moment := time.Duration(random.Int64N(int64(k.usual * 5 / 4)))
		k.round(round, victim, moment, noise(size, random.Uint64()))
		if t.Failed() {
			t.Fatalf("round %d: node %d was killed after %v (seed %d)", round, victim, moment, seed)
		}
	}
}

// killing is a writer, a seeder between, and a reader in a line.
type killing struct {
	t     *testing.T
	nodes [3]*daemon
	dirs  [3]string
	sure  []byte        // what was appended for certain, from the feed's beginning
	usual time.Duration // that a transfer takes
	chunk int           // bytes of one append
}

func newKilling(t *testing.T, chunk int) *killing {
	k := &killing{t: t, chunk: chunk}
	for i, name := range []string{"writer", "seeder", "reader"} {
		k.dirs[i] = initNode(t, name)
		k.nodes[i] = startProcess(t, k.dirs[i])
	}
	var space node.SpaceInfo
	k.nodes[0].done(nil, &space, "space", "create", "home")
	k.nodes[1].done(nil, nil, "space", "seed", space.Address, "home")
	k.nodes[2].done(strings.NewReader(space.Secret), nil, "space", "join", "-", "home")
	began := time.Now()
	k.connect()
	k.append(t.Context(), noise(8*chunk, 0))
	k.arrived()
	k.usual = time.Since(began)
	return k
}

func (k *killing) connect() {
	k.t.Helper()
	k.nodes[1].done(nil, nil, "connect", k.nodes[0].Addresses[0])
	k.nodes[2].done(nil, nil, "connect", k.nodes[1].Addresses[0])
}

// append appends input in chunks until one fails, and notes what is sure.
func (k *killing) append(ctx context.Context, input []byte) {
	for rest := input; len(rest) > 0 && ctx.Err() == nil; {
		n := min(k.chunk, len(rest))
		var out, errs bytes.Buffer
		args := []string{"append", "home", "--dir", k.dirs[0], "--block-size", "16384"}
		if execute(ctx, args, streams{bytes.NewReader(rest[:n]), &out, &errs}) != exitDone {
			return
		}
		k.sure = append(k.sure, rest[:n]...)
		rest = rest[n:]
	}
}

// round kills a node during a transfer and starts it again.
func (k *killing) round(round, victim int, moment time.Duration, input []byte) {
	var appending sync.WaitGroup
	appending.Go(func() { k.append(k.t.Context(), input) })
	timer := time.NewTimer(moment)
	<-timer.C
	k.nodes[victim].kill()
	appending.Wait()
	k.nodes[victim] = startProcess(k.t, k.dirs[victim])
	k.connect()
	if victim == 0 {
		// An append that was cut may have left blocks behind those that are sure:
		// they are part of the feed now.
		k.sure = k.read(0)
	}
	k.append(k.t.Context(), input)
	k.arrived()
}

// read returns what a node reads, which must begin with all that is sure.
func (k *killing) read(i int) []byte {
	k.t.Helper()
	ctx, stop := context.WithTimeout(k.t.Context(), patience)
	defer stop()
	var out, errs bytes.Buffer
	args := []string{"read", "home", "--dir", k.dirs[i]}
	if i == 0 {
		args = append(args, "--offline")
	}
	if code := execute(ctx, args, streams{strings.NewReader(""), &out, &errs}); code != exitDone {
		k.t.Fatalf("read at node %d: exit code %d, %s", i, code, errs.String())
	}
	if got := out.Bytes(); len(got) < len(k.sure) || !bytes.Equal(got[:len(k.sure)], k.sure) {
		k.t.Errorf("node %d reads %d bytes that don't begin with the %d that were appended", i, len(got), len(k.sure))
	}
	return out.Bytes()
}

// arrived waits until the reader has everything, and checks what every node
// holds.
func (k *killing) arrived() {
	k.t.Helper()
	ctx, stop := context.WithTimeout(k.t.Context(), patience)
	defer stop()
	out, w := io.Pipe()
	ended := make(chan struct{})
	errs := &safeBuffer{}
	go func() {
		defer close(ended)
		execute(ctx, []string{"read", "home", "--follow", "--dir", k.dirs[2]}, streams{strings.NewReader(""), w, errs})
		w.Close()
	}()
	got := make([]byte, len(k.sure))
	if n, err := io.ReadFull(out, got); err != nil || !bytes.Equal(got, k.sure) {
		k.t.Errorf("the reader has %d of %d bytes: %v; %s", n, len(k.sure), err, errs)
	}
	stop()
	out.Close()
	<-ended
	k.nodes[0].done(nil, nil, "sync", "home")
	for _, n := range k.nodes {
		n.done(nil, nil, "verify")
	}
}
