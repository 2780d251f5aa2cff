package discovery

import (
	"encoding/hex"
	"fmt"

	"github.com/ipfs/go-cid"
	"github.com/multiformats/go-multihash"
)

// blake2b256 is the multicodec of BLAKE2b with a 32-byte digest.
const blake2b256 = 0xb220

// CID returns the content identifier under which the providers of a key are
// announced and looked up: version 1, codec raw, with a BLAKE2b-256 multihash
// that holds the key itself. The key is a hash already, so it isn't hashed
// again, and any node that knows it finds the same record. See
// interop/spec/rendezvous.md, "Provider records".
func CID(key [32]byte) cid.Cid {
	mh, err := multihash.Encode(key[:], blake2b256)
	if err != nil {
		panic(fmt.Sprintf("discovery: multihash of a 32-byte key: %v", err))
	}
	return cid.NewCidV1(cid.Raw, mh)
}

// keyHex is how a key is written in logs, errors and the book.
func keyHex(key [32]byte) string { return hex.EncodeToString(key[:]) }

// shortHex is how logs name a key.
func shortHex(key [32]byte) string { return keyHex(key)[:8] }
