package storage_test

import (
	"bytes"
	"context"
	"encoding/binary"
	"math/rand/v2"
	"os"
	"strconv"
	"sync"
	"testing"

	"github.com/cobox-p2p/cobox-p2p/hypercore"
	"github.com/cobox-p2p/cobox-p2p/hypercore/storage"
)

// TestRandomLife plays a random life of a few feeds in one store: appends,
// blocks applied from their writers, cleared spans, deletions, restarts and power
// cuts. All the while the feeds must agree with a plain model of them. The
// operations follow from COBOX_SEED, or a seed that is printed.
func TestRandomLife(t *testing.T) {
	seed, operations := rand.Uint64(), sized(3_000)
	if soak {
		operations = 1_000_000
	}
	if s := os.Getenv("COBOX_SEED"); s != "" {
		n, err := strconv.ParseUint(s, 10, 64)
		if err != nil {
			t.Fatal(err)
		}
		seed = n
	}
	w := newWorld(t, seed)
	defer func() {
		if t.Failed() {
			t.Logf("COBOX_SEED=%d, %d operations were done", seed, w.done)
		}
	}()
	for ; w.done < operations && !t.Failed(); w.done++ {
		w.step()
	}
	w.restart()
	for _, l := range w.lives {
		l.check(true)
	}
	w.close()
	t.Logf("%v", w.counts)
}

// life is one feed and all that is known of it.
type life struct {
	w      *world
	pair   hypercore.KeyPair
	writer *hypercore.Feed // elsewhere; nil for a feed that is written here
	feed   *hypercore.Feed
	stop   func()
	blocks [][]byte // that the writer has appended

	mu      sync.Mutex      // guards below
	durable map[uint64]bool // blocks that were told to be durable, but those cleared once
	held    map[uint64]bool // blocks stored and not cleared since
	cleared map[uint64]bool // blocks that were cleared once
}

// newLife makes a feed, every other one written elsewhere.
func (w *world) newLife() *life {
	w.feeds++
	l := &life{w: w, pair: hypercore.NewKeyPair(hypercore.KeyedHash([]byte("life"), binary.BigEndian.AppendUint64(nil, w.feeds)))}
	l.durable, l.held, l.cleared = map[uint64]bool{}, map[uint64]bool{}, map[uint64]bool{}
	if w.feeds%2 == 0 {
		writer, err := hypercore.Open(storage.NewMemory(), l.pair.Public, l.pair)
		if err != nil {
			w.t.Fatal(err)
		}
		l.writer = writer
	}
	l.open()
	return l
}

func (l *life) open() {
	pair := l.pair
	if l.writer != nil {
		pair = hypercore.KeyPair{}
	}
	f, err := hypercore.Open(l.w.st, l.pair.Public, pair)
	if err != nil {
		l.w.t.Fatalf("open after %d operations: %v", l.w.done, err)
	}
	l.feed = f
	l.stop = f.Notify(func(e hypercore.Event) {
		if e.Kind != hypercore.Stored {
			return
		}
		l.mu.Lock()
		defer l.mu.Unlock()
		for seq := e.Span.Start; seq < e.Span.End(); seq++ {
			// Of a block that was cleared once, this may be old news.
			l.durable[seq] = l.held[seq] && !l.cleared[seq]
		}
	})
}

// append lets the writer append n blocks of up to size bytes.
func (l *life) append(n, size int) {
	blocks := make([][]byte, n)
	for i := range blocks {
		blocks[i] = make([]byte, l.w.rng.IntN(size))
		if len(blocks[i]) >= 8 {
			binary.LittleEndian.PutUint64(blocks[i], l.w.rng.Uint64())
		}
	}
	f := l.feed
	if l.writer != nil {
		f = l.writer
	}
	var seq uint64
	var err error
	if l.w.rng.IntN(4) == 0 {
		var span hypercore.Span
		span, err = f.AppendSeq(context.Background(), func(yield func([]byte, error) bool) {
			for _, b := range blocks {
				if !yield(b, nil) {
					return
				}
			}
		})
		seq = span.Start
	} else {
		seq, err = f.Append(context.Background(), blocks...)
	}
	if err != nil || seq != uint64(len(l.blocks)) {
		l.w.t.Errorf("append = %d, %v, want %d", seq, err, len(l.blocks))
	}
	if l.writer == nil {
		l.mu.Lock()
		for i := range blocks {
			l.held[seq+uint64(i)], l.durable[seq+uint64(i)] = true, true
		}
		l.mu.Unlock()
	}
	l.blocks = append(l.blocks, blocks...)
}

