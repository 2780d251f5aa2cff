package sleep

import (
	"fmt"

	"github.com/cobox-p2p/cobox-p2p/hypercore"
	"github.com/cobox-p2p/cobox-p2p/hypercore/flattree"
	"github.com/cobox-p2p/cobox-p2p/hypercore/merkle"
)

// MaxBlock is the largest block in bytes that hypercore 9 writes.
const MaxBlock = 8 << 20

// Block returns block seq, read at the offset that the stored tree gives, as the
// tree covers it. It returns hypercore.ErrNoBlock when the feed doesn't list it,
// and an error that wraps hypercore.ErrDamaged when it doesn't match its node.
// Copy proves more: that the node hangs on the head. The slice belongs to the
// caller.
func (f *Feed) Block(seq uint64) ([]byte, error) {
	if !f.held.Get(seq) {
		return nil, hypercore.ErrNoBlock
	}
	leaf, err := f.Node(2 * seq)
	if err != nil {
		return nil, fmt.Errorf("%w: block %d: %w", hypercore.ErrDamaged, seq, err)
	}
	offset := uint64(0)
	for _, root := range flattree.FullRoots(nil, seq) {
		n, err := f.Node(root)
		if err != nil {
			return nil, fmt.Errorf("%w: block %d: %w", hypercore.ErrDamaged, seq, err)
		}
		if offset += n.Size; offset > merkle.MaxSize {
			return nil, fmt.Errorf("%w: block %d at byte %d", hypercore.ErrDamaged, seq, offset)
		}
	}
	b, err := f.read(offset, leaf.Size, nil)
	if err != nil {
		return nil, fmt.Errorf("%w: block %d: %w", hypercore.ErrDamaged, seq, err)
	}
	if merkle.Leaf(seq, b) != leaf {
		return nil, fmt.Errorf("%w: block %d does not match its hash", hypercore.ErrDamaged, seq)
	}
	return b, nil
}

// Blocks returns the blocks of span, like Block.
func (f *Feed) Blocks(span hypercore.Span) ([][]byte, error) {
	if !f.held.Contains(span) {
		return nil, hypercore.ErrNoBlock
	}
	blocks := make([][]byte, 0, span.Count)
	for seq := span.Start; seq < span.End(); seq++ {
		b, err := f.Block(seq)
		if err != nil {
			return nil, err
		}
		blocks = append(blocks, b)
	}
	return blocks, nil
}

var errBlockSize = fmt.Errorf("more than %d bytes", MaxBlock)

// read returns size bytes of the file data, in buf if it is large enough.
func (f *Feed) read(offset, size uint64, buf []byte) ([]byte, error) {
	if size > MaxBlock {
		return nil, errBlockSize
	}
	if offset > uint64(f.data.size) || size > uint64(f.data.size)-offset {
		return nil, fmt.Errorf("file ends at byte %d of %d", f.data.size, offset+size)
	}
	if uint64(cap(buf)) < size {
		buf = make([]byte, size)
	}
	return buf[:size], f.data.readAt(buf[:size], int64(offset))
}
