package storage

import (
	"bytes"
	"cmp"
	"fmt"
	"iter"
	"maps"
	"slices"
	"strings"
	"sync"

	"github.com/cobox-p2p/cobox-p2p/hypercore"
	"github.com/cobox-p2p/cobox-p2p/hypercore/merkle"
)

// Memory is a Storage in memory, for tests and for nodes that keep nothing.
// Batches count as durable at once, so Durable is called before Commit returns,
// unless another goroutine is just calling earlier ones: then that one calls it.
//
// HoldSync, ReleaseSync and FailSync let a test play a slow or broken disk.
type Memory struct {
	mu      sync.RWMutex // guards all below
	feeds   map[hypercore.Key]*memoryFeed
	records map[string][]byte
	syncs   syncQueue
	closed  bool
}

type memoryFeed struct {
	head   hypercore.Head
	nodes  map[uint64]merkle.Node
	blocks map[uint64][]byte
	held   spanSet // Invariant: names the keys of blocks
	bytes  uint64  // Invariant: sum of the sizes of blocks
}

var _ hypercore.Storage = (*Memory)(nil)

// NewMemory returns an empty store.
func NewMemory() *Memory {
	m := &Memory{feeds: make(map[hypercore.Key]*memoryFeed), records: make(map[string][]byte)}
	m.syncs.idle.L = &m.mu
	return m
}

// Feeds implements hypercore.Storage. It yields the feeds as they were when the
// loop began.
func (m *Memory) Feeds() iter.Seq2[hypercore.StoredFeed, error] {
	return func(yield func(hypercore.StoredFeed, error) bool) {
		all, err := m.feedList()
		if err != nil {
			yield(hypercore.StoredFeed{}, err)
			return
		}
		for _, f := range all {
			if !yield(f, nil) {
				return
			}
		}
	}
}

func (m *Memory) feedList() ([]hypercore.StoredFeed, error) {
	m.mu.RLock()
	defer m.mu.RUnlock()
	if m.closed {
		return nil, hypercore.ErrClosed
	}
	all := make([]hypercore.StoredFeed, 0, len(m.feeds))
	for key, f := range m.feeds {
		all = append(all, f.stored(key))
	}
	slices.SortFunc(all, func(a, b hypercore.StoredFeed) int { return bytes.Compare(a.Key[:], b.Key[:]) })
	return all, nil
}

func (f *memoryFeed) stored(key hypercore.Key) hypercore.StoredFeed {
	return hypercore.StoredFeed{Key: key, Head: f.head, Blocks: uint64(len(f.blocks)), Bytes: f.bytes}
}

// Feed implements hypercore.Storage.
func (m *Memory) Feed(key hypercore.Key) (hypercore.StoredFeed, error) {
	m.mu.RLock()
	defer m.mu.RUnlock()
	if m.closed {
		return hypercore.StoredFeed{}, hypercore.ErrClosed
	}
	f := m.feeds[key]
	if f == nil {
		return hypercore.StoredFeed{}, hypercore.ErrNoFeed
	}
	return f.stored(key), nil
}

// Held implements hypercore.Storage. It yields the spans as they were when the
// loop began, and none for a feed that is not stored.
func (m *Memory) Held(key hypercore.Key) iter.Seq2[hypercore.Span, error] {
	return func(yield func(hypercore.Span, error) bool) {
		held, err := m.spans(key)
		if err != nil {
			yield(hypercore.Span{}, err)
			return
		}
		for _, span := range held {
			if !yield(span, nil) {
				return
			}
		}
	}
}

func (m *Memory) spans(key hypercore.Key) (spanSet, error) {
	m.mu.RLock()
	defer m.mu.RUnlock()
	if m.closed {
		return nil, hypercore.ErrClosed
	}
	if f := m.feeds[key]; f != nil {
		return slices.Clone(f.held), nil
	}
	return nil, nil
}

// Node implements hypercore.Storage. It returns merkle.ErrNoNode for a feed
// that is not stored, too.
func (m *Memory) Node(key hypercore.Key, index uint64) (merkle.Node, error) {
	m.mu.RLock()
	defer m.mu.RUnlock()
	if m.closed {
		return merkle.Node{}, hypercore.ErrClosed
	}
	if f := m.feeds[key]; f != nil {
		if n, ok := f.nodes[index]; ok {
			return n, nil
		}
	}
	return merkle.Node{}, merkle.ErrNoNode
}

// Blocks implements hypercore.Storage. It returns hypercore.ErrNoBlock for a
// feed that is not stored, and nothing for an empty span.
func (m *Memory) Blocks(key hypercore.Key, span hypercore.Span) ([][]byte, error) {
	m.mu.RLock()
	defer m.mu.RUnlock()
	if m.closed {
		return nil, hypercore.ErrClosed
	}
	if span.Count == 0 {
		return nil, nil
	}
	f := m.feeds[key]
	if f == nil || !f.held.contains(span) {
		return nil, hypercore.ErrNoBlock
	}
	blocks := make([][]byte, span.Count)
	for i := range blocks {
		blocks[i] = copyOf(f.blocks[span.Start+uint64(i)])
	}
	return blocks, nil
}

