package hypercore_test

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync/atomic"
	"testing"
	"time"

	"github.com/cobox-p2p/cobox-p2p/hypercore"
	"github.com/cobox-p2p/cobox-p2p/hypercore/merkle"
	"github.com/cobox-p2p/cobox-p2p/hypercore/storage"
)

// epoch is when the virtual time of every test begins.
var epoch = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)

// pairOf returns a fixed key pair.
func pairOf(n byte) hypercore.KeyPair {
	return hypercore.NewKeyPair([hypercore.SeedSize]byte{n, 1, 2, 3})
}

// blockOf returns the content of a block, of a size that differs from that of
// its neighbours; every 17th is empty.
func blockOf(seq uint64) []byte {
	if seq%17 == 16 {
		return []byte{}
	}
	b := binary.BigEndian.AppendUint64(nil, seq)
	return append(b, bytes.Repeat([]byte{byte(seq)}, int(seq%13))...)
}

func blocksOf(from, count uint64) [][]byte {
	blocks := make([][]byte, count)
	for i := range blocks {
		blocks[i] = blockOf(from + uint64(i))
	}
	return blocks
}

func mustOpen(t testing.TB, st hypercore.Storage, pair hypercore.KeyPair, writable bool) *hypercore.Feed {
	t.Helper()
	if !writable {
		pair = hypercore.KeyPair{Public: pair.Public}
	}
	f, err := hypercore.Open(st, pair.Public, pair)
	if err != nil {
		t.Fatalf("Open: %v", err)
	}
	return f
}

func mustAppend(t testing.TB, f *hypercore.Feed, blocks ...[]byte) {
	t.Helper()
	if _, err := f.Append(context.Background(), blocks...); err != nil {
		t.Fatalf("Append: %v", err)
	}
}

// written returns a store and a writable feed in it with length blocks.
func written(t testing.TB, length uint64) (*hypercore.Feed, *storage.Memory) {
	t.Helper()
	st := storage.NewMemory()
	f := mustOpen(t, st, pairOf(1), true)
	if length > 0 {
		mustAppend(t, f, blocksOf(0, length)...)
	}
	return f, st
}

// reading returns a store and a read-only feed in it, of the key of written.
func reading(t testing.TB) (*hypercore.Feed, *storage.Memory) {
	t.Helper()
	st := storage.NewMemory()
	return mustOpen(t, st, pairOf(1), false), st
}

// side is one end of a link.
type side struct {
	name  string
	peer  *hypercore.Peer
	other *side
	inbox []hypercore.Message
	woken atomic.Bool
	sent  map[string]int // messages by their type
	mute  bool           // what it would send is lost
}

// world carries messages between peers by hand, in virtual time and in an order
// that its seed decides.
type world struct {
	t     testing.TB
	seed  uint64
	rng   *rand.Rand
	now   time.Time
	sides []*side
	log   func(from *side, m hypercore.Message)
	// noHashes makes links whose sides ask for no hashes.
	noHashes bool
	// ranges makes links whose sides ask for ranges.
	ranges bool
}

func newWorld(t testing.TB, seed uint64) *world {
	return &world{t: t, seed: seed, rng: rand.New(rand.NewPCG(seed, 0)), now: epoch}
}

// link attaches two feeds to each other and returns both sides.
func (w *world) link(name string, a, b *hypercore.Feed) (*side, *side) {
	w.t.Helper()
	x, y := &side{name: name + "<"}, &side{name: name + ">"}
	x.other, y.other = y, x
	for s, f := range map[*side]*hypercore.Feed{x: a, y: b} {
		s.sent = map[string]int{}
		s.woken.Store(true)
		p, err := f.Attach(hypercore.PeerOptions{Wake: func() { s.woken.Store(true) }, NoHashes: w.noHashes, Ranges: w.ranges})
		if err != nil {
			w.t.Fatalf("Attach: %v", err)
		}
		s.peer = p
	}
	w.sides = append(w.sides, x, y)
	return x, y
}

// cut ends a link; what is on its way is lost.
func (w *world) cut(x *side) {
	var kept []*side
	for _, s := range w.sides {
		if s != x && s != x.other {
			kept = append(kept, s)
		}
	}
	w.sides = kept
	x.peer.Detach()
	x.other.peer.Detach()
}

// step does one thing at random and says whether there was anything to do.
func (w *world) step() bool {
	w.t.Helper()
	var ready []func()
	for _, s := range w.sides {
		if s.woken.Load() {
			ready = append(ready, func() { w.pull(s) })
		}
		if len(s.inbox) > 0 {
			ready = append(ready, func() { w.deliver(s) })
		}
	}
	if len(ready) == 0 {
		return false
	}
	ready[w.rng.IntN(len(ready))]()
	return true
}

// pull takes one message from the side.
func (w *world) pull(s *side) {
	w.t.Helper()
	s.woken.Store(false)
	m, err := s.peer.Next(w.now)
	if err != nil {
		w.t.Fatalf("seed %d: Next of %s: %v", w.seed, s.name, err)
	}
	if m == nil {
		return
	}
	s.woken.Store(true)
	s.sent[kindOf(m)]++
	if w.log != nil {
		w.log(s, m)
	}
	if !s.mute {
		s.other.inbox = append(s.other.inbox, m)
	}
}

