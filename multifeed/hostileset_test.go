package multifeed

import (
	"slices"
	"testing"

	"google.golang.org/protobuf/encoding/protowire"
)

// Fields of a payload of the reconciliation, as interop/spec/feedset.md has them.
const (
	payloadWhole  = 1
	payloadCount  = 2
	payloadPrints = 3
	payloadLists  = 4
	payloadTurn   = 6
	payloadTold   = 7
)

// reconciling sends a payload of the reconciliation.
func (p *hostile) reconciling(payload ...[]byte) bool {
	return p.set(bytesField(feedsReconcile, slices.Concat(payload...)))
}

// differs begins with a fingerprint that nobody has.
func (p *hostile) differs() bool {
	return p.reconciling(bytesField(payloadWhole, make([]byte, 16)), varintField(payloadCount, 5))
}

// haveNothing ends the reconciliation: the hostile peer has no feeds, and has told all.
func haveNothing(p *hostile) {
	p.reconciling(bytesField(payloadWhole, make([]byte, 16)), varintField(payloadCount, 0))
	p.reconciling(varintField(payloadTold, 1))
}

// inTurns makes a round that begins to reconcile, and then sends the payloads.
func inTurns(payload func(i int) []byte) func(*hostile, int) bool {
	return func(p *hostile, i int) bool {
		if i == 0 && !p.differs() {
			return false
		}
		return p.reconciling(payload(i))
	}
}

// prints are fingerprints of the children of nodes that nobody has.
func prints(prefix uint64, children int) []byte {
	b := protowire.AppendVarint(nil, prefix)
	for i := range 6 * children {
		b = append(b, byte(i*7+1))
	}
	return b
}

// idLists are full lists of ids at the prefixes.
func idLists(from, to uint64) (b []byte) {
	for prefix := from; prefix < to; prefix++ {
		b = protowire.AppendVarint(protowire.AppendVarint(b, prefix), 64)
		for i := range 6 * 64 {
			b = append(b, byte(i*11+int(prefix)))
		}
	}
	return b
}

func setAttacks() []attackOn {
	const feeds = 600
	const all, more = 1, 2
	turn := func(v uint64) []byte { return varintField(payloadTurn, v) }
	const second = 2*MaxFeedsMessage + 4<<10
	return []attackOn{
		{name: "rounds without an end", feeds: feeds, rounds: 1000, code: CodeProtocol, bytes: second,
			round: inTurns(func(i int) []byte { return turn(more) })},
		{name: "payloads without an end", feeds: feeds, rounds: 1000, code: CodeProtocol, bytes: second,
			round: inTurns(func(i int) []byte { return bytesField(payloadPrints, prints(1, 256)) })},
		{name: "thousands of prefixes", feeds: feeds, rounds: 100, code: CodeProtocol, bytes: second,
			round: inTurns(func(i int) []byte {
				var b []byte
				for prefix := range uint64(600) {
					b = append(b, prints(0x1000+prefix, 16)...)
				}
				return bytesField(payloadPrints, b)
			})},
		{name: "thousands of ids", feeds: feeds, rounds: 100, code: CodeProtocol, bytes: second,
			round: inTurns(func(i int) []byte { return bytesField(payloadLists, idLists(0x100, 0x1a0)) })},
		{name: "openings without an end", feeds: feeds, rounds: 1000, code: CodeProtocol, bytes: second,
			round: func(p *hostile, i int) bool { return p.differs() }},
		{name: "nothing, again and again", feeds: 10, rounds: 10_000, round: func(p *hostile, i int) bool { return p.set(nil) }},
		{name: "the last entry, again and again", feeds: 10, rounds: 10_000,
			round: func(p *hostile, i int) bool { return p.set(varintField(pageLast, 1)) }},
	}
}

// Reconciling as no decent peer does costs little before it is cut, or is borne.
func TestHostileReconciliationCostsLittle(t *testing.T) { testAttacks(t, setAttacks()) }
