package hypercore

import (
	"context"
	"errors"
	"fmt"

	"github.com/cobox-p2p/cobox-p2p/hypercore/flattree"
	"github.com/cobox-p2p/cobox-p2p/hypercore/merkle"
)

// Recovered is what Recover rebuilt or Discard dropped.
type Recovered struct {
	Head   Head   // of the feed; that which was dropped, as far as it could be read
	Blocks uint64 // held, or dropped, as far as the store could tell
	Nodes  uint64 // roots written anew
	Cut    uint64 // blocks removed because they lie behind the head
	Rehead bool   // root hash, length or size of the head were put right
}

// Recover mends a feed that Open refuses with ErrDamaged, as far as what is
// stored proves it: roots are recomputed from the nodes and blocks below them
// under the signed head, or the head from the roots under its signature, and
// blocks that lie behind the head are removed. All of it is one commit, durable
// when Recover returns; then Open takes the feed, and Audit finds what else is
// damaged. A feed that Open takes anyway is not changed.
//
// When the signed head can't be rebuilt, it returns an error that wraps
// ErrDamaged and has changed nothing; see Discard. The feed must not be open.
func Recover(ctx context.Context, st Storage, key Key) (Recovered, error) {
	if err := key.Check(); err != nil {
		return Recovered{}, err
	}
	done, err := recoverFeed(ctx, st, key)
	if err != nil {
		err = fmt.Errorf("recover feed %s: %w", key.Discovery(), err)
	}
	return done, err
}

func recoverFeed(ctx context.Context, st Storage, key Key) (done Recovered, err error) {
	stored, err := st.Feed(key)
	if errors.Is(err, ErrNoFeed) {
		return done, nil
	}
	if err != nil {
		return done, damageOf("head", err)
	}
	have, err := heldOf(st, key)
	if err != nil {
		return done, damageOf("list of blocks", err)
	}
	if err := ctx.Err(); err != nil {
		return done, err
	}
	r := recovery{walk: walk{auditor: newAuditor(st, key, have)}, key: key}
	stop := context.AfterFunc(ctx, func() { r.end(context.Cause(ctx)) })
	defer stop()
	w := FeedWrite{Key: key}
	roots, head, ok := r.rebuild(stored.Head)
	if err := r.endedBy(); err != nil {
		return done, err
	}
	if !ok {
		return done, fmt.Errorf("%w: nothing stored fits the head of length %d and its signature", ErrDamaged, stored.Head.Length)
	}
	for _, n := range roots {
		if s, ok := r.node(n.Index); !ok || s != n {
			w.Nodes = append(w.Nodes, n)
		}
	}
	if head != stored.Head {
		w.Head, done.Rehead = &head, true
	}
	for s := range have.Spans(head.Length, have.End()) {
		w.Clear = append(w.Clear, s)
		done.Cut += s.Count
	}
	done.Head, done.Nodes, done.Blocks = head, uint64(len(w.Nodes)), have.Count()-done.Cut
	if len(w.Nodes) == 0 && w.Head == nil && len(w.Clear) == 0 {
		return done, nil
	}
	return done, commitAlone(st, &Batch{Feeds: []FeedWrite{w}})
}

// heldOf returns which blocks the store holds.
func heldOf(st Storage, key Key) (*Bitfield, error) {
	var have Bitfield
	for s, err := range st.Held(key) {
		if err != nil {
			return nil, err
		}
		have.SetRange(s.Start, s.Count)
	}
	return &have, nil
}

// damageOf makes an error of the store one that wraps ErrDamaged, unless the
// store is closed.
func damageOf(what string, err error) error {
	if errors.Is(err, ErrClosed) || errors.Is(err, ErrDamaged) {
		return fmt.Errorf("%s: %w", what, err)
	}
	return fmt.Errorf("%w: %s: %w", ErrDamaged, what, err)
}

// commitAlone returns when the batch is durable.
func commitAlone(st Storage, b *Batch) error {
	done := make(chan error, 1)
	b.Urgent, b.Durable = true, func(err error) { done <- err }
	if err := st.Commit(b); err != nil {
		return err
	}
	return <-done
}

