package hypercore

import (
	"context"
	"errors"
	"runtime"
	"sync"
	"sync/atomic"

	"github.com/cobox-p2p/cobox-p2p/hypercore/flattree"
	"github.com/cobox-p2p/cobox-p2p/hypercore/merkle"
)

const (
	// auditUnit is how many blocks the largest tree has that one goroutine of an
	// audit checks alone.
	auditUnit = 1 << 10
	// auditRead is how many bytes of blocks an audit reads together, at the
	// most, unless a single block has more.
	auditRead = 1 << 20
	// auditReadBlocks is how many blocks it reads together, at the most.
	auditReadBlocks = 128
)

// auditor follows the tree of one feed from its roots downwards. The upper part
// is one goroutine's work; trees of auditUnit blocks are shared out.
type auditor struct {
	st       Storage
	key      Key
	have     *Bitfield // blocks to be looked at; not changed
	progress func(blocks uint64)
	units    chan unit // nil: all is done by the caller of descend

	stopped atomic.Bool // ended is set: nothing more is looked at

	mu    sync.Mutex // guards all below
	found Audit
	ended error // ErrClosed or that of ctx
}

// unit is a node with its children, all trusted.
type unit struct {
	top  merkle.Node
	kids family
}

// family is two siblings, left to right, and what is stored of them.
type family struct {
	nodes  [2]merkle.Node
	stored [2]bool // the store gives back this very node
}

func newAuditor(st Storage, key Key, have *Bitfield) *auditor {
	a := &auditor{st: st, key: key, have: have}
	a.found.rewrite = map[uint64]merkle.Node{}
	return a
}

// run audits everything below the roots, which are trusted, and returns when its
// goroutines have ended.
func (a *auditor) run(ctx context.Context, roots []merkle.Node) error {
	stop := context.AfterFunc(ctx, func() { a.end(context.Cause(ctx)) })
	defer stop()
	if err := ctx.Err(); err != nil {
		return err
	}
	a.units = make(chan unit)
	var workers sync.WaitGroup
	for range runtime.GOMAXPROCS(0) {
		workers.Go(func() {
			for u := range a.units {
				w := walk{auditor: a}
				w.below(u.top, u.kids)
				a.count(&w)
			}
		})
	}
	top := walk{auditor: a, upper: true}
	for _, r := range roots {
		top.root(r)
	}
	close(a.units)
	workers.Wait()
	a.count(&top)
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.ended
}

// end makes the audit return err soon.
func (a *auditor) end(err error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.ended == nil {
		a.ended = err
		a.stopped.Store(true)
	}
}

func (a *auditor) over() bool { return a.stopped.Load() }

// failed notes an error of the store that ends the audit; any other is damage.
func (a *auditor) failed(err error) {
	if errors.Is(err, ErrClosed) {
		a.end(err)
	}
}

// count adds what a walk has found.
func (a *auditor) count(w *walk) {
	a.mu.Lock()
	f := &a.found
	f.Blocks += w.blocks
	f.Bytes += w.bytes
	w.blocks, w.bytes = 0, 0
	blocks, progress := f.Blocks, a.progress
	if progress != nil {
		progress(blocks)
	}
	a.mu.Unlock()
}

// rewrite notes a node that isn't stored as it should be.
func (a *auditor) rewrite(n merkle.Node, root bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	f := &a.found
	f.Nodes++
	if root {
		f.Roots++
	}
	if len(f.rewrite) < MaxAuditNodes {
		f.rewrite[n.Index] = n
	}
}

// lose notes that the children of the node can't be known, and that no held
// block below is proved.
func (a *auditor) lose(index uint64) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.found.Lost++
	a.distrustLocked(index)
	for s := range a.heldBelow(index) {
		a.found.bad.SetRange(s.Start, s.Count)
	}
}

// distrust notes that what is stored of the node's children is not right.
func (a *auditor) distrust(index uint64) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.distrustLocked(index)
}

func (a *auditor) distrustLocked(index uint64) {
	if f := &a.found; len(f.lost) < maxLost {
		f.lost = append(f.lost, index)
	}
}

// damaged notes a block that isn't what the tree says.
func (a *auditor) damaged(seq uint64) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.found.bad.Set(seq)
}

// holdsBelow says whether any block below the node is held.
func (a *auditor) holdsBelow(index uint64) bool {
	seq, ok := a.have.NextSet(flattree.LeftSpan(index) / 2)
	return ok && seq <= flattree.RightSpan(index)/2
}

// heldBelow yields the held blocks below the node.
func (a *auditor) heldBelow(index uint64) func(func(Span) bool) {
	return a.have.Spans(flattree.LeftSpan(index)/2, flattree.RightSpan(index)/2+1)
}

// node reads a stored node; ok is false when there is none that can be read.
func (a *auditor) node(index uint64) (n merkle.Node, ok bool) {
	n, err := a.st.Node(a.key, index)
	if err != nil {
		a.failed(err)
		return merkle.Node{Index: index}, false
	}
	return n, n.Index == index && n.Size <= merkle.MaxSize
}

// read reads a span of blocks; ok is false when they can't be read together.
func (a *auditor) read(s Span) (blocks [][]byte, ok bool) {
	blocks, err := a.st.Blocks(a.key, s)
	if err != nil {
		a.failed(err)
	}
	return blocks, err == nil && uint64(len(blocks)) == s.Count
}

// blockBuffer is the held blocks of a span that were read together.
type blockBuffer struct {
	span   Span
	blocks [auditReadBlocks][]byte
	ok     [auditReadBlocks]bool
}

// prefetch reads the held blocks below the node together, if they are few.
func (w *walk) prefetch(n merkle.Node) {
	b := &w.ahead
	span := Span{flattree.LeftSpan(n.Index) / 2, flattree.Blocks(n.Index)}
	if n.Size > auditRead || span.Count > auditReadBlocks || b.span.Start <= span.Start && span.End() <= b.span.End() {
		return
	}
	b.span = span
	clear(b.ok[:])
	for s := range w.heldBelow(n.Index) {
		w.fill(s)
	}
}

// fill reads a span into the buffer. One that can't be read is halved, so that
// its neighbours aren't blamed.
func (w *walk) fill(s Span) {
	blocks, ok := w.read(s)
	if !ok && s.Count > 1 {
		w.fill(Span{s.Start, s.Count / 2})
		w.fill(Span{s.Start + s.Count/2, s.Count - s.Count/2})
		return
	}
	if !ok {
		return
	}
	for i, b := range blocks {
		at := s.Start - w.ahead.span.Start + uint64(i)
		w.ahead.blocks[at], w.ahead.ok[at] = b, true
	}
}

// block returns a block; ok is false when it is not held or can't be read.
func (w *walk) block(seq uint64) (block []byte, ok bool) {
	if b := &w.ahead; seq >= b.span.Start && seq < b.span.End() {
		at := seq - b.span.Start
		return b.blocks[at], b.ok[at]
	}
	if !w.have.Get(seq) {
		return nil, false
	}
	blocks, ok := w.read(Span{seq, 1})
	if !ok {
		return nil, false
	}
	return blocks[0], true
}
