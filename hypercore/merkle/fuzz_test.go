package merkle

import (
	"errors"
	"fmt"
	"slices"
	"testing"
)

func FuzzVerify(f *testing.F) {
	w := letters(13)
	empty, some := newReader(w), newReader(w)
	some.mustApply(f, w.claim(f, 6, 0, 0, false))
	some.mustApply(f, w.claim(f, 6, 5, some.digest(5), true))
	readers := []*reader{empty, some, full(f, w, 7), full(f, w, 13)}
	for _, r := range readers {
		for seq := range uint64(13) {
			f.Add(pack(w.claim(f, 13, seq, r.digest(seq), seq%3 == 0)))
		}
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		c := unpack(w, b)
		for i, r := range readers {
			v, err := r.verify(c)
			if r.checks > 1 || errors.Is(err, ErrProofFork) {
				t.Fatalf("reader %d: %d checks, %v", i, r.checks, err)
			}
			if err != nil {
				continue
			}
			if err := r.sound(c, v); err != nil {
				t.Fatalf("reader %d: %v: %+v", i, err, c)
			}
		}
	})
}

// pack and unpack write a claim as few bytes, so that a fuzzer gets far: nodes
// and signatures are named, then changed.
func pack(c Claim) []byte {
	b := []byte{byte(c.Seq), 0, 0}
	if c.HasBlock {
		b[1] = 1
	}
	if c.Signature != nil {
		b[2] = 13
	}
	for _, n := range c.Nodes {
		b = append(b, byte(n.Index), 0, 0, 0)
	}
	return b
}

func unpack(w *writer, b []byte) Claim {
	if len(b) < 3 {
		return Claim{}
	}
	c := Claim{Seq: uint64(b[0]), HasBlock: b[1]&1 == 1}
	if c.Seq < uint64(len(w.blocks)) {
		c.Block = slices.Clone(w.blocks[c.Seq])
		if len(c.Block) > 0 {
			c.Block[0] ^= b[1] >> 1
		}
	}
	if n := int(b[2]); n > 0 && n < len(w.signed) {
		c.Signature = w.signed[n]
	}
	for b = b[3:]; len(b) >= 4; b = b[4:] {
		n := w.nodes[uint64(b[0])]
		n.Index ^= uint64(b[1])
		n.Size += uint64(int8(b[2]))
		n.Hash[0] ^= b[3]
		c.Nodes = append(c.Nodes, n)
	}
	return c
}

func BenchmarkVerify(b *testing.B) {
	w := newWriter("w")
	for i := range 1 << 12 {
		w.append(fmt.Appendf(nil, "%0100d", i))
	}
	yes := func(Hash, uint64) error { return nil }
	r := newReader(w)
	r.mustApply(b, w.claim(b, 1<<12, 0, 0, false))
	for name, c := range map[string]Claim{
		"signed": w.claim(b, 1<<12, 1000, 0, false),
		"within": w.claim(b, 1<<12, 1000, r.digest(1000), false),
	} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for range b.N {
				if _, err := Verify(r.nodes, r.head, c, yes); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
