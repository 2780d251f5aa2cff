package multifeed

import (
	"testing"

	"google.golang.org/protobuf/encoding/protowire"

	"github.com/cobox-p2p/cobox-p2p/hypercore"
	"github.com/cobox-p2p/cobox-p2p/multifeed/wire"
)

// numbers returns a message of these fields, from 1 on.
func numbers(values ...uint64) (b []byte) {
	for i, v := range values {
		b = append(b, varintField(protowire.Number(i+1), v)...)
	}
	return b
}

// rle returns an encoded bitfield of runs of so many bytes of ones.
func rle(ones ...uint64) (b []byte) {
	for _, n := range ones {
		b = protowire.AppendVarint(b, n<<2|3)
	}
	return b
}

// onFeed makes a round that sends frames of one type on the channel of the victim's
// first feed.
func onFeed(typ byte, body func(i int) []byte) func(*hostile, int) bool {
	return func(p *hostile, i int) bool {
		for n := range 100 {
			if !p.frame(1, typ, body(100*i+n)) {
				return false
			}
		}
		return true
	}
}

func shareFirst(p *hostile) { p.shareFeed(1, p.victim.keyAt(0)) }

func rangeAttacks() (attacks []attackOn) {
	const huge, most = 1 << 60, wire.MaxSafe
	for name, typ := range map[string]byte{
		"Have": wire.TypeHave, "Unhave": wire.TypeUnhave, "Want": wire.TypeWant, "RangeRequest": wire.TypeRangeRequest,
	} {
		attacks = append(attacks,
			attackOn{name: name + " of 2^60", feeds: 1, prepare: shareFirst, rounds: 1, code: CodeProtocol, bytes: 4 << 10,
				round: onFeed(typ, func(int) []byte { return numbers(0, huge) })},
			attackOn{name: name + " from 2^60 on", feeds: 1, prepare: shareFirst, rounds: 1, code: CodeProtocol, bytes: 4 << 10,
				round: onFeed(typ, func(int) []byte { return numbers(huge, 1) })},
		)
	}
	alternating := func(i int) []byte { return numbers(uint64(2*i+1), most/2) }
	bomb := func(ones ...uint64) func(int) []byte {
		return func(int) []byte { return append(numbers(0, 1<<20), bytesField(3, rle(ones...))...) }
	}
	return append(attacks,
		attackOn{name: "RangeData from 2^60 on", feeds: 1, prepare: shareFirst, rounds: 1, code: CodeProtocol, bytes: 4 << 10,
			round: onFeed(wire.TypeRangeData, func(int) []byte { return append(numbers(huge), bytesField(2, []byte("x"))...) })},
		attackOn{name: "RangeData of a tree of 2^60 blocks", feeds: 1, prepare: shareFirst, rounds: 1, code: CodeProtocol, bytes: 4 << 10,
			round: onFeed(wire.TypeRangeData, func(int) []byte {
				return append(append(numbers(1), bytesField(2, []byte("x"))...), varintField(4, huge)...)
			})},
		attackOn{name: "Have of all from anywhere on", feeds: 1, prepare: shareFirst, rounds: 100, code: CodeLimit, round: onFeed(wire.TypeHave, alternating)},
		attackOn{name: "Unhave of all from anywhere on", feeds: 1, prepare: shareFirst, rounds: 100, round: onFeed(wire.TypeUnhave, alternating)},
		attackOn{name: "bitfield of gigabytes", feeds: 1, prepare: shareFirst, rounds: 1, code: CodeProtocol, bytes: 4 << 10, round: onFeed(wire.TypeHave, bomb(1<<32))},
		attackOn{name: "bitfield of gigabytes in parts", feeds: 1, prepare: shareFirst, rounds: 1, code: CodeProtocol, bytes: 128 << 10,
			round: onFeed(wire.TypeHave, bomb(1<<17, 1<<17, 1<<17, 1<<17, 1<<17, 1<<17, 1<<17, 1<<17, 1<<17, 1<<17, 1<<17, 1<<17, 1<<17, 1<<17, 1<<17, 1<<17, 1<<17))},
		attackOn{name: "bitfields of single blocks in all feeds", feeds: 200, rounds: 200, prepare: shareAll, round: sparseEverywhere},
		attackOn{name: "ranges that nobody asked for", feeds: 1, prepare: shareFirst, rounds: 100, code: CodeLimit, bytes: 64 << 10,
			round: onFeed(wire.TypeRangeData, func(int) []byte { return append(numbers(0), bytesField(2, []byte("x"))...) })},
	)
}

