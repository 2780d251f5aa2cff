package wire

import "github.com/cobox-p2p/cobox-p2p/hypercore"

func decodeRangeRequest(f *fields, m *hypercore.RangeRequest) {
	for f.next() {
		switch f.num {
		case 1:
			m.Start = f.uint("start", MaxSafe)
		case 2:
			m.Count = f.uint("count", MaxSafe)
		case 3:
			m.Length = f.uint("length", MaxSafe)
		case 4:
			m.Left = f.uint("left", MaxSafe)
		case 5:
			m.Right = f.uint("right", MaxSafe)
		case 6:
			m.Urgent = f.bool("urgent")
		default:
			f.skip()
		}
	}
	f.require(1, "start")
	f.require(2, "count")
	if f.err == nil && m.Count == 0 {
		f.fail("count", "0")
	}
}

func decodeRangeData(f *fields, m *hypercore.RangeData) {
	for f.next() {
		switch f.num {
		case 1:
			m.Start = f.uint("start", MaxSafe)
		case 2:
			m.Blocks = appendBlock(f, m.Blocks)
		case 3:
			m.Nodes = appendNode(f, m.Nodes, MaxRangeNodes)
		case 4:
			m.Length = f.uint("length", MaxSafe)
		case 5:
			m.Signature = f.exactly("signature", hypercore.SignatureSize)
		default:
			f.skip()
		}
	}
	f.require(1, "start")
	f.require(2, "block")
}

// minBlock is the least bytes of a block in RangeData: tag and length.
const minBlock = 2

// appendBlock takes one more block.
func appendBlock(f *fields, blocks [][]byte) [][]byte {
	if len(blocks) == MaxRangeBlocks {
		f.fail("block", "more than %d", MaxRangeBlocks)
		return blocks
	}
	b := f.bytes("block", MaxFrame)
	if blocks == nil { // what follows is mostly blocks of that size
		blocks = make([][]byte, 0, min(2+len(f.rest)/(minBlock+len(b)), MaxRangeBlocks))
	}
	return append(blocks, b)
}
