package merkle

import (
	"cmp"
	"fmt"
	"slices"
)

// Verified is what a claim proved. Its slices belong to the caller.
type Verified struct {
	// InTree says that the block, or its hash, belongs to the tree: the held
	// one, or the longer one of Roots. It is false when an older head of the
	// feed vouches for it in a way that can't be tied to the held tree: nothing
	// is to be stored then, not the block either, and the peer did no wrong.
	InTree bool
	// Count is how many of the claimed blocks, from the first on, InTree is true
	// of: 1 or 0 with Verify.
	Count uint64
	// Leaf is the node of the block. Of a claim without block only the hash is
	// proved, and the size too if the node is among Nodes or held already.
	Leaf Node
	// Nodes are to be stored, in ascending order of their indexes. None is held
	// already; hash and size of all are proved.
	Nodes []Node
	// Roots, if not nil, are those of the longer tree that the claim's signature
	// covers, and which continues the held one.
	Roots *Roots
}

// Verify checks a peer's claim against the held tree, whose roots are head, and
// says what may be stored. local reads the nodes that are held: all of them are
// trusted, and for every held block and for the head they lead up to the roots
// with all siblings. checkSignature returns nil if the claim's signature covers
// the given root hash and length; it is called at most once, and only when roots
// need it.
//
// The claim is hashed up from its leaf with the siblings that it brings or that
// are held. It ends at a held node, or else in roots that the signature covers.
// A node given for a held index must equal the held one, every given node must
// have its use, and a longer tree is taken over only if the proof derives or
// repeats every root of head, so that no second branch slips in. See
// interop/spec/feed.md, "Accepting a proof".
//
// Errors that match ErrProof are the peer's fault; see also ErrProofBranch and
// ErrProofFork. Any other is that of local.
func Verify(local NodeReader, head Roots, c Claim, checkSignature func(root Hash, length uint64) error) (Verified, error) {
	if err := c.check(); err != nil {
		return Verified{}, err
	}
	v := newVerifier(local, head, &c, checkSignature)
	if err := v.climb(); err != nil {
		return Verified{}, err
	}
	if v.needsRoots() {
		if err := v.planRoots(); err != nil {
			return Verified{}, err
		}
	}
	if v.roots != nil && !v.rootsHeld() && len(c.Signature) == 0 {
		return Verified{}, fmt.Errorf("%w: missing for %d blocks", ErrProofSignature, v.length)
	}
	if err := v.hash(); err != nil {
		return Verified{}, err
	}
	if v.dispute != nil {
		return Verified{}, v.judge()
	}
	if v.roots == nil {
		return v.within(), nil
	}
	return v.signed()
}

// anchor returns how many nodes of the path lie at or below its highest held
// node. They are proved by it, and so are the siblings between them.
func (v *verifier) anchor() int {
	for i := len(v.path); i > 0; i-- {
		if v.path[i-1].held {
			return i
		}
	}
	return 0
}

// within returns what a proof that ends at a held node has proved.
func (v *verifier) within() Verified { return v.proved(v.anchor(), nil) }

// signed checks the signature over the roots and says what it proved.
func (v *verifier) signed() (Verified, error) {
	anchor := v.anchor()
	grown, err := v.grown()
	if err != nil {
		return Verified{}, err
	}
	if !v.rootsHeld() {
		if err := v.check(); err != nil {
			return Verified{}, err
		}
	}
	switch {
	case v.length > v.held.head.length && v.continues():
		return v.proved(len(v.path), &grown), nil
	case anchor > 0:
		// Whatever the other tree is, this much hangs on a held node.
		return v.proved(anchor, nil), nil
	case v.length <= v.held.head.length:
		return Verified{Leaf: v.path[0].Node}, nil
	}
	return Verified{}, fmt.Errorf("%w: %d blocks to %d", ErrProofBranch, v.held.head.length, v.length)
}

// check calls checkSignature with the roots.
func (v *verifier) check() error {
	if err := v.checkSignature(RootHash(nodesOf(v.roots)), v.length); err != nil {
		return fmt.Errorf("%w: of %d blocks: %w", ErrProofSignature, v.length, err)
	}
	return nil
}

// grown returns the roots as a tree.
func (v *verifier) grown() (Roots, error) {
	r, err := NewRoots(nodesOf(v.roots))
	if err != nil {
		return Roots{}, fmt.Errorf("%w: tree of %d blocks", ErrProofSize, v.length)
	}
	return r, nil
}

// rootsHeld says whether all roots are those of a part of the held tree, so that
// no signature is needed.
func (v *verifier) rootsHeld() bool {
	return v.length <= v.held.head.length && !slices.ContainsFunc(v.roots, func(p part) bool { return !p.held })
}

// continues says whether every root of the held tree is part of the proof.
// Their equality was checked with that of all held nodes.
func (v *verifier) continues() bool {
	for _, r := range v.held.head.nodes {
		is := func(p part) bool { return p.Index == r.Index }
		if !slices.ContainsFunc(v.path, is) && !slices.ContainsFunc(v.siblings, is) && !slices.ContainsFunc(v.roots, is) {
			return false
		}
	}
	return true
}

// proved returns the first levels nodes of the path with their siblings, and the
// roots if the tree grew.
func (v *verifier) proved(levels int, grown *Roots) Verified {
	res := Verified{InTree: true, Count: 1, Leaf: v.path[0].Node, Roots: grown}
	add := func(p part) {
		if !p.held {
			res.Nodes = append(res.Nodes, p.Node)
		}
	}
	// A parent commits only to the sum of its children's sizes. When the leaf
	// came without block, and its sibling from the same peer, neither size is
	// proved. Further up, the size of the one is inside its own hash.
	loose := !v.claim.HasBlock && levels > 1 && !v.path[0].held && !v.siblings[0].held
	for i := range levels {
		if i > 0 || !loose {
			add(v.path[i])
		}
		if i+1 < levels && (i > 0 || !loose) {
			add(v.siblings[i])
		}
	}
	if grown != nil {
		for _, p := range v.roots {
			if p.Index != v.path[len(v.path)-1].Index {
				add(p)
			}
		}
	}
	slices.SortFunc(res.Nodes, func(a, b Node) int { return cmp.Compare(a.Index, b.Index) })
	return res
}

func nodesOf(parts []part) []Node {
	nodes := make([]Node, len(parts))
	for i, p := range parts {
		nodes[i] = p.Node
	}
	return nodes
}