// Record implements hypercore.Storage.
func (m *Memory) Record(key []byte) ([]byte, error) {
	m.mu.RLock()
	defer m.mu.RUnlock()
	if m.closed {
		return nil, hypercore.ErrClosed
	}
	value, ok := m.records[string(key)]
	if !ok {
		return nil, hypercore.ErrNoRecord
	}
	return copyOf(value), nil
}

// Records implements hypercore.Storage. It yields the records as they were when
// the loop began.
func (m *Memory) Records(prefix []byte) iter.Seq2[hypercore.Record, error] {
	p := string(prefix)
	return func(yield func(hypercore.Record, error) bool) {
		all, err := m.recordList(p)
		if err != nil {
			yield(hypercore.Record{}, err)
			return
		}
		for _, r := range all {
			if !yield(r, nil) {
				return
			}
		}
	}
}

func (m *Memory) recordList(prefix string) ([]hypercore.Record, error) {
	m.mu.RLock()
	defer m.mu.RUnlock()
	if m.closed {
		return nil, hypercore.ErrClosed
	}
	var all []hypercore.Record
	for key, value := range m.records {
		if strings.HasPrefix(key, prefix) {
			all = append(all, hypercore.Record{Key: []byte(key), Value: copyOf(value)})
		}
	}
	slices.SortFunc(all, func(a, b hypercore.Record) int { return cmp.Compare(string(a.Key), string(b.Key)) })
	return all, nil
}

// Commit implements hypercore.Storage. It returns an error that wraps
// ErrBadBatch for a batch beyond a limit.
func (m *Memory) Commit(b *hypercore.Batch) error {
	if _, err := checkBatch(b); err != nil {
		return err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.closed {
		return hypercore.ErrClosed
	}
	if m.syncs.failed != nil {
		return m.syncs.failed
	}
	plans := planFeeds(b)
	for i := range plans {
		m.writeLocked(&plans[i])
	}
	for _, r := range b.Records {
		if r.Value == nil {
			delete(m.records, string(r.Key))
			continue
		}
		m.records[string(r.Key)] = copyOf(r.Value)
	}
	m.syncs.pushLocked(b.Durable)
	m.syncs.drainLocked()
	return nil
}

func (m *Memory) writeLocked(p *feedPlan) {
	if p.drop {
		delete(m.feeds, p.key)
	}
	if !p.write {
		return
	}
	f := m.feeds[p.key]
	if f == nil {
		f = &memoryFeed{nodes: make(map[uint64]merkle.Node), blocks: make(map[uint64][]byte)}
		m.feeds[p.key] = f
	}
	if p.truncate {
		maps.DeleteFunc(f.nodes, func(index uint64, _ merkle.Node) bool { return nodeSpan(index).End() > p.keep })
	}
	for _, span := range p.clear {
		f.clear(span)
	}
	if p.head != nil {
		f.head = *p.head
	}
	for _, n := range p.nodes {
		f.nodes[n.Index] = n
	}
	for _, run := range p.runs {
		f.writeRun(run)
	}
}

// clear removes the blocks of the span.
func (f *memoryFeed) clear(span hypercore.Span) {
	for _, held := range f.held {
		from, to := max(held.Start, span.Start), min(held.End(), span.End())
		for seq := from; seq < to; seq++ {
			f.bytes -= uint64(len(f.blocks[seq]))
			delete(f.blocks, seq)
		}
	}
	f.held = f.held.remove(span)
}

// writeRun stores the blocks of the run that are not held.
func (f *memoryFeed) writeRun(run hypercore.Run) {
	for i, block := range run.Blocks {
		seq := run.Start + uint64(i)
		if _, ok := f.blocks[seq]; ok {
			continue
		}
		f.blocks[seq] = copyOf(block)
		f.bytes += uint64(len(block))
	}
	f.held = f.held.add(run.Span())
}

// Close implements hypercore.Storage. It ends a HoldSync.
func (m *Memory) Close() error {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.closed = true
	m.syncs.held = false
	m.syncs.finishLocked()
	return nil
}

// HoldSync makes every later Durable wait for ReleaseSync, FailSync or Close,
// as on a disk whose sync takes long. Batches still apply and can be read.
func (m *Memory) HoldSync() {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.syncs.held = true
}

// ReleaseSync ends HoldSync. The Durable functions that wait have been called,
// in the order of their commits, when it returns.
func (m *Memory) ReleaseSync() {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.syncs.held = false
	m.syncs.finishLocked()
}

// FailSync plays a sync that failed with err: the Durable functions that wait
// are called with an error that wraps hypercore.ErrStorageFailed and err, and
// every later Commit returns it. What was written can still be read.
func (m *Memory) FailSync(err error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.syncs.failed == nil {
		m.syncs.failed = fmt.Errorf("%w: %w", hypercore.ErrStorageFailed, err)
	}
	m.syncs.held = false
	m.syncs.finishLocked()
}

// copyOf returns a copy of b that is never nil.
func copyOf(b []byte) []byte { return append(make([]byte, 0, len(b)), b...) }
