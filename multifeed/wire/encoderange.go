package wire

import "github.com/cobox-p2p/cobox-p2p/hypercore"

// rangeRequest leaves out what is 0.
func (e *encoder) rangeRequest(m *hypercore.RangeRequest) {
	if m.Count == 0 {
		e.fail("range of no block")
	}
	e.uint(1, m.Start)
	e.uint(2, m.Count)
	if m.Length != 0 {
		e.uint(3, m.Length)
	}
	if m.Left != 0 {
		e.uint(4, m.Left)
	}
	if m.Right != 0 {
		e.uint(5, m.Right)
	}
	if m.Urgent {
		e.bool(6, true)
	}
}

func (e *encoder) rangeData(m *hypercore.RangeData) {
	if len(m.Blocks) == 0 || len(m.Blocks) > MaxRangeBlocks {
		e.fail("%d blocks, want 1 to %d", len(m.Blocks), MaxRangeBlocks)
	}
	if len(m.Nodes) > MaxRangeNodes {
		e.fail("%d nodes, at most %d", len(m.Nodes), MaxRangeNodes)
	}
	e.uint(1, m.Start)
	for _, b := range m.Blocks {
		e.bytes(2, b)
	}
	for i := range m.Nodes {
		e.node(&m.Nodes[i])
	}
	if m.Length != 0 {
		e.uint(4, m.Length)
	}
	if m.Signature != nil {
		if len(m.Signature) != hypercore.SignatureSize {
			e.fail("signature of %d bytes, want %d", len(m.Signature), hypercore.SignatureSize)
		}
		e.bytes(5, m.Signature)
	}
}