// recovery looks for roots that a signature covers.
type recovery struct {
	walk
	key Key
}

func (r *recovery) endedBy() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.ended
}

// rebuild returns the roots, left to right, and the head that the stored
// signature covers.
func (r *recovery) rebuild(head Head) (roots []merkle.Node, fixed Head, ok bool) {
	if head.Length == 0 && head == (Head{}) {
		return nil, head, true
	}
	signed := func(h Head) bool {
		return h.Length > 0 && h.Length <= merkle.MaxLength && r.key.Verify(Signable(h.RootHash, h.Length), h.Signature) == nil
	}
	if signed(head) {
		roots, ok := r.rootsOf(head.Length, func(root merkle.Hash) bool { return root == head.RootHash })
		return roots, sized(head, roots), ok
	}
	for i, length := range [2]uint64{head.Length, r.have.End()} {
		if length == 0 || length > merkle.MaxLength || i > 0 && length == head.Length {
			continue
		}
		tried := head
		tried.Length = length
		wrong := map[merkle.Hash]bool{}
		roots, ok := r.rootsOf(length, func(root merkle.Hash) bool {
			tried.RootHash = root
			if !wrong[root] {
				wrong[root] = !signed(tried)
			}
			return !wrong[root]
		})
		if ok {
			return roots, sized(tried, roots), true
		}
	}
	return nil, head, false
}

// sized returns the head with the size that its roots have.
func sized(h Head, roots []merkle.Node) Head {
	h.Size = 0
	for _, n := range roots {
		h.Size += n.Size
	}
	return h
}

// maxRootTries bounds how many combinations of roots are tried, and hence how
// many signatures are checked.
const maxRootTries = 4096

// rootsOf looks for roots of a tree of length blocks that right accepts, as they
// are stored or as they follow from what lies below them.
func (r *recovery) rootsOf(length uint64, right func(merkle.Hash) bool) ([]merkle.Node, bool) {
	var indexes []uint64
	indexes = flattree.FullRoots(indexes, length)
	tries := 0
	for depth := 0; depth <= flattree.Depth(indexes[0])+1; depth++ {
		all := make([][]merkle.Node, len(indexes))
		for i, index := range indexes {
			all[i] = r.candidates(index, depth)
		}
		roots := make([]merkle.Node, len(indexes))
		if pick(all, roots, func() bool {
			tries++
			tree, err := merkle.NewRoots(roots)
			return err == nil && right(tree.Hash())
		}, &tries) {
			return roots, true
		}
		if tries > maxRootTries || r.over() {
			break
		}
	}
	return nil, false
}

// pick sets roots to one combination of all after the other until right is true.
func pick(all [][]merkle.Node, roots []merkle.Node, right func() bool, tries *int) bool {
	at := len(roots) - len(all)
	if len(all) == 0 {
		return right()
	}
	for _, n := range all[0] {
		if *tries > maxRootTries {
			return false
		}
		roots[at] = n
		if pick(all[1:], roots, right, tries) {
			return true
		}
	}
	return false
}

// Discard drops all that is stored of a feed, so that it can be fetched anew from
// peers, and says what that was, as far as it can be read. A feed that was
// written here is never written again: peers may hold blocks of which nothing is
// known here any more, so Append returns ErrOldCopy from then on. Nothing calls
// it by itself. The feed must not be open.
func Discard(ctx context.Context, st Storage, key Key) (Recovered, error) {
	if err := ctx.Err(); err != nil {
		return Recovered{}, err
	}
	stored, err := st.Feed(key)
	if errors.Is(err, ErrClosed) {
		return Recovered{}, err
	}
	done := Recovered{Head: stored.Head, Blocks: stored.Blocks}
	b := &Batch{Feeds: []FeedWrite{{Key: key, Drop: true}}, Records: []Record{oldRecord(key)}}
	if err := commitAlone(st, b); err != nil {
		return done, fmt.Errorf("discard feed %s: %w", key.Discovery(), err)
	}
	return done, nil
}
