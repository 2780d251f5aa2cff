package hypercore

import (
	"crypto/rand"
	"fmt"

	"golang.org/x/crypto/nacl/secretbox"
)

const (
	sealNonce = 24
	// SealOverhead is how many bytes a sealed block is longer than its content.
	SealOverhead = sealNonce + secretbox.Overhead
)

// Seal opens and seals the blocks of a feed: 24 random bytes and then a NaCl
// secretbox (Poly1305 tag, XSalsa20). See interop/spec/keys.md, "Content
// encryption". It has no text form.
type Seal struct{ key [32]byte }

// NewSeal returns the Seal of a 32-byte key.
func NewSeal(key [32]byte) *Seal { return &Seal{key} }

// Seal appends the sealed block to dst and returns it.
func (s *Seal) Seal(dst, block []byte) []byte {
	var nonce [sealNonce]byte
	rand.Read(nonce[:])
	return s.sealWith(dst, block, nonce)
}

func (s *Seal) sealWith(dst, block []byte, nonce [sealNonce]byte) []byte {
	return secretbox.Seal(append(dst, nonce[:]...), block, &nonce, &s.key)
}

// Open appends the content of a sealed block to dst and returns it, or returns
// ErrWrongKey. A wrong key never yields bytes.
func (s *Seal) Open(dst, sealed []byte) ([]byte, error) {
	if len(sealed) < SealOverhead {
		return nil, ErrWrongKey
	}
	nonce := [sealNonce]byte(sealed[:sealNonce])
	out, ok := secretbox.Open(dst, sealed[sealNonce:], &nonce, &s.key)
	if !ok {
		return nil, ErrWrongKey
	}
	return out, nil
}

// Format keeps the key out of every log.
func (Seal) Format(f fmt.State, _ rune) { fmt.Fprint(f, "seal") }
