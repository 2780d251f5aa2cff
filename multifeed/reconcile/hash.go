package reconcile

import (
	"encoding/binary"
	"hash"

	"golang.org/x/crypto/blake2b"
)

// Texts that tell hashes apart. See interop/spec/feedset.md.
const (
	textEntry   = "cobox/1 entry"
	textLeaf    = "cobox/1 leaf"
	textInner   = "cobox/1 inner"
	textSession = "cobox/1 reconcile"
	textAgain   = "cobox/1 again"
)

// HashEntry returns what stands for a feed in the set: its discovery key, and
// length in blocks and root hash of its signed head, 0 and zero for none.
func HashEntry(key Key, length uint64, rootHash [32]byte) EntryHash {
	b := make([]byte, 0, len(textEntry)+32+8+32)
	b = append(append(b, textEntry...), key[:]...)
	b = append(binary.BigEndian.AppendUint64(b, length), rootHash[:]...)
	sum := blake2b.Sum256(b)
	return EntryHash(sum[:16])
}

// SessionKey returns the key of the reconciliation in the session of a
// transcript, see interop/spec/handshake.md.
func SessionKey(transcript [32]byte) [32]byte {
	b := make([]byte, 0, len(textSession)+32)
	return blake2b.Sum256(append(append(b, textSession...), transcript[:]...))
}

// fingerprint returns the fingerprint of a node whose keys begin with so many
// bits of at.
func (s *Set) fingerprint(n *node, bits int, at Key) [32]byte {
	if n == nil || n.known {
		return n.sum()
	}
	step := below(bits)
	for i, child := range n.children {
		if child != nil && !child.known {
			s.fingerprint(child, step, extend(at, bits, i))
		}
	}
	text := textLeaf
	if !n.leaf() {
		text = textInner
	}
	b := append(append(s.buf[:0], text...), byte(bits))
	b = append(b, at[:(bits+7)/8]...)
	for i := range n.entries {
		b = append(append(b, n.entries[i].key[:]...), n.entries[i].hash[:]...)
	}
	for _, child := range n.children {
		sum := child.sum()
		b = append(b, sum[:]...)
	}
	n.print, n.known, s.buf = blake2b.Sum256(b), true, b
	return n.print
}

// extend returns the first bits of the keys in a child of the node at that depth.
func extend(at Key, bits, child int) Key {
	switch {
	case bits == 0:
		at[0] = byte(child)
	case bits%8 == 0:
		at[bits/8] = byte(child) << nibbleBits
	default:
		at[bits/8] |= byte(child)
	}
	return at
}

const (
	shortSize = 6  // bytes of a fingerprint of a part and of an id on the wire
	wholeSize = 16 // bytes of the fingerprint of a whole set on the wire
)

// short is what stands for a fingerprint or an entry on the wire: 48 bits, the
// first byte on top.
type short = uint64

// keyed makes what is on the wire out of fingerprints and entries. Its key is of
// one session, so that nobody can look for two that agree before it begins.
type keyed struct {
	key [32]byte
	mac hash.Hash
	sum [32]byte
	in  entry // of the hash that is made, so that it isn't allocated
	ids short // bits of an id that are used: all, but in tests of collisions
}

func newKeyed(key [32]byte) *keyed {
	mac, err := blake2b.New256(key[:])
	if err != nil {
		panic(err) // a key of 32 bytes is valid
	}
	return &keyed{key: key, mac: mac, ids: 1<<(8*shortSize) - 1}
}

func (k *keyed) end() short {
	k.mac.Sum(k.sum[:0])
	return binary.BigEndian.Uint64(k.sum[:8]) >> (64 - 8*shortSize)
}

// id returns the short name of an entry.
func (k *keyed) id(e *entry) short {
	k.in = *e
	k.mac.Reset()
	k.mac.Write(k.in.hash[:])
	k.mac.Write(k.in.key[:])
	return k.end() & k.ids
}

// print returns the short form of the fingerprint of a node.
func (k *keyed) print(n *node) short {
	k.in.key = n.sum()
	k.mac.Reset()
	k.mac.Write(k.in.key[:])
	return k.end()
}

// whole returns what stands for the fingerprint of a whole set.
func (k *keyed) whole(print [32]byte) (sum [wholeSize]byte) {
	k.in.key = print
	k.mac.Reset()
	k.mac.Write(k.in.key[:])
	copy(sum[:], k.mac.Sum(k.sum[:0]))
	return sum
}

// again returns what stands for the fingerprint of a whole set at the end, under
// another key.
func (k *keyed) again(print [32]byte) [wholeSize]byte {
	k.mac.Reset()
	k.mac.Write([]byte(textAgain))
	return newKeyed([32]byte(k.mac.Sum(nil))).whole(print)
}

func appendShort(b []byte, v short) []byte {
	return append(b, byte(v>>40), byte(v>>32), byte(v>>24), byte(v>>16), byte(v>>8), byte(v))
}

// shortAt returns the short that b begins with. b has at least shortSize bytes.
func shortAt(b []byte) short {
	return short(b[0])<<40 | short(b[1])<<32 | short(b[2])<<24 | short(b[3])<<16 | short(b[4])<<8 | short(b[5])
}