func shareAll(p *hostile) {
	for i := range uint32(p.victim.Len()) {
		p.shareFeed(uint64(i+1), p.victim.keyAt(i))
	}
}

// sparseEverywhere says of one feed that the remote holds a few blocks of each page
// that is remembered.
func sparseEverywhere(p *hostile, i int) bool {
	var b []byte
	for range hypercore.MaxWant / 8192 {
		b = protowire.AppendVarint(b, 1<<1) // one byte as it is
		b = append(b, 0x10)
		b = protowire.AppendVarint(b, 1023<<2|1) // and 1023 of zeros
	}
	return p.frame(uint64(i+1), wire.TypeHave, append(numbers(0, hypercore.MaxWant), bytesField(3, b)...))
}

// openUnheard opens the victim's own feed on a channel, and reads no more than it
// takes until that is open.
func openUnheard(p *hostile) {
	p.t.Helper()
	haveNothing(p) // so it may be shown own feeds
	dk := p.victim.keyAt(0).Discovery()
	body, err := wire.AppendFrame(nil, 1, &wire.Open{DiscoveryKey: dk})
	if err != nil {
		p.t.Fatal(err)
	}
	p.buf = append(p.buf, body...)
	written := make(chan bool)
	go func() { written <- p.flush() }() // what the victim writes may come first
	for open := opened(dk); ; {
		f, err := p.o.Reader.ReadFrame()
		if err != nil {
			p.t.Fatal(err)
		}
		if m, err := wire.Decode(f); err == nil && open(m) {
			break
		}
	}
	<-written
}

func unreadAttacks() []attackOn {
	const blocks = 600
	return []attackOn{
		{name: "ranges whose answers are not read", blocks: blocks, deaf: true, prepare: openUnheard, rounds: 1,
			round: func(p *hostile, i int) bool {
				for n := range uint64(hypercore.MaxRemoteRanges) {
					p.frame(1, wire.TypeRangeRequest, numbers(n, 1<<50))
				}
				return true
			}},
		{name: "blocks whose answers are not read", blocks: blocks, deaf: true, prepare: openUnheard, rounds: 1,
			round: func(p *hostile, i int) bool {
				for n := range uint64(hypercore.MaxRemoteRequests) {
					p.frame(1, wire.TypeRequest, numbers(n))
				}
				return true
			}},
		{name: "too many ranges whose answers are not read", blocks: blocks, deaf: true, prepare: openUnheard, rounds: 10, code: CodeLimit, bytes: 16 << 10,
			round: onFeed(wire.TypeRangeRequest, func(i int) []byte { return numbers(uint64(i), 1<<50) })},
		{name: "too many blocks whose answers are not read", blocks: blocks, deaf: true, prepare: openUnheard, rounds: 10, code: CodeLimit, bytes: 16 << 10,
			round: onFeed(wire.TypeRequest, func(i int) []byte { return numbers(uint64(i)) })},
	}
}

// Requests whose answers nobody reads cost one answer, and not one each.
func TestHostileRequestsCostLittle(t *testing.T) { testAttacks(t, unreadAttacks()) }

// Messages about ranges and bitfields of any size cost what their bytes cost.
func TestHostileRangesCostLittle(t *testing.T) { testAttacks(t, rangeAttacks()) }

// A peer that opens more feeds at once than it can need is cut. Up to there each
// costs a channel.
func TestHostileOpensCostLittle(t *testing.T) {
	open := func(p *hostile, i int) bool {
		dk := p.victim.keyAt(uint32(i)).Discovery()
		return p.frame(uint64(i+1), wire.TypeOpen, bytesField(1, dk[:]))
	}
	const most = maxRemoteOpen * 5 << 10 // the feeds themselves included, which are open as well
	testAttacks(t, []attackOn{
		{name: "as many feeds as may be", feeds: maxRemoteOpen, rounds: maxRemoteOpen, most: most, round: open},
		{name: "one feed more", feeds: maxRemoteOpen + 1, rounds: maxRemoteOpen + 1, most: most, round: open, code: CodeLimit},
	})
}
