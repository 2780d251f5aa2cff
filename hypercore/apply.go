package hypercore

import (
	"context"
	"errors"
	"fmt"

	"github.com/cobox-p2p/cobox-p2p/hypercore/merkle"
)

// Apply verifies a block or a hash with its proof, as Prove gives it, and
// stores what is proved. It returns a *RemoteError when the proof does not
// verify, and merkle.ErrProofBranch when it is about a longer tree that isn't
// shown to continue ours, which is no fault. With the first evidence of a fork
// the *RemoteError matches ErrForked; after that ErrForked alone answers what
// would make the feed longer or contradicts it. A feed that is written here and
// grows by it is not written any more, and what contradicts blocks of it that
// nobody was shown is answered with ErrOldCopy; see Compare. Nothing is stored
// with an error.
// What is held already is none. The slices in d are not kept.
func (c *core) Apply(ctx context.Context, d *Data) error {
	_, err := c.apply(ctx, d, nil)
	return err
}

// apply also returns whether the feed grew.
func (c *core) apply(ctx context.Context, d *Data, from *Peer) (grew bool, err error) {
	if err := c.lockWriting(ctx); err != nil {
		return false, err
	}
	defer c.unlockWriting()
	c.mu.Lock()
	roots, closed, held, forked := c.roots.Clone(), c.closed, c.have.Get(d.Index), c.forkedLocked()
	c.mu.Unlock()
	if closed {
		return false, c.ended()
	}
	v, err := c.verify(roots, d, from)
	if err != nil {
		return false, err
	}
	if v.Roots != nil && forked != nil && !withinHead(&v, d.Index, roots.Length()) {
		return false, forked
	}
	w, fw := &change{from: from}, FeedWrite{Key: c.key, Nodes: v.Nodes}
	if v.Roots != nil {
		w.roots = v.Roots
		w.head = Head{Length: v.Roots.Length(), Size: v.Roots.Size(), RootHash: v.Roots.Hash(), Signature: Signature(d.Signature)}
		fw.Head = &w.head
	}
	var refused error
	if d.Value != nil && !held {
		refused = c.refusal(d.Index, d.Value, from)
	}
	if d.Value != nil && !held && refused == nil {
		w.spans, w.bytes = []Span{{d.Index, 1}}, uint64(len(d.Value))
		fw.Runs = []Run{{Start: d.Index, Blocks: [][]byte{d.Value}}}
	}
	if w.roots == nil && len(w.spans) == 0 {
		return false, refused
	}
	b := &Batch{Feeds: []FeedWrite{fw}}
	tell := func() {}
	if w.roots != nil {
		tell = c.grownByOther(b, w.head, from)
	}
	undo := c.unclear(b, w.spans...)
	if err := c.commit(w, b); err != nil {
		undo()
		return false, fmt.Errorf("store block %d of feed %s: %w", d.Index, c.discovery, err)
	}
	tell()
	return w.roots != nil, refused
}

// verify returns what d proves beside the tree of roots, and says whose fault it
// is when that is nothing.
func (c *core) verify(roots merkle.Roots, d *Data, from *Peer) (merkle.Verified, error) {
	if len(d.Value) > MaxBlock {
		return merkle.Verified{}, c.remote(ErrBlockSize)
	}
	v, err := c.verifyTrusted(roots, merkle.Claim{
		Seq: d.Index, Block: d.Value, HasBlock: d.Value != nil, Nodes: d.Nodes, Signature: d.Signature,
	})
	if err == nil && !v.InTree {
		return v, ErrOtherTree
	}
	if evidence, ok := errors.AsType[*merkle.ForkError](err); ok {
		return v, c.fork(evidence, Signature(d.Signature), from)
	}
	if errors.Is(err, merkle.ErrProof) {
		return v, c.remote(fmt.Errorf("block %d: %w", d.Index, err))
	}
	if err != nil {
		return v, fmt.Errorf("apply block %d of feed %s: %w", d.Index, c.discovery, err)
	}
	return v, nil
}

// ErrOtherTree is returned for a block that only an older head vouches for, in a
// way that can't be tied to the tree stored here. It is nobody's fault.
var ErrOtherTree = errors.New("hypercore: proof under an older head")

func (c *core) remote(err error) error { return &RemoteError{Feed: c.discovery, Err: err} }

// Prove returns block seq with the proof that a reader needs who holds the
// nodes of digest (see merkle.Digest; 0 for a reader who holds nothing), under
// the durable head. With hash, it returns the hash of the block instead. It
// returns ErrNoBlock when the block, or the path to it, is not stored, and an
// error that wraps both ErrNoBlock and ErrDamaged when it is stored and can't be
// read; that is noted, see Damage. The slices belong to the caller.
func (c *core) Prove(seq, digest uint64, hash bool) (*Data, error) {
	c.mu.Lock()
	head, held := c.provenLocked(), c.told.Get(seq)
	c.mu.Unlock()
	if seq >= head.Length || !hash && !held {
		return nil, ErrNoBlock
	}
	p, err := merkle.Prove(trusted{c}, head.Length, seq, digest, hash)
	if errors.Is(err, merkle.ErrNoNode) {
		return nil, c.unprovable(seq, head.Length, hash)
	}
	if err != nil {
		return nil, fmt.Errorf("prove block %d of feed %s: %w", seq, c.discovery, err)
	}
	d := &Data{Index: seq, Nodes: p.Nodes}
	if p.Length > 0 {
		d.Signature = head.Signature[:]
		c.mu.Lock()
		c.showLocked(head)
		c.mu.Unlock()
	}
	if hash {
		return d, nil
	}
	blocks, err := c.readBlocks(Span{seq, 1})
	if errors.Is(err, ErrDamaged) {
		return nil, fmt.Errorf("%w: %w", ErrNoBlock, err)
	}
	if err != nil {
		return nil, fmt.Errorf("prove block %d of feed %s: %w", seq, c.discovery, err)
	}
	if d.Value = blocks[0]; d.Value == nil {
		d.Value = []byte{} // nil would be the answer to a request for the hash
	}
	return d, nil
}

// Seek returns the block that holds the byte at offset of all blocks laid end to
// end, and where in it. It returns ErrNoBlock when the tree nodes on the way
// are not stored here or the feed is not that long.
func (c *core) Seek(offset uint64) (seq, within uint64, err error) {
	c.mu.Lock()
	roots := c.roots.Clone()
	c.mu.Unlock()
	seq, within, err = merkle.Seek(trusted{c}, roots, offset)
	if errors.Is(err, merkle.ErrNoNode) {
		err = ErrNoBlock
	}
	return seq, within, err
}