// deliver hands the side the oldest message for it, and spoils its slices then.
func (w *world) deliver(s *side) {
	w.t.Helper()
	m := s.inbox[0]
	s.inbox = s.inbox[1:]
	if err := s.peer.Handle(m, w.now); err != nil {
		w.t.Fatalf("seed %d: Handle of %s, %s: %v", w.seed, s.name, describe(m), err)
	}
	spoil(m)
}

// settle runs until there is nothing to do for patience of virtual time.
func (w *world) settle(patience time.Duration) {
	w.t.Helper()
	end := w.now.Add(patience)
	for steps := 0; ; steps++ {
		if steps > 2_000_000 {
			w.t.Fatalf("seed %d: never comes to rest", w.seed)
		}
		if w.step() {
			continue
		}
		at, ok := w.due()
		if !ok || at.After(end) {
			return
		}
		if at.After(w.now) {
			w.now = at
		}
		for _, s := range w.sides {
			s.woken.Store(true)
		}
	}
}

// tick does one thing, or lets time pass until somebody has something to do.
func (w *world) tick() {
	w.t.Helper()
	if w.step() {
		return
	}
	at, ok := w.due()
	if !ok {
		w.t.Fatalf("seed %d: nothing will ever happen again", w.seed)
	}
	if at.After(w.now) {
		w.now = at
	}
	for _, s := range w.sides {
		s.woken.Store(true)
	}
}

func (w *world) due() (first time.Time, ok bool) {
	for _, s := range w.sides {
		if at, has := s.peer.Due(); has && (!ok || at.Before(first)) {
			first, ok = at, true
		}
	}
	return first, ok
}

// kindOf returns the name of the message's type, and tells a Data with a block
// from one without.
func kindOf(m hypercore.Message) string {
	if d, ok := m.(*hypercore.Data); ok && d.Value == nil {
		return "Hash"
	}
	return fmt.Sprintf("%T", m)[len("*hypercore."):]
}

func describe(m hypercore.Message) string {
	if d, ok := m.(*hypercore.Data); ok {
		return fmt.Sprintf("Data %d with %d nodes, value %t, signature %t", d.Index, len(d.Nodes), d.Value != nil, len(d.Signature) > 0)
	}
	if d, ok := m.(*hypercore.RangeData); ok {
		return fmt.Sprintf("RangeData %d to %d with %d nodes under %d, signature %t",
			d.Start, d.Start+uint64(len(d.Blocks))-1, len(d.Nodes), d.Length, len(d.Signature) > 0)
	}
	return fmt.Sprintf("%s %+v", kindOf(m), m)
}

func spoil(m hypercore.Message) {
	switch m := m.(type) {
	case *hypercore.Data:
		clear(m.Value)
		clear(m.Nodes)
		clear(m.Signature)
	case *hypercore.RangeData:
		for _, b := range m.Blocks {
			clear(b)
		}
		clear(m.Nodes)
		clear(m.Signature)
	case *hypercore.Have:
		clear(m.Bitfield)
	}
}

// checkSame fails unless all that the copy stores is what the writer stores.
func checkSame(t testing.TB, what string, copied, writer *hypercore.Feed, copySt, writerSt hypercore.Storage) {
	t.Helper()
	key := writer.Key()
	if h, w := copied.Head(), writer.Head(); h.Length > w.Length || h.Length == w.Length && h != w {
		t.Fatalf("%s: head = %+v, want that of the writer, %+v", what, h, w)
	}
	for index := range 2 * writer.Length() {
		got, err := copySt.Node(key, index)
		if errors.Is(err, merkle.ErrNoNode) {
			continue
		}
		if want, _ := writerSt.Node(key, index); err != nil || got != want {
			t.Fatalf("%s: node %d = %+v, %v, want %+v", what, index, got, err, want)
		}
	}
	for seq := range writer.Length() {
		got, err := copySt.Blocks(key, hypercore.Span{Start: seq, Count: 1})
		if errors.Is(err, hypercore.ErrNoBlock) {
			if copied.Has(hypercore.Span{Start: seq, Count: 1}) {
				t.Fatalf("%s: block %d counts as held but is not stored", what, seq)
			}
			continue
		}
		if err != nil || !bytes.Equal(got[0], blockOf(seq)) {
			t.Fatalf("%s: block %d = %x, %v, want %x", what, seq, got, err, blockOf(seq))
		}
	}
}

// checkAll is checkSame that also wants every block.
func checkAll(t testing.TB, what string, copied, writer *hypercore.Feed, copySt, writerSt hypercore.Storage) {
	t.Helper()
	checkSame(t, what, copied, writer, copySt, writerSt)
	if copied.Head() != writer.Head() {
		t.Fatalf("%s: length = %d, want %d", what, copied.Length(), writer.Length())
	}
	if seq, missing := copied.Missing(0); missing {
		held, _ := copied.Held()
		t.Fatalf("%s: block %d of %d is missing, %d are held", what, seq, writer.Length(), held)
	}
}
