package merkle

import "github.com/cobox-p2p/cobox-p2p/hypercore/flattree"

// Seek returns the block in which the byte at offset of all blocks laid end to
// end lies, and where in that block. It returns ErrNoNode when the offset is
// beyond the tree or a node on the way is not stored.
func Seek(r NodeReader, roots Roots, offset uint64) (seq, within uint64, err error) {
	for _, root := range roots.nodes {
		if offset < root.Size {
			return seekUnder(r, root.Index, offset)
		}
		offset -= root.Size
	}
	return 0, 0, ErrNoNode
}

func seekUnder(r NodeReader, index, offset uint64) (seq, within uint64, err error) {
	for {
		left, right, ok := flattree.Children(index)
		if !ok {
			return index / 2, offset, nil
		}
		n, err := r.Node(left)
		if err != nil {
			return 0, 0, err
		}
		index = left
		if offset >= n.Size {
			offset -= n.Size
			index = right
		}
	}
}
