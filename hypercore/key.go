// Package hypercore is one append-only signed feed: its keys, its tree, its
// storage contract and its replication with one peer as a state machine
// without goroutines. Keys, hashes and signatures are those of the npm package
// hypercore 9; see interop/spec/feed.md.
package hypercore

import (
	"crypto/ed25519"
	"crypto/rand"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"

	"filippo.io/edwards25519"
	"golang.org/x/crypto/blake2b"

	"github.com/cobox-p2p/cobox-p2p/hypercore/merkle"
)

// Sizes in bytes.
const (
	KeySize       = ed25519.PublicKeySize
	SignatureSize = ed25519.SignatureSize
	SeedSize      = ed25519.SeedSize
)

// Errors of keys from outside.
var (
	ErrWeakKey      = errors.New("hypercore: public key is not canonical or of small order")
	ErrBadSignature = errors.New("hypercore: signature does not verify")
)

// Key is a feed's Ed25519 public key. Whoever has it can read and verify the
// feed, so it is told to members of a space and its seeders only.
type Key [KeySize]byte

// DiscoveryKey names a feed or a space to those who know its key.
type DiscoveryKey [32]byte

// Signature is an Ed25519 signature.
type Signature [SignatureSize]byte

// String returns the key in hex.
func (k Key) String() string { return hex.EncodeToString(k[:]) }

// String returns the key in hex.
func (k DiscoveryKey) String() string { return hex.EncodeToString(k[:]) }

// Discovery returns the BLAKE2b-256 hash of "hypercore" keyed with the public
// key.
func (k Key) Discovery() DiscoveryKey {
	return DiscoveryKey(KeyedHash(k[:], []byte("hypercore")))
}

// Check returns ErrWeakKey unless the key is a canonically encoded point of
// large order. Every key from outside is checked before it is used.
func (k Key) Check() error {
	if !strongPoint(k[:]) {
		return ErrWeakKey
	}
	return nil
}

// Verify returns ErrBadSignature unless sig is the key's signature over
// message, and ErrWeakKey for a key that Check refuses. It accepts what
// libsodium accepts: an R of small order is refused, which crypto/ed25519
// alone would let pass.
func (k Key) Verify(message []byte, sig Signature) error {
	if err := k.Check(); err != nil {
		return err
	}
	return k.VerifyChecked(message, sig)
}

// VerifyChecked is Verify for a key that Check has accepted.
func (k Key) VerifyChecked(message []byte, sig Signature) error {
	if !strongPoint(sig[:32]) || !ed25519.Verify(k[:], message, sig[:]) {
		return ErrBadSignature
	}
	return nil
}

// strongPoint says whether b is the canonical encoding of a curve point whose
// order isn't one of 1, 2, 4 and 8.
func strongPoint(b []byte) bool {
	if !canonical(b) {
		return false
	}
	p, err := new(edwards25519.Point).SetBytes(b)
	if err != nil {
		return false
	}
	return new(edwards25519.Point).MultByCofactor(p).Equal(edwards25519.NewIdentityPoint()) == 0
}

// canonical says whether the y of a point's 32 bytes is below 2^255-19. What else
// isn't canonical is a sign at x = 0, and those two points are of small order.
func canonical(b []byte) bool {
	for i := 1; i < 31; i++ {
		if b[i] != 0xff {
			return true
		}
	}
	return b[31]&0x7f != 0x7f || b[0] < 0xed
}

// KeyPair signs a feed. It has no text form.
type KeyPair struct {
	Public Key
	secret ed25519.PrivateKey
}

// NewKeyPair derives the key pair of a 32-byte seed.
func NewKeyPair(seed [SeedSize]byte) KeyPair {
	secret := ed25519.NewKeyFromSeed(seed[:])
	return KeyPair{Public: Key(secret.Public().(ed25519.PublicKey)), secret: secret}
}

// GenerateKeyPair makes a key pair from the system's randomness.
func GenerateKeyPair() KeyPair {
	var seed [SeedSize]byte
	rand.Read(seed[:])
	return NewKeyPair(seed)
}

// Sign returns the signature over message.
func (kp KeyPair) Sign(message []byte) Signature {
	return Signature(ed25519.Sign(kp.secret, message))
}

// Valid says whether the pair holds a secret key.
func (kp KeyPair) Valid() bool { return len(kp.secret) == ed25519.PrivateKeySize }

// SecretKey returns the 64 bytes seed || public key, the form in which
// hypercore 9 stores it. The slice is a copy.
func (kp KeyPair) SecretKey() []byte { return append([]byte(nil), kp.secret...) }

// Format keeps the secret out of every log.
func (kp KeyPair) Format(f fmt.State, _ rune) { fmt.Fprintf(f, "key pair of %s", kp.Public) }

// KeyedHash returns the BLAKE2b-256 digest of the concatenated parts, keyed
// with key, which has at most 64 bytes.
func KeyedHash(key []byte, parts ...[]byte) [32]byte {
	h, err := blake2b.New256(key)
	if err != nil {
		panic("hypercore: hash key over 64 bytes")
	}
	for _, p := range parts {
		h.Write(p)
	}
	var sum [32]byte
	h.Sum(sum[:0])
	return sum
}

// Signable returns the 40 bytes that a head's signature covers: root hash and
// length in blocks.
func Signable(root merkle.Hash, length uint64) []byte {
	return binary.BigEndian.AppendUint64(append(make([]byte, 0, 40), root[:]...), length)
}
