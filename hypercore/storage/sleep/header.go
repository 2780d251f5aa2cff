// Package sleep reads and writes the files of the npm packages hypercore 9 and
// corestore 5: the data of CoBox before cobox-p2p. A feed is a folder of the
// files key, secret_key or name, tree, signatures, bitfield and data; a store is
// a folder of such folders beside a master key.
//
// What is read is not trusted, only what hangs on a valid signature of the feed
// key is. Nothing that is read is changed. The formats are in
// interop/spec/feed.md and beside the code.
package sleep

import (
	"encoding/binary"
	"errors"
	"fmt"
)

// Names of the files of a feed.
const (
	keyFile        = "key"        // 32 bytes: the public key
	secretFile     = "secret_key" // 64 bytes: seed || public key; absent or empty on readers
	nameFile       = "name"       // uvarint length || name; instead of secret_key in a store
	treeFile       = "tree"       // header, then at 32+40*index: hash (32) || u64 size
	signaturesFile = "signatures" // header, then at 32+64*(length-1): signature (64)
	bitfieldFile   = "bitfield"   // header, then pages: data bits, tree bits, index
	dataFile       = "data"       // blocks end to end
)

const (
	headerSize = 32
	// headerNameMax is how many bytes of a header are left for its algorithm.
	headerNameMax = headerSize - 8
)

// header is the first 32 bytes of the files tree, signatures and bitfield:
// 05 02 57, type, version 0, u16 entry size, length of the name, name, zeros.
type header struct {
	kind      byte
	entry     uint16 // bytes
	algorithm string
}

var (
	bitfieldHeader   = header{0, pageSize, ""}
	signaturesHeader = header{1, signatureEntry, "Ed25519"}
	treeHeader       = header{2, treeEntry, "BLAKE2b"}
)

var errHeader = errors.New("sleep: bad file header")

// appendTo appends the header's 32 bytes to dst.
func (h header) appendTo(dst []byte) []byte {
	start := len(dst)
	dst = append(dst, 5, 2, 87, h.kind, 0)
	dst = binary.BigEndian.AppendUint16(dst, h.entry)
	dst = append(dst, byte(len(h.algorithm)))
	dst = append(dst, h.algorithm...)
	return append(dst, make([]byte, headerSize-(len(dst)-start))...)
}

// parseHeader returns what a file's first 32 bytes say, or errHeader.
func parseHeader(b []byte) (header, error) {
	if len(b) < headerSize {
		return header{}, fmt.Errorf("%w: %d bytes", errHeader, len(b))
	}
	if b[0] != 5 || b[1] != 2 || b[2] != 87 {
		return header{}, fmt.Errorf("%w: magic %x", errHeader, b[:3])
	}
	if b[4] != 0 {
		return header{}, fmt.Errorf("%w: version %d", errHeader, b[4])
	}
	n := int(b[7])
	if n > headerNameMax {
		return header{}, fmt.Errorf("%w: name of %d bytes", errHeader, n)
	}
	return header{b[3], binary.BigEndian.Uint16(b[5:]), string(b[8 : 8+n])}, nil
}

// check says how h differs from what a file of its kind must have.
func (h header) check(want header) error {
	switch {
	case h.kind != want.kind:
		return fmt.Errorf("%w: type %d, want %d", errHeader, h.kind, want.kind)
	case h.algorithm != want.algorithm:
		return fmt.Errorf("%w: algorithm %q, want %q", errHeader, h.algorithm, want.algorithm)
	case h.kind == bitfieldHeader.kind && h.entry == oldPageSize:
		return nil
	case h.entry != want.entry:
		return fmt.Errorf("%w: entries of %d bytes, want %d", errHeader, h.entry, want.entry)
	}
	return nil
}
