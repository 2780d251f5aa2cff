package hypercore

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"github.com/cobox-p2p/cobox-p2p/hypercore/merkle"
)

// MaxBlock is the largest block in bytes as the tree covers it, sealed or not.
// A frame of 8 MiB ends the stream of hypercore-protocol 8, and its proof needs
// room beside the block.
const MaxBlock = 8<<20 - 64<<10

// Feed is one append-only feed in a Storage. Handles made by WithSeal and Blind
// share all but the seal. A Feed may be used by several goroutines at once.
type Feed struct {
	*core
	seal  *Seal // nil: blocks are as they are
	blind bool  // blocks are sealed with a key that isn't here
}

type core struct {
	key       Key
	discovery DiscoveryKey
	st        Storage
	unusable  error // of a feed that stands for one that can't be opened; else nil

	// writing is held over I/O by whoever changes the feed.
	writing chan struct{}
	// turn is held by whoever leads the appends that wait, until they are
	// durable. It is taken before writing.
	turn chan struct{}

	mu        sync.Mutex // guards all below; never held over I/O
	keys      KeyPair    // not Valid: the feed is not writable here
	closed    bool
	roots     merkle.Roots // of head
	head      Head         // the longest that was committed
	have      Bitfield     // blocks committed
	bytes     uint64       // of the blocks in have
	toldHead  Head         // the longest that is durable: all that a peer may hear of
	told      Bitfield     // blocks durable; Invariant: a subset of have
	queue     []*appendCall
	waiters   map[uint64]int // blocks that a Get waits for -> how many do
	changed   chan struct{}  // closed and replaced at every change of head, have or closed
	peers     map[*Peer]struct{}
	asked     map[uint64]*request // blocks requested; Invariant: in the asked of that peer, and not moved
	assigned  Bitfield            // blocks asked for in ranges; Invariant: each is in one that has not moved, or arrives
	growing   *request            // the first for the proof of a longer head
	verified  SignedHead          // one that the key has signed; see NoteVerifiedHead
	forked    *ForkEvidence       // stored; nil: none
	own       *origin             // of a feed that was opened with its keys; else nil
	signing   chan struct{}       // closed when what is just signed is in the store, or won't be; nil: nothing is
	failed    error               // of the first commit that won't become durable
	sparse    bool                // only blocks that somebody asks for are requested
	cleared   Bitfield            // blocks that are requested only when somebody asks for them; Invariant: none is in have
	removals  uint64              // how often blocks were removed
	guard     Guard               // decides on blocks before they are stored; may be nil
	refused   refusals            // blocks that it refused lately
	rations   []*Ration           // in which the blocks held count; the slice is replaced, not changed
	counted   uint64              // how many bytes of have count there
	full      *FullError          // nothing is asked of peers while there is no room; nil: there is some
	updating  int                 // Updates that wait
	downloads []*Download         // by priority, the highest first, then by age
	damage    damage              // what the store does not give back
	watchers  map[*watcher]struct{}
	counters  counters
	pending   int           // commits that are not durable yet
	settled   chan struct{} // closed when closed is true and pending 0
}

// Open opens the feed of key in st, stored or not. With a valid key pair in
// keys, whose public key must be key, it is writable, unless it is known to have
// forked or to be an old copy of its writer (ErrOldCopy). It returns ErrWeakKey for
// a key that can't be a feed's and ErrDamaged when what is stored contradicts
// itself. One Storage must not hold the same feed open twice; corestore sees to
// that.
func Open(st Storage, key Key, keys KeyPair) (*Feed, error) {
	if err := key.Check(); err != nil {
		return nil, err
	}
	if keys.Valid() && keys.Public != key {
		return nil, fmt.Errorf("hypercore: key pair of %s does not belong to feed %s", keys.Public, key)
	}
	c := newCore(st, key)
	err := c.load()
	if err == nil {
		err = c.loadEvidence()
	}
	if err == nil && keys.Valid() {
		err = c.unlock(keys)
	}
	if err != nil {
		return nil, fmt.Errorf("open feed %s: %w", c.discovery, err)
	}
	return &Feed{core: c}, nil
}

func newCore(st Storage, key Key) *core {
	return &core{
		key: key, discovery: key.Discovery(), st: st,
		writing:  make(chan struct{}, 1),
		turn:     make(chan struct{}, 1),
		waiters:  map[uint64]int{},
		changed:  make(chan struct{}),
		peers:    map[*Peer]struct{}{},
		asked:    map[uint64]*request{},
		watchers: map[*watcher]struct{}{},
		settled:  make(chan struct{}),
	}
}

func (c *core) load() error {
	stored, err := c.st.Feed(c.key)
	if errors.Is(err, ErrNoFeed) {
		return nil
	}
	if err != nil {
		return err
	}
	c.roots, err = merkle.LoadRoots(nodesOf{c.st, c.key}, stored.Head.Length)
	if errors.Is(err, merkle.ErrNoNode) || errors.Is(err, merkle.ErrRoots) {
		return fmt.Errorf("%w: roots of length %d: %w", ErrDamaged, stored.Head.Length, err)
	}
	if err != nil {
		return err
	}
	if stored.Head.Length > 0 && (c.roots.Hash() != stored.Head.RootHash || c.roots.Size() != stored.Head.Size) {
		return fmt.Errorf("%w: roots of length %d do not match its head", ErrDamaged, stored.Head.Length)
	}
	for span, err := range c.st.Held(c.key) {
		if err != nil {
			return err
		}
		c.have.SetRange(span.Start, span.Count)
		c.told.SetRange(span.Start, span.Count)
	}
	if end := c.have.End(); end > stored.Head.Length {
		return fmt.Errorf("%w: block %d is behind its head of length %d", ErrDamaged, end-1, stored.Head.Length)
	}
	c.head, c.toldHead, c.bytes, c.counted = stored.Head, stored.Head, stored.Bytes, stored.Bytes
	return c.loadCleared()
}

