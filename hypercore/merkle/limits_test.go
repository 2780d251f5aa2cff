package merkle

import (
	"errors"
	"testing"
)

func TestVerifyLimits(t *testing.T) {
	w := letters(1)
	r := newReader(w)
	good := w.claim(t, 1, 0, 0, false)
	c := good
	c.Seq = MaxLength
	wantError(t, r, c, ErrProofLimit, "block at the limit")
	c.Seq--
	wantError(t, r, c, ErrProofShort, "block below the limit")
	nodes := make([]Node, MaxProofNodes+1)
	for i := range nodes {
		nodes[i].Index = uint64(2*i + 2)
	}
	c = good
	c.Nodes = nodes
	wantError(t, r, c, ErrProofLimit, "too many nodes")
	c.Nodes = nodes[1:]
	if _, err := r.verify(c); !errors.Is(err, ErrProof) || errors.Is(err, ErrProofLimit) {
		t.Errorf("as many nodes as may be: %v", err)
	}
	for index, want := range map[uint64]error{MaxSize: ErrProofLimit, MaxSize - 1: ErrProofShort, 1<<64 - 1: ErrProofLimit} {
		c.Nodes = []Node{{Index: index}}
		wantError(t, r, c, want, "index %d", index)
	}
	for size, want := range map[uint64]error{
		MaxSize + 1: ErrProofSize, 1<<64 - 1: ErrProofSize, MaxSize: ErrProofSize, MaxSize - 3: ErrProofSize,
		MaxSize - 4: ErrProofSignature, // 4 bytes are the block's
	} {
		for _, index := range []uint64{2, 1} {
			c := Claim{Seq: 0, Block: []byte("0000"), HasBlock: true, Nodes: []Node{{Index: index, Size: size}}, Signature: good.Signature}
			if index == 1 { // as a root beside the block
				c.Seq = 2
			}
			wantError(t, r, c, want, "node %d of %d bytes", index, size)
		}
	}
}

var errDisk = errors.New("disk")

type badDisk struct{}

func (badDisk) Node(uint64) (Node, error) { return Node{}, errDisk }

type mixedUp struct{}

func (mixedUp) Node(index uint64) (Node, error) { return Node{Index: index + 1}, nil }

func TestVerifyErrorsOfTheStore(t *testing.T) {
	w := letters(8)
	c := w.claim(t, 8, 3, 0, false)
	never := func(Hash, uint64) error { t.Error("signature checked"); return nil }
	_, err := Verify(badDisk{}, w.roots, c, never)
	if !errors.Is(err, errDisk) || errors.Is(err, ErrProof) {
		t.Errorf("error of the store: %v", err)
	}
	if _, err := Verify(mixedUp{}, w.roots, c, never); err == nil || errors.Is(err, ErrProof) {
		t.Errorf("wrong node from the store: %v", err)
	}
}

func TestVerifyPassesOverNodesOutsideTheHead(t *testing.T) {
	w := letters(8)
	r := full(t, w, 4)
	r.nodes[8] = Node{Index: 8, Hash: Hash{1}}
	r.nodes[11] = Node{Index: 11, Hash: Hash{2}}
	v, err := r.verify(w.claim(t, 8, 4, 8, false))
	if err != nil || v.Roots == nil || v.Roots.Hash() != w.roots.Hash() {
		t.Errorf("%+v, %v", v, err)
	}
}
