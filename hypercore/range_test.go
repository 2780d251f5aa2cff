package hypercore_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/cobox-p2p/cobox-p2p/hypercore"
)

// sentBlocks counts how often each block goes over a world's links in ranges.
func sentBlocks(w *world) map[uint64]int {
	sent := map[uint64]int{}
	w.log = func(_ *side, m hypercore.Message) {
		if d, ok := m.(*hypercore.RangeData); ok {
			for i := range d.Blocks {
				sent[d.Start+uint64(i)]++
			}
		}
	}
	return sent
}

func TestRangesBringEveryBlockOnce(t *testing.T) {
	for seed := range 12 * uint64(*worlds) {
		length := 1 + seed*seed*seed%3000
		writer, wst := written(t, length)
		reader, rst := reading(t)
		w := newWorld(t, seed)
		w.ranges = true
		sent := sentBlocks(w)
		up, down := w.link("wr", writer, reader)
		w.settle(time.Hour)
		checkAll(t, fmt.Sprintf("seed %d", seed), reader, writer, rst, wst)
		for seq, n := range sent {
			if n != 1 {
				t.Errorf("seed %d: block %d was sent %d times", seed, seq, n)
			}
		}
		if up.sent["Data"] > 0 || down.sent["Request"] > 1 {
			t.Errorf("seed %d: %d Data, %d Requests beside ranges", seed, up.sent["Data"], down.sent["Request"])
		}
		if n, most := down.sent["RangeRequest"], int(12+length/128); n > most {
			t.Errorf("seed %d: %d requests for %d blocks, want at most %d", seed, n, length, most)
		}
		if got := up.peer.RemoteLacks(); got != 0 {
			t.Errorf("seed %d: RemoteLacks at the writer = %d when all arrived", seed, got)
		}
		s := up.peer.Stats()
		if s.SentBlocks != length || s.SentBytes != writer.ByteLength() || down.peer.Stats().GotBlocks != length {
			t.Errorf("seed %d: stats = %+v and %+v, want %d blocks of %d bytes", seed, s, down.peer.Stats(), length, writer.ByteLength())
		}
	}
}

func TestRangesOneBlockAfterTheOther(t *testing.T) {
	writer, wst := written(t, 0)
	reader, rst := reading(t)
	w := newWorld(t, 1)
	w.ranges = true
	up, down := w.link("wr", writer, reader)
	for seq := range uint64(150) {
		mustAppend(t, writer, blockOf(seq))
		w.settle(0)
		checkAll(t, fmt.Sprintf("block %d", seq), reader, writer, rst, wst)
	}
	if n := up.sent["RangeData"]; n != 150 || up.sent["Hash"] != 0 || down.sent["RangeRequest"] != 150 {
		t.Errorf("%d answers and %d hashes for 150 blocks, asked for %d times", n, up.sent["Hash"], down.sent["RangeRequest"])
	}
}

// Peers with the feature, peers without it and links that break.
func TestRangesInMeshes(t *testing.T) {
	topologies := map[string]struct {
		nodes int
		edges [][2]int
	}{"line": {3, line}, "diamond": {4, diamond}, "full": {4, full}, "ring": {5, ring}}
	for name, topology := range topologies {
		t.Run(name, func(t *testing.T) {
			for seed := range 6 * uint64(*worlds) {
				m := newMesh(t, seed, topology.nodes)
				for _, e := range topology.edges {
					m.ranges = seed%3 != 2 || m.rng.IntN(2) == 0
					m.connect(e)
				}
				for range 4 {
					m.grow(1 + m.rng.Uint64N(400))
					for range m.rng.IntN(200) {
						m.step()
					}
					m.checkSame()
					e := topology.edges[m.rng.IntN(len(topology.edges))]
					m.cut(m.links[e])
					for range m.rng.IntN(60) {
						m.step()
					}
					m.connect(e)
				}
				m.settle(time.Hour)
				m.checkAll()
				if at, ok := m.due(); ok {
					t.Fatalf("seed %d: still waits for %v when all have everything", seed, at)
				}
			}
		})
	}
}
