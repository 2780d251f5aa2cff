package corestore

import (
	"errors"
	"fmt"

	"github.com/cobox-p2p/cobox-p2p/hypercore"
)

// MasterKeySize is the size in bytes of a master key.
const MasterKeySize = 32

// MasterKey is the secret from which all own feeds are derived. It has no text
// form.
type MasterKey [MasterKeySize]byte

// Format keeps the key out of every log.
func (MasterKey) Format(f fmt.State, _ rune) { fmt.Fprint(f, "master key") }

// MarshalText fails, so that no encoder of JSON or logs writes the key.
func (MasterKey) MarshalText() ([]byte, error) {
	return nil, errors.New("corestore: a master key has no text form")
}

// KeyPair returns the key pair of the feed with that name: Ed25519 from the seed
// BLAKE2b-256("9\ncorestore" || name; key = master key). See
// interop/spec/keys.md, "Writers".
func (m MasterKey) KeyPair(name string) hypercore.KeyPair {
	return hypercore.NewKeyPair(hypercore.KeyedHash(m[:], []byte("9\ncorestore"), []byte(name)))
}
