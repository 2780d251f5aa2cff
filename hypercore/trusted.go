package hypercore

import (
	"errors"

	"github.com/cobox-p2p/cobox-p2p/hypercore/merkle"
)

// trusted reads the nodes of a feed. What can't be read counts as not stored, and
// so does what an audit found wrong, unless it found the right node too: then a
// peer's proof brings it, and is stored. Roots in use need no store.
type trusted struct{ c *core }

// Node implements merkle.NodeReader. It returns merkle.ErrNoNode or ErrClosed.
func (t trusted) Node(index uint64) (merkle.Node, error) {
	c := t.c
	n, err := c.st.Node(c.key, index)
	if errors.Is(err, ErrClosed) {
		return merkle.Node{}, err
	}
	if err == nil && n.Index == index && !c.damage.wrong.Load() {
		return n, nil
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	right, bad := c.damage.nodes[index]
	switch {
	case bad && right != nil:
		return *right, nil
	case !bad && err == nil && n.Index == index:
		return n, nil
	}
	for _, r := range c.roots.Nodes() {
		if r.Index == index {
			return r, nil
		}
	}
	return merkle.Node{}, merkle.ErrNoNode
}

// verifyTrusted is merkle.Verify beside the stored nodes. What contradicts these
// is looked at again beside nothing but the roots in use: when it leads up to
// them, our nodes were wrong, and what is proved goes in their place.
func (c *core) verifyTrusted(roots merkle.Roots, claim merkle.Claim) (merkle.Verified, error) {
	check := func(root merkle.Hash, length uint64) error {
		return c.key.Verify(Signable(root, length), Signature(claim.Signature))
	}
	v, err := merkle.Verify(trusted{c}, roots, claim, check)
	if !errors.Is(err, merkle.ErrProof) && !errors.Is(err, merkle.ErrProofFork) {
		return v, err
	}
	alone, again := merkle.Verify(noNodes{}, roots, claim, check)
	if again != nil || !alone.InTree || !c.corrects(alone.Nodes) {
		return v, err
	}
	return alone, nil
}

// corrects says whether one of the nodes, which are proved, is stored otherwise.
func (c *core) corrects(nodes []merkle.Node) bool {
	for _, n := range nodes {
		stored, err := c.st.Node(c.key, n.Index)
		if err == nil && stored != n || err != nil && !isGone(err) {
			return true
		}
	}
	return false
}

// noNodes holds no node.
type noNodes struct{}

func (noNodes) Node(uint64) (merkle.Node, error) { return merkle.Node{}, merkle.ErrNoNode }
