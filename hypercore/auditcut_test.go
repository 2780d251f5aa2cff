package hypercore_test

import (
	"testing"

	"github.com/cobox-p2p/cobox-p2p/hypercore"
)

// TestAuditOfMoreThanOneRepair loses as many nodes as one audit holds for Repair,
// and one more: that one is found by the next audit.
func TestAuditOfMoreThanOneRepair(t *testing.T) {
	const length = hypercore.MaxAuditNodes + 2
	writer, mem := written(t, length)
	writer.Close()
	st := newRotten(mem)
	f := mustOpen(t, st, pairOf(1), false)
	for seq := range uint64(hypercore.MaxAuditNodes) {
		st.nodes[2*seq] = missing
	}
	a := mustAudit(t, f)
	if a.Nodes != hypercore.MaxAuditNodes || a.Cut || a.Damaged != 0 {
		t.Errorf("with %d nodes lost: %d nodes, cut %t, %d blocks damaged", hypercore.MaxAuditNodes, a.Nodes, a.Cut, a.Damaged)
	}
	st.nodes[2*hypercore.MaxAuditNodes] = missing
	a = mustAudit(t, f)
	if a.Nodes != hypercore.MaxAuditNodes+1 || !a.Cut || a.Damaged != 0 {
		t.Errorf("with one more: %d nodes, cut %t, %d blocks damaged", a.Nodes, a.Cut, a.Damaged)
	}
	if r := mustRepair(t, f, a); r.Nodes != hypercore.MaxAuditNodes {
		t.Errorf("Repair wrote %d nodes", r.Nodes)
	}
	a = mustAudit(t, f)
	if a.Nodes != 1 || a.Cut || a.Damaged != 0 {
		t.Errorf("after Repair: %d nodes, cut %t, %d blocks damaged", a.Nodes, a.Cut, a.Damaged)
	}
	if r := mustRepair(t, f, a); r.Nodes != 1 {
		t.Errorf("the second Repair wrote %d nodes", r.Nodes)
	}
	if a = mustAudit(t, f); !a.Valid() {
		t.Errorf("after the second Repair: %+v", a)
	}
}
