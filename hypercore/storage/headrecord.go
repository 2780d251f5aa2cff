package storage

import (
	"encoding/binary"

	"github.com/cobox-p2p/cobox-p2p/hypercore"
)

// headRecord is what the store keeps of a feed under its key: version (1), the
// numbers of the struct as uvarints in their order, root hash (32), signature
// (64).
type headRecord struct {
	id       uint64
	head     hypercore.Head // length and size, then root hash and signature
	blocks   uint64         // held
	bytes    uint64         // of these
	segments uint64         // begun so far; only the last one grows
}

func (h *headRecord) append(b []byte) []byte {
	b = append(b, headVersion)
	for _, n := range [...]uint64{h.id, h.head.Length, h.head.Size, h.blocks, h.bytes, h.segments} {
		b = binary.AppendUvarint(b, n)
	}
	b = append(b, h.head.RootHash[:]...)
	return append(b, h.head.Signature[:]...)
}

// parseHead returns the head record in b, or ErrDamaged.
func parseHead(b []byte) (h headRecord, err error) {
	if len(b) == 0 || b[0] != headVersion {
		return headRecord{}, ErrDamaged
	}
	b = b[1:]
	for _, n := range [...]*uint64{&h.id, &h.head.Length, &h.head.Size, &h.blocks, &h.bytes, &h.segments} {
		size := 0
		if *n, size = binary.Uvarint(b); size <= 0 {
			return headRecord{}, ErrDamaged
		}
		b = b[size:]
	}
	if len(b) != headHashes {
		return headRecord{}, ErrDamaged
	}
	copy(h.head.RootHash[:], b)
	copy(h.head.Signature[:], b[len(h.head.RootHash):])
	return h, nil
}

func (h *headRecord) stored(key hypercore.Key) hypercore.StoredFeed {
	return hypercore.StoredFeed{Key: key, Head: h.head, Blocks: h.blocks, Bytes: h.bytes}
}