// apply brings one block from the writer, often with what makes the feed grow.
func (l *life) apply() {
	if len(l.blocks) == 0 {
		return
	}
	seq := l.w.rng.Uint64N(uint64(len(l.blocks)))
	if length := l.feed.Length(); length < uint64(len(l.blocks)) && l.w.rng.IntN(2) == 0 {
		seq = length // which shows that the longer head extends ours
	}
	d, err := l.writer.Prove(seq, 0, false)
	if err != nil {
		l.w.t.Errorf("prove block %d: %v", seq, err)
		return
	}
	before := l.feed.Length()
	if err := l.feed.Apply(context.Background(), d); err != nil {
		if seq == before || before == 0 {
			l.w.t.Errorf("apply block %d to a feed of %d: %v", seq, before, err)
		}
		return
	}
	if l.feed.Has(hypercore.Span{Start: seq, Count: 1}) {
		l.mu.Lock()
		l.held[seq] = true
		l.mu.Unlock()
	} else {
		l.w.t.Errorf("block %d was applied and isn't there", seq)
	}
}

func (l *life) clear() {
	length := l.feed.Length()
	if length == 0 {
		return
	}
	span := hypercore.Span{Start: l.w.rng.Uint64N(length), Count: 1 + l.w.rng.Uint64N(20)}
	if l.w.rng.IntN(10) == 0 {
		span = hypercore.Span{Start: 0, Count: length}
	}
	if err := l.feed.Clear(context.Background(), span); err != nil {
		l.w.t.Errorf("clear %v: %v", span, err)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	for seq := span.Start; seq < min(span.End(), length); seq++ {
		l.cleared[seq] = true
		delete(l.held, seq)
		delete(l.durable, seq)
	}
}

// read reads one block, held or not.
func (l *life) read() {
	if len(l.blocks) == 0 {
		return
	}
	seq := l.w.rng.Uint64N(uint64(len(l.blocks)))
	if has := l.feed.Has(hypercore.Span{Start: seq, Count: 1}); has != l.held[seq] {
		l.w.t.Errorf("Has(%d) = %v, want %v", seq, has, l.held[seq])
	}
	l.readBlock(seq)
}

func (l *life) readBlock(seq uint64) {
	got, err := l.w.st.Blocks(l.pair.Public, hypercore.Span{Start: seq, Count: 1})
	switch {
	case l.held[seq] && err != nil:
		l.w.t.Errorf("block %d of feed %.8s: %v", seq, l.pair.Public, err)
	case l.held[seq] && !bytes.Equal(got[0], l.blocks[seq]):
		l.w.t.Errorf("block %d of feed %.8s isn't what was written", seq, l.pair.Public)
	case !l.held[seq] && err == nil:
		l.w.t.Errorf("block %d of feed %.8s should not be stored", seq, l.pair.Public)
	}
}

// adopt makes the model agree with what a power cut has left of what wasn't
// durable. What was never stored must not be there.
func (l *life) adopt() {
	l.mu.Lock()
	defer l.mu.Unlock()
	was := l.held
	l.held, l.durable = map[uint64]bool{}, map[uint64]bool{}
	for seq := range uint64(len(l.blocks)) {
		has := l.feed.Has(hypercore.Span{Start: seq, Count: 1})
		if has && !was[seq] && !l.cleared[seq] {
			l.w.t.Errorf("after a power cut block %d of feed %.8s is there, which never was", seq, l.pair.Public)
		}
		if has {
			l.held[seq] = true
			l.durable[seq] = !l.cleared[seq]
		}
	}
}

// check compares all blocks, and with audit all of the tree.
func (l *life) check(audit bool) {
	for seq := range uint64(len(l.blocks)) {
		l.readBlock(seq)
	}
	if held, _ := l.feed.Held(); held != uint64(len(l.held)) {
		l.w.t.Errorf("feed %.8s says that it holds %d blocks, it holds %d", l.pair.Public, held, len(l.held))
	}
	if l.writer == nil && l.feed.Length() != uint64(len(l.blocks)) {
		l.w.t.Errorf("feed %.8s has length %d, want %d", l.pair.Public, l.feed.Length(), len(l.blocks))
	}
	if !audit {
		return
	}
	a, err := l.feed.Audit(context.Background())
	if err != nil || !a.Valid() || a.Blocks != uint64(len(l.held)) {
		l.w.t.Errorf("audit of feed %.8s with %d blocks = %+v, %v", l.pair.Public, len(l.held), a, err)
	}
}
