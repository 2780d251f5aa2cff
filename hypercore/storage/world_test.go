package storage_test

import (
	"maps"
	"math/rand/v2"
	"testing"

	"github.com/cobox-p2p/cobox-p2p/hypercore"
	"github.com/cobox-p2p/cobox-p2p/hypercore/storage"
)

// world is the disks with the store, and the feeds in it.
type world struct {
	t      *testing.T
	rng    *rand.Rand
	disk   *twoDisks
	st     *storage.Store
	lives  []*life
	done   int
	feeds  uint64 // made so far
	counts map[string]int
}

func newWorld(t *testing.T, seed uint64) *world {
	w := &world{
		t: t, rng: rand.New(rand.NewPCG(seed, 0)), disk: newTwoDisks(t), counts: map[string]int{},
	}
	w.open()
	for range 6 {
		w.lives = append(w.lives, w.newLife())
	}
	return w
}

func (w *world) open() {
	s, err := storage.Open("store", storage.WithFS(w.disk), storage.WithMemTable(256<<10))
	if err != nil {
		w.t.Fatal(err)
	}
	w.st = s
	for _, l := range w.lives {
		l.open()
	}
}

func (w *world) close() {
	for _, l := range w.lives {
		l.stop()
		l.feed.Close()
	}
	if err := w.st.Close(); err != nil {
		w.t.Fatal(err)
	}
}

// step does one operation.
func (w *world) step() {
	i := w.rng.IntN(len(w.lives))
	l := w.lives[i]
	n := w.rng.IntN(2000)
	switch {
	case n < 8:
		w.count("cut")
		w.cutPower()
	case n < 12:
		w.count("restart")
		w.restart()
	case n < 60:
		w.count("clear")
		l.clear()
	case n < 66:
		w.count("delete")
		w.replace(i)
	case n < 80:
		w.count("long append")
		l.append(1+w.rng.IntN(12), 80<<10)
	case n < 1200 && (l.writer == nil || len(l.blocks) == 0 || n < 300):
		w.count("append")
		l.append(1+w.rng.IntN(3), 200)
	case n < 1700 && l.writer != nil:
		w.count("apply")
		l.apply()
	default:
		w.count("read")
		l.read()
	}
	if len(l.blocks) > 400 {
		w.replace(i)
	}
}

func (w *world) count(op string) { w.counts[op]++ }

// replace deletes a feed and puts a new one in its place.
func (w *world) replace(i int) {
	l := w.lives[i]
	l.stop()
	l.feed.Close()
	if err := w.st.Commit(&hypercore.Batch{Urgent: true}); err != nil { // what it wrote needn't wait long
		w.t.Error(err)
	}
	<-l.feed.Settled()
	b := &hypercore.Batch{Urgent: w.rng.IntN(2) == 0}
	if err := hypercore.AppendDrop(b, w.st, l.pair.Public); err != nil {
		w.t.Error(err)
	}
	if err := w.st.Commit(b); err != nil {
		w.t.Error(err)
	}
	if _, err := w.st.Feed(l.pair.Public); err == nil {
		w.t.Error("a deleted feed is still stored")
	}
	w.lives[i] = w.newLife()
}

// restart closes the store and opens it again: nothing may change.
func (w *world) restart() {
	w.close()
	w.open()
	for _, l := range w.lives {
		l.check(w.rng.IntN(4) == 0)
	}
}

// cutPower goes on with what a power cut leaves on the disk.
func (w *world) cutPower() {
	lengths := make([]uint64, len(w.lives))
	durable := make([]map[uint64]bool, len(w.lives))
	for i, l := range w.lives {
		lengths[i] = l.feed.DurableHead().Length
		l.mu.Lock()
		durable[i] = maps.Clone(l.durable)
		l.mu.Unlock()
	}
	left := w.disk.crash(w.rng, w.rng.IntN(5)*25, w.rng.IntN(5)*25)
	w.close()
	w.disk = left
	w.open()
	for i, l := range w.lives {
		if n := l.feed.Length(); n < lengths[i] || n > uint64(len(l.blocks)) {
			w.t.Errorf("after a power cut feed %.8s has length %d, %d were durable, %d written", l.pair.Public, n, lengths[i], len(l.blocks))
		}
		for seq, sure := range durable[i] {
			if sure && !l.feed.Has(hypercore.Span{Start: seq, Count: 1}) {
				w.t.Errorf("after a power cut block %d of feed %.8s is lost, which was durable", seq, l.pair.Public)
			}
		}
		l.adopt()
		l.check(w.rng.IntN(4) == 0)
	}
}
