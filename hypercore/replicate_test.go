package hypercore_test

import (
	"flag"
	"fmt"
	"testing"
	"time"

	"github.com/cobox-p2p/cobox-p2p/hypercore"
	"github.com/cobox-p2p/cobox-p2p/hypercore/storage"
)

// worlds multiplies the random worlds that the tests run.
var worlds = flag.Int("worlds", 1, "how many times the usual number of random worlds to run")

func TestTwoPeersAskForNothingTwice(t *testing.T) {
	for seed := range 12 * uint64(*worlds) {
		length := 1 + seed*seed%300
		writer, wst := written(t, length)
		reader, rst := reading(t)
		w := newWorld(t, seed)
		up, down := w.link("wr", writer, reader)
		w.settle(time.Hour)
		checkAll(t, fmt.Sprintf("seed %d", seed), reader, writer, rst, wst)
		if n := up.sent["Data"]; n != int(length) {
			t.Errorf("seed %d: %d Data messages for %d blocks", seed, n, length)
		}
		if n := up.sent["Hash"]; n > 1 {
			t.Errorf("seed %d: %d answers without a block, want at most 1", seed, n)
		}
		if n := down.sent["Request"]; n != int(length)+up.sent["Hash"] {
			t.Errorf("seed %d: %d requests for %d blocks", seed, n, length)
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

func TestOneBlockAfterTheOther(t *testing.T) {
	writer, wst := written(t, 0)
	reader, rst := reading(t)
	w := newWorld(t, 1)
	up, _ := w.link("wr", writer, reader)
	for seq := range uint64(70) {
		mustAppend(t, writer, blockOf(seq))
		w.settle(0)
		checkAll(t, fmt.Sprintf("block %d", seq), reader, writer, rst, wst)
	}
	if n := up.sent["Data"]; n != 70 || up.sent["Hash"] != 0 {
		t.Errorf("%d Data and %d hashes for 70 blocks", n, up.sent["Hash"])
	}
}

// mesh is a writer, number 0, and copies.
type mesh struct {
	*world
	feeds  []*hypercore.Feed
	stores []*storage.Memory
	links  map[[2]int]*side
}

func newMesh(t testing.TB, seed uint64, nodes int, edges ...[2]int) *mesh {
	m := &mesh{world: newWorld(t, seed), links: map[[2]int]*side{}}
	for i := range nodes {
		f, st := reading(t)
		if i == 0 {
			f, st = written(t, 0)
		}
		m.feeds, m.stores = append(m.feeds, f), append(m.stores, st)
	}
	for _, e := range edges {
		m.connect(e)
	}
	return m
}

func (m *mesh) connect(e [2]int) {
	m.links[e], _ = m.link(fmt.Sprintf("%d-%d", e[0], e[1]), m.feeds[e[0]], m.feeds[e[1]])
}

func (m *mesh) grow(count uint64) {
	mustAppend(m.t, m.feeds[0], blocksOf(m.feeds[0].Length(), count)...)
}

func (m *mesh) checkAll() {
	m.t.Helper()
	for i := 1; i < len(m.feeds); i++ {
		checkAll(m.t, fmt.Sprintf("seed %d: node %d", m.seed, i), m.feeds[i], m.feeds[0], m.stores[i], m.stores[0])
	}
}

func (m *mesh) checkSame() {
	m.t.Helper()
	for i := 1; i < len(m.feeds); i++ {
		checkSame(m.t, fmt.Sprintf("seed %d: node %d", m.seed, i), m.feeds[i], m.feeds[0], m.stores[i], m.stores[0])
	}
}

var (
	line    = [][2]int{{0, 1}, {1, 2}}
	diamond = [][2]int{{0, 1}, {0, 2}, {1, 3}, {2, 3}}
	full    = [][2]int{{0, 1}, {0, 2}, {0, 3}, {1, 2}, {1, 3}, {2, 3}}
	ring    = [][2]int{{0, 1}, {1, 2}, {2, 3}, {3, 4}, {4, 0}}
)

// TestMeshes runs writers that grow in several topologies, with links that break
// and come back.
func TestMeshes(t *testing.T) {
	topologies := map[string]struct {
		nodes int
		edges [][2]int
	}{"line": {3, line}, "diamond": {4, diamond}, "full": {4, full}, "ring": {5, ring}}
	for name, topology := range topologies {
		t.Run(name, func(t *testing.T) {
			for seed := range 4 * uint64(*worlds) {
				m := newMesh(t, seed, topology.nodes, topology.edges...)
				for range 4 {
					m.grow(1 + m.rng.Uint64N(25))
					for range m.rng.IntN(300) {
						m.step()
					}
					m.checkSame()
					e := topology.edges[m.rng.IntN(len(topology.edges))]
					m.cut(m.links[e])
					for range m.rng.IntN(100) {
						m.step()
					}
					m.connect(e)
				}
				m.settle(time.Hour)
				m.checkAll()
			}
		})
	}
}

// In a relay diamond the original never came to an end.
func TestRelayDiamondComesToRest(t *testing.T) {
	for seed := range 4 * uint64(*worlds) {
		m := newMesh(t, seed, 4, diamond...)
		m.grow(120)
		m.settle(time.Hour)
		m.checkAll()
		if at, ok := m.due(); ok {
			t.Fatalf("seed %d: still waits for %v when all have everything", seed, at)
		}
		for _, s := range m.sides {
			if _, _, asked, _ := s.peer.Owed(); asked != 0 {
				t.Errorf("seed %d: %s still has %d requests", seed, s.name, asked)
			}
		}
	}
}

// An absent writer's blocks come together from copies with holes.
func TestHolesAreFilledFromEachOther(t *testing.T) {
	for seed := range 4 * uint64(*worlds) {
		m := newMesh(t, seed, 4)
		const length = 150
		m.grow(length)
		for i := 1; i < 4; i++ {
			m.feeds[i].SetSparse(true)
			give(t, m.feeds[0], m.feeds[i], length-1)
			for seq := range uint64(length) {
				if seq%3 == uint64(i-1) || m.rng.IntN(8) == 0 {
					give(t, m.feeds[0], m.feeds[i], seq)
				}
			}
			m.feeds[i].SetSparse(false)
		}
		m.connect([2]int{1, 2})
		m.connect([2]int{2, 3})
		m.settle(time.Hour)
		m.checkAll()
	}
}

func TestSparsePeerFetchesWhatIsWaitedFor(t *testing.T) {
	for seed := range 8 * uint64(*worlds) {
		m := newMesh(t, seed, 3, line...)
		m.feeds[1].SetSparse(true)
		m.feeds[2].SetSparse(true)
		m.grow(100)
		m.settle(time.Minute)
		if got := m.feeds[1].Length(); got != 100 {
			t.Fatalf("seed %d: a sparse peer's length = %d, want 100", seed, got)
		}
		if held, _ := m.feeds[1].Held(); held > 1 {
			t.Errorf("seed %d: a sparse peer holds %d blocks that nobody wants", seed, held)
		}
		got := make(chan []byte, 1)
		waitFor(t, m.feeds[1], 57, got)
		m.settle(time.Minute)
		wantHeld(t, m.feeds[1], 57)
		if b := <-got; string(b) != string(blockOf(57)) {
			t.Fatalf("seed %d: Get = %x, want %x", seed, b, blockOf(57))
		}
		waitFor(t, m.feeds[2], 57, got)
		m.settle(time.Minute)
		wantHeld(t, m.feeds[2], 57)
		<-got
		m.checkSame()
		if held, _ := m.feeds[2].Held(); held > 2 {
			t.Errorf("seed %d: a sparse peer holds %d blocks, want at most 2", seed, held)
		}
	}
}