// WithSeal returns a handle whose Append seals and whose Get opens blocks.
func (f *Feed) WithSeal(s *Seal) *Feed { return &Feed{core: f.core, seal: s} }

// Blind returns a handle for a feed whose blocks are sealed with a key that
// isn't here: Get and Append return ErrSealed, Block works.
func (f *Feed) Blind() *Feed { return &Feed{core: f.core, blind: true} }

// Key returns the feed's public key.
func (c *core) Key() Key { return c.key }

// Discovery returns the feed's discovery key.
func (c *core) Discovery() DiscoveryKey { return c.discovery }

// Writable says whether this feed can be appended to here.
func (c *core) Writable() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.keys.Valid()
}

// Unlock makes an open feed writable with its key pair, unless it is an old copy
// of its writer; then Append returns ErrOldCopy.
func (c *core) Unlock(keys KeyPair) error {
	if !keys.Valid() || keys.Public != c.key {
		return fmt.Errorf("hypercore: key pair of %s does not belong to feed %s", keys.Public, c.key)
	}
	if err := c.unlock(keys); err != nil {
		return fmt.Errorf("unlock feed %s: %w", c.discovery, err)
	}
	return nil
}

// unlock keeps the keys unless this is an old copy of the writer.
func (c *core) unlock(keys KeyPair) error {
	c.mu.Lock()
	known, head := c.own != nil, c.head
	c.mu.Unlock()
	if known {
		return nil
	}
	o, err := c.loadOrigin(head)
	if err != nil {
		return err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.own == nil {
		c.own = o
	}
	if !c.own.old && c.forked == nil {
		c.keys = keys
	}
	return nil
}

// Readable says whether Get can return content: the handle isn't blind.
func (f *Feed) Readable() bool { return !f.blind }

// Head returns the longest signed head that is stored.
func (c *core) Head() Head {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.head
}

// DurableHead returns the longest signed head that would outlive a power cut,
// which is all that peers hear of.
func (c *core) DurableHead() Head {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.toldHead
}

// Length returns the feed's length in blocks as far as it is known here.
func (c *core) Length() uint64 { return c.Head().Length }

// ByteLength returns the bytes of all blocks as the tree covers them, held here
// or not.
func (c *core) ByteLength() uint64 { return c.Head().Size }

// Held returns how many blocks are stored here, and their bytes.
func (c *core) Held() (blocks, bytes uint64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.have.Count(), c.bytes
}

// Durable returns how many blocks would outlive a power cut here.
func (c *core) Durable() uint64 {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.told.Count()
}

// Has says whether all blocks of the span are stored here.
func (c *core) Has(span Span) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.have.Contains(span)
}

// Missing returns the first block from seq on, and below the known length, that
// is neither stored here nor cleared; ok is false when there is none.
func (c *core) Missing(seq uint64) (missing uint64, ok bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for missing = c.have.NextClear(seq); missing < c.head.Length; {
		next := c.cleared.NextClear(missing)
		if next == missing {
			return missing, true
		}
		missing = c.have.NextClear(next)
	}
	return missing, false
}

// Changed returns a channel that is closed at the next change of the head, of
// the blocks held or durable, or when the feed is closed.
func (c *core) Changed() <-chan struct{} {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.changed
}

func (c *core) changedLocked() {
	c.progressLocked()
	close(c.changed)
	c.changed = make(chan struct{})
}

// Close ends all waiting Gets, and the Appends whose blocks are not with the
// store yet, with ErrClosed and detaches all peers. Other Appends end as the
// store decides. It returns when no commit of the feed is under way, so that
// whoever opens the feed again finds all that it wrote; see also Settled. It may
// be called twice, but not in a function given to Notify.
func (c *core) Close() error {
	c.mu.Lock()
	told := c.closeLocked()
	c.mu.Unlock()
	call(told)
	c.writing <- struct{}{}
	defer c.unlockWriting()
	return c.saveShown()
}

// closeLocked returns the calls to make without the lock.
func (c *core) closeLocked() (told []func()) {
	if c.closed {
		return nil
	}
	c.closed = true
	for p := range c.peers {
		told = append(told, p.detachLocked()...)
		p.wake()
	}
	for _, call := range c.queue {
		call.done <- c.ended()
	}
	c.queue = nil
	c.changedLocked()
	c.settleLocked(0)
	return append(told, c.eventLocked(Event{Kind: Closed})...)
}

// Settled returns a channel that is closed when the feed is closed and all that
// it wrote is durable, or never will be. Opened again before that, a feed would
// take for durable what isn't.
func (c *core) Settled() <-chan struct{} { return c.settled }

// settleLocked counts commits that have reached their end.
func (c *core) settleLocked(commits int) {
	c.pending -= commits
	if !c.closed || c.pending > 0 {
		return
	}
	select {
	case <-c.settled:
	default:
		close(c.settled)
	}
}

// lockWriting waits for the right to change the feed.
func (c *core) lockWriting(ctx context.Context) error {
	select {
	case c.writing <- struct{}{}:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (c *core) unlockWriting() { <-c.writing }

// nodesOf reads the nodes of one feed.
type nodesOf struct {
	st  Storage
	key Key
}

// Node implements merkle.NodeReader.
func (n nodesOf) Node(index uint64) (merkle.Node, error) { return n.st.Node(n.key, index) }
